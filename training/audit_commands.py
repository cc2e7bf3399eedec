"""What `audit` and `audit-table` do; `training.cli` only reads arguments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import typer

from configs.console import answer
from configs.errors import GateRefused
from configs.schema import Config
from features.sources.reading import read_frame
from training.audit import audit, audit_verdicts
from training.audit_report import checked_out, summary, text_table, to_json, write_audit
from training.audit_rules import Audit
from training.audit_table import Flat, audit_table
from training.commands import ingest_of
from training.prepare import prepare

MISSING = ("NULL", "null", "NaN", "nan")  # texts that stand for nothing in any file


def audit_config(config: Config, as_of: int | None, out: Path | None, as_json: bool) -> None:
    """Audit what a config's model would use, as known before `as_of`; GateRefused where a field is quarantined."""
    if out is not None:
        checked_out(out)
    ingest = ingest_of(config)
    prepared = prepare(config, ingest, as_of)
    found = audit(prepared, ingest)
    tell(found, out, as_json, prepared.left_out)
    if found.quarantined:
        gate = audit_verdicts(found, prepared.left_out)[0]
        done = (
            "training leaves them out"
            if gate.passed
            else "the gate of training fails for what it can't leave out; see the remedies"
        )
        raise GateRefused(f"{summary(found)}. {done}")


def audit_file(path: Path, flat: Flat, out: Path | None, as_json: bool) -> None:
    """Audit a flat file; GateRefused where a column is quarantined."""
    if out is not None:
        checked_out(out)
    found = audit_table(flat_frame(path), flat, path.name)
    tell(found, out, as_json, ())
    if found.quarantined:
        raise GateRefused(summary(found))


def tell(found: Audit, out: Path | None, as_json: bool, left_out: Sequence[str]) -> None:
    """Print the table, write the file that is asked for, and end with one JSON object where that is asked for."""
    typer.echo(text_table(found))
    if out is not None:
        write_audit(found, out, left_out)
        typer.echo(f"written: {out}")
    if as_json:
        told: dict[str, Any] = to_json(found, left_out)
        answer(told)


def flat_frame(path: Path) -> pd.DataFrame:
    """Read a CSV (plain or gzipped) or Parquet file. Text columns whose every value is a number become numbers.

    Raises a DataError that names the place where the file is damaged.
    """
    read = read_frame(path, path.name)
    return pd.DataFrame({name: _numbers(_series(array)) for name, array in read.columns.items()})


def _series(array: pa.Array) -> pd.Series:
    """Return a column as pandas holds it; of lists and structs, which have no order and no hash, the text."""
    if pa.types.is_nested(array.type):
        return pd.Series([None if value is None else str(value) for value in array.to_pylist()], dtype=object)
    told: pd.Series = array.to_pandas()
    return told


def _numbers(values: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        return values
    text = values.astype(object).where(values.notna().to_numpy(), None)
    text = text.where(~text.isin(MISSING), None)
    number = pd.to_numeric(text, errors="coerce")
    return number if bool((number.notna() == text.notna()).all()) and bool(text.notna().any()) else text
