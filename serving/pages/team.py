"""The team page: for each rep what is booked, open and called, and what to talk about. In the order of team and name.

Rows are never ranked, and no figure judges a person: each is set beside the own team's usual, or the own quota.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from starlette.responses import Response

from features.nodes import REP, TEAM
from serving.pages.coaching import Question, question
from serving.pages.row import row_of
from serving.pages.usual import usual_days
from serving.pages.visit import Visit
from serving.store import forecast_rows
from serving.store.forecast_rows import ForecastRow
from serving.store.page_facts import NodeFacts, nodes_of
from serving.store.repository import Repository

QUESTIONS = 3  # of each rep
MOST_CARDS = 40  # one below the other; beyond them a team has to be chosen


@dataclass(frozen=True)
class Past:
    """A period seen from the same time into it, money. called, model: what was said then; came: by the period's end.

    None where nobody said anything, or no forecast of that time is stored.
    """

    start: str
    end: str
    called: float | None
    model: ForecastRow | None
    came: float


@dataclass(frozen=True)
class Line:
    """A rep, or a team. usual: share of a period's bookings that the team usually has by now.

    called: the standing commit call. model: the forecast. questions: of deals with flags, the largest first.
    """

    facts: NodeFacts
    usual: float | None
    called: float | None
    model: ForecastRow | None
    past: tuple[Past, ...]
    questions: tuple[Question, ...]

    @property
    def quota(self) -> float | None:
        """Of the running period."""
        found: float | None = self.facts.told["quota"]
        return found

    @property
    def booked(self) -> float:
        """In the running period so far."""
        return float(self.facts.told["booked"])

    @property
    def attained(self) -> float | None:
        """Booked / quota."""
        found: float | None = self.facts.told["attainment"]
        return found

    @property
    def pace(self) -> float | None:
        """Money that would be booked by now at the usual pace to quota."""
        return None if self.usual is None or self.quota is None else self.usual * self.quota

    @property
    def open(self) -> float:
        """Money in open deals: the coverage that is held."""
        return float(self.facts.told["open"])

    @property
    def reached(self) -> bool:
        """Whether the quota is booked."""
        to_go = self.facts.told["to_go"]
        return to_go is not None and to_go <= 0

    @property
    def needed(self) -> float | None:
        """Open money that brings what is to go at the usual yield; None without a quota, once it is reached, and where
        open deals never brought anything.
        """
        to_go, times = self.facts.told["to_go"], self.facts.told["coverage_needed"]
        return None if to_go is None or times is None or to_go <= 0 else to_go * times

    @property
    def missing(self) -> float | None:
        """What the needed coverage is above the one that is held; None where it is not."""
        return None if self.needed is None or self.needed <= self.open else self.needed - self.open


def shown(visit: Visit) -> Response:
    """Show the reps that a key may see, of one team where it is asked for."""
    with visit.reading() as connection:
        nodes = nodes_of(connection, visit.principal)
        said = _forecasts(visit, nodes)
    lines = _lines(visit, nodes, said)
    reps = [one for one in lines if one.facts.level == REP]
    if not reps:
        return visit.page("facts_none.html.j2", title="Team", path="/team")
    names = [one.facts.node for one in lines if one.facts.level == TEAM]
    chosen = visit.query.get("team", "")
    reps = [one for one in reps if not chosen or _team(one.facts) == chosen]
    teams = {one.facts.node: one for one in lines if one.facts.level == TEAM}
    return visit.page(
        "team.html.j2",
        groups=[(teams.get(team), list(some)) for team, some in groupby(reps, lambda one: _team(one.facts))],
        teams=names,
        chosen=chosen,
        cards=reps if len(reps) <= MOST_CARDS else [],
        head=nodes[0].told,
        as_of=nodes[0].as_of,
    )


def _team(facts: NodeFacts) -> str:
    """Return the name of a rep's team, that of those without one too."""
    return str(facts.told["parent"])


def _forecasts(visit: Visit, nodes: Sequence[NodeFacts]) -> dict[tuple[str, str], dict[str, ForecastRow]]:
    """Return the last forecast by the same time into each period, by level and node and then by first day."""
    found: dict[tuple[str, str], dict[str, ForecastRow]] = defaultdict(dict)
    if not nodes:
        return found
    with visit.reading() as connection:
        for look in nodes[0].told["calls"]:
            start, at = look["period_start"], look["at"]
            newest = forecast_rows.newest_as_of(connection, visit.principal, start, at)
            if newest is None:
                continue
            for row in forecast_rows.rows_at(connection, visit.principal, newest):
                if row.level in (REP, TEAM) and row.period_start == start:
                    found[row.level, row.node][start] = row
    return found


def _lines(
    visit: Visit, nodes: Sequence[NodeFacts], said: Mapping[tuple[str, str], Mapping[str, ForecastRow]]
) -> list[Line]:
    asked = _questions(visit)
    usual = {one.node: one.told["usual_share_by_now"] for one in nodes if one.level == TEAM}
    lines = []
    for one in nodes:
        if one.level not in (REP, TEAM):
            continue
        model = said.get((one.level, one.node), {})
        *before, now = one.told["calls"]
        curves = {curve["period_start"]: curve for curve in one.told["curves"]}
        past = [
            Past(look["period_start"], curves[look["period_start"]]["period_end"], look["called"],
                 model.get(look["period_start"]), curves[look["period_start"]]["booked"])
            for look in before
        ]  # fmt: skip
        team = one.node if one.level == TEAM else one.told["parent"]
        questions = tuple(asked.get(one.node, ())) if one.level == REP else ()
        lines.append(
            Line(one, usual.get(team), now["called"], model.get(now["period_start"]), tuple(past[::-1]), questions)
        )
    return lines


def _questions(visit: Visit) -> dict[str, list[Question]]:
    """Return what to ask of each rep's largest flagged deals."""
    usual = usual_days(visit.loaded)
    found: dict[str, list[Question]] = defaultdict(list)
    for score in Repository(visit.api.store()).flagged(visit.principal, QUESTIONS):
        asked = question(visit.words, row_of(score, usual))
        if asked is not None:
            found[score.owner_id or ""].append(asked)
    return found
