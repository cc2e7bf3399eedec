"""Small companies of every nasty shape: ties in a second, deals re-opened, born closed, merged, deleted, late facts."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from random import Random

import numpy as np

from features.periods import Calendar, fiscal_calendar
from features.registry import Schema
from features.tables import CrmTables
from tests.tiny import Row, company

SCHEMA = Schema("in_period", ("type", "industry"), ("size_m2",))
FIRST = datetime(2023, 12, 20)
HOURS = (0, 0, 0, 1, 24, 24, 100, 400, 1000, 2200)  # between two facts; often none, so that facts tie in a second
WORDS = {
    "stage": ("Qualify", "Demo", "Propose", "Propose", None),
    "close": ("Won", "Won", "Lost"),
    "category": ("omitted", "pipeline", "best_case", "commit", "commit", "closed", None),
    "owner": ("R1", "R1", "R2", "R3", None),
    "editor": (None, None, "R1", "R2", "ADMIN"),
    "amount": (None, 0, 50, 100, 100, 240.5),
    "close_date": (None, "2024-01-31", "2024-03-28", "2024-03-29", "2024-03-31", "2024-04-01", "2024-06-30"),
    "kind": ("email", "email", "call", "meeting", "meeting", "content", "contract", "web"),
    "direction": ("inbound", "outbound", "outbound", "mutual", None),
    "outcome": (None, None, "planned", "held", "cancelled", "canceled", "no_show", "no_answer", "connected"),
    "contact": (None, "C1", "C2", "C3"),
    "role": (None, "user", "economic_buyer"),
    "seniority": (None, "staff", "manager", "director", "vp", "c_level", "whoever"),
}  # fmt: skip


@cache
def calendars() -> tuple[Calendar, ...]:
    return (
        fiscal_calendar("quarter", 1, "UTC", holidays=[datetime(2024, 3, 29).date(), datetime(2024, 5, 1).date()]),
        fiscal_calendar("quarter", "02-01", "America/New_York"),
        fiscal_calendar("month", 1, "Asia/Tokyo"),
    )


def asked_of(random: Random, tables: CrmTables, calendar: Calendar, n: int = 4) -> list[tuple[str, int]]:
    """Draw (deal_id, as_of): at the very instants of facts and of periods, a microsecond, an hour or weeks later."""
    instants = {int(t) for name in ("deal_history", "activities") for t in tables[name].ints("known_at")}
    period = int(calendar.index(np.array([int(tables.deals.ints("created_at").min())]))[0])
    moments = [*sorted(instants), *calendar.starts[period + 1 : period + 4].tolist()]
    deals = [deal or "" for deal in tables.deals.coded("deal_id").strings()]
    after = (0, 1, 3_600_000_000, 40 * 86_400_000_000)
    return [(random.choice(deals), random.choice(moments) + random.choice(after)) for _ in range(n)]


class Maker:
    """Draws a company; every choice is Hypothesis's, so that a failing company shrinks."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def word(self, name: str) -> object:
        return self.random.choice(WORDS[name])

    def chance(self, of: int) -> bool:
        return self.random.randrange(of) == 1

    def later(self, moment: datetime) -> datetime:
        return moment + timedelta(hours=self.random.choice(HOURS))

    def moment(self) -> datetime:
        return FIRST + timedelta(hours=self.random.choice((0, 24, 240, 288, 1000, 2424, 2448, 4608, 5000)))

    def history(self, deal: str, created: datetime) -> list[Row]:
        rows: list[Row] = []
        at = created
        for _ in range(self.random.randrange(6)):
            closing = self.chance(4)
            rows.append({
                "deal_id": deal,
                "known_at": at.isoformat(),
                "stage": self.word("close" if closing else "stage"),
                "amount": self.word("amount"),
                "close_date": self.word("close_date"),
                "forecast_category": self.word("category"),
                "owner_id": self.word("owner"),
                "edited_by": self.word("editor"),
                "next_step_set": self.random.choice((None, 0, 1)),
                "probability": self.random.choice((None, 0.25, 1.0)),
                "is_deleted": 1 if self.chance(12) else None,
                "merged_into": "D0" if self.chance(12) else None,
            })  # fmt: skip
            at = self.later(at)
        return rows

    def activities(self, deal: str, created: datetime) -> list[Row]:
        rows: list[Row] = []
        at = created
        for _ in range(self.random.randrange(7)):
            happened = at + timedelta(hours=self.random.choice((0, 0, 0, -30, -300, 60, 700)))
            names = ("kind", "direction", "outcome")
            rows.append({
                "deal_id": deal,
                "known_at": at.isoformat(),
                "occurred_at": happened.isoformat(),
                "contact_id": self.word("contact"),
                **{name: self.word(name) for name in names},
            })  # fmt: skip
            at = self.later(at)
        return rows

    def contacts(self, deal: str, created: datetime) -> list[Row]:
        return [
            {
                "deal_id": deal, "contact_id": self.random.choice(("C1", "C2", "C3")), "role": self.word("role"),
                "known_at": (created + timedelta(hours=i * 400 + 1)).isoformat(), "seniority": self.word("seniority"),
            }
            for i in range(self.random.randrange(4))
        ]  # fmt: skip

    def quotas(self) -> list[Row]:
        days = ("2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01", "2024-05-01")
        late = ("", "", " 09:00")
        return [
            {"rep_id": rep, "period_start": day, "amount": 150, "known_at": (day + self.random.choice(late)) if
             not self.chance(4) else "2024-04-20"}
            for rep in ("R1", "R2") for day in days if self.chance(2)
        ]  # fmt: skip

    def calls(self) -> list[Row]:
        rows = []
        for _ in range(self.random.randrange(8)):
            rows.append({
                "rep_id": self.random.choice(("R1", "R2")),
                "submitted_at": self.moment().isoformat(),
                "period_start": self.random.choice(("2024-01-01", "2024-02-01", "2024-04-01", "2024-05-01")),
                "category": self.random.choice(("commit", "commit", "best_case")),
                "amount": self.random.choice((0, 80, 200)),
            })  # fmt: skip
        key = ("rep_id", "submitted_at", "period_start", "category")
        return list({tuple(row[name] for name in key): row for row in rows}.values())

    def company(self) -> CrmTables:
        deals: list[Row] = []
        listed: dict[str, list[Row]] = {"deal_history": [], "activities": [], "contacts": []}
        for i in range(1 + self.random.randrange(6)):
            created, name = self.moment(), f"D{i}"
            deals.append({
                "deal_id": name, "created_at": created.isoformat(),
                "account_id": self.random.choice(("A1", "A2", None)),
                "type": self.random.choice((None, "new", "upsell")), "size_m2": self.random.choice((None, 3.0)),
                "known_at": (created + timedelta(hours=self.random.choice((0, 0, 0, 30)))).isoformat(),
            })  # fmt: skip
            listed["deal_history"] += self.history(name, created)
            listed["activities"] += self.activities(name, created)
            listed["contacts"] += self.contacts(name, created)
        return company(
            deals=deals,
            **listed,
            accounts=[{"account_id": "A1", "industry": "steel"}, {"account_id": "A2", "industry": "food"}],
            reps=[{"rep_id": "R1", "team": "T"}, {"rep_id": "R2", "team": "T"}, {"rep_id": "R3", "manager_id": "R2"}],
            quotas=self.quotas(),
            calls=self.calls(),
        )
