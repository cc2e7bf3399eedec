"""The slow and obvious oracle: every feature of a deal, by loops over plain rows, from what its sentence says.

Whatever is known at or after the as-of is thrown away first (`Known`); nothing afterwards looks at a clock again. No
NumPy, nothing of `features` but its tables. What the past of other deals says is in `oracle_past`.
Units are those of the record: whole seconds, cents and millionths, because sums must be exact.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from math import log, log1p, nan
from typing import Any
from zoneinfo import ZoneInfo

from features.registry import Schema
from features.stages import StageMap
from features.tables import NAT, Coded, CrmTables, Table

SECOND = 1_000_000
HOUR, DAY = 3_600 * SECOND, 86_400 * SECOND
EPOCH = date(1970, 1, 1)
CLOCKS = {"calls": "submitted_at", "accounts": None, "reps": None}
CATEGORIES = ("omitted", "pipeline", "best_case", "commit", "closed")
CANCELLED = ("cancelled", "canceled")
NOT_HELD = (*CANCELLED, "no_show", "no_answer", "declined")
CONNECTED = ("connected", "answered", "held", "completed")
SENIORITY = {
    "staff": 0, "individual_contributor": 0, "user": 0, "manager": 1, "senior_manager": 1, "director": 2, "head": 2,
    "vp": 3, "svp": 3, "c_level": 4, "founder": 4,
}  # fmt: skip
DECIDES = ("decision_maker", "economic_decision_maker", "economic_buyer", "executive_sponsor", "budget_holder")

Row = dict[str, Any]
Test = Callable[[Row], bool]


@dataclass(frozen=True)
class World:
    """What does not change with time: starts of the fiscal periods (instants and local days), stages, the schema."""

    starts: list[int]
    days: list[int]
    holidays: list[int]
    zone: ZoneInfo
    stages: StageMap
    schema: Schema
    shrink: float

    def period(self, instant: int) -> int:
        """The period of an instant."""
        return bisect_right(self.starts, instant) - 1

    def period_of_day(self, day: int) -> int:
        """The period of a local day."""
        return bisect_right(self.days, day) - 1

    def workdays(self, first: int, end: int) -> int:
        """Working days among the local days first..end - 1."""
        return sum((EPOCH + timedelta(d)).weekday() < 5 and d not in self.holidays for d in range(first, end))


@dataclass(frozen=True)
class Known:
    """The rows of a company that were known strictly before an instant, by table; each deal's own rows in order."""

    world: World
    as_of: int
    rows: dict[str, list[Row]]
    memory: dict[str, Any] = field(default_factory=dict)  # what the other module worked out for this instant

    @cached_property
    def history(self) -> dict[str, list[Row]]:
        """History by deal, in order, each row with its outcome and the rank of its stage."""
        listed = sorted(self.rows["deal_history"], key=lambda row: (row["known_at"], row["seq"]))
        return by_deal(row | self._standing(row) for row in listed if row["deal_id"] in self.deals)

    @cached_property
    def deals(self) -> dict[str, Row]:
        """Deals by id."""
        return {row["deal_id"]: row for row in self.rows["deals"]}

    @cached_property
    def accounts(self) -> dict[str, Row]:
        """Accounts by id."""
        return {row["account_id"]: row for row in self.rows["accounts"]}

    @cached_property
    def contacts(self) -> dict[str, list[Row]]:
        """Contacts by deal."""
        return by_deal(sorted(self.rows["contacts"], key=lambda row: row["known_at"]))

    @cached_property
    def acts(self) -> dict[str, list[Row]]:
        """Activities by deal in order of known_at, then of when they happened, our side first."""
        order = sorted(
            self.rows["activities"], key=lambda a: (a["known_at"], a["occurred_at"], a["direction"] == "inbound")
        )
        told = by_deal([act | self._told(act) for act in order])
        return {deal: [act | first_of_day(acts[:k], act) for k, act in enumerate(acts)] for deal, acts in told.items()}

    def _standing(self, row: Row) -> Row:
        stages, stage = self.world.stages, row["stage"]
        outcome = "won" if stage in stages.won else "lost" if stage in stages.lost else "open"
        if row["is_deleted"] == 1:
            outcome = "lost"
        if row["merged_into"] is not None:
            outcome = "merged"
        rank = stages.order.index(stage) if outcome == "open" and stage in stages.order else None
        category = row["forecast_category"]
        call = CATEGORIES.index(category) if category in CATEGORIES else None
        day = row["close_date"]
        period = None if day is None else self.world.period_of_day(day)
        mine = row["edited_by"] is None or row["edited_by"] == row["owner_id"]
        at = max(row["known_at"], self.deals[row["deal_id"]]["known_at"])  # no history is seen before its deal
        return {
            "outcome": outcome, "rank": rank, "call": call, "close_period": period, "mine": mine, "known_at": at,
        }  # fmt: skip

    def _told(self, act: Row) -> Row:
        kind, direction, outcome = act["kind"], act["direction"], act["outcome"]
        not_held = outcome in NOT_HELD
        planned = outcome == "planned" or (act["occurred_at"] > act["known_at"] and not not_held)
        done = not planned and not not_held
        inbound = direction == "inbound" and done and outcome != "opened"
        outbound = direction == "outbound" and not planned and outcome not in CANCELLED
        met = kind == "meeting" and done
        buyer = inbound or met or (kind == "call" and done and outcome in CONNECTED)
        person = [c for c in self.contacts.get(act["deal_id"], []) if c["contact_id"] == act["contact_id"]]
        senior = any(c["known_at"] < act["known_at"] and SENIORITY.get(c["seniority"], -1) >= 2 for c in person)
        return {
            "planned": planned, "not_held": not_held, "done": done, "in": inbound, "out": outbound, "met": met,
            "buyer": buyer, "senior": buyer and senior,
        }  # fmt: skip


def first_of_day(before: list[Row], act: Row) -> Row:
    """Whether an act is the first of the buyer's, and the first meeting, that its deal's record got on its UTC day."""
    today = [a for a in before if a["known_at"] // DAY == act["known_at"] // DAY]
    return {f"{name}_day": act[name] and not any(a[name] for a in today) for name in ("buyer", "met")}


def known(tables: CrmTables, world: World, as_of: int) -> Known:
    """Throw away every row known at or after the as-of."""
    rows = {name: decoded(table) for name, table in tables.by_name().items()}
    clocks = {name: CLOCKS.get(name, "known_at") for name in rows}
    kept = {
        name: [row for row in listed if clocks[name] is None or (row[clocks[name]] or 2**63) < as_of]
        for name, listed in rows.items()
    }
    return Known(world, as_of, kept)


def decoded(table: Table) -> list[Row]:
    """A table as dicts; missing values are None."""
    columns = {}
    for name, data in table.columns.items():
        values = data.strings() if isinstance(data, Coded) else data.tolist()
        columns[name] = [None if v == NAT or v != v else v for v in values]
    return [{name: values[i] for name, values in columns.items()} for i in range(table.n)]


def by_deal(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["deal_id"], []).append(row)
    return found


# --- small words ---


def share(top: float, bottom: float) -> float:
    return top / bottom if bottom else nan


def maybe(value: float | None) -> float:
    return nan if value is None else float(value)


def log_money(cents: int | None) -> float:
    return nan if cents is None or cents < 0 else log1p(cents / 100)


def steps(rows: list[Row], name: str) -> list[tuple[Row, Any, Any]]:
    """(row, before, after) wherever an open row says something else than what the deal last said while open."""
    found, said = [], None
    for row in rows:
        if row["outcome"] != "open" or row[name] is None:
            continue
        if said is not None and row[name] != said:
            found.append((row, said, row[name]))
        said = row[name]
    return found


def answers(acts: list[Row], asked: str, answered: str) -> list[tuple[int, int]]:
    """(known_at, seconds) of the first mail one way after each mail the other way."""
    found, waiting = [], None
    for act in acts:
        if act["kind"] != "email":
            continue
        if act[answered] and waiting is not None:
            found.append((act["known_at"], max(act["occurred_at"] - waiting, 0) // SECOND))
            waiting = None
        if act[asked]:
            waiting = act["occurred_at"]
    return found


class Deal:
    """One deal as of an instant: `told()` gives the features that need nothing but the deal itself."""

    def __init__(self, known: Known, deal_id: str) -> None:
        self.known, self.world, self.as_of = known, known.world, known.as_of
        self.rows = known.history.get(deal_id, [])
        self.acts = known.acts.get(deal_id, [])
        self.contacts = known.contacts.get(deal_id, [])
        self.fixed = known.deals.get(deal_id)
        self.last: Row = self.rows[-1] if self.rows else dict.fromkeys(
            ("rank", "amount", "call", "probability", "next_step_set", "close_date", "owner_id")
        )  # fmt: skip

    def days(self, instant: int | None) -> float:
        return nan if instant is None else (self.as_of - instant) / DAY

    @cached_property
    def days_open(self) -> float:
        return self.days(self.fixed["created_at"]) if self.fixed else nan

    @cached_property
    def in_stage(self) -> float:
        entered = [row["known_at"] for row, _, _ in steps(self.rows, "rank")]
        return self.days(entered[-1] if entered else self.rows[0]["known_at"] if self.rows else None)

    def told(self) -> dict[str, float]:
        return self._deal() | self._clock() | self._velocity() | self._activity() | self._engagement() | self._people()

    def _deal(self) -> dict[str, float]:
        amounts, calls, rank = steps(self.rows, "amount"), steps(self.rows, "call"), self.last["rank"]
        _, before, after = amounts[-1] if amounts else (None, None, None)
        step = nan if after is None else log(after / before) if after > 0 and before > 0 else 0.0
        return {
            "stage_rank": maybe(rank),
            "stage_share": nan if rank is None else round(rank / len(self.world.stages.order) * 1e6) / 1e6,
            "log_amount": log_money(self.last["amount"]),
            "amount_vs_first": log_money(self.last["amount"]) - log_money(self.rows[0]["amount"]) if self.rows else nan,
            "amount_changes": len(amounts),
            "amount_last_step": step if step != step else round(step * 1e6) / 1e6,
            "amount_cuts": sum(after < before for _, before, after in amounts),
            "category_rank": maybe(self.last["call"]),
            "category_raised": sum(after > before for _, before, after in calls),
            "category_lowered": sum(after < before for _, before, after in calls),
            "days_since_category_change": self.days(calls[-1][0]["known_at"] if calls else None),
            "crm_probability": maybe(self.last["probability"]),
            "next_step_set": maybe(self.last["next_step_set"]),
            "owner_changes": len(steps(self.rows, "owner_id")),
            **{f"attr_{name}": maybe(self.fixed[name] if self.fixed else None) for name in self.world.schema.numbers},
        }

    def _clock(self) -> dict[str, float]:
        world, due = self.world, self.last["close_date"]
        now = world.period(self.as_of)
        start, end, last_day = world.starts[now], world.starts[now + 1], world.days[now + 1] - 1
        local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.as_of)
        today = (local.astimezone(world.zone).date() - EPOCH).days
        due_end = None if due is None else world.days[world.period_of_day(due) + 1]
        return {
            "days_left": (end - self.as_of) / DAY,
            "workdays_left": world.workdays(today, last_day + 1),
            "period_share": (self.as_of - start) / (end - start),
            "days_open": self.days_open,
            "days_to_close_date": nan if due is None else due - today,
            "close_date_past_period": nan if due is None else due - last_day,
            "close_date_in_period": nan if due is None else due <= last_day,
            "close_date_at_period_end": nan if due_end is None else world.workdays(due + 1, due_end) == 0,
        }

    def _velocity(self) -> dict[str, float]:
        moves, dates, periods = (steps(self.rows, name) for name in ("rank", "close_date", "close_period"))
        pushes = [row for row, before, after in dates if after > before]
        edits = [row["known_at"] for row in self.rows if row["mine"]]
        recent = self.as_of - 30 * DAY
        gained = sum(after - before for _, before, after in moves)
        return {
            "days_in_stage": self.in_stage,
            "stages_per_30d": gained / (max(self.days_open, 7) / 30) if self.days_open == self.days_open else nan,
            "stages_gained_30d": sum(after - before for row, before, after in moves if row["known_at"] >= recent),
            "stage_regressions": sum(after < before for _, before, after in moves),
            "stages_skipped": sum(max(after - before - 1, 0) for _, before, after in moves),
            "slips": sum(after > before for _, before, after in periods),
            "pushes": len(pushes),
            "pushes_30d": sum(row["known_at"] >= recent for row in pushes),
            "pull_ins": sum(after < before for _, before, after in dates),
            "net_push_days": sum(after - before for _, before, after in dates),
            "days_since_push": self.days(pushes[-1]["known_at"] if pushes else None),
            "days_since_rep_edit": self.days(edits[-1] if edits else None),
        }

    def count(self, test: Test, days: int | None = None) -> int:
        """How many activities there are, known in the last `days`."""
        return sum(test(act) for act in self.acts if days is None or act["known_at"] >= self.as_of - days * DAY)

    def fading(self, test: Test, half_life: int) -> float:
        return sum(2 ** -(self.days(act["known_at"]) / half_life) for act in self.acts if test(act))

    def since(self, test: Test) -> float:
        """Days since the CRM last learnt of one."""
        return self.days(max((act["known_at"] for act in self.acts if test(act)), default=None))

    def _activity(self) -> dict[str, float]:
        ahead, booked_last = self._meetings_ahead()
        took = [seconds for _, seconds in answers(self.acts, "in", "out")]
        asked, reached = self.since(lambda a: a["in"]), self.since(lambda a: a["out"] or a["met"])
        answered = asked != asked or reached <= asked

        def connected(act: Row) -> bool:
            return bool(act["out"] and act["kind"] == "call" and act["outcome"] in CONNECTED)

        dials = self.count(lambda a: a["out"] and a["kind"] == "call", 90)
        return {
            "outbound_30d": self.count(lambda a: a["out"], 30),
            "outbound_fading_7d": self.fading(lambda a: a["out"], 7),
            "outbound_fading_30d": self.fading(lambda a: a["out"], 30),
            "days_since_outbound": self.since(lambda a: a["out"]),
            "owed_days": 0.0 if answered else asked,
            "answer_hours": share(sum(took), len(took)) / 3600,
            "calls_out_30d": self.count(lambda a: a["out"] and a["kind"] == "call", 30),
            "connect_rate_90d": share(self.count(connected, 90), dials),
            "meetings_per_connect": share(self.count(lambda a: a["met_day"]), self.count(connected)),
            "meetings_ahead": ahead,
            "days_to_meeting": booked_last,
            "meetings_cancelled": self.count(lambda a: a["kind"] == "meeting" and a["not_held"]),
        }

    def _meetings_ahead(self) -> tuple[int, float]:
        """Meetings booked ahead and not called off; days to the one booked last, where it stands."""
        meetings = [act for act in self.acts if act["kind"] == "meeting"]
        booked = [act for act in meetings if act["planned"]]
        off = [act for act in meetings if act["not_held"]]
        ahead = [sum(act["occurred_at"] >= self.as_of for act in listed) for listed in (booked, off)]
        left = max(ahead[0] - ahead[1], 0)
        if not left or booked[-1]["occurred_at"] < self.as_of:
            return left, nan
        at = booked[-1]["occurred_at"]
        gone = off and off[-1]["occurred_at"] == at and off[-1]["known_at"] >= booked[-1]["known_at"]
        return left, nan if gone else (at - self.as_of) / DAY

    def _engagement(self) -> dict[str, float]:
        replies = answers(self.acts, "out", "in")
        took, recent = (
            [s for at, s in replies if days is None or at >= self.as_of - days * DAY] for days in (None, 30)
        )
        mean, mean_lately = share(sum(took), len(took)), share(sum(recent), len(recent))
        happened = [act["occurred_at"] for act in self.acts if act["buyer"]]
        lately = self.count(lambda a: a["buyer_day"], 90)
        return {
            "days_since_buyer": self.days(max(happened, default=None)),
            "buyer_30d": self.count(lambda a: a["buyer_day"], 30),
            "buyer_total": self.count(lambda a: a["buyer_day"]),
            "buyer_trend": share(self.count(lambda a: a["buyer_day"], 14), self.count(lambda a: a["buyer_day"], 42)),
            "buyer_share_90d": share(lately, lately + self.count(lambda a: a["done"] and not a["buyer"], 90)),
            "meetings_held_30d": self.count(lambda a: a["met_day"], 30),
            "meetings_held": self.count(lambda a: a["met_day"]),
            "content_30d": self.count(
                lambda a: a["done"] and (a["kind"] in ("content", "web") or a["outcome"] == "opened"), 30
            ),
            "contracts_in": self.count(lambda a: a["in"] and a["kind"] == "contract"),
            "buyer_fading_7d": self.fading(lambda a: a["buyer_day"], 7),
            "buyer_fading_30d": self.fading(lambda a: a["buyer_day"], 30),
            "reply_hours": mean / 3600,
            "reply_trend": log(mean_lately + 3600) - log(mean + 3600) if recent else nan,
            "process_steps": self._process_steps(),
        }

    def _process_steps(self) -> int:
        people = {c["contact_id"] for c in self.contacts}
        senior = any(SENIORITY.get(c["seniority"], -1) >= 2 or c["role"] in DECIDES for c in self.contacts)
        offered = self.count(lambda a: a["out"] and a["kind"] == "contract") > 0
        met, amount = self.count(lambda a: a["met"]) > 0, (self.last["amount"] or 0) > 0
        return sum((met, len(people) > 1, senior, amount, self.last["next_step_set"] == 1, offered))

    def _people(self) -> dict[str, float]:
        joined: dict[str, int] = {}
        for contact in self.contacts:
            joined.setdefault(contact["contact_id"], contact["known_at"])
        ranks = [SENIORITY[c["seniority"]] for c in self.contacts if c["seniority"] in SENIORITY]
        active = {
            act["contact_id"] for act in self.acts if act["buyer"] and act["known_at"] >= self.as_of - 30 * DAY
        } - {None}
        return {
            "contacts_known": len(joined),
            "contacts_new_30d": sum(at >= self.as_of - 30 * DAY for at in joined.values()),
            "contacts_active_30d": len(active),
            "seniority_reached": maybe(max(ranks, default=None)),
            "senior_active_90d": self.count(lambda a: a["senior"], 90),
            "decision_maker": any(c["role"] in DECIDES for c in self.contacts),
        }


def logit(p: float) -> float:
    """Log-odds."""
    return log(p / (1 - p))
