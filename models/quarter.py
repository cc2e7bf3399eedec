"""A window's bookings as of an instant, put together from a record: who holds what, what is booked, what may come.

Everything here is known strictly before the as-of: wins and quotas are cut there, open deals are those that the caller
found open then, with what the heads said of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.asof import Requests, before
from features.columns import team_of
from features.nodes import ALL, COMPANY, NO_REP, NO_TEAM, REP, TEAM
from features.periods import DAY
from features.rates import standing
from features.record import Record
from features.reference import Events
from features.standings import called_at
from features.tables import NAT
from features.wins import Wins, wins_of
from models.arrivals import Arrivals, Window, arrivals_of, created_lately, past_arrivals
from models.base import Bool, Float, Int
from models.bookings import LEVELS, PATHS, TEAMLESS, Book, BookingsModel, Paths, Tree, simulate

RECENT = 400 * DAY  # a rep who won something in it is told, with nothing open any more, too
LATELY = 91 * DAY  # a rep who got a deal in it gets more


@dataclass(frozen=True)
class AsOf:
    """What a record tells as of an instant, whatever window is asked for.

    wins: those known. created: int64[m], when deals became known, increasing. tree; code: int64[reps], the record's rep
    code of each place, -1: unassigned; place: int64[codes + 1], the place of each code, the last for code -1. asked,
    rep: open deals and the places of who holds them. active: float64[reps], 1 who got a deal lately, else 0; where none
    did, deals to come are nobody's.
    """

    as_of: int
    record: Record
    wins: Wins
    created: Int
    tree: Tree
    code: Int
    place: Int
    asked: Requests
    rep: Int
    active: Float

    @property
    def deals(self) -> tuple[str, ...]:
        """Ids of the open deals, in the order asked."""
        ids = self.record.deal_ids.strings()
        return tuple(str(ids[deal]) for deal in self.asked.deal.tolist())


@dataclass(frozen=True)
class Node:
    """A row of a forecast; money in cents. quota, p_reach_quota: None where no quota is known.

    quantiles: cents at `models.bookings.LEVELS`, this node's own.
    """

    level: str
    name: str
    booked: int
    open_expected: int
    arrivals_expected: int
    quantiles: tuple[int, ...]
    mean: int
    quota: int | None
    p_reach_quota: float | None


def ground_of(record: Record, asked: Requests, as_of: int, wins: Wins | None = None) -> AsOf:
    """Read off a record what holds at an as-of. asked: the deals open then. wins: `wins_of(record)`, if at hand."""
    known = (wins_of(record) if wins is None else wins).before(as_of)
    owner = standing(record.view(asked)).owner if len(asked) else np.zeros(0, dtype=np.int64)
    lately = _lately(record, as_of)
    holders = _quota_holders(record, as_of)
    recent = known.rep[before(known.won_at, as_of - RECENT) :]
    codes = np.unique(np.concatenate([owner, recent, lately, holders, [-1]])).astype(np.int64)
    codes = np.append(codes[codes >= 0], -1)
    names = record.reference.vocabulary.values["rep"]
    place = np.full(len(names) + 1, len(codes) - 1, dtype=np.int64)
    place[codes[:-1]] = np.arange(len(codes) - 1)
    tree = _tree(record, codes, names)
    active = np.isin(codes, lately[lately >= 0])
    active[-1] = not active.any()
    at = np.sort(record.deals.known_at)
    created = at[: before(at, as_of)]
    return AsOf(as_of, record, known, created, tree, codes, place, asked, place[owner], active.astype(np.float64))


def _tree(record: Record, codes: Int, names: Sequence[str]) -> Tree:
    team = team_of(record.reference.vocabulary.rep_team, codes)
    teams = np.unique(team[team >= 0])
    at = np.where(team >= 0, np.searchsorted(teams, team), -1)
    ids = tuple(names[code] if code >= 0 else NO_REP for code in codes.tolist())
    return Tree(ids, tuple(record.reference.vocabulary.teams[k] for k in teams.tolist()), at.astype(np.int64))


def forecast(
    ground: AsOf,
    window: Window,
    p: Float,
    amount: Float,
    model: BookingsModel,
    seed: int,
    paths: int = PATHS,
    arrivals: Arrivals | None = None,
) -> Paths:
    """Simulate a window.

    p: float64[n], P(won in it) of each open deal as money counts it (`BookingsModel.tilted`). amount: float64[n],
    E[amount | won]. arrivals: those of the window, `arrivals_in` if not given.
    """
    book = Book(ground.deals, ground.rep, p, amount, model.ratios)
    coming = arrivals_in(ground, window) if arrivals is None else arrivals
    return simulate(book, coming, model.shocks, ground.tree, booked_in(ground, window), seed, paths)


def arrivals_in(ground: AsOf, window: Window) -> Arrivals:
    """Return what is to come in a window from deals that are not there yet."""
    past = past_arrivals(ground.wins, ground.created, ground.record.calendar, window)
    lately = created_lately(ground.created, ground.as_of)
    return arrivals_of(past, lately, ground.wins, ground.place, ground.active)


def booked_in(ground: AsOf, window: Window) -> Int:
    """Return the cents that each rep has won in a window so far, int64[reps]."""
    wins = ground.wins
    own = wins.take((wins.won_at >= window.start) & (wins.won_at < window.end))
    total = np.zeros(len(ground.code), dtype=np.int64)
    np.add.at(total, ground.place[own.rep], own.cents)
    return total


def quotas_in(ground: AsOf, window: Window) -> Int:
    """Return the quota of each rep for a window, known at the as-of, int64[reps]; -1 where none is.

    A manager's quota is the sum of what the reps carry and would count twice: left out are quotas of those who have
    never held a deal, and of a team's namesake (teams that the CRM does not name are called by their manager).
    """
    said = ground.record.reference.events["quotas"].before(ground.as_of).columns
    own = (said["timely"] == 1) & (said["known_at"] >= window.start) & (said["known_at"] < window.end)
    rep, cents = said["rep"][own], said["cents"][own]
    place = ground.place[rep]
    total = np.zeros(len(ground.code), dtype=np.int64)
    some = np.zeros(len(ground.code), dtype=bool)
    listed = ground.code[place] == rep
    np.add.at(total, place[listed], cents[listed])
    some[place[listed]] = True
    some &= ~_sums(ground.tree, some)
    return np.where(some, total, -1)


def calls_in(ground: AsOf, window: Window, calls: Events) -> Int:
    """Return what each rep has called of a window by the as-of, int64[reps] cents; NAT where nothing.

    calls: of one category, as `calls_of` reads them. Whose quota is a sum of others' calls such a sum too: left out.
    """
    said = called_at(calls, len(ground.record.reference.vocabulary.values["rep"]), window.start, ground.as_of)
    own = np.where(ground.code >= 0, said[ground.code], NAT)
    return np.where(_sums(ground.tree, own != NAT), NAT, own)


def _sums(tree: Tree, some: Bool) -> Bool:
    """Return which reps give their name to a team of which somebody else has a figure of his own, bool[reps]."""
    carrying = {tree.teams[team] for team in tree.team[some & (tree.team != TEAMLESS)].tolist()}
    return np.array([rep in carrying for rep in tree.reps], dtype=bool)


def _quota_holders(record: Record, as_of: int) -> Int:
    """Codes of reps that hold a quota of the running period and have ever held a deal: a manager's sum is no quota."""
    quotas = record.reference.events["quotas"].before(as_of).columns
    start, _ = record.calendar.bounds(np.array([as_of]))
    running = (quotas["timely"] == 1) & (quotas["known_at"] >= start[0])
    return np.intersect1d(quotas["rep"][running], record.reference.events["book"].before(as_of).columns["rep"])


def _lately(record: Record, as_of: int) -> Int:
    """Codes of reps that got a deal in the last 91 days."""
    book = record.reference.events["book"].before(as_of).columns
    lately = slice(before(book["known_at"], as_of - LATELY), None)
    return np.unique(book["rep"][lately][book["opened"][lately] > 0])


def nodes(paths: Paths, quotas: Int, scale: float = 1.0) -> list[Node]:
    """Return the rows of every level: the company first, then teams, then reps with anything to tell.

    quotas: int64[reps], -1 where none. scale: see `stretched`. Means and parts add up over the levels, quantiles don't.
    """
    total, tree = paths.total(), paths.tree
    told = [_node(paths, total, quotas, np.ones(len(tree.reps), dtype=bool), COMPANY, ALL, scale)]
    for k, name in enumerate(tree.teams):
        told.append(_node(paths, total, quotas, tree.team == k, TEAM, name, scale))
    if (tree.team < 0).any() and len(tree.teams):
        rest = _node(paths, total, quotas, tree.team < 0, TEAM, NO_TEAM, scale)
        told += [rest] if _told(rest) else []
    for k, name in enumerate(tree.reps):
        one = _node(paths, total, quotas, np.arange(len(tree.reps)) == k, REP, name, scale)
        told += [one] if _told(one) else []
    return told


def _told(node: Node) -> bool:
    return bool(node.booked or node.mean or node.quota is not None)


def _node(paths: Paths, total: Int, quotas: Int, mask: Bool, level: str, name: str, scale: float) -> Node:
    booked = int(paths.booked[mask].sum())
    told = stretched(total[mask].sum(axis=0), booked, scale)
    quota = int(quotas[mask & (quotas >= 0)].sum()) if (quotas[mask] >= 0).any() else None
    reach = float((told >= quota).mean()) if quota is not None else None
    levels = np.quantile(told, LEVELS, method="inverted_cdf").astype(np.int64)
    open_mean, arrivals = int(paths.open_mean[mask].sum()), int(paths.arrivals_mean[mask].sum())
    mean = booked + open_mean + arrivals
    return Node(level, name, booked, open_mean, arrivals, tuple(levels.tolist()), mean, quota, reach)


def stretched(total: Int, booked: int, scale: float) -> Int:
    """Return a node's paths, int64[paths], stretched about their median by the conformal scale, never below booked."""
    if scale == 1.0:
        return total
    middle = np.median(total)
    return np.maximum(np.rint(middle + scale * (total - middle)).astype(np.int64), booked)
