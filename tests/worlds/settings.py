"""The planted worlds' parameters, all in one place. FROZEN: see test_worlds.py, which holds a golden hash per world.

They were set by looking at the oracle, at the stage x time table and at outcome rates, never at a model of Forecastle.
Whoever changes a number here makes other worlds, and every figure measured on the old ones is void.

Rates are a day's log-odds or Poisson means on a working day; arrays go by [segment][stage][engagement][senior] where
they say so. Segments: transactional, standard, enterprise. Engagement: silent, cool, warm, hot, and in W5 gone.
"""

from __future__ import annotations

from dataclasses import dataclass

SEGMENTS = ("transactional", "standard", "enterprise")
STAGES = ("Qualify", "Discover", "Evaluate", "Propose", "Negotiate")
WON, LOST = "Closed Won", "Closed Lost"
SOURCES = ("event", "inbound", "outbound", "partner")
INDUSTRIES = ("finance", "health", "retail", "software")
SIZES = ("large", "mid", "small")
REGIONS = ("americas", "apac", "emea")
LEVELS = ("silent", "cool", "warm", "hot", "gone")
GONE = 4
CATEGORIES = ("pipeline", "best_case", "commit", "closed", "omitted")
STAGE_PROBABILITY = (0.05, 0.15, 0.35, 0.6, 0.8)
DEALS_PER_WIN = 3.65  # a company of 30 wins a quarter makes 1,752 deals in 16 quarters


@dataclass(frozen=True)
class Planted:
    """What a world is made of. Tuples over segments, stages or engagement levels as their comments say."""

    # Who and what a deal is.
    segment_share: tuple[float, ...] = (0.45, 0.35, 0.20)
    quality_sd: float = 0.3  # unseen
    skill_sd: float = 0.3  # of reps
    log_amount: tuple[float, ...] = (8.6, 9.7, 10.9)  # by segment
    log_amount_sd: float = 0.7
    source_effect: tuple[float, ...] = (-0.25, 0.3, -0.2, 0.2)
    industry_effect: tuple[float, ...] = (0.1, -0.15, -0.1, 0.15)
    senior_at_first: float = 0.15

    # Engagement, a level up or down a day.
    up: tuple[float, ...] = (-4.1, -4.0, -4.3)  # from silent, cool, warm
    down: tuple[float, ...] = (-3.8, -3.9, -3.7)  # from cool, warm, hot
    quality_on_engagement: float = 0.5
    first_level: tuple[float, ...] = (0.15, 0.40, 0.35, 0.10)
    senior_joins: tuple[float, ...] = (-6.8, -5.6, -4.9, -4.4)  # by level

    # Stages: forward a day, with a slope on level - 1.5.
    advance: tuple[float, ...] = (-3.3, -3.4, -3.6, -3.7)  # by stage
    advance_by_level: float = 0.4
    pace: tuple[float, ...] = (0.6, 0.0, -0.6)  # by segment
    skip_first: float = 0.2  # begin in the second stage

    # Won, from the two last stages.
    win: tuple[float, ...] = (-6.1, -5.1)  # Propose, Negotiate
    win_by_level: tuple[float, ...] = (-1.2, -0.4, 0.3, 0.75)
    win_by_senior: float = 0.6
    win_by_segment: tuple[float, ...] = (0.4, 0.0, -0.4)
    win_by_amount: float = -0.2  # per sd of the log amount within the segment
    hockey: tuple[float, ...] = (1.2, 2.0, 2.8)  # by segment: how much likelier on the last day of a quarter
    hockey_days: float = 10.0
    hockey_rep_sd: float = 0.4  # log; some reps close late, some steadily

    # Lost, from any stage.
    lose: tuple[float, ...] = (-5.1, -5.1, -5.1, -5.1, -5.0)
    lose_by_level: tuple[float, ...] = (0.7, 0.2, -0.3, -0.6)
    lose_by_senior: float = -0.3
    lose_by_quality: float = -0.5
    lose_by_skill: float = -0.4
    cleanup: float = 1.5  # likelier in a quarter's last week

    # What is recorded, a day.
    mail_in: tuple[float, ...] = (0.008, 0.06, 0.17, 0.32, 0.0)  # by level
    mail_out: tuple[float, ...] = (0.16, 0.18, 0.24, 0.30, 0.20)
    call_out: tuple[float, ...] = (0.06, 0.06, 0.07, 0.07, 0.08)
    answered: tuple[float, ...] = (0.06, 0.25, 0.42, 0.55, 0.0)  # share of the calls
    planned: tuple[float, ...] = (0.002, 0.015, 0.045, 0.09, 0.0)  # meetings agreed on
    held: tuple[float, ...] = (0.5, 0.75, 0.88, 0.95, 0.0)  # share of them
    content: tuple[float, ...] = (0.01, 0.04, 0.09, 0.13, 0.0)
    joins: tuple[float, ...] = (0.001, 0.008, 0.020, 0.030, 0.0)  # further people
    meetings_by_stage: tuple[float, ...] = (0.7, 1.0, 1.2, 1.2, 1.0)
    effort_sd: float = 0.35  # log, of reps
    weekend: float = 0.08  # of everything, beside a working day

    # What reps write down at their weekly look at a deal.
    expected_days: tuple[float, ...] = (45.0, 70.0, 100.0)  # from creation to the first close date; too early
    expected_sd: float = 0.45
    snap: float = 0.45  # to the last day of that quarter
    overdue_moved: float = 0.6
    push: tuple[float, ...] = (0.22, 0.14, 0.07, 0.04, 0.22)  # of dates in the next month
    pull_in: float = 0.05
    slipper: float = 0.22  # share of deals whose close date moves whatever happens
    slipper_push: float = 0.35
    category_updated: float = 0.4
    optimism_sd: float = 0.6
    amount_updated: float = 0.04
    amount_step: tuple[float, float] = (-0.02, 0.25)
    amount_at_close: tuple[float, float] = (-0.06, 0.18)

    # W0: nothing but chance, on the last day of each quarter: (won, lost).
    null: tuple[float, float] | None = None

    # W2: thresholds and interactions, each on something that the record shows.
    nonlinear: bool = False

    # W3: a market that all share: steps of `market_step` log-odds of winning, moving `market_moves` a week, and drift.
    market: int = 1  # number of levels
    market_step: float = 0.0
    market_moves: float = 0.0
    drift_win: float = 0.0  # log-odds a quarter
    drift_activity: float = 0.0  # log a quarter

    # W4: what is wrong with the CRM (shares).
    dirty: bool = False
    logs_late: float = 0.35  # of the activities
    bulk_reps: float = 0.25  # edit stages in bulk, on the month's last day
    rows_missing: float = 0.08
    creation_missing: float = 0.04
    reopened: float = 0.06  # of the lost deals
    owner_moves: float = 0.10  # of the deals
    zombies: float = 0.12  # of the lost deals: nobody writes down that they are lost

    # W5: buyers who go silent for good, and reps who call less than they expect.
    ghosting: float = -20.0  # log-odds a day
    lose_gone: float = 0.9  # beside the other levels: how soon reps write down that nobody answers any more
    under_callers: float = 0.0  # share of the reps
    strengths: tuple[float, ...] = (1.2, 1.35, 1.5)

    # W5P: buyers speak at a pace of their own, by segment and from deal to deal, however engaged they are.
    talk: tuple[float, ...] = (1.0, 1.0, 1.0)
    talk_sd: float = 0.0  # log

    # W6: what is overwritten once the outcome is known.
    bait: bool = False


@dataclass(frozen=True)
class Size:
    """How much of a world. wins: aimed at a quarter; the tables begin empty, so the first quarters hold fewer."""

    wins: int = 30
    quarters: int = 16
    first_year: int = 2020

    @property
    def deals(self) -> int:
        """Number of deals."""
        return round(self.wins * self.quarters * DEALS_PER_WIN)

    @property
    def reps(self) -> int:
        """Number of reps."""
        return max(20, 20 + round(0.2 * (self.wins - 30)))


_W1 = Planted()
WORLDS: dict[str, Planted] = {
    "W0": Planted(null=(0.19, 0.44)),
    "W1": _W1,
    "W2": Planted(nonlinear=True),
    "W3": Planted(market=3, market_step=0.3, market_moves=0.15, drift_win=-0.02, drift_activity=0.03),
    "W4": Planted(dirty=True),
    "W5": Planted(ghosting=-6.6, under_callers=0.10),
    "W5Z": Planted(ghosting=-6.6),
    "W5P": Planted(
        ghosting=-5.5,
        lose_gone=1.6,
        under_callers=0.10,
        talk=(2.5, 0.8, 0.2),
        talk_sd=0.5,
        first_level=(0.05, 0.45, 0.38, 0.12),
        down=(-5.3, -3.9, -3.7),
    ),
    "W6": _W1,
    "W6B": Planted(bait=True),
}
"""By name. W5Z: W5 without a single under-calling rep. W5P: W5 with quick and slow buyers, of whom fewer fall silent
without going; reps write a dead deal off sooner. W6 and W6B: twins, the second one with the bait."""
