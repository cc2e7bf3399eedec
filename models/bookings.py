"""What a period will bring: booked + open + not yet created, simulated deal by deal and added up from the rep.

An open deal is won with its own probability, moved by shocks that it shares with all deals of the period, of the team
and of the rep: ``P(won | z) = sigmoid(k logit p + z)``, ``k = sqrt(1 + pi s^2 / 8)`` with s^2 the variance of z keeps
the mean at p (probit approximation; Duan and Miao's one-factor credit model is the precedent). What it brings is
E[amount | won] times a ratio drawn from how far amounts came out beside it. Deals that are not there yet come by
`models.arrivals`.

Paths are integer cents of each rep; a team and the company are sums of their reps on every path, so that all levels
agree to the cent. Quantiles are each node's own and do not add up; means do.

Every deal, rep and team draws from a stream named by its own id: to take one out, or to change its chance, changes
nothing else on any path, so that two scenarios differ by the scenario alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrivals import Arrivals
from models.base import Bool, Float, Int, clipped_logit, sigmoid
from models.exact import from_hex, to_hex
from models.reference_io import plain_json

BOOKINGS = "bookings.json"
SHOCKS = ("period", "team", "rep")
PATHS = 10_000
LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
"""Of the quantiles that a forecast keeps; P10, P50 and P90 are what is shown."""
RATIOS = 256  # quantiles of amount at the close / E[amount | won]: as many as the bits below say
RATIO_BITS = 8  # of the 32 that a deal draws a path; the others tell whether it is won
SURE = np.float32(2 ** (32 - RATIO_BITS))
CENTS = 100.0
AT_ONCE = 10_000  # deals whose quantiles are held together
PERIOD, TEAM, REP, DEAL, ARRIVALS = range(5)  # kinds of random streams
TEAMLESS = -1
TILT_DAYS, TILT_RANGE = 36.0, (3.0, 92.0)  # in the middle of a quarter's looks; from the first to the last


@dataclass(frozen=True)
class Shocks:
    """Standard deviations, in log-odds, of what the deals of a period, of a team in it and of a rep in it share."""

    period: float
    team: float
    rep: float

    def variance(self, in_team: Bool) -> Float:
        """Return the variance of all that a deal shares, float64[n]. in_team: bool[n], its rep has a team."""
        return self.period**2 + self.rep**2 + np.where(in_team, self.team**2, 0.0)


@dataclass(frozen=True)
class BookingsModel:
    """What past periods taught about how far bookings come out beside what was expected.

    ratios: float64[k], amounts at the close beside E[amount | won], mean 1; empty: 1. periods: past periods that the
    shocks were learnt from, before they were shrunken. scale: by how much intervals are stretched about the median
    (conformal; 1 where there was too little). residuals: teams x periods x looks behind it.
    tilt: what an amount e times the usual one adds to the log-odds of winning, beyond what the close head says; late:
    what it adds to that for each factor of e that the days ahead are more than `TILT_DAYS`; usual: log of that amount.
    """

    shocks: Shocks
    ratios: Float
    periods: int
    scale: float = 1.0
    residuals: int = 0
    tilt: float = 0.0
    usual: float = 0.0
    late: float = 0.0

    def tilted(self, p: Float, amount: Float, days: Float | float) -> Float:
        """Return P(won) of deals as money counts them, float64[n].

        amount: E[amount | won], 0 where none is told. days: within which they are to be won.
        """
        if not self.tilt and not self.late:
            return p
        size = np.where(amount > 0, np.log(np.where(amount > 0, amount, 1.0)) - self.usual, 0.0)
        tilted = sigmoid(clipped_logit(p) + (self.tilt + self.late * ahead(days)) * size)
        return np.where((p > 0) & (p < 1), tilted, p)


def ahead(days: Float | float) -> Float:
    """Return by how many factors of e so many days are more than `TILT_DAYS`, within `TILT_RANGE`."""
    return np.asarray(np.log(np.clip(days, *TILT_RANGE) / TILT_DAYS), dtype=np.float64)


@dataclass(frozen=True)
class Tree:
    """Who reports to whom: reps and teams by stable ids, team int64[reps] the place of each rep's team, -1: none.

    A team's node is the sum of its reps, the company's the sum of all reps, those without a team included.
    """

    reps: tuple[str, ...]
    teams: tuple[str, ...]
    team: Int


@dataclass(frozen=True)
class Book:
    """Open deals, n of them. ids name their random streams.

    rep: int64[n], places in the tree. p: float64[n], P(won within the window). amount: float64[n], E[amount | won] in
    currency. ratios: float64[k], amounts at the close beside E[amount | won], equally likely, mean 1.
    """

    ids: Sequence[str]
    rep: Int
    p: Float
    amount: Float
    ratios: Float

    def __len__(self) -> int:
        return len(self.p)


@dataclass(frozen=True)
class Paths:
    """Simulated cents. open, arrivals: int64[reps, paths]; booked: int64[reps], what is won already.

    open_mean, arrivals_mean: int64[reps], expected cents, worked out and not simulated, so that they add up exactly.
    """

    tree: Tree
    booked: Int
    open: Int
    arrivals: Int
    open_mean: Int
    arrivals_mean: Int

    def total(self) -> Int:
        """Return what each rep books in all, int64[reps, paths]."""
        return self.booked[:, None] + self.open + self.arrivals

    def mean(self) -> Int:
        """Return what each rep is expected to book in all, int64[reps]."""
        return self.booked + self.open_mean + self.arrivals_mean


def simulate(
    book: Book, arrivals: Arrivals, shocks: Shocks, tree: Tree, booked: Int, seed: int, paths: int = PATHS
) -> Paths:
    """Draw `paths` ways for a window to end. booked: int64[reps], cents won in it before the as-of.

    A deal with p = 0 brings nothing on any path, one with p = 1 is won on all.
    """
    variance = shocks.variance(tree.team[book.rep] != TEAMLESS)
    stretched = np.sqrt(1.0 + np.pi * variance / 8.0) * clipped_logit(book.p)
    odds_against = np.where(book.p < 1.0, np.exp(-stretched), 0.0).astype(np.float32)
    worth = _worth(book.amount, book.ratios)
    common = _normal(seed, PERIOD, "", paths) * shocks.period
    of_team = [common + shocks.team * _normal(seed, TEAM, team, paths) for team in tree.teams]
    won = np.zeros((len(tree.reps), paths), dtype=np.int64)
    luck, order = _Luck(seed, paths), np.argsort(book.rep, kind="stable")
    for rep, rows in _by_rep(book.rep[order], order, len(tree.reps)):
        team = int(tree.team[rep])
        shared = of_team[team] if team != TEAMLESS else common
        against = np.exp(-(shared + shocks.rep * _normal(seed, REP, tree.reps[rep], paths))).astype(np.float32)
        own = won[rep]
        for row in rows[book.p[rows] > 0].tolist():
            own += worth[row].take(luck.outcomes(book.ids[row], odds_against[row], against))
    return Paths(
        tree,
        booked,
        won,
        arrivals.draw([stream(seed, ARRIVALS, rep) for rep in tree.reps], stream(seed, ARRIVALS, ""), paths),
        _summed(_expected(book.p, worth), book.rep, len(tree.reps)),
        arrivals.expected(),
    )


class _Luck:
    """What becomes of one deal after another, in buffers that are used again: this is where the time goes."""

    def __init__(self, seed: int, paths: int) -> None:
        self._seed, self._paths = seed, paths
        self._bits = np.random.PCG64DXSM(seed)
        self._state = self._bits.state
        self._chance = np.empty(paths, dtype=np.int32)
        self._uniform, self._odds = (np.empty(paths, dtype=np.float32) for _ in range(2))

    def outcomes(self, name: str, odds_against: np.float32, against: NDArray[np.float32]) -> NDArray[np.uint32]:
        """Return the quantile of the ratio where a path wins, else one past the last; uint32[paths].

        A uniform u wins where u < 1 / (1 + odds against), that is where u (1 + odds against) < 1. The ratio has bits of
        its own: another chance changes whether a path is won, not what it then brings.
        """
        self._state["state"]["state"] = _key(self._seed, DEAL, name)  # a stream of its own, without making one
        self._bits.state = self._state
        bits = self._bits.random_raw((self._paths + 1) // 2).astype("<u8", copy=False).view("<u4")[: self._paths]
        np.right_shift(bits, RATIO_BITS, out=self._chance, casting="unsafe")
        self._uniform[:] = self._chance
        np.multiply(against, odds_against, out=self._odds)
        self._odds += np.float32(1.0)
        self._uniform *= self._odds
        ratio = bits & np.uint32(RATIOS - 1)
        np.copyto(ratio, np.uint32(RATIOS), where=self._uniform >= SURE)
        return ratio


def expected_cents(p: Float, amount: Float, ratios: Float) -> Int:
    """Return what each open deal adds to the expected cents of its rep, int64[n]; they add up to `Paths.open_mean`.

    p, amount, ratios: as in `Book`.
    """
    some = [slice(start, start + AT_ONCE) for start in range(0, len(p), AT_ONCE)]
    return np.concatenate([np.zeros(0, dtype=np.int64), *(_expected(p[k], _worth(amount[k], ratios)) for k in some)])


def _expected(p: Float, worth: Int) -> Int:
    cents: Int = np.rint(p * worth[:, :-1].mean(axis=1)).astype(np.int64)
    return cents


def _worth(amount: Float, ratios: Float) -> Int:
    """Return the cents that each deal brings at each quantile of the ratio, and 0 behind the last: int64[n, k + 1]."""
    cents = np.rint(amount[:, None] * CENTS * quantiles(ratios)).astype(np.int64)
    return np.concatenate([cents, np.zeros((len(amount), 1), dtype=np.int64)], axis=1)


def quantiles(ratios: Float) -> Float:
    """Return `RATIOS` ratios that stand for all of them, with mean 1; ones where there are none."""
    if not len(ratios):
        return np.ones(RATIOS)
    spread = np.quantile(ratios, (np.arange(RATIOS) + 0.5) / RATIOS)
    return np.asarray(spread / spread.mean(), dtype=np.float64)


def _by_rep(rep: Int, order: Int, reps: int) -> list[tuple[int, Int]]:
    edges = np.searchsorted(rep, np.arange(reps + 1))
    return [(k, order[edges[k] : edges[k + 1]]) for k in range(reps) if edges[k + 1] > edges[k]]


def _summed(cents: Int, rep: Int, reps: int) -> Int:
    total = np.zeros(reps, dtype=np.int64)
    np.add.at(total, rep, cents)
    return total


def stream(seed: int, kind: int, name: str) -> np.random.Generator:
    """Return the random stream of one thing, told by its kind and stable id; the same for any company around it."""
    return np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence(_key(seed, kind, name))))


def _key(seed: int, kind: int, name: str) -> int:
    """Return 128 bits that name a thing's stream."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{kind}/{name}".encode()).digest()[:16], "big")


def _normal(seed: int, kind: int, name: str, paths: int) -> Float:
    return stream(seed, kind, name).standard_normal(paths)


def bookings_files(model: BookingsModel) -> dict[str, bytes]:
    """Return the file of a bundle that holds the model."""
    told = {
        "shocks": [to_hex(getattr(model.shocks, name)) for name in SHOCKS],
        "ratios": to_hex(model.ratios),
        "scale": to_hex(model.scale),
        "tilt": to_hex(model.tilt),
        "late": to_hex(model.late),
        "usual": to_hex(model.usual),
        "periods": model.periods,
        "residuals": model.residuals,
    }
    return {BOOKINGS: plain_json(told)}


def read_bookings(files: Mapping[str, bytes]) -> BookingsModel:
    """Return the model that `bookings_files` wrote; raises KeyError, TypeError or ValueError where it holds none."""
    told = json.loads(files[BOOKINGS])
    sds = [float(from_hex(sd)) for sd in told["shocks"]]
    ratios, scale = np.asarray(from_hex(told["ratios"]), dtype=np.float64), float(from_hex(told["scale"]))
    tilt, usual = float(from_hex(told["tilt"])), float(from_hex(told["usual"]))
    late = float(from_hex(told["late"])) if "late" in told else 0.0  # earlier versions had none
    if len(sds) != len(SHOCKS) or not all(np.isfinite([*sds, scale, tilt, late, usual, *ratios])):
        raise ValueError(f"{BOOKINGS} holds no spreads")
    periods, residuals = told["periods"], told["residuals"]
    if min(*sds, scale, *ratios) < 0:
        raise ValueError(f"{BOOKINGS} holds spreads below 0")
    if type(periods) is not int or type(residuals) is not int or min(periods, residuals) < 0:
        raise ValueError(f"{BOOKINGS} does not say what it was learnt from")
    return BookingsModel(Shocks(*sds), ratios, periods, scale, residuals, tilt, usual, late)
