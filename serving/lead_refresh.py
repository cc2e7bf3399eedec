"""`forecastle refresh` of a config of leads: the scores of all open leads and their funnel go into the store.

The store is that of the leads' own state_dir (or their own database): the command needs no other config, and the
service of the deals' config opens it to show the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection

from configs.errors import UsageError
from configs.load import source_mapping_of
from configs.schema import Config
from features.asof import Requests, known
from features.lead_funnel import Windows, lead_facts, lead_groups
from features.leads import STAGES
from features.record import Record
from features.tables import NAT, CrmTables
from models.lead_funnel import document, lead_funnel
from models.lead_queue import week_of
from serving.answers import iso
from serving.batch import open_deals
from serving.leads import LeadRow, score_leads
from serving.refresh import Sourced, snapshot
from serving.refreshing import refreshing
from serving.scoring import reason_json
from serving.store.leads import newest_leads, write_leads

Progress = Callable[[str], None]


@dataclass(frozen=True)
class LeadsRefreshed:
    """What became of every lead of the source. as_of: UTC microseconds. queued: of the scored ones, have a place.

    closed: converted or disqualified. not_known: created later. opted_out: neither read nor scored.
    """

    as_of: int
    model_version: str
    bundle_sha256: str
    scored: int
    queued: int
    closed: int
    not_known: int
    opted_out: int

    def told(self) -> dict[str, Any]:
        """Return what --json says."""
        return vars(self) | {"as_of": iso(self.as_of)}

    def line(self) -> str:
        """Return the counts in words."""
        return (
            f"{self.scored:,} leads scored, {self.queued:,} of them queued; {self.closed:,} converted or disqualified, "
            f"{self.not_known:,} not known yet, {self.opted_out:,} opted out"
        )


def refresh_leads(config: Config, as_of: int | None, now: int, progress: Progress) -> LeadsRefreshed:
    """Refresh the store of a config of leads as of an instant; now (UTC microseconds) where none is given.

    Raises UsageError, InSampleError, a BundleError, a DataError or StoreError; then the store is as it was.
    """
    instant = now if as_of is None else as_of
    with refreshing(config, instant, progress) as (bundle, store, seen):
        scored = score_leads(config, bundle, seen, instant)
        done = _counted(seen, scored, instant, bundle.version, bundle.sha)
        told = {
            "counts": done.told(),
            "queue": queue_told(config, instant),
            "funnel": funnel_told(config, seen, instant),
        }
        body = json.dumps(told, ensure_ascii=False, allow_nan=False)
        rows = _rows(seen, scored, instant)

        def write(connection: Connection) -> None:
            _refuse_the_past(newest_leads(connection), instant)
            write_leads(connection, rows, {"as_of": instant, "ran_at": now, "body": body})

        store.writer.submit(write).result()
        snapshot(config, seen)  # what the endpoint knows of rates, from its next look on
        return done


def queue_told(config: Config, as_of: int) -> dict[str, Any]:
    """Return what a queue of another capacity is made from again, and what grades mean."""
    leads = config.leads
    return {
        "capacity": leads.weekly_capacity,
        "explore_share": leads.explore_share,
        "week": week_of(as_of, config.time_zone),
        "seed": config.seed,
        "grades": leads.grades.model_dump(),
        "within_days": leads.within_days,
        "won_within_days": leads.won_within_days,
    }


def funnel_told(config: Config, seen: Sourced, as_of: int) -> dict[str, Any]:
    """Return the funnel of all leads, by period, and by each value of what they are told apart by."""
    assert seen.became is not None  # noqa: S101 -- a config of leads reads them, see `features.leads`
    facts = lead_facts(seen.tables, seen.record, seen.became, lead_groups(source_mapping_of(config)))
    return document(lead_funnel(facts, as_of, Windows.of(config.leads), crossed=False))


def _refuse_the_past(stored: int | None, as_of: int) -> None:
    if stored is not None and as_of < stored:
        raise UsageError.at(
            "--as-of",
            f"{iso(as_of)} is before the leads that are stored, of {iso(stored)}",
            expected="that instant or a later one",
            remedy="for a file of scores of an earlier day use `forecastle score-leads`",
        )


def _counted(seen: Sourced, scored: list[LeadRow], as_of: int, version: str, sha: str) -> LeadsRefreshed:
    there = int(known(seen.record.deals.known_at, as_of).sum())
    return LeadsRefreshed(
        as_of,
        version,
        sha,
        scored=len(scored),
        queued=sum(row.queue_rank is not None for row in scored),
        closed=there - len(scored),
        not_known=len(seen.record.deal_ids) - there,
        opted_out=seen.report.noticed("opted_out"),
    )


def _rows(seen: Sourced, scored: list[LeadRow], as_of: int) -> list[dict[str, Any]]:
    """Return the rows of ``lead_scores``."""
    asked = open_deals(seen.record, as_of)
    facts = dict(
        zip(seen.record.deal_ids.take(asked.deal).strings(), _facts(seen.tables, seen.record, asked), strict=True)
    )
    return [
        asdict(row)
        | {"reasons": json.dumps(list(reason_json(row.reasons)), ensure_ascii=False, allow_nan=False)}
        | facts[row.lead_id]
        for row in scored
    ]


def _facts(tables: CrmTables, record: Record, asked: Requests) -> list[dict[str, Any]]:
    """Return what a list shows of each lead beside its score; None where that is not known.

    last_act: kind of what was last done by or about it. name: to show, and for nothing else.
    """
    view = record.view(asked)
    acts, kinds = view.of("activities"), tables.activities.coded("kind").values
    columns: dict[str, list[Any]] = {
        "name": tables.deals.coded("name").take(asked.deal).strings(),
        "source": tables.deals.coded("source").take(asked.deal).strings(),
        "status": [STAGES.order[rank] if rank >= 0 else None for rank in view.of("history").last("stage").tolist()],
        "created_at": _known(np.asarray(view.fixed("created_at"), dtype=np.int64)),
        "last_act": [kinds[code] if code >= 0 else None for code in acts.last("kind", "done").tolist()],
        "last_act_at": _known(acts.last("occurred_at", "done")),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _known(values: np.ndarray) -> list[int | None]:
    return [None if value == NAT else value for value in values.tolist()]
