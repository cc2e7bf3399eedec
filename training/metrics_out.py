"""The files of `forecastle metrics`: a table of rows as CSV or Parquet, or everything as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.errors import UsageError
from configs.writing import Cell, atomically, write_csv, write_text
from models.store import writable_folder

JSON = ".json"
SUFFIXES = (".csv", ".parquet", JSON)


def check_out(out: Path) -> None:
    """Check, before any work, that a file can be written. Raises UsageError or StateError."""
    if out.suffix not in SUFFIXES:
        raise UsageError.at("--out", repr(out.name), expected=f"a name that ends in {', '.join(SUFFIXES)}")
    if out.is_dir():
        raise UsageError.at("--out", f"{out} is a folder", expected="the name of a file")
    writable_folder(out.parent, f"--out {out}", UsageError)


def write_document(out: Path, told: Mapping[str, Any]) -> None:
    """Write everything as JSON, atomically. Raises StateError."""
    write_text(out, json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_rows(
    out: Path,
    names: Sequence[str],
    listed: Sequence[Mapping[str, Cell]],
    texts: Sequence[str],
    integers: Sequence[str],
) -> None:
    """Write rows, atomically. texts, integers: columns of that kind; the others are floats. Raises StateError."""
    if out.suffix == ".csv":
        atomically(out, lambda half: write_csv(half, names, [list(row.values()) for row in listed]))
        return
    kinds = {name: "string" if name in texts else "int64" if name in integers else "float64" for name in names}
    atomically(out, lambda half: _write_parquet(half, kinds, listed))


def _write_parquet(path: Path, kinds: Mapping[str, str], listed: Sequence[Mapping[str, Cell]]) -> None:
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in kinds.items()])
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in listed], schema=schema), path)
