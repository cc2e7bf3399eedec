"""Who is on a deal and what people do: drawn day by day from the state that the deal was in as the day began."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.tables import Coded, ColumnData
from tests.worlds.calendar import Days, Float, Int
from tests.worlds.forward import NEVER, Lived
from tests.worlds.notebook import EVENING, MORNING, NOON
from tests.worlds.population import Deals, Reps
from tests.worlds.settings import Planted

MEETING_LAG = (3, 11)  # days from agreeing on a meeting to it
MOST_ANSWERED = 0.95  # share of the calls
_SPAN = 10**9  # more seconds than any world has
KINDS = ("call", "content", "email", "meeting")
DIRECTIONS = ("inbound", "mutual", "outbound")
OUTCOMES = ("cancelled", "connected", "held", "no_answer", "opened", "planned")


@dataclass(frozen=True)
class Contacts:
    """People on deals, ordered by deal and by when they joined. key: int64[c], deal and second as one number."""

    deal: Int
    known_at: Int
    key: Int
    start: Int
    ids: Coded
    role: Coded
    seniority: Coded


@dataclass(frozen=True)
class _Acts:
    """Rows of one kind of act. day and second: when it happened; known_day, known_second: when the CRM heard of it."""

    deal: Int
    day: Int
    second: Int
    known_day: Int
    known_second: Int
    kind: str
    direction: str
    outcome: Int  # code, -1 for none


def contacts_of(planted: Planted, days: Days, deals: Deals, lived: Lived, rng: np.random.Generator) -> Contacts:
    """One person from the start, others as the buyer warms to it, a senior one when the state says so."""
    n = len(deals)
    joining = rng.poisson(np.array(planted.joins)[lived.level] * _working(planted, days)[lived.day])
    later = np.repeat(np.arange(len(lived.deal)), joining)
    seniors = np.flatnonzero(lived.senior_day != NEVER)
    born = lived.senior_day[seniors] == deals.day[seniors]
    second = np.where(born, deals.second[seniors], rng.integers(NOON, EVENING, len(seniors)))
    deal = np.concatenate([np.arange(n), lived.deal[later], seniors])
    day = np.concatenate([deals.day, lived.day[later], lived.senior_day[seniors]])
    second = np.concatenate([deals.second, rng.integers(MORNING, NOON, len(later)), second])
    senior = np.concatenate([np.zeros(n + len(later), dtype=bool), np.ones(len(seniors), dtype=bool)])
    u, v = rng.random((2, len(deal)))
    order = np.lexsort([senior, second, day, deal])
    deal, day, second, senior, u, v = (column[order] for column in (deal, day, second, senior, u, v))
    start = np.searchsorted(deal, np.arange(n + 1))
    number = np.arange(len(deal)) - start[deal]
    names = [f"d{i:06d}-{j}" for i, j in zip(deal.tolist(), number.tolist(), strict=True)]
    values = tuple(sorted(set(names)))
    place = {name: code for code, name in enumerate(values)}
    rank = np.where(senior, 2 + (u * 3).astype(np.int64), (u * 2).astype(np.int64))
    decides = np.where(senior & (v < 0.6), 0, np.where(v < 0.5, 1, 2))
    ranks, roles = ("staff", "manager", "director", "vp", "c_level"), ("decision_maker", "influencer", "user")
    return Contacts(
        deal=deal,
        known_at=days.instant(day, second),
        key=deal * _SPAN + day * 86_400 + second,
        start=start,
        ids=Coded(np.array([place[name] for name in names], dtype=np.int32), values),
        role=Coded(decides.astype(np.int32), roles),
        seniority=Coded.of([ranks[i] for i in rank.tolist()]),
    )


def activities_of(
    planted: Planted,
    days: Days,
    deals: Deals,
    reps: Reps,
    lived: Lived,
    contacts: Contacts,
    names: tuple[str, ...],
    rng: np.random.Generator,
) -> dict[str, ColumnData]:
    """Mails, calls, meetings and content seen, ordered by when they were known."""
    drift = np.exp(planted.drift_activity * days.quarter)
    factor = (_working(planted, days) * drift)[lived.day]
    effort = factor * np.exp(reps.effort[deals.rep[lived.deal]])
    talk = deals.talk[lived.deal]
    factor = factor * talk
    level = lived.level

    def drawn(rate: tuple[float, ...], by: Float) -> Int:
        return np.repeat(np.arange(len(level)), rng.poisson(np.array(rate)[level] * by))

    dials = drawn(planted.call_out, effort)
    took = rng.random(len(dials)) < np.minimum(np.array(planted.answered)[level[dials]] * talk[dials], MOST_ANSWERED)
    parts = [
        _now(lived, drawn(planted.mail_in, factor), rng, "email", "inbound"),
        _now(lived, drawn(planted.mail_out, effort), rng, "email", "outbound"),
        _now(
            lived,
            dials,
            rng,
            "call",
            "outbound",
            np.where(took, OUTCOMES.index("connected"), OUTCOMES.index("no_answer")),
        ),
        _now(lived, drawn(planted.content, factor), rng, "content", "inbound", OUTCOMES.index("opened")),
        *_meetings(
            planted, days, lived, drawn(planted.planned, factor * np.array(planted.meetings_by_stage)[lived.stage]), rng
        ),
    ]
    return _rows(days, parts, contacts, names, rng)


def _working(planted: Planted, days: Days) -> Float:
    return np.where(days.weekday < 5, 1.0, planted.weekend)


def _now(
    lived: Lived, rows: Int, rng: np.random.Generator, kind: str, direction: str, outcome: Int | int = -1
) -> _Acts:
    """Acts that the CRM hears of as they happen, in the morning; stages and outcomes change in the afternoon."""
    day, second = lived.day[rows], rng.integers(MORNING, NOON, len(rows))
    said = np.broadcast_to(np.asarray(outcome, dtype=np.int64), (len(rows),))
    return _Acts(lived.deal[rows], day, second, day, second, kind, direction, said)


def _meetings(planted: Planted, days: Days, lived: Lived, rows: Int, rng: np.random.Generator) -> list[_Acts]:
    """Agreed on some days ahead; held or cancelled on the day, if the deal is still open on it."""
    agreed = _now(lived, rows, rng, "meeting", "mutual")
    day = lived.day[rows] + rng.integers(*MEETING_LAG, len(rows))
    week_later = (days.weekday[lived.day[rows]] + day - lived.day[rows]) % 7
    day = day + np.where(week_later > 4, 7 - week_later, 0)  # nobody meets at the weekend
    second = rng.integers(MORNING, NOON, len(rows))
    held = rng.random(len(rows)) < np.array(planted.held)[lived.level[rows]]
    open_then = np.isin(agreed.deal * _SPAN + day, lived.deal * _SPAN + lived.day)
    planned = _Acts(
        agreed.deal,
        day,
        second,
        agreed.day,
        agreed.second,
        "meeting",
        "mutual",
        np.full(len(rows), OUTCOMES.index("planned")),
    )
    outcome = np.where(held, OUTCOMES.index("held"), OUTCOMES.index("cancelled"))
    came = np.flatnonzero(open_then)
    done = _Acts(
        agreed.deal[came], day[came], second[came], day[came], second[came], "meeting", "mutual", outcome[came]
    )
    return [planned, done]


def _rows(
    days: Days, parts: list[_Acts], contacts: Contacts, names: tuple[str, ...], rng: np.random.Generator
) -> dict[str, ColumnData]:
    deal = np.concatenate([part.deal for part in parts])
    day, second = (np.concatenate([getattr(part, name) for part in parts]) for name in ("day", "second"))
    known = [np.concatenate([getattr(part, name) for part in parts]) for name in ("known_day", "known_second")]
    kind = np.concatenate([np.full(len(part.deal), KINDS.index(part.kind)) for part in parts])
    direction = np.concatenate([np.full(len(part.deal), DIRECTIONS.index(part.direction)) for part in parts])
    outcome = np.concatenate([part.outcome for part in parts])
    # With whom: anybody who was on the deal by then; the first contact is there from the start.
    there = (
        np.searchsorted(contacts.key, deal * _SPAN + known[0] * 86_400 + known[1], side="right") - contacts.start[deal]
    )
    who = contacts.start[deal] + (rng.random(len(deal)) * np.maximum(there, 1)).astype(np.int64)
    minutes = np.where(kind == KINDS.index("meeting"), np.where(rng.random(len(deal)) < 0.5, 30.0, 60.0), np.nan)
    order = np.lexsort([kind, deal, known[1], known[0]])
    return {
        "deal_id": Coded(deal[order].astype(np.int32), names),
        "occurred_at": days.instant(day[order], second[order]),
        "known_at": days.instant(known[0][order], known[1][order]),
        "kind": Coded(kind[order].astype(np.int32), KINDS),
        "direction": Coded(direction[order].astype(np.int32), DIRECTIONS),
        "contact_id": contacts.ids.take(who[order]),
        "outcome": Coded(outcome[order].astype(np.int32), OUTCOMES),
        "minutes": minutes[order],
    }
