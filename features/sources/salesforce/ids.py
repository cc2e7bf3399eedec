"""Record ids: one record has one id, of 15 or 18 characters, and a merged record goes by the one that it went into."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from configs.errors import Fault
from features.settle import translated
from features.sources.chains import circles, ends
from features.sources.exports import Export, Rows

SHORT, LONG = 15, 18
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"

Shorten = Callable[[str], str]


def unify(export: Export) -> Shorten:
    """Cut all ids to 15 characters where the export has both forms; return what does so to a text.

    An id of 18 characters is one of 15 with a check that tells upper from lower case; one whose check is wrong is no
    Salesforce id, and stays.
    """
    columns = [
        (rows, name) for rows in export.rows.values() for name, data in rows.columns.items() if _holds_ids(rows, name)
    ]
    lengths = {len(value) for rows, name in columns for value in rows.coded(name).values if value.isalnum()}
    if not {SHORT, LONG} <= lengths:
        return str
    for rows, name in columns:
        coded = rows.coded(name)
        if any(len(value) == LONG for value in coded.values):
            rows.columns = {**rows.columns, name: translated(coded, short)}
    return short


def _holds_ids(rows: Rows, name: str) -> bool:
    return any(field.name == name and field.kind == "id" for field in rows.spec.fields)


def short(value: str) -> str:
    """A Salesforce id of 18 characters as the one of 15; any other text as it is."""
    if len(value) != LONG or not value.isascii() or not value.isalnum():
        return value
    return value[:SHORT] if value[SHORT:] == _check(value[:SHORT]) else value


def _check(value: str) -> str:
    """The three characters that tell which letters of an id are upper case."""
    blocks = (value[start : start + 5] for start in (0, 5, 10))
    return "".join(_SUFFIX[sum(1 << i for i, letter in enumerate(block) if letter.isupper())] for block in blocks)


def shortened(array: pa.Array) -> pa.Array:
    """Ids of 18 characters cut to 15, as Arrow text; any other text as it is."""
    text = (array.dictionary_decode() if pa.types.is_dictionary(array.type) else array).cast(pa.string())
    return pc.if_else(pc.equal(pc.utf8_length(text), LONG), pc.utf8_slice_codeunits(text, 0, SHORT), text)


def is_user(value: str) -> bool:
    """Whether a text has the form of the id of a user (005...) or of a queue (00G...)."""
    return len(value) in (SHORT, LONG) and value.isascii() and value.isalnum() and value.startswith(("005", "00G"))


def masters(rows: Rows, column: str) -> tuple[dict[str, str], list[Fault]]:
    """Where each merged record went in the end, and a fault for each circle."""
    ids, into = rows.coded("Id"), rows.coded(column)
    step = {
        child: parent
        for child, parent in zip(ids.take(into.codes >= 0).strings(), into.take(into.codes >= 0).strings(), strict=True)
        if child is not None and parent is not None and child != parent
    }
    faults = circles(rows, step, column, "merged into")
    return ({} if faults else ends(step)), faults
