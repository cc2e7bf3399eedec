"""The forecast page, the first that a manager sees: the number, how sure, what it is made of, and what moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from configs.vocab import ForecastCategory
from features.nodes import TEAM
from models.bookings import CENTS
from serving.answers import iso
from serving.pages.look import EVERY, Look, look_of
from serving.pages.visit import Visit
from serving.pages.waterfall import Waterfall, waterfall
from serving.pages.words import Words
from serving.store import forecast_rows
from serving.store.bridges import kept_parts
from serving.store.called import calls_until
from serving.store.forecast_rows import ForecastRow
from serving.store.moves import Node, bridge_of
from serving.store.refreshed import newest

COMMIT, BEST_CASE = ForecastCategory.COMMIT.value, ForecastCategory.BEST_CASE.value
EARLIER_LOOKS = 8  # to choose from
RARE = 0.001  # below what the simulated paths tell apart
FRESH_DAYS = 2  # a look that is older than this gets a warning


@dataclass(frozen=True)
class Seen:
    """A look of the past: a row of the chart, and the cells of its twin."""

    point: dict[str, Any]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Head:
    """A number told large. commit, best_case: currency, None: nobody called. points: rows of the chart.

    split: (part, where it starts, width) of a bar, of 100.
    """

    node: Node
    name: str
    row: ForecastRow
    commit: float | None
    best_case: float | None
    split: tuple[tuple[str, float, float], ...]
    history: tuple[Seen, ...]
    points: tuple[dict[str, Any], ...]

    @property
    def told(self) -> list[tuple[str, ...]]:
        """The rows of the chart's twin."""
        return [one.cells for one in self.history]

    @property
    def verdict(self) -> str | None:
        """Where the reps' commit lies beside the forecast; None without one."""
        if self.commit is None:
            return None
        if self.commit > self.row.p90:
            return "above our range: 9 in 10 outcomes end below it"
        if self.commit < self.row.p10:
            return "below our range: 9 in 10 outcomes end above it"
        return "within our range"


@dataclass(frozen=True)
class Line:
    """A row of the roll-up. depth: 0 what is asked for, 1 and 2 below it. more: where its reps are shown or hidden."""

    node: Node
    name: str
    depth: int
    row: ForecastRow
    commit: float | None
    more: str | None
    is_open: bool


def shown(visit: Visit) -> Response:
    """Show the forecast."""
    with visit.reading() as connection:
        look = look_of(visit, connection)
        if look is None:
            return visit.page("forecast_none.html.j2", missing=_missing(visit, connection))
        heads = [_head(visit, connection, look, node) for node in look.shown]
        falls = [(look.name(node), node, _fall(visit, connection, look, node)) for node in look.shown]
    words = visit.words
    last = date.fromisoformat(look.some.period_end)
    today = words.local(visit.now).date()
    return visit.page(
        "forecast.html.j2",
        charts=True,
        look=look,
        heads=heads,
        falls=falls,
        lines=_lines(look),
        together=_together(look),
        crumbs=_crumbs(look),
        starts=_starts(look, words),
        age=words.days_between(look.as_of, visit.now),
        fresh_days=FRESH_DAYS,
        days_left=(last - words.local(look.as_of).date()).days + 1,
        is_over=today > last,
        accuracy=any(path == "/accuracy" for path, *_ in visit.nav),
        cents=cents,
        reach=reach,
        every=EVERY,
    )


def cents(amount: float) -> int:
    """Return stored currency as the cents that it was."""
    return round(amount * CENTS)


def reach(row: ForecastRow) -> float | None:
    """Return the chance that quota is reached; nothing is certain because no simulated path showed otherwise."""
    if row.p_reach_quota is None or row.quota is None or row.booked >= row.quota:
        return row.p_reach_quota
    return min(max(row.p_reach_quota, RARE), 1 - RARE)


def _head(visit: Visit, connection: Connection, look: Look, node: Node) -> Head:
    row, words = look.rows[node], visit.words
    commit, best_case = (look.calls.get((node, category)) for category in (COMMIT, BEST_CASE))
    past = forecast_rows.history(connection, visit.principal, row.period_start, *node, row.as_of)
    called = calls_until(connection, visit.principal, row.period_start, node, COMMIT)
    history = tuple(_seen(words, one, called.get(one.as_of)) for one in past)
    return Head(
        node=node,
        name=look.name(node),
        row=row,
        commit=None if commit is None else commit.cents / CENTS,
        best_case=None if best_case is None else best_case.cents / CENTS,
        split=_split(row),
        history=history,
        points=(*(one.point for one in history), *_edges(row)),
    )


def _split(row: ForecastRow) -> tuple[tuple[str, float, float], ...]:
    """Return (part, where it starts, width) of a bar that is as long as the larger of mean and quota, of 100."""
    unit = 100 / max(row.mean, row.quota or 0.0, 0.01)
    place, found = 0.0, []
    for part in ("booked", "open_expected", "arrivals_expected"):
        width = max(getattr(row, part), 0.0) * unit
        found.append((part, round(place, 2), round(width, 2)))
        place += width
    return tuple(found)


def _seen(words: Words, row: ForecastRow, called: int | None) -> Seen:
    commit = None if called is None else called / CENTS
    money = {name: round(getattr(row, name)) for name in ("p10", "p50", "p90", "booked")}
    quota = None if row.quota is None else round(row.quota)
    told = (
        f"{words.day_of(row.as_of)}: even odds of {words.short(row.p50)}, 8 in 10 between {words.short(row.p10)} and "
        f"{words.short(row.p90)}, {words.short(row.booked)} booked"
    )
    point = {
        "at": words.local(row.as_of).strftime("%Y-%m-%dT%H:%M"),
        **money,
        "quota": quota,
        "commit": None if commit is None else round(commit),
        "told": told,
    }
    columns = (row.p10, row.p50, row.p90, row.booked, commit, row.quota)
    return Seen(point, (words.day_of(row.as_of), *(words.money(value) for value in columns)))


def _edges(row: ForecastRow) -> tuple[dict[str, Any], ...]:
    """Return the ends of the period for the chart, which is as wide as the whole period."""
    after = date.fromisoformat(row.period_end) + timedelta(days=1)
    quota = None if row.quota is None else round(row.quota)
    return tuple({"at": f"{day}T00:00", "quota": quota} for day in (row.period_start, after.isoformat()))


def _fall(visit: Visit, connection: Connection, look: Look, node: Node) -> Waterfall | None:
    """Return the bridge of a node as bars; None where there is no earlier look to start from."""
    if look.start is None:
        return None
    parts = kept_parts(connection, visit.principal, look.start, look.as_of, node)
    if parts is None:
        found = bridge_of(connection, visit.principal, look.start, look.as_of, node)
        if found is None:
            return None
        return waterfall(found.parts, found.start.mean, found.end.mean)
    end = cents(look.rows[node].mean)
    return waterfall(parts, end - sum(part.cents for part in parts), end)


def _lines(look: Look) -> list[Line]:
    """Return the rows of the roll-up: what is asked for, what is below it, and the reps of teams that are opened."""
    lines: list[Line] = []

    def add(node: Node, depth: int) -> None:
        below = look.under(node)
        is_top = depth == 0 and look.node is not None
        is_open = is_top or look.opened in (node[1], EVERY)
        folds = node[0] == TEAM and bool(below) and not is_top
        call = look.calls.get((node, COMMIT))
        more = look.address(open=None if is_open else node[1]) + "#rollup" if folds else None
        commit = None if call is None else call.cents / CENTS
        lines.append(Line(node, look.name(node), depth, look.rows[node], commit, more, is_open))
        for one in below if is_open else ():
            add(one, depth + 1)

    for node in look.shown:
        add(node, 0)
    return lines


def _together(look: Look) -> Mapping[str, float] | None:
    """Return what several teams of a key come to; None for one node, whose own row says so."""
    if look.node is not None:
        return None
    rows = [look.rows[node] for node in look.tops]
    return {
        part: sum(cents(getattr(row, part)) for row in rows) / CENTS
        for part in ("booked", "open_expected", "arrivals_expected", "mean")
    }


def _crumbs(look: Look) -> list[tuple[str, str | None]]:
    """Return the way down to the node that is asked for: (name, address), None: here."""
    if look.node is None or [look.node] == list(look.tops):
        return []
    whole = look.address(level=None, node=None)
    found: list[tuple[str, str | None]] = [(look.name(look.tops[0]) if len(look.tops) == 1 else "Your teams", whole)]
    above = look.team_of(look.node)
    if above is not None and [above] != list(look.tops):
        found.append((look.name(above), look.at(above)))
    return [*found, (look.name(look.node), None)]


def _starts(look: Look, words: Words) -> list[tuple[str, str, bool]]:
    """Return looks that a bridge may start from, the newest first: (day, address, whether it does). One each day."""
    days: dict[str, int] = {}
    for one in look.stored:
        if one < look.as_of:
            days.setdefault(words.day_of(one), one)
    if look.start is not None:
        days[words.day_of(look.start)] = look.start
    kept: Sequence[tuple[str, int]] = list(days.items())[-EARLIER_LOOKS:]
    asked = {one: None if one == look.usual else iso(one) for _, one in kept}
    return [(day, look.address(**{"from": asked[one]}) + "#bridge", one == look.start) for day, one in kept[::-1]]


def _missing(visit: Visit, connection: Connection) -> str:
    """Say what is missing where there is no forecast to show."""
    if visit.loaded is None:
        return "model"
    if newest(connection) is None:
        return "refresh"
    bundle = visit.loaded.bundle
    if bundle.bookings is None or bundle.amount is None:
        return "bookings"
    return "refresh" if visit.principal.teams is None else "rights"
