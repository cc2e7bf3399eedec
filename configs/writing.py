"""How files for people are written: whole or not at all, and no text that a spreadsheet would take for a formula."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from configs.errors import StateError

Cell = str | int | float | None


def guarded(cell: Cell) -> Cell:
    """Keep a text from being a formula in a spreadsheet: ``'`` before = + - @ and control characters. Numbers stay."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else cell


def write_csv(path: Path, names: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Write guarded cells with a line of column names; None is an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([guarded(cell) for cell in row] for row in rows)


def write_text(out: Path, text: str) -> None:
    """Write a text file, atomically. Raises StateError."""
    atomically(out, lambda half: half.write_text(text, encoding="utf-8"))


def atomically(out: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `out`, then put it in its place. Raises StateError; then `out` is as it was."""
    half = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write(half)
        half.replace(out)
    except OSError as error:
        said = str(error.strerror or error).replace(half.name, out.name)
        raise StateError.at(str(out), f"cannot be written ({said})", remedy="check rights and space") from error
    finally:
        with suppress(OSError):  # it would name the half-written file, and hide what went wrong
            half.unlink(missing_ok=True)
