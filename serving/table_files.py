"""Tables for people as CSV or Parquet; pyarrow, which serving may lack, is imported only for Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from configs.errors import UsageError
from configs.writing import Cell, atomically, write_csv

Kind = Literal["int64", "float64", "string"]


def write_table(out: Path, names: Sequence[str], rows: Iterable[Sequence[Cell]], kinds: Mapping[str, Kind]) -> None:
    """Write a table of `names` atomically, by the suffix of `out`: .parquet, else CSV.

    kinds: of the columns that are no text; Parquet alone asks. Raises StateError, and UsageError without pyarrow.
    """
    if out.suffix == ".parquet":
        atomically(out, lambda half: _write_parquet(half, names, rows, kinds))
    else:
        atomically(out, lambda half: write_csv(half, names, rows))


def _write_parquet(path: Path, names: Sequence[str], rows: Iterable[Sequence[Cell]], kinds: Mapping[str, Kind]) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError.at(
            "--out", "pyarrow is not installed", remedy="name a .csv file, or install the train extra"
        ) from None
    listed = list(rows)
    types = {"int64": pyarrow.int64(), "float64": pyarrow.float64(), "string": pyarrow.string()}
    schema = pyarrow.schema([(name, types[kinds.get(name, "string")]) for name in names])
    data = {name: [row[k] for row in listed] for k, name in enumerate(names)}
    pyarrow.parquet.write_table(pyarrow.table(data, schema=schema), path)
