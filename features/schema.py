"""Which facts of a record may become features: what is fixed at creation, by its own history or by declaration."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from configs.mapping import Mapping
from configs.vocab import AttributeKind, Target
from features.record import dimension_of
from features.registry import Schema, Word
from features.tables import CrmTables

OWN = ("type", "source")  # columns of deals, fixed at creation by contract
FEWEST, MOST = 50, 20  # leads that have a value with a column of its own, and such values of a dimension


def schema_of(tables: CrmTables, mapping: Mapping, target: str) -> Schema:
    """Return the schema: columns of `deals` that hold values, declared attributes, and account fields declared fixed.

    A field without a history that nobody declared constant is quarantined, which here means: not named.
    """
    own = tuple(name for name in OWN if tables.deals.has(name))
    accounts = tuple(name for name in mapping.fixed_account_fields if tables.accounts.has(name))
    schema = _schema(mapping, target, own, accounts)
    return replace(schema, words=usual_words(tables, schema)) if target == Target.CONVERTED else schema


def usual_words(tables: CrmTables, schema: Schema) -> tuple[Word, ...]:
    """Return the values of each dimension that at least `FEWEST` leads have, the `MOST` most usual ones, by name."""
    found: list[Word] = []
    for dimension in schema.dimensions:
        told = dimension_of(tables, dimension)
        count = np.bincount(told.codes[told.codes >= 0], minlength=len(told.values))
        usual = [code for code in np.argsort(-count, kind="stable")[:MOST].tolist() if count[code] >= FEWEST]
        for place, value in enumerate(sorted(told.values[code] for code in usual)):
            plain = re.sub(r"[^a-z0-9]+", "_", value.casefold()).strip("_")[:24]
            column = f"{dimension}_is_{plain}"
            taken = not plain or column in (word.column for word in found)
            found.append(Word(f"{column}_{place}" if taken else column, dimension, value))
    return tuple(found)


def declared_schema(mapping: Mapping, target: str) -> Schema:
    """Return the schema of a record whose every column holds values: what the mapping alone can tell."""
    return _schema(mapping, target, OWN, tuple(mapping.fixed_account_fields))


def _schema(mapping: Mapping, target: str, own: tuple[str, ...], accounts: tuple[str, ...]) -> Schema:
    declared = tuple(name for name, a in mapping.attributes.items() if a.kind == AttributeKind.CATEGORY)
    numbers = tuple(name for name, a in mapping.attributes.items() if a.kind == AttributeKind.NUMBER)
    return Schema(str(target), (*own, *accounts, *declared), numbers)
