"""A made company whose closed deals say what is usual, one healthy open deal, and a sick twin for every sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from configs.flags import Flags
from features.record import Record
from features.tables import CrmTables
from models.flags import Flag, Scores, find_flags
from tests.tiny import asked, company, record

AS_OF = "2024-05-13"
PAST = 60  # closed deals of each kind
NAMES = ("ann.smith@example.com", "bo.jones@example.com", "Cy Young", "Rita Rep", "Acme Corp")
Row = dict[str, Any]


@dataclass(frozen=True)
class Open:
    """An open deal: rows of its history, contacts and activities (deal_id is put in), and what the model says of it.

    twin: history of another deal of its account.
    """

    history: Sequence[Row]
    contacts: Sequence[Row]
    activities: Sequence[Row]
    p: float = 0.5
    slip_risk: float = 0.2
    amount: float = float("nan")
    twin: Sequence[Row] = field(default=())


def state(day: str, stage: str, **more: Any) -> Row:
    """A row of history with what the healthy deal says."""
    said = {"amount": 20_000, "close_date": "2024-06-20", "forecast_category": "commit", "owner_id": "Rita Rep"}
    return {"known_at": day, "stage": stage, **said, **more}


STAFF = {"contact_id": NAMES[0], "known_at": "2024-04-16", "seniority": "staff"}
OTHER = {"contact_id": "Cy Young", "known_at": "2024-04-17", "seniority": "staff"}
SENIOR = {"contact_id": NAMES[1], "known_at": "2024-04-17", "seniority": "director"}
ASKED = {"kind": "email", "direction": "inbound", "occurred_at": "2024-05-01 09:00", "contact_id": NAMES[0]}
ANSWERED = {"kind": "email", "direction": "outbound", "occurred_at": "2024-05-02 09:00", "contact_id": NAMES[0]}
HEALTHY = Open(
    history=(state("2024-04-15", "Qualify"), state("2024-05-01", "Demo")),
    contacts=(STAFF, SENIOR),
    activities=(ASKED, ANSWERED),
)


def history(*changes: Row) -> Open:
    """The healthy deal with a history of other rows: each the row before with some fields changed."""
    rows: list[Row] = []
    for change in changes:
        rows.append({**(rows[-1] if rows else state("2024-04-15", "Qualify")), **change})
    return replace(HEALTHY, history=tuple(rows))


def demo(**fields: Any) -> Row:
    """The change into the stage Demo, with some fields changed as well."""
    return {"known_at": "2024-05-01", "stage": "Demo", **fields}


def _mail(day: str, ours: bool) -> Row:
    return {**(ANSWERED if ours else ASKED), "occurred_at": f"2024-{day} 09:00"}


def _logged(count: int, day: int, known: int) -> tuple[Row, ...]:
    """Mails of ours on one day of May, entered on another, a minute apart."""
    return tuple(
        {**ANSWERED, "occurred_at": f"2024-05-{day:02} 10:{k:02}", "known_at": f"2024-05-{known:02} 10:{k:02}"}
        for k in range(count)
    )


SICK: dict[tuple[str, str], Open] = {
    ("overdue", "passed"): history({"close_date": "2024-04-30"}, demo()),
    ("overdue", "moved"): history({"close_date": "2024-04-20"}, demo(close_date="2024-05-10")),
    ("slipping", "risk"): replace(history({"close_date": "2024-05-30"}, demo()), slip_risk=0.95),
    ("slipping", "moved"): history(
        {"close_date": "2024-06-20"},
        {"known_at": "2024-04-20", "close_date": "2024-07-20"},
        demo(close_date="2024-10-20"),
    ),
    ("stalled", "still"): replace(history({"known_at": "2024-02-01"}), history=(state("2024-02-01", "Qualify"),)),
    ("single_threaded", "alone"): replace(HEALTHY, contacts=(SENIOR,)),
    ("neglected", "waiting"): replace(HEALTHY, activities=(ASKED,)),
    ("disengaged", "silent"): replace(HEALTHY, activities=(_mail("04-16", False), _mail("04-17", True))),
    ("disengaged", "never"): replace(HEALTHY, activities=(_mail("04-17", True),)),
    ("process_skipped", "jumped"): history({}, {"known_at": "2024-05-01", "stage": "Propose"}),
    ("process_skipped", "no_senior"): replace(
        history({}, {"known_at": "2024-04-20", "stage": "Demo"}, {"known_at": "2024-05-01", "stage": "Propose"}),
        contacts=(STAFF, OTHER),
    ),
    ("amount_cut", "cut"): history({}, demo(), {"known_at": "2024-05-06", "amount": 10_000}),
    ("likely_duplicate", "twin"): replace(HEALTHY, twin=(state("2024-04-10", "Qualify", amount=20_500),)),
    ("logged_in_bulk", "burst"): replace(HEALTHY, activities=(*HEALTHY.activities, *_logged(10, 12, 12))),
    ("logged_in_bulk", "late"): replace(HEALTHY, activities=(*HEALTHY.activities, *_logged(6, 5, 9))),
    ("raised_late", "call"): history(
        {"forecast_category": "pipeline"}, demo(), {"known_at": "2024-05-12 20:00", "forecast_category": "commit"}
    ),
    ("raised_late", "date"): history(
        {"close_date": "2024-07-20"}, demo(), {"known_at": "2024-05-12 20:00", "close_date": "2024-06-20"}
    ),
    ("under_called", "closer"): replace(history({"forecast_category": "pipeline"}, demo()), p=0.9),
    ("over_called", "further"): replace(HEALTHY, p=0.05),
}
"""(code, template) -> the healthy deal with just that wrong."""


def tables_of(deals: dict[str, Open], past: int = PAST, later: bool = False) -> CrmTables:
    """The company with these open deals. later: with facts known at and after `AS_OF`, which nothing may show."""
    rows: dict[str, list[Row]] = {"deals": [], "deal_history": [], "contacts": [], "activities": []}
    for k in range(past):
        _closed(rows, f"won-{k}", won=True)
        _closed(rows, f"lost-{k}", won=False)
    for name, deal in deals.items():
        created = deal.history[0]["known_at"]
        rows["deals"].append({"deal_id": name, "account_id": f"Acme Corp {name}", "created_at": created})
        if deal.twin:
            born = deal.twin[0]["known_at"]
            rows["deals"].append({"deal_id": f"{name}-2", "account_id": f"Acme Corp {name}", "created_at": born})
            rows["deal_history"] += [{"deal_id": f"{name}-2", **row} for row in deal.twin]
        told = {"deal_history": deal.history, "contacts": deal.contacts, "activities": deal.activities}
        for table, listed in told.items():
            rows[table] += [{"deal_id": name, **row} for row in listed]
        if later:
            rows["deal_history"].append({"deal_id": name, **state(AS_OF, "Won", amount=1, close_date="2024-05-13")})
            rows["activities"].append({"deal_id": name, **ANSWERED, "occurred_at": AS_OF})
            back = {**ANSWERED, "occurred_at": "2024-05-02 08:00", "known_at": "2024-05-13 00:00"}
            rows["activities"].append({"deal_id": name, **back})
            rows["contacts"].append({"deal_id": name, **OTHER, "known_at": "2024-06-01"})
    if later:
        for k in range(past):
            _closed(rows, f"late-{k}", won=True, year=2025)
    return company(**rows)


def _closed(rows: dict[str, list[Row]], name: str, won: bool, year: int = 2024) -> None:
    """A closed deal. Won: 20 days in each stage, two people of the buyer's, mails answered in a day, 10,000."""
    said = {"amount": 10_000, "close_date": f"{year}-03-25", "owner_id": "Rita Rep"}
    said["forecast_category"] = "commit" if won else "pipeline"
    days = (f"{year}-01-05", f"{year}-01-25", f"{year}-02-14", f"{year}-03-05")
    rows["deals"].append({"deal_id": name, "account_id": "Acme Corp", "created_at": days[0]})
    stages = ("Qualify", "Demo", "Propose", "Won" if won else "Lost")
    listed = zip(days, stages, strict=True)
    rows["deal_history"] += [{"deal_id": name, "known_at": day, "stage": stage, **said} for day, stage in listed]
    people = ({**STAFF, "known_at": f"{year}-01-06"}, {**SENIOR, "known_at": f"{year}-01-07"})
    rows["contacts"] += [{"deal_id": name, **person} for person in people]
    mails = [
        {**mail, "occurred_at": f"{year}-02-{day}"}
        for day, mail in (("01", ASKED), ("02", ANSWERED), ("05", ASKED), ("06", ANSWERED))
    ]
    rows["activities"] += [{"deal_id": name, **mail} for mail in mails]


def scores_of(deals: Sequence[Open], in_period: bool = True) -> Scores:
    """What the model says of these deals; it tells no doubt."""
    column = {name: np.array([getattr(deal, name) for deal in deals]) for name in ("p", "slip_risk", "amount")}
    unknown = np.full(len(deals), np.nan)
    return Scores(column["p"], unknown, unknown, column["slip_risk"], column["amount"], in_period)


def flags_of(
    deals: dict[str, Open], limits: Flags | None = None, made: Record | None = None, as_of: str = AS_OF
) -> dict[str, tuple[Flag, ...]]:
    """Find the flags of open deals, by deal."""
    made = made or record(tables_of(deals))
    view = made.view(asked(made, *((name, as_of) for name in deals)))
    found = find_flags(view, scores_of(list(deals.values())), limits or Flags())
    return dict(zip(deals, found, strict=True))
