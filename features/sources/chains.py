"""Records that lead to one another: what was merged into what, who reports to whom."""

from __future__ import annotations

from collections.abc import Mapping

from configs.errors import Fault
from features.sources.exports import Rows


def ends(step: Mapping[str, str]) -> dict[str, str]:
    """Where each record of a chain without circles went in the end."""
    found: dict[str, str] = {}
    for start in step:
        path = [start]
        while path[-1] in step and path[-1] not in found:
            path.append(step[path[-1]])
        found |= dict.fromkeys(path, found.get(path[-1], path[-1]))
    return {record: found[record] for record in step}


def circles(rows: Rows, step: Mapping[str, str], column: str, words: str) -> list[Fault]:
    """A fault for each circle of records that lead to each other."""
    faults, done = [], set[str]()
    for start in step:
        path: dict[str, None] = {}
        record = start
        while record in step and record not in done and record not in path:
            path[record] = None
            record = step[record]
        if record in path:
            circle = [*list(path)[list(path).index(record) :], record]
            row = rows.coded(rows.spec.key).strings().index(record)
            got = f"{f' {words} '.join(map(repr, circle[:6]))}: a circle"
            remedy = f"correct or empty {column} of one of them"
            faults.append(Fault("circle", rows.place(row), got, "a chain with an end", remedy, f"{rows.name}.{column}"))
        done |= set(path)
    return faults
