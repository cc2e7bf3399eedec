"""What past periods teach: planted shocks are found, intervals hold what they promise, looks stand where they must."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from configs.vocab import Grid
from features.nodes import COMPANY, REP, TEAM
from features.periods import local_days
from features.wins import wins_of
from models.arrivals import Arrivals, Window
from models.base import Float, Int, sigmoid
from models.bookings import TEAMLESS, Book, BookingsModel, Shocks, Tree, quantiles, simulate
from tests.served import World as Served
from tests.worlds.world import config, world
from training.bookings_fit import (
    FEWEST_RATIOS,
    LOOK_WEEKS,
    PRIOR,
    USUAL,
    Looks,
    amount_ratios,
    booked_by,
    conformal_scale,
    expected_amounts,
    look_weeks,
    looks_at,
    shocks_of,
    with_scale,
    won_in,
)
from training.prepare import Prepared, prepare

CALM = Shocks(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Past:
    """A made-up company: reps in teams, and quarters whose deals share planted shocks."""

    reps: int = 12
    teams: int = 4
    deals: int = 20  # of a rep in a quarter

    @property
    def team(self) -> Int:
        """int64[reps]."""
        return np.arange(self.reps) % self.teams if self.teams else np.full(self.reps, TEAMLESS)

    def quarter(self, rng: np.random.Generator, shocks: Shocks) -> tuple[Int, Float, Float]:
        """(rep, p, y) of a quarter's open deals: y drawn as the model says, so that p is right on average."""
        rep = np.repeat(np.arange(self.reps), self.deals)
        p = rng.beta(1.2, 3.0, len(rep))
        z = rng.normal(0, shocks.period) + rng.normal(0, shocks.rep, self.reps)[rep]
        if self.teams:
            z = z + rng.normal(0, shocks.team, self.teams)[self.team[rep]]
        stretch = np.sqrt(1 + np.pi * (shocks.period**2 + shocks.team**2 + shocks.rep**2) / 8)
        chance = sigmoid(stretch * np.log(p / (1 - p)) + z)
        return rep, p, (rng.random(len(rep)) < chance).astype(np.float64)

    def looks(self, rng: np.random.Generator, shocks: Shocks, periods: int) -> Looks:
        """A look at every quarter, and a second one at the deals that were not won by then."""
        parts = []
        for period in range(periods):
            rep, p, y = self.quarter(rng, shocks)
            for week, keep in ((1, np.ones(len(rep), dtype=bool)), (7, rng.random(len(rep)) < 0.6)):
                n = int(keep.sum())
                same = [np.full(n, value) for value in (period, week, period * 100 + week)]
                parts.append((np.arange(n), *same, rep[keep], self.team[rep[keep]], p[keep], y[keep]))
        return Looks(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def seen_of(looks: Looks) -> tuple[float, float, float]:
    """Variance of the period, of the team beyond it, of the rep beyond both, before any is shrunken: pair by pair.

    Two deals' misses (y - p) have the mean p(1-p) p'(1-p') times the variance of what the two share.
    """
    above, below = np.zeros(3), np.zeros(3)  # pairs of a rep, of a team but not of a rep, of different teams
    for as_of in np.unique(looks.as_of):
        own = looks.take(looks.as_of == as_of)
        miss, chance = own.y - own.p, own.p * (1 - own.p)
        kind = np.where(own.rep[:, None] == own.rep, 0, np.where(own.team[:, None] == own.team, 1, 2))
        for k in range(3):
            pairs = kind == k
            # A deal with itself: its squared miss less what chance makes of it.
            itself = np.eye(len(miss)) * chance if k == 0 else 0.0
            above[k] += ((miss[:, None] * miss - itself) * pairs).sum()
            below[k] += (chance[:, None] * chance * pairs).sum()
    rep, team, period = above / below
    return period, team - period, rep - team


PLANTED = {
    "none": CALM,
    "small": Shocks(0.15, 0.0, 0.0),
    "period": Shocks(0.3, 0.0, 0.0),
    "team": Shocks(0.0, 0.3, 0.0),
    "rep": Shocks(0.0, 0.0, 0.3),
    "all": Shocks(0.3, 0.2, 0.25),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_shocks_are_found(name: str) -> None:
    """Pooled over 40 companies of 10 quarters, each variance within 4 standard errors and 15 % of all that is shared.

    The 15 % are what linearising the shock in log-odds costs. What is said of each company is the same, shrunken.
    """
    past, periods, planted = Past(), 10, PLANTED[name]
    counts = (periods, periods * (past.teams - 1), periods * (past.reps - past.teams))
    seen = []
    for seed in range(40):
        looks = past.looks(np.random.default_rng(seed), planted, periods)
        seen.append(seen_of(looks))
        told, n = shocks_of(looks)
        assert n == periods
        for got, found, count, weight, usual in zip(
            vars(told).values(), seen[-1], counts, PRIOR, vars(USUAL).values(), strict=True
        ):
            shrunken = max((count * found + weight * usual**2) / (count + weight), 0.0)
            assert got == pytest.approx(np.sqrt(shrunken), abs=1e-9)
    shared = float(planted.variance(np.ones(1, dtype=bool))[0])
    error = np.std(seen, axis=0) / np.sqrt(len(seen))
    off = np.abs(np.mean(seen, axis=0) - [planted.period**2, planted.team**2, planted.rep**2])
    assert (off < 4 * error + 0.15 * shared).all(), (off, error)
    assert error.max() < 0.013  # with more it could not be told


def test_without_teams_what_reps_share_is_beyond_the_company() -> None:
    """Else the period's shock would count twice, once as each rep's own."""
    past = Past(teams=0)
    found = [shocks_of(past.looks(np.random.default_rng(seed), Shocks(0.4, 0.0, 0.0), 10))[0] for seed in range(40)]
    assert np.mean([each.rep for each in found]) < 0.15
    assert np.mean([each.period for each in found]) > 0.3
    assert {each.team for each in found} == {USUAL.team}


def test_without_a_past_the_usual_is_said() -> None:
    nothing = Past().looks(np.random.default_rng(1), CALM, 1)
    assert shocks_of(nothing.take(np.zeros(len(nothing), dtype=bool))) == (USUAL, 0)
    one = shocks_of(Past(reps=1, teams=1).looks(np.random.default_rng(1), CALM, 8))[0]
    assert (one.team, one.rep) == (pytest.approx(USUAL.team), pytest.approx(USUAL.rep))  # nothing beyond the company


@pytest.mark.parametrize(("sd", "low", "high"), [(0.3, 0.70, 0.88), (0.0, 0.75, 0.88)])
def test_intervals_hold_what_they_promise(
    sd: float, low: float, high: float, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Shocks learnt from 8 quarters, then the next 4: how often the company's bookings lie in the 80 % interval."""
    past, inside, ratios = (
        Past(reps=8, teams=2, deals=18),
        [],
        quantiles(np.random.default_rng(1).lognormal(0, 0.5, 400)),
    )
    tree = Tree(tuple(f"r{k}" for k in range(8)), ("t0", "t1"), past.team)
    nothing = Arrivals(np.zeros(8), 0.0, np.zeros(0, dtype=np.int64))
    for seed in range(50):
        rng = np.random.default_rng([seed, 7])
        learnt, _ = shocks_of(past.looks(rng, Shocks(sd, 0.0, 0.0), 8))
        for quarter in range(4):
            rep, p, y = past.quarter(rng, Shocks(sd, 0.0, 0.0))
            amount = np.round(rng.lognormal(9, 0.7, len(rep)), 2)
            actual = (y * amount * rng.choice(ratios, len(rep)) * 100).sum()
            book = Book([f"{quarter}-{k}" for k in range(len(rep))], rep, p, amount, ratios)
            paths = simulate(book, nothing, learnt, tree, np.zeros(8, dtype=np.int64), seed, 400)
            p10, p90 = np.quantile(paths.total().sum(axis=0), (0.1, 0.9))
            inside.append(p10 <= actual <= p90)
    share = float(np.mean(inside))
    record_testsuite_property("coverage", f"shock {sd}: {share:.1%} of {len(inside)} quarters inside the 80 % interval")
    assert low <= share <= high


def test_the_scale_is_the_quantile_of_past_misses() -> None:
    """n = 9: the 8th, ceil(0.8 x 10); kept within its bounds."""
    misses = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1.2, 9.0]
    assert conformal_scale(misses) == 1.2
    assert conformal_scale([5.0] * 12) == 1.5
    assert conformal_scale([0.0] * 12) == 0.8
    assert conformal_scale([1.1]) == 1.1


# --- looks -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    light = "features.groups=[deal,clock]"
    return prepare(config(tmp_path_factory.mktemp("state"), light), world("W4", 1000, 30, 8).ingest)


def every_look(prepared: Prepared) -> Looks:
    n = len(prepared.examples)
    return looks_at(prepared, np.arange(n), np.linspace(0.1, 0.9, n))


def test_looks_are_all_deals_open_at_the_weeks_first_instant(dirty: Prepared) -> None:
    looks, examples = every_look(dirty), dirty.examples
    starts = dirty.calendar.starts
    assert set(looks.week.tolist()) == set(LOOK_WEEKS) == set(look_weeks(int(starts[1] - starts[0])))
    assert len(np.unique(looks.period)) > 5
    for as_of in np.unique(looks.as_of).tolist():
        own = looks.take(looks.as_of == as_of)
        assert own.row.tolist() == np.flatnonzero(examples.as_of == as_of).tolist()
        assert len(np.unique(own.week)) == 1
        earlier = (examples.as_of >= starts[own.period[0]] + 7 * 86_400_000_000 * (own.week[0] - 1)) & (
            examples.as_of < as_of
        )
        assert not earlier.any()
    pairs = np.unique(np.stack([looks.period, looks.week, looks.as_of]), axis=1)
    assert pairs.shape[1] == len(np.unique(pairs[:2], axis=1).T)
    assert np.array_equal(looks.y, dirty.told_y[looks.row])


def test_weeks_are_those_of_the_local_calendar(world: Served) -> None:
    """New York's clocks go forward in the first quarter, whose Mondays after that are an hour early."""
    prepared = world.prepared
    looks, calendar = every_look(prepared), prepared.calendar
    assert calendar.zone == "America/New_York"
    day = local_days(looks.as_of, calendar.zone)
    assert np.array_equal((day - calendar.days[looks.period]) // 7 + 1, looks.week)
    rows, period = prepared.examples.as_of, calendar.index(prepared.examples.as_of)
    monday = calendar.days[np.unique(period)] % 7 == 4  # 1970-01-01 was a Thursday
    assert monday.any()  # such a quarter is the one that a week of hours gets wrong
    for whole in np.unique(period)[1:-1].tolist():
        weeks = set(looks.week[looks.period == whole].tolist())
        assert weeks == set(LOOK_WEEKS), (whole, rows[period == whole].min())


def test_deals_looked_at_by_age_make_no_look(dirty: Prepared) -> None:
    """They are not looked at together, so nothing can be said of their sum."""
    snapshots = dirty.config.snapshots.model_copy(update={"grid": Grid.AGES, "ages": ("1d",)})
    aged = replace(dirty, config=dirty.config.model_copy(update={"snapshots": snapshots}))
    assert len(every_look(aged)) == 0
    assert len(every_look(dirty)) > 0


# --- amounts and scale -----------------------------------------------------------------------------------------------


def test_ratios_are_amounts_beside_what_was_expected_of_them(world: Served) -> None:
    """Once a deal, at its last look; their mean is 1, and nothing that was won after the cut tells."""
    prepared, amount = world.prepared, world.bundle.amount
    assert amount is not None
    looks = every_look(prepared)
    ratios = amount_ratios(prepared, looks, prepared.until, amount)
    assert ratios.mean() == pytest.approx(1.0)
    assert (ratios > 0).all()
    assert ratios.std() > 0.05
    early = int(np.median(prepared.examples.as_of))
    assert not np.array_equal(amount_ratios(prepared, looks, early, amount), ratios)
    assert len(amount_ratios(prepared, looks, int(prepared.examples.as_of.min()), amount)) == 0
    assert len(amount_ratios(prepared, looks, prepared.until, None)) == 0
    assert FEWEST_RATIOS > 1


def test_what_comes_after_a_cut_tells_nothing_about_ratios(world: Served) -> None:
    """Looks and rows after the cut, left in or out, give the same ratios."""
    prepared, amount = world.prepared, world.bundle.amount
    looks, cut = every_look(prepared), int(np.quantile(prepared.examples.as_of, 0.7))
    before = looks.take(looks.as_of < cut)
    assert len(before) < len(looks)
    left, right = (amount_ratios(prepared, each, cut, amount) for each in (looks, before))
    assert left.tobytes() == right.tobytes()


def test_few_misses_stretch_nothing_and_no_shape_beyond_the_bounds(world: Served) -> None:
    prepared, amount = world.prepared, world.bundle.amount
    assert amount is not None
    model = BookingsModel(USUAL, np.zeros(0), 3)
    looks = every_look(prepared)
    looks = replace(looks, p=np.clip(looks.y * 0.5 + 0.1, 0, 1))  # a head that knows a lot: intervals are too wide
    some = np.unique(looks.as_of)
    one = with_scale(prepared, looks.take(looks.as_of == some[6]), amount, model)
    assert one.scale == 1.0
    assert 0 < one.residuals <= len(prepared.record.reference.vocabulary.teams)
    trusted = 3 / 7
    many = with_scale(prepared, looks.take(np.isin(looks.as_of, some[6:12])), amount, model)
    assert many.residuals >= 12
    assert 0.8**trusted - 1e-9 <= many.scale <= 1.5**trusted + 1e-9
    assert many.scale != 1.0


def test_what_really_came_counts_who_joined_later_for_the_team(dirty: Prepared) -> None:
    record, starts = dirty.record, dirty.calendar.starts
    wins = wins_of(record)
    period = int(dirty.calendar.index(wins.won_at)[len(wins) // 2])
    window = Window(int(starts[period]), int(starts[period]), int(starts[period + 1]))
    won = won_in(wins, window)
    rows = [k for k, at in enumerate(wins.won_at.tolist()) if window.start <= at < window.end]
    assert len(won) == len(rows) > 3
    words = record.reference.vocabulary
    assert booked_by(record, won, COMPANY, 0) == sum(int(wins.cents[k]) for k in rows)
    for team in (-1, *range(len(words.teams))):
        mine = [k for k in rows if (int(words.rep_team[wins.rep[k]]) if wins.rep[k] >= 0 else -1) == team]
        assert booked_by(record, won, TEAM, team) == sum(int(wins.cents[k]) for k in mine)
    for rep in (-1, *range(len(words.values["rep"]))):
        assert booked_by(record, won, REP, rep) == sum(int(wins.cents[k]) for k in rows if wins.rep[k] == rep)


def test_expected_amounts_are_the_heads(world: Served) -> None:
    prepared, amount = world.prepared, world.bundle.amount
    assert amount is not None
    rows = np.array([5, 900, 40])
    each = [float(expected_amounts(prepared, np.array([row]), amount)[0]) for row in rows]
    assert expected_amounts(prepared, rows, amount).tolist() == each
    assert min(each) > 0


def test_a_fit_tells_what_it_learnt(world: Served, tmp_path: Path) -> None:
    """The live model of the small company: several periods, shocks, ratios and a scale."""
    learnt = world.bundle.bookings
    assert learnt is not None
    assert learnt.periods >= 1
    assert learnt.ratios.mean() == pytest.approx(1.0)
    assert 0.8 <= learnt.scale <= 1.5
    assert learnt.shocks != USUAL
