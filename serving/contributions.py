"""What each deal adds to the running period's forecast, beside the forecast itself: the cents that a bridge sums.

A deal that did not change keeps, within a local day, the chance and worth that it was counted with, as its stored score
does: so what the forecast counts and what lists show are of one look, and a refresh changes what changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from configs.errors import BundleError, ConfigError
from configs.schema import Config
from features.asof import Requests
from features.nodes import REP, TEAM
from features.record import Record, build_record
from models.arrivals import Window
from models.base import Float, Int
from models.bookings import TEAMLESS, expected_cents
from models.bundle import Bundle, load
from models.quarter import AsOf
from models.store import PUBLISHED
from serving.batch import open_deals
from serving.called import called_in
from serving.deal_facts import deal_facts
from serving.fits import check_fits
from serving.forecast import (
    COLUMNS,
    Company,
    bookings_of,
    company_at,
    company_of,
    heads_at,
    outcome,
    outcome_rows,
    windows_of,
)
from serving.forecast import Asked as Windows
from serving.refresh import Sourced
from serving.store.called import Called
from serving.store.states import OPEN, WON, Key, State

TOLD = ("p", "stage", "close_date", "category", "amount_cents", "created_at")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Counted:
    """An open deal as a forecast counted it. p: P(won in the period) as money counts it. worth: E[amount | won]."""

    p: float
    worth: float


@dataclass(frozen=True)
class Share:
    """What a forecast counts for one deal: expected of an open one (slot 0), or booked by a win of the period (1, ...).

    cents: of the mean. model_cents: of these by a change of the model since the refresh before; None where the model of
    that time could not be asked. owner_id, team: None where nobody's. counted: None for a win.
    """

    deal_id: str
    slot: int
    state: str
    cents: int
    model_cents: int | None
    owner_id: str | None
    team: str | None
    counted: Counted | None


@dataclass(frozen=True)
class Running:
    """The forecast of the running period: rows of ``forecasts``, shares whose cents add up to its means, and calls."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    calls: list[Called] = field(default_factory=list)


def running_period(
    config: Config, seen: Sourced, bundle: Bundle, as_of: int, kept: Mapping[str, Counted], before: str | None
) -> Running:
    """Forecast the running period by what the source tells.

    kept: open deals that count as they did. before: the bundle that the refresh before counted by, where that was in
    the same period and is another one. Raises UsageError where the model has no forecast to give.
    """
    learnt, zone = bookings_of(bundle), config.time_zone
    (window,) = windows_of(config, bundle, as_of, Windows())
    company = _company(seen, bundle, as_of, kept)
    found = outcome(company, window, learnt, config.seed, Windows().scenario)
    teams = _teams(company.ground)
    about = {"as_of": as_of, "bundle_sha256": bundle.sha, "model_version": bundle.version}
    rows = [dict(zip(COLUMNS, row, strict=False)) | about for row in outcome_rows(found, as_of, None, bundle, zone)]
    rows = [row | {"team": teams.get((str(row["level"]), str(row["node"])))} for row in rows]
    p = company.chance(window)
    cents = expected_cents(p, company.amount, learnt.ratios)
    by_model = _by_model(
        config, seen, bundle, as_of, before, dict(zip(company.ground.deals, cents.tolist(), strict=True))
    )
    shares = [*_open(company, p, cents, by_model), *_won(company.ground, window)]
    return Running(rows, shares, called_in(seen.tables.calls, company.ground, window))


def _company(seen: Sourced, bundle: Bundle, as_of: int, kept: Mapping[str, Counted]) -> Company:
    """Return the open deals of an as-of; the heads are asked only of those that are not kept."""
    asked = open_deals(seen.record, as_of)
    ids = seen.record.deal_ids.take(asked.deal).strings()
    stays = np.array([name in kept for name in ids], dtype=bool)
    old = [kept[str(name)] for name in ids if name in kept]
    amount = _joined(stays, [one.worth for one in old])
    p = _joined(stays, [one.p for one in old])
    fresh = asked.take(~stays)
    if not len(fresh):
        return company_of(seen, asked, as_of, amount, lambda _: p)
    worth, chance = heads_at(seen, bundle, fresh, as_of)
    amount[~stays] = worth

    def both(window: Window) -> Float:
        told = p.copy()
        told[~stays] = chance(window)
        return told

    return company_of(seen, asked, as_of, amount, both)


def _joined(stays: np.ndarray, values: Sequence[float]) -> Float:
    out = np.zeros(len(stays))
    out[stays] = values
    return out


def _by_model(
    config: Config, seen: Sourced, bundle: Bundle, as_of: int, before: str | None, cents: Mapping[str, int]
) -> Mapping[str, int | None]:
    """Return by how many cents another model than before moved each deal; None for all where the old one is no help.

    The old model is asked of what is known now. To ask the new one of what was known then would have it look at days
    that it was trained on.
    """
    if before is None or before == bundle.sha:
        return dict.fromkeys(cents, 0)
    try:
        old = load(config.state_dir / PUBLISHED / before)
        check_fits(old, config)
        (window,) = windows_of(config, old, as_of, Windows())
        company = company_at(_as_seen_by(old, bundle, seen), old, as_of)
        then = expected_cents(company.chance(window), company.amount, bookings_of(old).ratios)
    except (BundleError, ConfigError):
        return dict.fromkeys(cents)
    told = dict(zip(company.ground.deals, then.tolist(), strict=True))
    return {name: now - told[name] if name in told else None for name, now in cents.items()}


def _as_seen_by(old: Bundle, bundle: Bundle, seen: Sourced) -> Sourced:
    """Return the source as another model sees it."""
    if (old.about.schema, old.about.stages) == (bundle.about.schema, bundle.about.stages):
        return seen
    return replace(seen, record=build_record(seen.tables, old.about.stages, old.calendar, old.about.schema))


def _open(company: Company, p: Float, cents: Int, by_model: Mapping[str, int | None]) -> list[Share]:
    ground = company.ground
    columns = (ground.rep.tolist(), cents.tolist(), p.tolist(), company.amount.tolist())
    return [
        Share(name, 0, OPEN, own, by_model[name], *_holder(ground, place), Counted(chance, worth))
        for name, place, own, chance, worth in zip(ground.deals, *columns, strict=True)
    ]


def _won(ground: AsOf, window: Window) -> list[Share]:
    """Return a share for each win of the window, in order of time; a deal may be won, opened again and won again."""
    wins = ground.wins
    own = wins.take((wins.won_at >= window.start) & (wins.won_at < window.end))
    ids = ground.record.deal_ids.strings()
    slots: dict[int, int] = {}
    shares = []
    for deal, rep, cents in zip(own.deal.tolist(), own.rep.tolist(), own.cents.tolist(), strict=True):
        slots[deal] = slots.get(deal, 0) + 1
        holder = _holder(ground, int(ground.place[rep]))
        shares.append(Share(str(ids[deal]), slots[deal], WON, cents, 0, *holder, None))
    return shares


def _holder(ground: AsOf, place: int) -> tuple[str | None, str | None]:
    """Return owner_id and team of a place in the tree, None where it is nobody's."""
    rep, team = ground.tree.reps[place], int(ground.tree.team[place])
    return (None if ground.code[place] < 0 else rep), (None if team == TEAMLESS else ground.tree.teams[team])


def _teams(ground: AsOf) -> dict[tuple[str, str], str | None]:
    """Return by level and node the team whose keys may see it; nodes that are left out are for keys of everyone."""
    tree = ground.tree
    reps = {(REP, rep): tree.teams[team] for rep, team in zip(tree.reps, tree.team.tolist(), strict=True) if team >= 0}
    return {(TEAM, team): team for team in tree.teams} | reps


def states_of(
    scored: Sequence[str],
    facts: Mapping[str, Mapping[str, Any]],
    shares: Sequence[Share],
    record: Record,
    as_of: int,
    sha: str,
) -> dict[Key, State]:
    """Return how every deal stands that has a stored score, or that the forecast counts.

    facts: columns of ``scores`` by deal, of those that are stored; the others are read off the record.
    """
    counted = {(one.deal_id, one.slot): one for one in shares}
    keys = dict.fromkeys([*counted, *((name, 0) for name in scored)])
    place = {name: k for k, name in enumerate(record.deal_ids.strings())}
    rest = [name for name, slot in keys if slot == 0 and name not in facts and name in place]
    at = np.array([place[name] for name in rest], dtype=np.int64)
    told = deal_facts(record, Requests(at, np.full(len(at), as_of, dtype=np.int64))) if rest else []
    known = {**facts, **dict(zip(rest, told, strict=True))}
    return {key: _state(key, counted.get(key), known.get(key[0], {}), sha) for key in keys}


def _state(key: Key, share: Share | None, facts: Mapping[str, Any], sha: str) -> State:
    """Return how a deal stands by what the forecast counts for it (None: nothing) and what is known of it."""
    if share is None:
        share = Share(*key, OPEN, 0, 0, facts.get("owner_id"), facts.get("team"), None)
    p, worth = (None, None) if share.counted is None else (share.counted.p, share.counted.worth)
    return State(
        deal_id=share.deal_id,
        slot=share.slot,
        state=share.state,
        cents=share.cents,
        p_money=p,
        worth=worth,
        owner_id=share.owner_id,
        team=share.team,
        bundle_sha256=sha,
        **{name: facts.get(name) if share.slot == 0 else None for name in TOLD},
    )
