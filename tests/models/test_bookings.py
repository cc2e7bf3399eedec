"""Simulated windows: all levels agree to the cent, means and spreads are what theory says, luck goes by name."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.nodes import NO_TEAM
from models.arrivals import Arrivals
from models.base import Float, Int, sigmoid
from models.bookings import (
    BOOKINGS,
    LEVELS,
    Book,
    BookingsModel,
    Paths,
    Shocks,
    Tree,
    bookings_files,
    quantiles,
    read_bookings,
    simulate,
)
from models.quarter import Node, nodes, stretched

CALM = Shocks(0.0, 0.0, 0.0)
ROUGH = Shocks(0.3, 0.2, 0.25)
PATHS = 4_000
SIGMAS = 4.5  # standard errors that a figure may lie off: about one run in 100,000


def tree_of(*team: int) -> Tree:
    """Reps r0, r1, ... in teams by place (-1: none)."""
    teams = tuple(f"t{k}" for k in range(max(team, default=-1) + 1))
    return Tree(tuple(f"r{k}" for k in range(len(team))), teams, np.array(team, dtype=np.int64))


def book_of(seed: int, n: int, reps: int, p: float | None = None, ratios: Float | None = None) -> Book:
    """Deals d0, d1, ... of random reps, amounts of a few thousand; p: of all of them, random if not given."""
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.02, 0.9, n) if p is None else np.full(n, p)
    amount = np.round(rng.lognormal(9.0, 0.8, n), 2)
    ids = [f"d{k}" for k in range(n)]
    return Book(ids, rng.integers(0, reps, n), chance, amount, np.ones(0) if ratios is None else ratios)


def ratios_of(seed: int = 3) -> Float:
    """Amounts at the close beside what was expected of them, mean 1."""
    return quantiles(np.random.default_rng(seed).lognormal(0.0, 0.4, 500))


def none_of(reps: int) -> Arrivals:
    return Arrivals(np.zeros(reps), 0.0, np.zeros(0, dtype=np.int64))


def drawn(
    book: Book, tree: Tree, shocks: Shocks = CALM, seed: int = 1, paths: int = PATHS, arrivals: Arrivals | None = None
) -> Paths:
    coming = none_of(len(tree.reps)) if arrivals is None else arrivals
    return simulate(book, coming, shocks, tree, np.zeros(len(tree.reps), dtype=np.int64), seed, paths)


def taken(book: Book, rows: list[int] | Int) -> Book:
    """Some of the deals, in that order."""
    at = np.array(rows, dtype=np.int64)
    return replace(book, ids=[book.ids[k] for k in at], rep=book.rep[at], p=book.p[at], amount=book.amount[at])


def error_of_variance(values: Float) -> float:
    """Standard error of the sample variance."""
    centred = values - values.mean()
    return float(np.sqrt(max((centred**4).mean() - centred.var() ** 2, 0.0) / len(values)))


# --- levels ----------------------------------------------------------------------------------------------------------


@st.composite
def companies(draw: st.DrawFn) -> tuple[Paths, Int, float]:
    """(paths, quotas, scale) of a random company: reps without teams, deals that are sure or hopeless, no deals."""
    team = draw(st.lists(st.integers(-1, 2), min_size=1, max_size=6))
    used = sorted({k for k in team if k >= 0})
    tree = tree_of(*(used.index(k) if k >= 0 else -1 for k in team))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    book = book_of(int(rng.integers(1 << 30)), draw(st.integers(0, 12)), len(team), ratios=ratios_of())
    book = replace(book, p=np.where(rng.random(len(book)) < 0.2, rng.integers(0, 2, len(book)), book.p))
    rate = np.where(rng.random(len(team)) < 0.5, rng.uniform(0, 3, len(team)), 0.0)
    arrivals = Arrivals(rate, float(rng.choice([0.0, 0.3])), rng.integers(0, 10**6, 5))
    booked = np.where(rng.random(len(team)) < 0.5, rng.integers(0, 10**7, len(team)), 0)
    quotas = np.where(rng.random(len(team)) < 0.6, rng.integers(0, 10**7, len(team)), -1)
    shocks = draw(st.sampled_from([CALM, ROUGH]))
    paths = simulate(book, arrivals, shocks, tree, booked, int(rng.integers(1 << 30)), 150)
    return paths, quotas, draw(st.sampled_from([1.0, 0.8, 1.5]))


def by_level(listed: list[Node], level: str) -> dict[str, Node]:
    return {node.name: node for node in listed if node.level == level}


@given(companies())
def test_levels_add_up_to_the_cent(made: tuple[Paths, Int, float]) -> None:
    """Booked, open, to come, mean and quota: the company is its reps, and a team those who are in it."""
    paths, quotas, scale = made
    tree = paths.tree
    listed = nodes(paths, quotas, scale)
    (whole,) = by_level(listed, "company").values()
    reps, teams = by_level(listed, "rep"), by_level(listed, "team")
    for name in ("booked", "open_expected", "arrivals_expected", "mean"):
        assert getattr(whole, name) == sum(getattr(node, name) for node in reps.values()), name
        for k, team in enumerate(tree.teams):
            mine = [reps[rep] for rep, of in zip(tree.reps, tree.team, strict=True) if of == k and rep in reps]
            assert getattr(teams[team], name) == sum(getattr(node, name) for node in mine), (name, team)
        if tree.teams:
            assert getattr(whole, name) == sum(getattr(node, name) for node in teams.values()), name
    assert (whole.quota or 0) == sum(node.quota or 0 for node in reps.values())
    assert (whole.quota is None) == all(node.quota is None for node in reps.values())
    for node in listed:
        assert node.mean == node.booked + node.open_expected + node.arrivals_expected


@given(companies())
def test_every_level_is_the_same_paths(made: tuple[Paths, Int, float]) -> None:
    """Each node's quantiles and share of paths that reach quota, worked out path by path from the reps' cents."""
    paths, quotas, scale = made
    tree, listed = paths.tree, nodes(paths, quotas, scale)
    whole = {("company", "all"): list(range(len(tree.reps)))}
    teams = {("team", team): [r for r, of in enumerate(tree.team) if of == k] for k, team in enumerate(tree.teams)}
    reps = {("rep", rep): [r] for r, rep in enumerate(tree.reps)}
    groups = whole | teams | reps | {("team", NO_TEAM): [r for r, of in enumerate(tree.team) if of < 0]}
    for node in listed:
        mine = groups[node.level, node.name]
        sums = [
            sum(int(paths.booked[r] + paths.open[r, k] + paths.arrivals[r, k]) for r in mine)
            for k in range(paths.open.shape[1])
        ]
        assert min(sums) >= node.booked
        assert list(node.quantiles) == sorted(node.quantiles)
        assert node.quantiles[0] >= node.booked
        if scale == 1.0:
            assert min(sums) <= node.quantiles[0]
            assert node.quantiles[-1] <= max(sums)
            ranked = sorted(sums)
            assert node.quantiles == tuple(ranked[int(np.ceil(level * len(sums) - 1e-9)) - 1] for level in LEVELS)
            if node.quota is not None:
                assert node.p_reach_quota == sum(total >= node.quota for total in sums) / len(sums)
        assert (node.quota is None) == (node.p_reach_quota is None)


@pytest.mark.parametrize("scale", [0.8, 1.5])
def test_intervals_are_stretched_about_the_median_and_never_below_what_is_booked(scale: float) -> None:
    total = np.sort(np.random.default_rng(1).integers(1_000, 9_000, 1_001))
    told = stretched(total, 1_000, scale)
    free = stretched(total, 0, scale)
    assert np.median(told) == np.median(total)
    assert told.min() >= 1_000
    assert np.array_equal(told[told > 1_000], free[free > 1_000])
    assert free[900] - free[100] == pytest.approx(scale * (total[900] - total[100]), abs=1)


# --- one deal --------------------------------------------------------------------------------------------------------


def test_a_deal_is_won_as_often_as_it_is_said_to_be() -> None:
    for p in (0.01, 0.1, 0.35, 0.5, 0.8, 0.99):
        book = book_of(1, 20, 2, p)
        freq = np.mean([(drawn(taken(book, [k]), tree_of(0, 0)).open > 0).any(axis=0).mean() for k in range(20)])
        assert abs(freq - p) < SIGMAS * np.sqrt(p * (1 - p) / (20 * PATHS)), p


@pytest.mark.parametrize("tree", [tree_of(0), tree_of(-1)], ids=["team", "no team"])
def test_shocks_leave_the_mean_at_p(tree: Tree) -> None:
    """Within the probit approximation; a rep without a team shares less, and is not pushed away by more."""
    shocks = Shocks(0.2, 0.6, 0.2)
    seeds = range(15)
    for p in (0.05, 0.2, 0.5, 0.8):
        freq = []
        for seed in seeds:
            book = book_of(seed, 1, 1, p)
            freq.append((drawn(book, tree, shocks, seed, 10_000).open > 0).mean())
        error = float(np.std(freq) / np.sqrt(len(freq)))
        assert abs(float(np.mean(freq)) - p) < SIGMAS * error + 0.003, p


def test_a_sure_deal_is_sure_and_a_hopeless_one_never_comes() -> None:
    sure, hopeless = book_of(1, 300, 2, 1.0), book_of(1, 300, 2, 0.0)
    got = drawn(sure, tree_of(0, -1), ROUGH, paths=10_000).open.sum(axis=0)
    assert (got == np.rint(sure.amount * 100).sum()).all()
    assert not drawn(hopeless, tree_of(0, -1), ROUGH, paths=10_000).open.any()


def test_what_a_won_deal_brings_is_drawn_from_the_ratios() -> None:
    ratios = ratios_of()
    book = book_of(1, 1, 1, 0.6, ratios)
    cents = drawn(book, tree_of(0), ROUGH, paths=20_000).open[0]
    seen = cents[cents > 0] / (book.amount[0] * 100)
    told = quantiles(ratios)
    for level in (0.1, 0.5, 0.9):
        assert np.quantile(seen, level) == pytest.approx(np.quantile(told, level), rel=0.05)
    assert abs(seen.mean() - 1) < SIGMAS * seen.std() / np.sqrt(len(seen))
    assert quantiles(ratios).mean() == pytest.approx(1.0, abs=1e-12)


# --- sums ------------------------------------------------------------------------------------------------------------


def test_the_mean_of_the_paths_is_what_is_expected() -> None:
    tree = tree_of(0, 0, 1, -1)
    book = book_of(5, 60, 4, ratios=ratios_of())
    arrivals = Arrivals(np.array([2.0, 0.5, 0.0, 1.0]), 0.2, np.array([100_000, 250_000, 900_000]))
    paths = drawn(book, tree, paths=10_000, arrivals=arrivals)
    for part, mean in ((paths.open, paths.open_mean), (paths.arrivals, paths.arrivals_mean)):
        for rep in range(4):
            error = part[rep].std() / np.sqrt(part.shape[1])
            assert abs(part[rep].mean() - mean[rep]) <= SIGMAS * error + len(book), rep
    expected = book.p * book.amount * 100
    assert abs(paths.open_mean.sum() - expected.sum()) < 0.01 * expected.sum()


def test_the_variance_without_shocks_is_that_of_independent_deals() -> None:
    ratios = ratios_of()
    book = book_of(6, 80, 3, ratios=ratios)
    total = drawn(book, tree_of(0, 0, 1), paths=10_000).open.sum(axis=0).astype(np.float64)
    cents, second = book.amount * 100, (quantiles(ratios) ** 2).mean()
    expected = (book.p * second * cents**2 - (book.p * cents) ** 2).sum()
    assert abs(total.var() - expected) < SIGMAS * error_of_variance(total)


def test_the_variance_under_a_shock_is_within_and_between() -> None:
    """E[variance given z] + variance of E[sum given z], over the shock's distribution by quadrature."""
    shocks = Shocks(0.4, 0.0, 0.0)
    book = book_of(7, 120, 3, ratios=np.zeros(0))
    total = drawn(book, tree_of(0, 0, 1), shocks, paths=10_000).open.sum(axis=0).astype(np.float64)
    z, weight = np.polynomial.hermite_e.hermegauss(61)
    weight = weight / weight.sum()
    stretch = np.sqrt(1 + np.pi * 0.4**2 / 8) * np.log(book.p / (1 - book.p))
    p = sigmoid(stretch[:, None] + 0.4 * z)
    cents = book.amount[:, None] * 100
    within, mean = (cents**2 * p * (1 - p)).sum(axis=0), (cents * p).sum(axis=0)
    expected = (weight * within).sum() + (weight * mean**2).sum() - (weight * mean).sum() ** 2
    alone = float((cents[:, 0] ** 2 * book.p * (1 - book.p)).sum())
    assert expected > 1.5 * alone  # else the shock could not be told from none
    assert abs(total.var() - expected) < SIGMAS * error_of_variance(total)


def test_reps_of_a_team_share_its_luck_and_others_do_not() -> None:
    """Correlation of two reps' sums: with many deals it is that of the shocks."""
    tree = tree_of(0, 0, 1)
    book = replace(book_of(8, 600, 3, 0.3), amount=np.full(600, 100.0))
    together = np.corrcoef(drawn(book, tree, Shocks(0.0, 0.5, 0.0), paths=4_000).open)
    assert together[0, 1] > 0.8
    assert abs(together[0, 2]) < 0.1
    apart = np.corrcoef(drawn(book, tree, Shocks(0.0, 0.0, 0.5), paths=4_000).open)
    assert np.abs(apart[np.triu_indices(3, 1)]).max() < 0.1
    common = np.corrcoef(drawn(book, tree, Shocks(0.5, 0.0, 0.0), paths=4_000).open)
    assert common[np.triu_indices(3, 1)].min() > 0.8


# --- luck by name ----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits() -> None:
    book, tree = book_of(1, 30, 3, ratios=ratios_of()), tree_of(0, 1, -1)
    arrivals = Arrivals(np.array([1.0, 2.0, 0.0]), 0.2, np.array([5, 7]))
    once, again = (drawn(book, tree, ROUGH, 11, arrivals=arrivals) for _ in range(2))
    other = drawn(book, tree, ROUGH, 12, arrivals=arrivals)
    for name in ("open", "arrivals", "open_mean", "arrivals_mean"):
        assert getattr(once, name).tobytes() == getattr(again, name).tobytes()
    assert not np.array_equal(once.open, other.open)
    assert not np.array_equal(once.arrivals, other.arrivals)
    assert np.array_equal(once.open_mean, other.open_mean)


@pytest.mark.parametrize("gone", [0, 7, 29])
def test_without_a_deal_only_its_own_part_is_gone(gone: int) -> None:
    """On every path, whether it is left out or its chance is set to nothing."""
    book, tree = book_of(2, 30, 3, ratios=ratios_of()), tree_of(0, 1, -1)
    whole = drawn(book, tree, ROUGH).open
    rest = drawn(taken(book, [k for k in range(30) if k != gone]), tree, ROUGH).open
    alone = drawn(taken(book, [gone]), tree, ROUGH).open
    lost = drawn(replace(book, p=np.where(np.arange(30) == gone, 0.0, book.p)), tree, ROUGH).open
    assert alone.any()
    assert np.array_equal(whole - rest, alone)
    assert np.array_equal(lost, rest)


def test_a_higher_chance_loses_no_path() -> None:
    """And what a path brings where the deal was won already stays: the ratio is another matter."""
    book, tree = book_of(3, 25, 3, ratios=ratios_of()), tree_of(0, 1, -1)
    low = drawn(book, tree, ROUGH).open
    high = drawn(replace(book, p=np.minimum(book.p * 1.2, 1.0)), tree, ROUGH).open
    assert (high >= low).all()
    assert (high > low).any()


def test_the_order_of_the_deals_does_not_matter() -> None:
    book, tree = book_of(4, 40, 3, ratios=ratios_of()), tree_of(0, 1, -1)
    mixed = taken(book, np.random.default_rng(1).permutation(40))
    assert drawn(book, tree, ROUGH).open.tobytes() == drawn(mixed, tree, ROUGH).open.tobytes()


def test_a_rep_has_the_same_luck_in_any_company() -> None:
    """Other reps and teams, before or behind, change nothing for r0."""
    book = book_of(5, 40, 3)
    whole = drawn(book, tree_of(0, 1, -1), ROUGH).open[0]
    alone = drawn(taken(book, np.flatnonzero(book.rep == 0)), Tree(("r0",), ("t0",), np.array([0])), ROUGH).open[0]
    assert np.array_equal(whole, alone)


# --- the file --------------------------------------------------------------------------------------------------------

MODEL = BookingsModel(Shocks(0.1234567890123, 0.1, 1 / 3), ratios_of(), 7, 1.1, 42, -0.07, 9.3, 0.03)


@pytest.mark.parametrize("model", [MODEL, BookingsModel(CALM, np.zeros(0), 0)])
def test_what_is_written_is_read_to_the_bit(model: BookingsModel) -> None:
    again = read_bookings(bookings_files(model))
    assert (again.shocks, again.periods, again.scale, again.residuals, again.tilt, again.usual, again.late) == (
        model.shocks,
        model.periods,
        model.scale,
        model.residuals,
        model.tilt,
        model.usual,
        model.late,
    )
    assert again.ratios.tobytes() == model.ratios.tobytes()
    assert bookings_files(again) == bookings_files(model)


@pytest.mark.parametrize(
    "change",
    [
        {"shocks": ["0x1p-3", "0x1p-3"]},
        {"shocks": ["0x1p-3", "0x1p-3", "-0x1p-3"]},
        {"shocks": ["0x1p-3", "0x1p-3", "nan"]},
        {"shocks": None},
        {"ratios": ["0x1p+0", "inf"]},
        {"ratios": ["0x1p+0", "-0x1p+0"]},
        {"ratios": "0x1p+0"},
        {"scale": "nan"},
        {"scale": "-0x1p+0"},
        {"scale": "wide"},
        {"periods": -1},
        {"periods": "7"},
        {"periods": None},
        {"residuals": 1.5},
    ],
)
def test_a_file_that_holds_something_else_is_refused(change: dict[str, object]) -> None:
    told = json.loads(bookings_files(MODEL)[BOOKINGS])
    with pytest.raises((ValueError, TypeError)):
        read_bookings({BOOKINGS: json.dumps(told | change).encode()})


@pytest.mark.parametrize("name", ["shocks", "ratios", "scale", "periods", "residuals"])
def test_a_file_that_lacks_something_is_refused(name: str) -> None:
    told = json.loads(bookings_files(MODEL)[BOOKINGS])
    del told[name]
    with pytest.raises(KeyError, match=name):
        read_bookings({BOOKINGS: json.dumps(told).encode()})
