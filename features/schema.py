"""Which facts of a record may become features: what is fixed at creation, by its own history or by declaration."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from configs.mapping import Mapping
from configs.vocab import AttributeKind, Target
from features.record import dimension_of
from features.registry import Schema, Word
from features.tables import CrmTables

OWN = ("type", "source")  # columns of deals, fixed at creation by contract
FEWEST, MOST = 50, 20  # leads that have a value with a column of its own, and such values of a dimension
COVERED = 0.98  # of the leads that a value is told of


def schema_of(tables: CrmTables, mapping: Mapping, target: str) -> Schema:
    """Return the schema: columns of `deals` that hold values, declared attributes, and account fields declared fixed.

    A field without a history that nobody declared constant is quarantined, which here means: not named.
    """
    own = tuple(name for name in OWN if tables.deals.has(name))
    accounts = tuple(name for name in mapping.fixed_account_fields if tables.accounts.has(name))
    schema = _schema(mapping, target, own, accounts)
    return _of_leads(tables, schema) if target == Target.CONVERTED else schema


def _of_leads(tables: CrmTables, schema: Schema) -> Schema:
    """Return the schema with the values that have a column, and the dimensions that a rate is told of.

    Where nearly all leads have a value with a column, a rate has nothing to add but the noise of its first cases.
    """
    words: list[Word] = []
    rated: list[str] = []
    for dimension in schema.dimensions:
        told = dimension_of(tables, dimension)
        count = np.bincount(told.codes[told.codes >= 0], minlength=len(told.values))
        usual = [code for code in np.argsort(-count, kind="stable")[:MOST].tolist() if count[code] >= FEWEST]
        taken = (*schema.numbers, *(f"{name}_log" for name in schema.numbers), *(word.column for word in words))
        words += words_of(dimension, sorted(told.values[code] for code in usual), taken)
        if count[usual].sum() < COVERED * count.sum():
            rated.append(dimension)
    return replace(schema, words=tuple(words), rated=tuple(rated))


def words_of(dimension: str, values: Sequence[str], taken: Collection[str] = ()) -> list[Word]:
    """Return these values of a dimension, each with a column of its own whose name is plain, and none of `taken`."""
    found: list[Word] = []
    names = set(taken)
    for place, value in enumerate(values):
        plain = re.sub(r"[^a-z0-9]+", "_", value.casefold()).strip("_")[:24]
        column = f"{dimension}_is_{plain}"
        if not plain or column in names:
            column = next(f"{column}_{k}" for k in range(place, place + len(names) + 1) if f"{column}_{k}" not in names)
        names.add(column)
        found.append(Word(column, dimension, value))
    return found


def declared_schema(mapping: Mapping, target: str) -> Schema:
    """Return the schema of a record whose every column holds values: what the mapping alone can tell."""
    schema = _schema(mapping, target, OWN, tuple(mapping.fixed_account_fields))
    return replace(schema, rated=schema.dimensions) if target == Target.CONVERTED else schema


def _schema(mapping: Mapping, target: str, own: tuple[str, ...], accounts: tuple[str, ...]) -> Schema:
    declared = tuple(name for name, a in mapping.attributes.items() if a.kind == AttributeKind.CATEGORY)
    numbers = tuple(name for name, a in mapping.attributes.items() if a.kind == AttributeKind.NUMBER)
    return Schema(str(target), (*own, *accounts, *declared), numbers)
