"""Gates: what a model must show before it may be promoted. Each is a value, a threshold and a verdict; all are kept.

========== =====================================================================================================
rule       passed where
========== =====================================================================================================
above      the value lies above the threshold
at_most    the value is at most the threshold
not_below  the value's interval reaches the threshold, so that it is not clearly below it; without one, the value
within     the value's interval touches [threshold, upper]; without one, the value lies within
reported   always: a figure to know, not a gate
========== =====================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from configs.learning import Gates, Range, SegmentGates
from models.base import Float, Int
from models.baselines import STAGE_TIME
from models.ladder import RUNGS, TABLE_RUNG
from training.backtest import CLOSE, Comparison
from training.clustered import Estimate, level, mean, slope
from training.evaluate import DealBootstrap, row_loss
from training.segments import Segment

EVEN = 1e-9  # log loss; a model that is the baseline itself is no worse than it
CONSTANT = "constant"
COLD = "cold start: nothing to judge on"
COLD_INSTEAD = "cold start: rungs below the live model"

Rule = Literal["above", "at_most", "not_below", "within", "reported"]


@dataclass(frozen=True)
class Verdict:
    """One gate. value, threshold, upper, low and high have the unit that `gate` tells; None: there is none.

    low, high: the value's interval. note: what a reader should know. segment: it is about a part of the deals only.
    """

    gate: str
    value: float | None
    threshold: float | None
    passed: bool
    rule: Rule = "above"
    upper: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""
    segment: bool = False

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Verdict:
        """Read a verdict of a report's JSON; raises KeyError or TypeError where it is none."""
        known = {key: told[key] for key in cls.__dataclass_fields__ if key in told}
        return cls(**{"gate": told["gate"], **known})

    @property
    def demand(self) -> str:
        """What the value must do, in words."""
        bound = "" if self.threshold is None else f"{self.threshold:g}"
        if self.rule == "within":
            return f"must lie within {bound} and {self.upper:g}"
        words = {"above": "must exceed", "at_most": "must be at most", "not_below": "must not be clearly below"}
        return f"{words[self.rule]} {bound}" if self.rule in words and bound else "reported, no gate"

    @property
    def word(self) -> str:
        """What came of it."""
        return "reported" if self.rule == "reported" else "passed" if self.passed else "FAILED"

    def line(self) -> str:
        """Return the verdict as a line of text."""
        value = "" if self.value is None else f": {self.value:+.4f}"
        interval = "" if self.low is None or self.high is None else f" [{self.low:+.4f}, {self.high:+.4f}]"
        demand = f", {self.demand}" if self.threshold is not None else ""
        return f"{self.word:8}  {self.gate}{value}{interval}{demand}" + (f" ({self.note})" if self.note else "")


def within(gate: str, found: Estimate, allowed: Range) -> Verdict:
    """Refuse a figure whose whole interval lies outside a range; one that can't be told never passes."""
    low, high = (found.value if np.isnan(edge) else edge for edge in (found.low, found.high))
    good = bool(low <= allowed.max and high >= allowed.min)
    return Verdict(gate, found.value, allowed.min, good, "within", allowed.max, found.low, found.high)


def not_below(gate: str, found: Estimate, threshold: float, confidence: float, note: str = "") -> Verdict:
    """Refuse a figure of which it is sure, at `confidence`, that it lies below the threshold."""
    reach = found.error * NormalDist().inv_cdf(confidence)
    low, high = found.value - reach, found.value + reach
    return Verdict(gate, found.value, threshold, bool(high >= threshold), "not_below", None, low, high, note)


def at_most(gate: str, value: float, threshold: float, note: str = "") -> Verdict:
    """Refuse a value above the threshold."""
    return Verdict(gate, value, threshold, bool(value <= threshold), "at_most", note=note)


def reported(gate: str, value: float | None, note: str = "") -> Verdict:
    """Keep a figure that is no gate."""
    return Verdict(gate, value, None, True, "reported", note=note)


def cold_start(why: str = "no period of the record can be tested") -> Verdict:
    """The verdict where the record has no period to test on: passed, and it says so."""
    return reported(COLD, None, f"{why}; the shrunken table is all that it supports")


def cold_instead(candidate: str, live: str) -> Verdict:
    """Refuse a candidate that nothing could test in the place of a live model on a higher rung; both: rungs."""
    steps = RUNGS.index(live) - RUNGS.index(candidate)
    note = f"the candidate, which nothing could test, stands on {candidate}, the live model on {live}"
    return at_most(COLD_INSTEAD, float(max(steps, 0)), 0.0, note)


def judge(
    gates: Gates,
    table: list[Comparison],
    y: Float,
    p: dict[str, Float],
    deal: Int,
    draws: int,
    seed: int,
    *,
    rung: str = "trees",
    segments: Sequence[Segment] = (),
    extra: Sequence[Verdict] = (),
) -> list[Verdict]:
    """Hold the close model's test rows against the gates of the config.

    rung: of the cold-start ladder; the table can't beat a baseline that is that table, so it must only be no worse
    than the constant. segments: see `training.segments`. extra: verdicts of others, kept as they are.
    """
    if rung == TABLE_RUNG:
        gain = mean(row_loss(y, p[CONSTANT]) - row_loss(y, p[CLOSE]) + EVEN, deal)
        gate = f"cold start: log loss gained over {CONSTANT}, nats a row"
        return [not_below(gate, gain, 0.0, max(gates.confidence, 0.5)), *extra]
    verdicts = _baselines(gates, table, y, p, deal, draws, seed)
    verdicts += [
        within("calibration slope", slope(y, p[CLOSE], deal), gates.calibration_slope),
        within("sum p / sum y", level(y, p[CLOSE], deal), gates.calibration_level),
    ]
    if gates.segments is not None:
        against = gates.beat.value if gates.beat.value in p else STAGE_TIME
        for segment in segments:
            verdicts += _segment(gates.segments, segment, y, p[CLOSE], p[against], against, deal)
    return [*verdicts, *extra]


def _baselines(
    gates: Gates, table: list[Comparison], y: Float, p: dict[str, Float], deal: Int, draws: int, seed: int
) -> list[Verdict]:
    """The gain over the baseline to beat, in value and in draws, and no other baseline clearly better."""
    beaten = next(row for row in table if row.name == gates.beat)
    if beaten.gain is None:
        raise ValueError("the gate can't compare the close model with itself")
    gain = beaten.gain.value
    verdicts = [
        Verdict(f"log loss gained over {gates.beat}, nats a row", gain, gates.min_gain, gain > gates.min_gain),
    ]
    if gates.confidence and draws:
        bootstrap = DealBootstrap.of(deal, draws, seed)
        extra = row_loss(y, p[gates.beat]) - row_loss(y, p[CLOSE]) - gates.min_gain
        # Log loss can be won by following a drift of the overall rate; a model worth promoting also ranks better.
        ranks = bootstrap.auc_gain(y, p[CLOSE], p[gates.beat])
        shares = {"that gain": bootstrap.mean(extra).above, "a higher AUC": ranks.above}
        verdicts += [
            Verdict(
                f"share of bootstrap draws with {what} over {gates.beat}",
                share,
                gates.confidence,
                share > gates.confidence,
            )
            for what, share in shares.items()
        ]
        for row in table:
            if row.gain is not None and row.name != gates.beat and not row.reference:
                # A model need not beat every baseline clearly, but none may be clearly better.
                even = row_loss(y, p[row.name]) - row_loss(y, p[CLOSE]) + EVEN
                gate = f"share of bootstrap draws no worse than {row.name}"
                share = bootstrap.mean(even).above
                verdicts.append(Verdict(gate, share, 1 - gates.confidence, share > 1 - gates.confidence))
    return verdicts


def _segment(
    gates: SegmentGates, segment: Segment, y: Float, p: Float, other: Float, against: str, deal: Int
) -> list[Verdict]:
    mask = segment.mask
    part, rows = deal[mask], y[mask]
    gain = mean(row_loss(rows, other[mask]) - row_loss(rows, p[mask]) + EVEN, part)
    both = (
        within(f"{segment.name}: sum p / sum y", level(rows, p[mask], part), gates.level),
        not_below(f"{segment.name}: log loss gained over {against}, nats a row", gain, 0.0, gates.confidence),
    )
    return [replace(verdict, segment=True) for verdict in both]


def passed(verdicts: Iterable[Verdict]) -> bool:
    """Whether every gate passed; a figure that is not a number never passes."""
    return all(
        verdict.rule == "reported" or (verdict.passed and verdict.value is not None and not np.isnan(verdict.value))
        for verdict in verdicts
    )


def verdict_table(verdicts: Iterable[Verdict]) -> str:
    """Return the gates as lines of text."""
    return "\n".join(verdict.line() for verdict in verdicts)
