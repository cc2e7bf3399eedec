"""The cold-start ladder: what a company's closed deals can carry, and how wide the doubt is.

=====================================  ==========  ====================================================================
closed deals among the training rows   rung        model
=====================================  ==========  ====================================================================
fewer than 80, or 10 won or 10 lost    ``table``   stage x time left, shrunken towards a prior (`models.tables`)
80 to 399                              ``ridge``   the ridge logistic offset alone
400 and more                           ``trees``   trees on the offset, as many as inner folds can tell
=====================================  ==========  ====================================================================

A deal counts once it was closed before the cut and has a row whose label was told by then. A lead counts once it has
such a row: as converted, or as not converted though its window is over, since most are never closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from configs.subject import DEALS, Subject

TABLE_RUNG, RIDGE_RUNG, TREES_RUNG = RUNGS = ("table", "ridge", "trees")
RIDGE_FROM, TREES_FROM = 80, 400
FEWEST_OF_EACH = 10  # won and lost deals below which a ridge of many columns is a guess, however many closed
PRIOR_WINS = 3.0  # wins that the prior's level is worth: the company's own outweigh it from the fourth on
SHARE = 0.8  # of the interval


@dataclass(frozen=True)
class Doubt:
    """How far wins may lie from what the scores add up to: an 80 % interval as factors on the expected wins.

    basis: "wins" (how few wins the level rests on) or "inner periods" (how far they came out from what was expected).
    The luck of a single deal is not in it.
    """

    low: float
    high: float
    basis: str

    def text(self, words: Subject = DEALS) -> str:
        """Say it in a sentence."""
        why = (
            f"from the number of {words.wins} it was fitted on"
            if self.basis == "wins"
            else "from how the inner periods came out"
        )
        factors = f"{self.low:.2f} to {self.high:.2f} times"
        return f"{words.wins} may come out at {factors} what the scores add up to (80 %, {why})"


def rung_of(won: int, lost: int) -> str:
    """Return the rung that so many closed deals carry."""
    if won + lost < RIDGE_FROM or min(won, lost) < FEWEST_OF_EACH:
        return TABLE_RUNG
    return RIDGE_RUNG if won + lost < TREES_FROM else TREES_RUNG


def doubt_of(won: int, actual: Sequence[float], expected: Sequence[float]) -> Doubt:
    """Return the wider of two intervals.

    won: deals won in training; the level's posterior is a gamma of that many and the prior's wins. actual, expected:
    wins of each inner fold and what was expected of it out of time; two folds at least tell anything. Their log ratios
    are taken as draws around 0, with the t quantile of so few.
    """
    from scipy.stats import gamma, t

    shape = won + PRIOR_WINS
    tail = (1 - SHARE) / 2
    few = Doubt(float(gamma.ppf(tail, shape) / shape), float(gamma.ppf(1 - tail, shape) / shape), "wins")
    if len(actual) < 2:
        return few
    ratio = np.log(np.asarray(actual, dtype=np.float64) / np.asarray(expected, dtype=np.float64))
    width = float(t.ppf(1 - tail, len(ratio)) * np.sqrt(np.mean(ratio**2)))
    told = Doubt(float(np.exp(-width)), float(np.exp(width)), "inner periods")
    return told if told.high / told.low > few.high / few.low else few


def rung_text(rung: str, doubt: Doubt | None, words: Subject = DEALS) -> str:
    """Say in a sentence or two which rung a model stands on and how wide the doubt is."""
    said = {
        TABLE_RUNG: f"cold start: fewer than {RIDGE_FROM} {words.told} (or {FEWEST_OF_EACH} {words.won} and "
        f"{FEWEST_OF_EACH} {words.lost}), or no period to test on, so the model is a table of stage and time left that "
        "leans on a prior; no reason says more than that",
        RIDGE_RUNG: f"fewer than {TREES_FROM} {words.told}: the model is the ridge logistic alone",
        TREES_RUNG: f"at least {TREES_FROM} {words.told}: ridge logistic and trees, as far as later periods trust them",
    }[rung]
    return f"{said}. {doubt.text(words)}" if doubt is not None else said
