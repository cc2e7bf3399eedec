"""Small tools on columns: stacking, recoding, lookups that keep a missing value missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features.settle import translated
from features.tables import NAT, Coded, ColumnData, IntArray

Mask = NDArray[np.bool_]


def joined(columns: Sequence[ColumnData]) -> ColumnData:
    """Columns of one kind, one after the other."""
    coded = [column for column in columns if isinstance(column, Coded)]
    if not coded:
        return np.concatenate([column for column in columns if not isinstance(column, Coded)])
    values = coded[0].values
    if any(column.values != values for column in coded):
        values = tuple(sorted({value for column in coded for value in column.values}))
        coded = [Coded(column.codes_in(values), values) for column in coded]
    return Coded(np.concatenate([column.codes for column in coded]), values)


def texts(columns: Sequence[Coded]) -> Coded:
    """Text columns, one after the other."""
    whole = joined(columns)
    return whole if isinstance(whole, Coded) else Coded.missing(0)


def at(column: ColumnData, rows: IntArray) -> ColumnData:
    """The values on some rows; a row of -1 is missing."""
    if isinstance(column, Coded):
        return Coded(np.append(column.codes, np.int32(-1))[rows], column.values)
    if column.dtype == np.float64:
        return np.append(column, np.nan).astype(np.float64, copy=False)[rows]
    return np.append(column, np.int64(NAT)).astype(np.int64, copy=False)[rows]


def renamed(coded: Coded, names: Mapping[str, str]) -> Coded:
    """The same column with some values called otherwise."""
    if not any(value in names for value in coded.values):
        return coded
    return translated(coded, lambda value: names.get(value, value))


def among(coded: Coded, values: frozenset[str] | set[str]) -> Mask:
    """bool[n]: the value is one of these."""
    mask: Mask = np.array([*(value in values for value in coded.values), False], dtype=bool)[coded.codes]
    return mask


def first_filled(one: Coded, other: Coded) -> Coded:
    """The first column, and where it is missing the other."""
    both = texts([one, other])
    n = len(one)
    codes = both.codes
    return Coded(np.where(codes[:n] >= 0, codes[:n], codes[n:]).astype(np.int32), both.values)


def first_rows(codes: IntArray, n: int) -> IntArray:
    """int64[n]: the first place of each code, -1 where it does not occur."""
    first = np.full(n, -1, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return first
