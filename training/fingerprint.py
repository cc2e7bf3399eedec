"""The fingerprint of the data: SHA-256 over every value of every column of every table, whatever the order of rows.

MLflow's own digest reads the first 10,000 rows and no dates, so it is not used. Each
row is hashed to 64 bits column by column, the hashes are sorted, and SHA-256 runs over them and over the schema (names,
types, row counts). Texts count by what they say, not by their code; every NaN is the same NaN.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from features.tables import Coded, CrmTables, Table

Bits = NDArray[np.uint64]
MISSING = np.uint64(0x9E3779B97F4A7C15)


def fingerprint(tables: CrmTables) -> str:
    """Return the SHA-256 in hex of all tables; a changed value, type, name or row count changes it."""
    digest = hashlib.sha256()
    for name, table in sorted(tables.by_name().items()):
        said = {column: _type(table.columns[column]) for column in sorted(table.columns)}
        digest.update(repr((str(name), table.n, said)).encode())
        digest.update(np.sort(_rows(table)).astype("<u8").tobytes())
    return digest.hexdigest()


def rows_by_table(tables: CrmTables) -> Mapping[str, int]:
    """Return the number of rows of each table that has some."""
    return {str(name): table.n for name, table in sorted(tables.by_name().items()) if table.n}


def _rows(table: Table) -> Bits:
    """Return a hash of each row, uint64[n]."""
    found = np.zeros(table.n, dtype=np.uint64)
    for name in sorted(table.columns):
        found = _mixed(found ^ _mixed(_values(table.columns[name]) ^ _text(name)))
    return found


def _values(column: Coded | NDArray[np.generic]) -> Bits:
    """Return 64 bits of each value, uint64[n]."""
    if isinstance(column, Coded):
        words = np.array([*(_text(f"={value}") for value in column.values), MISSING], dtype=np.uint64)
        return np.asarray(words[column.codes], dtype=np.uint64)  # -1, missing, is the last one
    if column.dtype.kind == "f":
        numbers = np.where(np.isnan(column), np.nan, column).astype(np.float64)
        return np.ascontiguousarray(numbers).view(np.uint64)
    return np.ascontiguousarray(column.astype(np.int64)).view(np.uint64)


def _type(column: Coded | NDArray[np.generic]) -> str:
    return "text" if isinstance(column, Coded) else column.dtype.newbyteorder("=").name


def _text(value: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.sha256(value.encode()).digest()[:8], "little"))


def _mixed(bits: Bits) -> Bits:
    """Mix 64 bits so that each output bit hangs on every input bit (the finaliser of splitmix64)."""
    with np.errstate(over="ignore"):
        bits = (bits + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(bits ^ (bits >> np.uint64(31)), dtype=np.uint64)
