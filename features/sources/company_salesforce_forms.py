"""How Salesforce writes a value: columns of texts as its exports hold them, and the CSV writer.

Every column made here holds text; a missing value is NaN and becomes an empty field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from features.sources.company_calendar import Ints

BATCH = 65_536  # rows that the writer formats at a time


def numbered(prefix: str, n: int) -> list[str]:
    """`n` record ids of 15 characters: the object's key prefix and a number, so that text order is number order."""
    width = 15 - len(prefix)
    return [f"{prefix}{k + 1:0{width}d}" for k in range(n)]


def coded(codes: Ints, words: Sequence[str]) -> pd.Categorical:
    """Codes as words; code -1 is missing."""
    kind: pd.CategoricalDtype[object] = pd.CategoricalDtype(list(words))
    return pd.Categorical.from_codes(codes, dtype=kind)


def same(word: str, n: int) -> pd.Categorical:
    """A column that says the same on every row."""
    return coded(np.zeros(n, np.int64), [word])


def flags(values: pd.Series) -> pd.Categorical:
    """Truth values as `true` and `false`."""
    return coded(values.to_numpy(np.bool_).astype(np.int64), ["false", "true"])


def worded(values: pd.Series, words: Mapping[Any, str]) -> pd.Series:
    """Values as words; one that `words` does not have is missing."""
    return values.map(dict(words)).astype("category")


def times(values: pd.Series) -> pd.Series:
    """Instants (tz-aware) as `2024-05-01T09:30:00.000Z`."""
    instants = pa.Array.from_pandas(values).cast(pa.timestamp("ms", "UTC")).cast(pa.string())
    return _texts(pc.replace_substring(instants, " ", "T"), values)


def dates(values: pd.Series) -> pd.Series:
    """Dates (naive, midnight) as `2024-05-01`."""
    return _texts(pa.Array.from_pandas(values).cast(pa.date32()).cast(pa.string()), values)


def decimals(values: pd.Series, places: int) -> pd.Series:
    """Numbers with `places` decimals."""
    return pd.Series(
        [None if value != value else f"{value:.{places}f}" for value in values.tolist()], values.index, "str"
    )


def _texts(array: pa.Array, like: pd.Series) -> pd.Series:
    """An Arrow column of texts with the index of `like`."""
    return pd.Series(pd.array(array.to_numpy(zero_copy_only=False), dtype="str"), index=like.index)


def write_object(frame: pd.DataFrame, path: Path) -> None:
    """Write `frame` as RFC 4180 with LF line ends. As by Data Loader, every value is quoted; a missing one is empty."""
    columns = {name: pa.Array.from_pandas(frame[name]).cast(pa.string()) for name in frame.columns}
    options = pa_csv.WriteOptions(batch_size=BATCH, eol="\n", quoting_style="all_valid")
    pa_csv.write_csv(pa.table(columns), path, options)
