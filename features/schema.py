"""Which facts of a record may become features: what is fixed at creation, by its own history or by declaration."""

from __future__ import annotations

from configs.mapping import Mapping
from configs.vocab import AttributeKind
from features.registry import Schema
from features.tables import CrmTables

OWN = ("type", "source")  # columns of deals, fixed at creation by contract


def schema_of(tables: CrmTables, mapping: Mapping, target: str) -> Schema:
    """Return the schema: columns of `deals` that hold values, declared attributes, and account fields declared fixed.

    A field without a history that nobody declared constant is quarantined, which here means: not named.
    """
    own = tuple(name for name in OWN if tables.deals.has(name))
    accounts = tuple(name for name in mapping.fixed_account_fields if tables.accounts.has(name))
    return _schema(mapping, target, own, accounts)


def declared_schema(mapping: Mapping, target: str) -> Schema:
    """Return the schema of a record whose every column holds values: what the mapping alone can tell."""
    return _schema(mapping, target, OWN, tuple(mapping.fixed_account_fields))


def _schema(mapping: Mapping, target: str, own: tuple[str, ...], accounts: tuple[str, ...]) -> Schema:
    declared = tuple(name for name, a in mapping.attributes.items() if a.kind == AttributeKind.CATEGORY)
    numbers = tuple(name for name, a in mapping.attributes.items() if a.kind == AttributeKind.NUMBER)
    return Schema(str(target), (*own, *accounts, *declared), numbers)
