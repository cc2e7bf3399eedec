"""What the forecast page looks at: a period, the last look at it, a node, and the look that a bridge starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import Connection

from configs.errors import NotFoundError
from features.nodes import ALL, COMPANY, LEVELS, NO_REP, NO_TEAM, REP, TEAM
from serving.answers import iso
from serving.pages.visit import Visit
from serving.store import forecast_rows
from serving.store.bridges import usual_start
from serving.store.called import Called, calls_at
from serving.store.deal_list import names_of
from serving.store.forecast_rows import ForecastRow
from serving.store.moves import Node

EVERY = "*"  # in place of a team: its reps are shown, and everyone else's
NOTHING = "there is no such forecast, or your key does not show it"


@dataclass(frozen=True)
class Look:
    """One look at the forecast of a period, of what a key may see.

    periods: first days of those stored, the newest first. stored: as-ofs of this one, increasing. rows: by level and
    node, the company's first. node: that is asked for, None: all of several teams. start: where the bridge starts,
    None: this is the first look; usual: where it would start unasked. opened: the team whose reps are shown.
    """

    periods: Sequence[str]
    stored: Sequence[int]
    rows: Mapping[Node, ForecastRow]
    calls: Mapping[tuple[Node, str], Called]
    reps: Mapping[str, str]
    tops: Sequence[Node]
    node: Node | None
    start: int | None
    usual: int | None
    opened: str | None

    @property
    def some(self) -> ForecastRow:
        """A row: all have the same as-of, period and model."""
        return next(iter(self.rows.values()))

    @property
    def as_of(self) -> int:
        """The instant of the look, UTC microseconds."""
        return self.some.as_of

    @property
    def shown(self) -> Sequence[Node]:
        """The nodes whose number is told large: the one that is asked for, or each of the key's teams."""
        return self.tops if self.node is None else (self.node,)

    def name(self, node: Node) -> str:
        """Return what a node is called."""
        level, name = node
        if level == COMPANY:
            return "Company"
        if name in (NO_REP, NO_TEAM):
            return "Nobody's deals" if name == NO_REP else "No team"
        return self.reps.get(name, name)

    def team_of(self, node: Node) -> Node | None:
        """Return the node above a rep that the key may see."""
        above = (TEAM, self.rows[node].team or NO_TEAM)
        return above if node[0] == REP and above in self.rows else None

    def under(self, node: Node) -> list[Node]:
        """Return the nodes right below, the largest mean first."""
        level, name = node
        below = [
            one
            for one, row in self.rows.items()
            if (level == COMPANY and one[0] == TEAM)
            or (level == TEAM and one[0] == REP and (row.team or NO_TEAM) == name)
        ]
        return sorted(below, key=lambda one: (-self.rows[one].mean, one))

    def address(self, path: str = "/forecast", /, **changes: str | None) -> str:
        """Return the address of this look with some parameters changed; those of None, and usual ones, left out."""
        here = {
            "period": None if self.some.period_start == self.periods[0] else self.some.period_start,
            **(of_node(self.node) if self.node is not None and [self.node] != list(self.tops) else {}),
            "from": None if self.start in (None, self.usual) else iso(self.start or 0),
        }
        kept = {name: value for name, value in (here | changes).items() if value is not None}
        return path + (f"?{urlencode(kept)}" if kept else "")

    def at(self, node: Node, path: str = "/forecast", /, **changes: str | None) -> str:
        """Return the address of the same look at another node."""
        plain = [node] == list(self.tops)
        return self.address(path, **(dict.fromkeys(("level", "node")) if plain else of_node(node)), **changes)


def of_node(node: Node) -> dict[str, str | None]:
    """Return a node as parameters."""
    return {"level": node[0], "node": node[1]}


def look_of(visit: Visit, connection: Connection) -> Look | None:
    """Return what the address asks for; None where the key can see no forecast at all.

    Raises NotFoundError for a period or node that is not there, or not for this key.
    """
    principal = visit.principal
    periods = forecast_rows.periods(connection, principal)
    if not periods:
        return None
    period = visit.query.get("period", periods[0])
    as_of = forecast_rows.newest_as_of(connection, principal, period, None)
    if as_of is None:
        raise NotFoundError(NOTHING)
    rows = {(row.level, row.node): row for row in forecast_rows.rows_at(connection, principal, as_of)}
    tops = forecast_rows.top_nodes(connection, principal, as_of)
    stored = forecast_rows.as_ofs(connection, principal, period)
    usual = usual_start(stored, as_of, visit.words.zone)
    asked = {iso(one): one for one in stored if one < as_of}
    return Look(
        periods=periods,
        stored=stored,
        rows=rows,
        calls={((one.level, one.node), one.category): one for one in calls_at(connection, principal, as_of)},
        reps=names_of(connection, [], [name for level, name in rows if level == REP]).reps,
        tops=tops,
        node=_node(visit.query, rows, tops),
        start=asked.get(visit.query.get("from", ""), usual),
        usual=usual,
        opened=visit.query.get("open"),
    )


def _node(query: Mapping[str, str], rows: Mapping[Node, ForecastRow], tops: Sequence[Node]) -> Node | None:
    if "level" not in query and "node" not in query:
        return tops[0] if len(tops) == 1 else None
    asked = (query.get("level", COMPANY), query.get("node", ALL))
    if asked[0] not in LEVELS or asked not in rows:
        raise NotFoundError(NOTHING)
    return asked
