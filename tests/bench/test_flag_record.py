"""Flags beside what really came: losses of flagged cases on a real log, and lists that do not flicker."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from configs.flags import Flags
from configs.load import load_config
from features.asof import Requests
from features.periods import DAY
from features.sources.base import open_source
from models.base import Bool, Int
from models.flags import Scores
from tests.bench.measure import held, say
from tests.bench.planted import SEEDS, SETTINGS
from tests.worlds.world import config, world
from training.clustered import share
from training.cuts import fit_on, ground_at
from training.flag_record import Past, found_in, in_time, past_of
from training.labels import outcomes
from training.prepare import Prepared, prepare
from training.timing_fit import period_days, try_timing

pytestmark = [pytest.mark.timeout(3600)]

LOANS = Path(__file__).parents[2] / "configs" / "bpic2012.yaml"
TIMES = 2.0  # as often as unflagged cases of the same stage
TOLD_DAYS = 45  # after which 99 % of the cases are resolved
BACK = 28 * DAY  # within which a flag that went away and is back flickers
PLAIN = Flags(hold=1.0, keep=1.0)


@dataclass(frozen=True)
class Losses:
    """Of one flag: rows and cases, the share lost, and that of unflagged cases in the same stages."""

    rows: int
    cases: int
    lost: float
    low: float
    high: float
    usual: float

    @property
    def times(self) -> float:
        """How many times as often flagged cases were lost."""
        return self.lost / self.usual

    def text(self) -> str:
        """Return all of it; in odds a share has no end."""
        odds = self.lost / (1 - self.lost) / (self.usual / (1 - self.usual))
        return (
            f"{self.rows:,} looks at {self.cases:,} cases: {self.lost:.1%} [{self.low:.1%}, {self.high:.1%}] lost, "
            f"{self.usual:.1%} of unflagged ones in the same stages: {self.times:.2f} times (at most "
            f"{1 / self.usual:.2f} could be), {odds:.2f} times the odds"
        )


def losses(mask: Bool, unflagged: Bool, lost: Bool, stage: Int, deal: Int) -> Losses:
    """Set the flagged rows beside unflagged ones, stages weighted as among the flagged."""
    usual = np.mean([lost[unflagged & (stage == each)].mean() for each in stage[mask]])
    told = share(lost[mask].astype(np.float64), deal[mask])
    return Losses(int(mask.sum()), len(np.unique(deal[mask])), told.value, told.low, told.high, float(usual))


def test_flagged_loans_are_lost_more_often(third_party_data: Path, tmp_path: Path) -> None:
    """No model is asked: what facts alone raise, under the thresholds as they come and without a budget."""
    overrides = [f"source.path={third_party_data / 'bpic2012' / 'events.parquet'}", f"state_dir={tmp_path}"]
    loans = load_config(LOANS, overrides)
    prepared = prepare(loans, open_source(loans).read())
    rows = np.flatnonzero(prepared.examples.as_of + TOLD_DAYS * DAY <= prepared.until)
    past = in_time(prepared, Past(rows, Scores.unknown(len(rows), in_period=False)))
    raised, _ = found_in(prepared, past, Flags(share=1.0))
    asked = Requests(prepared.examples.deal[past.rows], prepared.examples.as_of[past.rows])
    found = outcomes(prepared.record, asked)
    lost = ~found.won & (found.closed_at > 0) & (found.closed_at < asked.as_of + TOLD_DAYS * DAY)
    stage = prepared.record.view(asked).of("history").last("stage")
    every = np.any(list(raised.values()), axis=0)
    say(f"        {len(rows):,} looks, {every.mean():.1%} of them flagged; lost within {TOLD_DAYS} days:")
    for code, mask in raised.items():
        if mask.any():
            say(f"        {code}: {losses(mask, ~every, lost, stage, asked.deal).text()}")
    whole = losses(every, ~every, lost, stage, asked.deal)
    held("flagged cases lost, times those of the same stage", whole.times, f"at least {TIMES}", whole.times >= TIMES)


def test_lists_do_not_flicker() -> None:
    """Of the deals that a flag named, how many went off the list and were back within four weeks, still open."""
    counts = {"as they come": np.zeros(2), "nothing held or kept": np.zeros(2)}
    for seed in range(int(os.environ.get(SEEDS, "3"))):
        prepared, past = _quarters(seed)
        for name, limits in zip(counts, (Flags(), PLAIN), strict=True):
            _, shown = found_in(prepared, past, limits)
            counts[name] += np.sum([flickers(prepared, past, mask) for mask in shown.values()], axis=0)
    rates = {name: back / named for name, (back, named) in counts.items()}
    for name, rate in rates.items():
        say(f"        {name}: {rate:.1%} of {counts[name][1]:,.0f} deals and flags")
    least = 0.85 * rates["nothing held or kept"]
    held(
        "share of flagged deals that flicker",
        rates["as they come"],
        f"below {least:.3f}",
        rates["as they come"] < least,
    )


def _quarters(seed: int) -> tuple[Prepared, Past]:
    """A planted world with what the inner folds of its last fit said, and the slip risk by an older head."""
    prepared = prepare(config(Path("unused"), *SETTINGS, "model.seeds=1"), world("W5", seed, 30).ingest)
    ground = ground_at(prepared, prepared.until)
    past = past_of(prepared, ground, fit_on(prepared, ground)[1])
    rows = prepared.examples.take(past.rows)
    timing, _ = try_timing(prepared, int(rows.as_of.min()))
    assert timing is not None
    due = rows.matrix.column("days_to_close_date") + 1.0
    told = timing.outlook(rows.matrix, past.scores.p, period_days(prepared, rows.as_of), due, 365)
    return prepared, replace(past, scores=replace(past.scores, slip_risk=told.slip_risk))


def flickers(prepared: Prepared, past: Past, shown: Bool) -> tuple[int, int]:
    """Return (deals that went off the list and came back, deals on the list)."""
    examples = prepared.examples
    deal, as_of = examples.deal[past.rows], examples.as_of[past.rows]
    grid, week = np.unique(as_of, return_inverse=True)
    back = 0
    named = np.unique(deal[shown])
    for each in named.tolist():
        looks = np.flatnonzero(deal == each)  # in order of time
        on = np.flatnonzero(shown[looks])
        gaps = ((a, b) for a, b in pairwise(on) if b - a > 1)
        whole = ((looks[a], looks[b]) for a, b in gaps if week[looks[b]] - week[looks[a]] == b - a)  # open throughout
        back += any(grid[week[b]] - grid[week[a]] <= BACK for a, b in whole)
    return back, len(named)
