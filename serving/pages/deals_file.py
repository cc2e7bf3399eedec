"""All deals that are asked for as CSV, some at a time; text that a spreadsheet would take for a formula is guarded."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from starlette.responses import Response, StreamingResponse

from configs.writing import Cell, guarded
from serving.answers import iso
from serving.pages.deals import Asked, asked_of, meaning, told
from serving.pages.row import Row, row_of
from serving.pages.usual import usual_days
from serving.pages.visit import Visit
from serving.store.repository import Repository

AT_ONCE = 1_000
NAMES = (
    "deal_id", "deal", "account", "team", "owner_id", "owner", "score", "p", "points_since_last_week", "amount",
    "amount_expected", "category", "stage", "days_in_stage", "usual_days_in_stage", "close_date", "pushes",
    "close_date_p10", "close_date_p50", "close_date_p90", "p_won", "p_lost", "p_open", "slip_risk",
    "last_buyer_contact", "next_meeting", "flags", "as_of",
)  # fmt: skip


def exported(visit: Visit) -> Response:
    """Give the deals of the page's question, those of all its pages."""
    asked = asked_of(visit)
    visit.request.scope["state"]["rows"] = asked.total.deals
    headers = {"Content-Disposition": 'attachment; filename="deals.csv"'}
    return StreamingResponse(_lines(visit, asked), media_type="text/csv", headers=headers)


def _lines(visit: Visit, asked: Asked) -> Iterator[str]:
    """Yield the file: what it holds, then a line a deal. A refresh may come in between, so each line has its as-of."""
    loaded, as_of = visit.loaded, asked.whole.as_of
    yield _written(
        [
            ("as of", None if as_of is None else iso(as_of)),
            ("model", None if loaded is None else loaded.bundle.version),
            ("meaning", meaning(visit, asked.end)),
            ("view", asked.question.view.title),
            *told(asked),
            (),
            NAMES,
        ]
    )
    usual, repository = usual_days(loaded), Repository(visit.api.store())
    query = replace(asked.question.query, after=None, limit=AT_ONCE)
    while rows := repository.scores(visit.principal, query):
        yield _written(_cells(visit, row_of(one, usual)) for one in rows)
        query = replace(query, after=(rows[-1].place, rows[-1].deal_id))


def _written(rows: Iterable[Sequence[Cell]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([guarded(cell) for cell in row] for row in rows)
    return out.getvalue()


def _cells(visit: Visit, row: Row) -> tuple[Cell, ...]:
    """Return one deal in the order of `NAMES`."""
    deal, facts, answer, words = row.deal, row.facts, row.answer, visit.words
    window = row.close_window or {}
    days = None if facts.stage_since is None else words.days_between(facts.stage_since, deal.as_of)
    buyer, meeting = (
        None if instant is None else words.local(instant).date().isoformat()
        for instant in (facts.last_buyer_at, facts.next_meeting_at)
    )
    return (
        deal.deal_id, facts.name, facts.account_name, deal.team, deal.owner_id, facts.owner_name, answer["score"],
        row.p, row.moved, facts.amount, answer["amount_expected"], facts.category, facts.stage, days, row.usual_days,
        facts.close_date, facts.pushes, window.get("p10"), window.get("p50"), window.get("p90"), answer["p_won"],
        answer["p_lost"], answer["p_open"], answer["slip_risk"], buyer, meeting,
        ", ".join(flag.name for flag in row.flags), iso(deal.as_of),
    )  # fmt: skip
