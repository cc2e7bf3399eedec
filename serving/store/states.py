"""How deals stood at each refresh: rows that hold from one as-of until another, so that any past state can be read.

A refresh writes the rows that changed and ends those that do not hold any more; no row is ever changed otherwise. Why
an open deal stands open no more is told by a row of no length (``until = as_of``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, or_, select, update

from serving.store.tables import DEAL_STATES, FORECASTS, OUTCOMES, STILL, TOMBSTONES
from serving.store.upsert import chunks, upsert

OPEN, WON = "open", "won"
GONE = "gone"  # why a deal ended where neither an outcome nor a tombstone tells
OF_STATE = DEAL_STATES.c
Key = tuple[str, int]


@dataclass(frozen=True)
class State:
    """How a deal stood. slot: 0 as an open deal; else which of its wins of the period. Money: cents; worth: currency.

    state: open, won, or why it ended. p: as it was shown, None where no score is stored. p_money, worth: as the
    forecast counted it, None of a win and where there was no forecast. team: whose keys may see it.
    """

    deal_id: str
    slot: int
    state: str
    cents: int
    p: float | None
    p_money: float | None
    worth: float | None
    stage: str | None
    close_date: str | None
    category: str | None
    amount_cents: int | None
    owner_id: str | None
    team: str | None
    created_at: int | None
    bundle_sha256: str


NAMES = tuple(one.name for one in fields(State))
COLUMNS = tuple(DEAL_STATES.c[name] for name in NAMES)


@dataclass(frozen=True)
class Standing:
    """A state that holds, and from when on. model_cents: of its cents, by a change of the model at that as-of."""

    state: State
    as_of: int
    model_cents: int | None


def holding(connection: Connection) -> dict[Key, Standing]:
    """Return the states that hold as of the latest refresh."""
    asked = select(*COLUMNS, OF_STATE.as_of, OF_STATE.model_cents).where(OF_STATE.until == STILL)
    rows: list[Any] = list(connection.execute(asked))
    return {(row[0], row[1]): Standing(State(*row[:-2]), row[-2], row[-1]) for row in rows}


def states_at(connection: Connection, as_of: int, wanted: ColumnElement[bool]) -> list[State]:
    """Return the states that held just after the refresh as of an instant, of those that are wanted."""
    asked = select(*COLUMNS).where(OF_STATE.until > as_of, OF_STATE.as_of <= as_of, wanted)
    rows: list[Any] = list(connection.execute(asked))
    return [State(*row) for row in rows]


def stood_at(connection: Connection, deals: Iterable[str], as_of: int) -> set[str]:
    """Return which of these deals had a state just after the refresh as of an instant, whoever may see it."""
    found: set[str] = set()
    for some in chunks(sorted(deals)):
        asked = select(OF_STATE.deal_id).where(
            OF_STATE.deal_id.in_(some), OF_STATE.until > as_of, OF_STATE.as_of <= as_of
        )
        found |= set(connection.execute(asked).scalars())
    return found


def scores_at(connection: Connection, as_of: int) -> dict[str, float]:
    """Return the score that each open deal showed just after the refresh as of an instant."""
    asked = select(OF_STATE.deal_id, OF_STATE.p).where(
        OF_STATE.until > as_of, OF_STATE.as_of <= as_of, OF_STATE.slot == 0, OF_STATE.p.is_not(None)
    )
    return {row.deal_id: row.p for row in connection.execute(asked)}


def write_states(
    connection: Connection, as_of: int, rows: Mapping[Key, State], by_model: Mapping[str, int | None], told: bool
) -> None:
    """Make `rows` what holds from an as-of on: changed ones are written, those that are not there any more end.

    by_model: deal -> `model_cents` of its open state. told: whether a win that is not there any more is told of, which
    it is not where only its period is over.
    """
    before = holding(connection)
    changed = {key: row for key, row in rows.items() if key not in before or before[key].state != row}
    over = [key for key in before if key not in rows]
    _end(connection, as_of, [(key, before[key].as_of) for key in (*changed, *over) if key in before])
    new = [
        vars(row) | {"as_of": as_of, "until": STILL, "model_cents": _by_model(by_model, key, before.get(key), as_of)}
        for key, row in changed.items()
    ]
    last = [before[key] for key in over if told or key[1] == 0]
    why = _why(connection, {one.state.deal_id: one.as_of for one in last})
    new += [
        vars(one.state)
        | {"as_of": as_of, "until": as_of, "cents": 0, "model_cents": 0, "state": why.get(one.state.deal_id, GONE)}
        for one in last
        if one.as_of < as_of  # else nobody was ever told of it
    ]
    upsert(connection, DEAL_STATES, new, [column.name for column in DEAL_STATES.columns if not column.primary_key])


def _by_model(by_model: Mapping[str, int | None], key: Key, before: Standing | None, as_of: int) -> int | None:
    """Return `model_cents` of a new state; where this refresh is done again, with what it told before."""
    told = by_model.get(key[0], 0) if key[1] == 0 else 0
    more = before.model_cents if before is not None and before.as_of == as_of else 0
    return None if told is None or more is None else told + more


def _end(connection: Connection, as_of: int, rows: Sequence[tuple[Key, int]]) -> None:
    """End states that held from some as-of on; one that began with this refresh, which is done again, goes."""
    this = and_(
        OF_STATE.deal_id == bindparam("deal"), OF_STATE.slot == bindparam("place"), OF_STATE.as_of == bindparam("since")
    )
    told = [{"deal": key[0], "place": key[1], "since": since} for key, since in rows]
    old, own = ([one for one in told if (one["since"] == as_of) is again] for again in (False, True))
    if old:
        connection.execute(update(DEAL_STATES).where(this).values(until=as_of), old)
    if own:
        connection.execute(delete(DEAL_STATES).where(this), own)


def _why(connection: Connection, since: Mapping[str, int]) -> dict[str, str]:
    """Return why deals stand open no more: deleted, merged, vanished, won or lost. since: from when on, by deal."""
    found: dict[str, str] = {}
    for some in chunks(sorted(since)):
        closes = select(OUTCOMES).where(OUTCOMES.c.deal_id.in_(some)).order_by(OUTCOMES.c.closed_at)
        found |= {row.deal_id: row.outcome for row in connection.execute(closes) if row.closed_at >= since[row.deal_id]}
        stones = select(TOMBSTONES.c.deal_id, TOMBSTONES.c.kind).where(TOMBSTONES.c.deal_id.in_(some))
        found |= {row.deal_id: row.kind for row in connection.execute(stones)}
    return found


def ended_between(
    connection: Connection, deals: Iterable[str], start: int, end: int, wanted: ColumnElement[bool]
) -> dict[str, str]:
    """Return why each of these deals ended after `start` and up to `end`, the last word of each that is wanted."""
    found: dict[str, str] = {}
    for some in chunks(sorted(deals)):
        asked = (
            select(OF_STATE.deal_id, OF_STATE.state)
            .where(OF_STATE.deal_id.in_(some), OF_STATE.as_of > start, OF_STATE.as_of <= end)
            .where(OF_STATE.until == OF_STATE.as_of, wanted)
            .order_by(OF_STATE.as_of)
        )
        found |= {row.deal_id: row.state for row in connection.execute(asked)}
    return found


def moved_by_model(connection: Connection, start: int, end: int) -> dict[str, int | None]:
    """Return by how many cents changes of the model moved open deals after `start` and up to `end`; None: not known."""
    asked = (
        select(OF_STATE.deal_id, func.sum(OF_STATE.model_cents), func.count() - func.count(OF_STATE.model_cents))
        .where(OF_STATE.as_of > start, OF_STATE.as_of <= end, OF_STATE.slot == 0)
        .where(or_(OF_STATE.model_cents != 0, OF_STATE.model_cents.is_(None)))
        .group_by(OF_STATE.deal_id)
    )
    rows: list[Any] = list(connection.execute(asked))
    return {str(name): None if unknown else int(cents) for name, cents, unknown in rows}


def known_before(connection: Connection, deals: Iterable[str], as_of: int) -> set[str]:
    """Return which of these deals had any state by an as-of."""
    found: set[str] = set()
    for some in chunks(sorted(deals)):
        asked = select(OF_STATE.deal_id).where(OF_STATE.deal_id.in_(some), OF_STATE.as_of <= as_of).distinct()
        found |= set(connection.execute(asked).scalars())
    return found


def newest_forecast(connection: Connection) -> tuple[str, str] | None:
    """Return (period_start, bundle_sha256) of the newest forecast; None where there is none."""
    asked = select(FORECASTS.c.period_start, FORECASTS.c.bundle_sha256).order_by(FORECASTS.c.as_of.desc()).limit(1)
    row = connection.execute(asked).first()
    return None if row is None else (row.period_start, row.bundle_sha256)


def history_of(connection: Connection, deal_id: str, wanted: ColumnElement[bool]) -> list[tuple[int, State]]:
    """Return every state of a deal that is wanted with the as-of from which it held, oldest first."""
    asked = select(OF_STATE.as_of, *COLUMNS).where(OF_STATE.deal_id == deal_id, wanted)
    rows: list[Any] = list(connection.execute(asked.order_by(OF_STATE.as_of, OF_STATE.slot)))
    return [(row[0], State(*row[1:])) for row in rows]
