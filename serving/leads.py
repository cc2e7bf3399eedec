"""Batch scores of leads: one file, a row for every lead open at every as-of, with its grade and its place in the queue.

The scores are those of ``POST /v1/leads/score``, to the bit. Leads that opted out are in no file: the source is read
without them (`features.leads`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from configs.schema import Config
from configs.writing import Cell
from models.bundle import Bundle
from models.explain import Reason
from models.lead_queue import Room, Why, grades, queue, week_of
from serving.batch import Written, check_as_of, check_table, local_iso, score_open, stale_source
from serving.fits import load_fitting
from serving.refresh import Sourced, sourced
from serving.scoring import DealScore, Worth, reason_json, reasons_off
from serving.table_files import Kind, write_table

_FLOATS = ("p_convert", "p_won", "amount_expected", "value_expected")
_WHOLE = ("within_days", "score", "queue_rank")
KINDS: dict[str, Kind] = {**dict.fromkeys(_WHOLE, "int64"), **dict.fromkeys(_FLOATS, "float64")}


@dataclass(frozen=True)
class LeadRow:
    """One open lead as of an instant (UTC microseconds); the fields are the columns of the file, in their order.

    p_convert: P(it converts within within_days). p_won, amount_expected, value_expected: see `models.leads`, None where
    they can't be told. score: 100 p_convert, rounded half up. queue_rank, queue_why: None beyond the capacity.
    """

    lead_id: str
    as_of: int
    within_days: int
    p_convert: float
    p_won: float | None
    amount_expected: float | None
    value_expected: float | None
    score: int
    grade: str
    queue_rank: int | None
    queue_why: Why | None
    reasons: tuple[Reason, ...]
    model_version: str

    def cells(self, zone: str) -> tuple[Cell, ...]:
        """Return the row as the file has it; None is an empty cell."""
        told = {name: getattr(self, name) for name in COLUMNS}
        reasons = json.dumps(list(reason_json(self.reasons)), ensure_ascii=False, allow_nan=False)
        return tuple((told | {"as_of": local_iso(self.as_of, zone), "reasons": reasons}).values())


COLUMNS = tuple(field.name for field in fields(LeadRow))


def score_leads(
    config: Config, bundle: Bundle, seen: Sourced, as_of: int, capacity: int | None = None
) -> list[LeadRow]:
    """Score every lead open at an as-of, with reasons, and give the queue's places, in the record's order of leads.

    capacity: places of the week that the as-of lies in; None: those of the config.
    """
    return _rows(config, bundle, score_open(seen, bundle, as_of), as_of, capacity)


def _rows(
    config: Config, bundle: Bundle, scores: Sequence[DealScore], as_of: int, capacity: int | None
) -> list[LeadRow]:
    """Return the scores of an as-of as rows, with grades and places."""
    p = np.array([one.p for one in scores], dtype=np.float64)
    worths = [one.worth or Worth(None, None, None) for one in scores]
    value = np.array([np.nan if worth.value_expected is None else worth.value_expected for worth in worths])
    leads = config.leads
    room = Room(
        leads.weekly_capacity if capacity is None else capacity,
        leads.explore_share,
        week_of(as_of, config.time_zone),
        config.seed,
    )
    places = queue([one.deal_id for one in scores], p, value, room)
    parts = zip(scores, worths, grades(p, leads.grades), places, strict=True)
    return [
        LeadRow(
            lead_id=one.deal_id,
            as_of=one.as_of,
            within_days=bundle.about.horizon_days,
            p_convert=one.p,
            p_won=worth.p_won,
            amount_expected=worth.amount_expected,
            value_expected=worth.value_expected,
            score=one.score,
            grade=grade,
            queue_rank=None if place is None else place.rank,
            queue_why=None if place is None else place.why,
            reasons=one.reasons,
            model_version=one.model_version,
        )
        for one, worth, grade, place in parts
    ]


@dataclass(frozen=True)
class WrittenLeads(Written):
    """What a batch of leads made. queued: per as-of. opted_out: leads of the source that are left out for it."""

    queued: tuple[int, ...] = ()
    opted_out: int = 0


def score_leads_file(
    config: Config,
    as_ofs: Sequence[int],
    out: Path,
    capacity: int | None,
    model: str,
    in_sample: bool,
    progress: Callable[[str], None],
) -> WrittenLeads:
    """Score every lead open at each as-of and write the file, atomically; the same as-of twice counts once.

    Raises UsageError, InSampleError, a BundleError, a DataError or StateError; then no file is written.
    """
    check_table(out)
    as_ofs = tuple(dict.fromkeys(as_ofs))
    bundle = load_fitting(config, model, progress)
    check_as_of(bundle, as_ofs, in_sample)
    progress(f"model {bundle.version}; reading the source")
    seen = sourced(config, bundle)
    opted_out = sum(notice.rows for notice in seen.report.notices if notice.code == "opted_out")
    if opted_out:
        progress(f"{opted_out:,} leads opted out: they are not scored")
    listed: list[list[LeadRow]] = []
    for as_of in as_ofs:
        scores = score_open(seen, bundle, as_of)
        listed.append(_rows(config, bundle, scores, as_of, capacity))
        if warning := stale_source(seen, as_of, config.time_zone):
            progress(warning)
        if off := reasons_off(scores, every=1):
            progress(f"warning: the reasons of {off:,} of {len(scores):,} leads do not add up; please report this")
        progress(f"{local_iso(as_of, config.time_zone)}: {_said(listed[-1])}")
    rows = (row.cells(config.time_zone) for some in listed for row in some)
    write_table(out, COLUMNS, rows, KINDS)
    queued = tuple(sum(row.queue_rank is not None for row in some) for some in listed)
    return WrittenLeads(
        out, as_ofs, tuple(map(len, listed)), bundle.version, bundle.sha, queued=queued, opted_out=opted_out
    )


def _said(rows: Sequence[LeadRow]) -> str:
    """Say how many leads there are, of which grades, and how many of them have a place in the queue."""
    found = Counter(row.grade for row in rows)
    places = Counter(row.queue_why for row in rows if row.queue_why is not None)
    told = ", ".join(f"{grade} {found[grade]:,}" for grade in "ABCD")
    return f"{len(rows):,} open leads ({told}); queue: {places['value']:,} by value, {places['explore']:,} to explore"
