"""Who there is: deals with what never changes about them, and reps with their skill and habits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.worlds.calendar import Days, Float, Int
from tests.worlds.settings import INDUSTRIES, SEGMENTS, SOURCES, Planted, Size

Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Reps:
    """float64[r] each. strength: what actual bookings are to the call on average, 1.0 for an honest rep."""

    skill: Float
    hockey: Float  # log
    effort: Float  # log
    optimism: Float
    strength: Float
    bulk: Bool  # W4: edits stages in bulk

    def __len__(self) -> int:
        return len(self.skill)


@dataclass(frozen=True)
class Deals:
    """Arrays of length n, by deal, ordered by creation. day: of creation; amount_z: sds within the segment."""

    day: Int
    second: Int
    segment: Int
    source: Int
    industry: Int
    account: Int
    rep: Int
    quality: Float
    amount_z: Float
    amount: Float  # at creation
    level: Int
    stage: Int
    senior: Int
    slipper: Bool
    review: Int  # weekday
    talk: Float  # how much the buyer says, beside others of the same engagement

    def __len__(self) -> int:
        return len(self.day)


def reps_of(planted: Planted, size: Size, rng: np.random.Generator) -> Reps:
    """Draw the reps. The same number of draws is made in every world, so that worlds share their companies."""
    n = size.reps
    skill, hockey, effort, optimism = rng.normal(size=(4, n))
    order, bulk = rng.permutation(n), rng.random(n)
    strength = np.ones(n)
    under = order[: round(planted.under_callers * n)]
    strength[under] = [planted.strengths[i % len(planted.strengths)] for i in range(len(under))]
    return Reps(
        planted.skill_sd * skill,
        planted.hockey_rep_sd * hockey,
        planted.effort_sd * effort,
        planted.optimism_sd * optimism,
        strength,
        bulk < (planted.bulk_reps if planted.dirty else 0.0),
    )


def deals_of(planted: Planted, size: Size, days: Days, rng: np.random.Generator) -> Deals:
    """Draw the deals: they arrive evenly on working days, the last one on the last day of the world."""
    n = size.deals
    working = np.flatnonzero(days.weekday < 5)
    day = np.sort(rng.choice(working, size=n))
    day[-1] = days.count - 1  # so that the record of every world ends on the same day
    segment = rng.choice(len(SEGMENTS), size=n, p=planted.segment_share)
    accounts = max(round(0.6 * n), 1)
    account = rng.integers(0, accounts, n)
    z = rng.normal(size=n)
    log_amount = np.array(planted.log_amount)[segment] + planted.log_amount_sd * z
    return Deals(
        day=day.astype(np.int64),
        second=rng.integers(7 * 3600, 18 * 3600, n),
        segment=segment,
        source=rng.choice(len(SOURCES), size=n),
        industry=rng.integers(0, len(INDUSTRIES), accounts)[account],
        account=account,
        rep=rng.integers(0, size.reps, n),
        quality=planted.quality_sd * rng.normal(size=n),
        amount_z=z,
        amount=np.round(np.exp(log_amount), 2),
        level=rng.choice(len(planted.first_level), size=n, p=planted.first_level),
        stage=(rng.random(n) < planted.skip_first).astype(np.int64),
        senior=(rng.random(n) < planted.senior_at_first).astype(np.int64),
        slipper=rng.random(n) < planted.slipper,
        review=rng.integers(0, 5, n),
        talk=np.array(planted.talk)[segment] * np.exp(planted.talk_sd * rng.normal(size=n)),
    )
