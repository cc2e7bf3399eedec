"""What one field says by itself: ranking, filling, values that go with one outcome only. Pure functions over arrays.

A unit is a deal (or a row of a flat set), so that units are independent of each other. Nothing here draws at random:
intervals are closed forms, folds deal the units out in turn, in the order (of time) in which they are given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.base import Bool, Float, Int

Z = 1.6448536269514722  # both ends hold with 95 % each
FOLDS = 5
PRIOR = 10.0  # units; weight of the overall rate in the rate of a category
DIGITS = 9  # of a rate; what differs by less is tied
BINS = 20  # of a number, so that one that tells by its middle is found too
OPAQUE = 0.5  # share of distinct words among the filled units above which they are ids
FEW = 50  # as many distinct words are categories, however few units there are
LEAST = 30  # units of each outcome; below, nothing is said


@dataclass(frozen=True)
class Column:
    """One field over n units: numbers float64[n] (NaN missing), or codes int64[n] into `words` (-1 missing).

    source: where it comes from. opaque: nearly every unit has a value of its own, so that only its filling can tell.
    """

    name: str
    source: str
    values: Float | Int
    words: tuple[str, ...] = ()
    opaque: bool = False

    @property
    def number(self) -> bool:
        """Whether the field is a number."""
        return self.values.dtype == np.float64

    @property
    def kind(self) -> str:
        """Return number, category or id."""
        return "id" if self.opaque else "number" if self.number else "category"

    def filled(self) -> Bool:
        """Return bool[n]: where there is a value."""
        held: Bool = ~np.isnan(self.values) if self.number else self.values >= 0
        return held

    def take(self, rows: Int | Bool) -> Column:
        """Return the same field over some of the units."""
        return Column(self.name, self.source, self.values[rows], self.words, self.opaque)


def categories(name: str, source: str, codes: Int, words: tuple[str, ...]) -> Column:
    """Return a column of words; opaque where most filled units have a word of their own, as ids have."""
    distinct, held = len(np.unique(codes[codes >= 0])), int(np.count_nonzero(codes >= 0))
    return Column(name, source, codes, words, opaque=distinct > FEW and distinct > OPAQUE * held)


@dataclass(frozen=True)
class Ranking:
    """AUC of a field alone with the ends of its interval, and the number of won and lost units that it is of."""

    auc: float
    low: float
    high: float
    won: int
    lost: int


@dataclass(frozen=True)
class Share:
    """count of units out of `of`."""

    count: int
    of: int

    @property
    def rate(self) -> float:
        """Return the share, NaN of none."""
        return self.count / self.of if self.of else float("nan")

    def bounds(self) -> tuple[float, float]:
        """Return the Wilson interval; (0, 1) of none."""
        return wilson(self.rate, self.of) if self.of else (0.0, 1.0)


def share(mask: Bool) -> Share:
    """Return how many of the units are marked."""
    return Share(int(np.count_nonzero(mask)), len(mask))


def wilson(rate: float, n: float) -> tuple[float, float]:
    """Return the Wilson score interval of a rate out of n > 0 (need not be whole)."""
    middle = (rate + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * float(np.sqrt(rate * (1 - rate) / n + Z * Z / (4 * n * n)))
    return max(0.0, middle - half), min(1.0, middle + half)


def ranking(y: Float, score: Float) -> Ranking | None:
    """Return the AUC of a score for y (1 won, 0 lost), ties half; None with fewer than LEAST of either.

    The interval is Wilson's, with as many units as give the variance of DeLong 1988; at least the smaller class, which
    is the bound of Birnbaum & Klose 1957 for any distribution: of a perfect field DeLong's own variance is 0.
    """
    won, lost = np.sort(score[y > 0]), np.sort(score[y <= 0])
    if min(len(won), len(lost)) < LEAST:
        return None
    above = (np.searchsorted(lost, won, "left") + np.searchsorted(lost, won, "right")) / (2 * len(lost))
    below = 1 - (np.searchsorted(won, lost, "left") + np.searchsorted(won, lost, "right")) / (2 * len(won))
    auc = float(above.mean())
    variance = float(above.var(ddof=1)) / len(won) + float(below.var(ddof=1)) / len(lost)
    least = min(len(won), len(lost))
    units = least if variance <= 0 else min(max(auc * (1 - auc) / variance, least), len(won) + len(lost))
    return Ranking(auc, *wilson(auc, units), len(won), len(lost))


def alone(column: Column, y: Float) -> Ranking | None:
    """Return what the field alone can do: the best-founded of its readings; None where there are too few units.

    Readings: the rates of its values (a missing one is a value) learnt on the other folds; the same over the
    filled units only; and, for a number, its rank, upwards or downwards, over the filled units.
    """
    if column.opaque:
        return None
    held = column.filled()
    found = [ranking(y, rates_elsewhere(binned(column), y))]
    if not held.all():
        some = column.take(held)
        found.append(ranking(y[held], rates_elsewhere(binned(some), y[held])))
    if column.number:
        values = np.asarray(column.values, dtype=np.float64)[held]
        found += [ranking(y[held], values), ranking(y[held], -values)]
    told = [each for each in found if each is not None]
    return max(told, key=lambda each: each.low, default=None)


def among_filled(column: Column, y: Float) -> Ranking | None:
    """Return what the values alone say where there is one: filling itself is left out."""
    held = column.filled()
    return alone(column.take(held), y[held])


def binned(column: Column) -> Int:
    """Return int64[n], 0 where missing: the field's category, or the bin of a number (at most BINS, equally filled)."""
    if not column.number:
        return np.asarray(column.values, dtype=np.int64) + 1
    values, held = np.asarray(column.values, dtype=np.float64), column.filled()
    if not held.any():
        return np.zeros(len(values), dtype=np.int64)
    edges = np.unique(np.quantile(values[held], np.arange(1, BINS) / BINS, method="lower"))
    return np.where(held, np.searchsorted(edges, values, side="left") + 1, 0).astype(np.int64)


def rates_elsewhere(code: Int, y: Float) -> Float:
    """Return float64[n]: the shrunken rate of each unit's code among the units of the other folds, less their mean.

    A code that no other fold holds says 0, so that a field with a value for each unit says nothing; so does a constant.
    """
    width = int(code.max(initial=0)) + 1
    fold = np.arange(len(code)) % FOLDS
    held, won = np.bincount(code, minlength=width), np.bincount(code, weights=y, minlength=width)
    out = np.zeros(len(code))
    for k in range(FOLDS):
        here = fold == k
        n = held - np.bincount(code[here], minlength=width)
        w = won - np.bincount(code[here], weights=y[here], minlength=width)
        mean = w.sum() / max(n.sum(), 1)
        out[here] = ((w + PRIOR * mean) / (n + PRIOR) - mean)[code[here]]
    return np.round(out, DIGITS)


def times_as_often(one: Share, other: Share) -> float:
    """Return how many times as often the more frequent of two things is seen, at least (lower end over upper end).

    0 where the more frequent one is too rare to be talked about (its lower end below 2 %), or units are too few.
    """
    more, less = (one, other) if one.rate >= other.rate else (other, one)
    if min(one.of, other.of) < LEAST:
        return 0.0
    low, high = more.bounds()[0], less.bounds()[1]
    return low / high if low >= 0.02 else 0.0


@dataclass(frozen=True)
class OneSided:
    """A value that goes with one outcome: held by `units` units, of which `exceptions` have the other outcome.

    base: share of that other outcome among the units without the value.
    """

    word: str
    units: int
    won: bool
    exceptions: int
    base: float

    @property
    def rarer(self) -> float:
        """Return how many times rarer than elsewhere the other outcome is, at least (upper end of its interval)."""
        return self.base / wilson(self.exceptions / self.units, self.units)[1]


def one_sided(column: Column, y: Float, least: float) -> list[OneSided]:
    """Return how each value that at least a share `least` of the units (and LEAST of them) hold goes with the outcome.

    Of a number, values that few units share count only as "not 0".
    """
    if column.opaque:
        return []
    n, most = len(y), max(LEAST, least * len(y))
    words, code = _words(column)
    held = np.bincount(code[code >= 0], minlength=len(words))
    found = [(word, code == i) for i, word in enumerate(words) if held[i] >= most]
    if column.number:
        other = column.filled() & (column.values != 0)
        if most <= np.count_nonzero(other) < n - most:
            found.append(("not 0", other))
    return [_one_sided(word, mask, y) for word, mask in found if np.count_nonzero(~mask) >= LEAST]


def _words(column: Column) -> tuple[tuple[str, ...], Int]:
    if not column.number:
        return column.words, np.asarray(column.values, dtype=np.int64)
    held = column.filled()
    distinct, place = np.unique(column.values[held], return_inverse=True)
    code = np.full(len(column.values), -1, dtype=np.int64)
    code[held] = place
    return tuple(f"{value:g}" for value in distinct), code


def _one_sided(word: str, mask: Bool, y: Float) -> OneSided:
    inside, outside = y[mask], y[~mask]
    won = bool(inside.mean() >= outside.mean())
    exceptions = int(np.count_nonzero(inside <= 0 if won else inside > 0))
    base = float(1 - outside.mean() if won else outside.mean())
    return OneSided(word, len(inside), won, exceptions, base)


def differs(one: Column, other: Column) -> Bool | None:
    """Return bool[n] where two fields differ, or None where they are no twins.

    Twins hold the same things: most of their words in common, or, as numbers, many distinct values; they agree on at
    least half of the units where both are filled. Words are compared, not codes.
    """
    if one.number != other.number or one.opaque or other.opaque:
        return None
    both = one.filled() & other.filled()
    if np.count_nonzero(both) < LEAST:
        return None
    if one.number:
        mine, its = one.values, other.values
    else:
        if len(set(one.words) & set(other.words)) < max(4, 0.6 * len({*one.words, *other.words})):
            return None
        places = {word: i for i, word in enumerate(one.words)}
        mine = one.values
        its = np.array([*(places.get(word, len(places)) for word in other.words), -1])[other.values]
    same = both & (mine == its)
    enough = len(np.unique(mine[same])) >= (BINS if one.number else 4)
    if 2 * np.count_nonzero(same) < np.count_nonzero(both) or not enough:
        return None
    apart: Bool = both & ~same
    return apart
