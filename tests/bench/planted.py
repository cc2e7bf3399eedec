"""What the close model, its baselines and the oracle score on one planted world: one record a seed, kept as JSON lines.

Where FORECASTLE_BENCH_OUT names a folder, each record is appended to ``worlds.jsonl`` in it and a (world, seed) that is
there is not run again: so a long run can be looked at later and taken up after an interruption. Use a new folder for
new code. FORECASTLE_SEEDS: how many of the seeds 0-19 (default all).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.periods import DAY
from models.base import Float
from models.baselines import RIDGE, STAGE_TIME
from tests.bench.bookings import bookings
from tests.bench.observer import observed
from tests.worlds.world import World, config, world
from training import backtest, bookings_section
from training.backtest import CLOSE, compare, run_backtest
from training.evaluate import auc, calibration_bins, calibration_line, row_loss
from training.gates import judge, passed
from training.prepare import Prepared, prepare
from training.timing_fit import fit_timing

OUT, SEEDS = "FORECASTLE_BENCH_OUT", "FORECASTLE_SEEDS"
WINS, FOLDS = 30, 4  # a quarter: 1,752 deals in 16 quarters, the last four of which are tested
SETTINGS = (f"backtest.test_periods={FOLDS}", "backtest.ablations=[]", "model.seeds=3")
ORACLE, OBSERVER = "oracle", "observer"
MODELS = (CLOSE, "constant", STAGE_TIME, RIDGE, ORACLE)
OBSERVED = ("W1", "W2")  # worlds that the ideal observer knows how to read
BOOKED = ("W1", "W2", "W3", "W5")  # worlds in which every fact tells what it says
OUTLOOK_DAYS = 365
DRAWS = 2000

Record = dict[str, Any]
Statistic = Callable[[Sequence[Record]], float]


def seeds() -> range:
    """The seeds to run."""
    return range(int(os.environ.get(SEEDS, "20")))


def records(name: str, over: Sequence[int] | None = None, wins: int = WINS) -> list[Record]:
    """One record a seed of a world, measured or found on disk."""
    found = {(line["world"], line["seed"], line["wins"]): line for line in _kept()}
    out = []
    for seed in over if over is not None else seeds():
        key = (name, seed, wins)
        if key not in found:
            found[key] = measure(name, seed, wins=wins)
            _keep(found[key])
        out.append(found[key])
    return out


def measure(name: str, seed: int, *overrides: str, wins: int = WINS) -> Record:
    """Backtest one world; see the keys below."""
    made = world(name, seed, wins)
    with tempfile.TemporaryDirectory() as state:
        prepared = prepare(config(Path(state), *SETTINGS, *overrides), made.ingest)
        tested = run_backtest(prepared, tables={bookings_section.NAME: bookings_section.forecast_looks})
        booked = bookings(made, prepared, tested) if made.name in BOOKED else None
    return {
        "world": name,
        "seed": seed,
        "deals": made.ingest.tables.deals.n,
        "rows": len(tested.y),
        "won_rows": float(tested.y.sum()),
        "models": scored(made, tested),
        "promoted": promoted(prepared, tested),
        "rounds": [note.rounds for note in tested.notes],
        "close_date": close_dates(made, prepared, tested),
        "bookings": booked,
        "wins": wins,
    }


def scored(made: World, tested: backtest.Tested) -> dict[str, Record]:
    """Log loss, AUC, calibration of every model and of the oracle on the test rows."""
    truth = made.truth.p[made.truth.rows(tested.deal, tested.as_of)]
    every = {name: (tested.p | {ORACLE: truth})[name] for name in MODELS}
    if made.name in OBSERVED:
        every[OBSERVER] = observed(made, tested.deal, tested.as_of)
    return {name: _scores(tested.y, p) for name, p in every.items()}


def _scores(y: Float, p: Float) -> Record:
    return {
        "log_loss": float(row_loss(y, p).mean()),
        "auc": auc(y, p),
        "ratio": float(p.sum() / y.sum()),
        "slope": calibration_line(y, p)[0],
        "bins": calibration_bins(y, p),
    }


def promoted(prepared: Prepared, tested: backtest.Tested) -> bool:
    """Whether the gates would let the close model be promoted."""
    draws, seed = prepared.config.backtest.bootstrap, prepared.config.seed
    table = compare(tested, draws, seed)
    return passed(judge(prepared.config.gates, table, tested.y, tested.p, tested.deal, draws, seed))


def close_dates(made: World, prepared: Prepared, tested: backtest.Tested) -> Record:
    """How far close dates lie off, in days, on deals won later: the timing head's and the CRM's own.

    Rows of the first test quarter, since three more follow it in which those deals can be won.
    """
    first = tested.take(tested.fold == 0)
    at = made.truth.rows(first.deal, first.as_of)
    rows = prepared.examples.take(first.rows)
    due = rows.matrix.column("days_to_close_date")
    won = made.truth.won[at] & ~np.isnan(due)  # a deal without a date has no other answer to be held against
    end = (rows.label_end - rows.as_of) / DAY
    model = fit_timing(prepared, tested.folds[0].cut)
    told = model.outlook(rows.matrix, first.p[CLOSE], end, due + 1.0, OUTLOOK_DAYS)
    really = ((made.truth.closed_at[at] - first.as_of) / DAY)[won]
    theirs = np.maximum(due[won] + 0.5, 0.0)  # noon of that day; an overdue date can only mean today
    inside = (told.close_p10[won] <= really) & (really <= told.close_p90[won])
    return {
        "rows": int(won.sum()),
        "ours": float(np.abs(told.close_p50[won] - really).sum()),
        "theirs": float(np.abs(theirs - really).sum()),
        "inside": int(inside.sum()),
    }


# Pooled over seeds


@dataclass(frozen=True)
class Pooled:
    """A figure over all seeds, with its 95 % interval over draws of whole seeds."""

    value: float
    low: float
    high: float


def pooled(records_: Sequence[Record], statistic: Statistic) -> Pooled:
    """The statistic of all records, and of draws of as many with replacement."""
    rng = np.random.default_rng(0)
    n = len(records_)
    drawn = [statistic([records_[i] for i in rng.integers(0, n, n)]) for _ in range(DRAWS if n > 1 else 0)]
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn else (float("nan"), float("nan"))
    return Pooled(statistic(records_), float(low), float(high))


def loss(records_: Sequence[Record], model: str) -> float:
    """Log loss a row, over the rows of all seeds."""
    total = sum(one["models"][model]["log_loss"] * one["rows"] for one in records_)
    return float(total / sum(one["rows"] for one in records_))


def lower(than: str) -> Statistic:
    """By what share the close model's log loss lies below another model's."""
    return lambda some: 1.0 - loss(some, CLOSE) / loss(some, than)


def gap_closed(model: str, towards: str = ORACLE) -> Statistic:
    """How much of the way from the stage x time-left table to the oracle (or the observer) a model goes."""

    def share(some: Sequence[Record]) -> float:
        table = loss(some, STAGE_TIME)
        return (table - loss(some, model)) / (table - loss(some, towards))

    return share


def mean(key: str, model: str = CLOSE) -> Statistic:
    """Mean over seeds of a score."""
    return lambda some: float(np.mean([one["models"][model][key] for one in some]))


def auc_over(than: str) -> Statistic:
    """By how much the close model's AUC exceeds another's."""
    return lambda some: mean("auc")(some) - mean("auc", than)(some)


def ratio(some: Sequence[Record]) -> float:
    """Sum of p over sum of y, over all seeds."""
    won = sum(one["won_rows"] for one in some)
    return float(sum(one["models"][CLOSE]["ratio"] * one["won_rows"] for one in some) / won)


def ece(some: Sequence[Record]) -> float:
    """Calibration error over ten bins, each the same tenth of every seed's rows by its probability."""
    bins = np.array([one["models"][CLOSE]["bins"] for one in some])  # [seed, bin, (rows, said, came)]
    rows = bins[:, :, 0]
    off = (rows * (bins[:, :, 1] - bins[:, :, 2])).sum(axis=0)
    return float(np.abs(off).sum() / rows.sum())


def nearer(some: Sequence[Record]) -> float:
    """By what share our close dates lie nearer than the CRM's, on rows won later."""
    told = [one["close_date"] for one in some]
    return float(1.0 - sum(one["ours"] for one in told) / sum(one["theirs"] for one in told))


def covered(some: Sequence[Record]) -> float:
    """Share of the closes that lie within the 80 % window."""
    told = [one["close_date"] for one in some]
    return float(sum(one["inside"] for one in told) / sum(one["rows"] for one in told))


def _kept() -> Iterator[Record]:
    path = _path()
    if path is not None and path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.endswith("}"):  # a line that was cut off is run again
                yield json.loads(line)


def _keep(record: Record) -> None:
    path = _path()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        torn = path.exists() and not path.read_bytes().endswith(b"\n")  # a run was killed while it wrote
        with path.open("a", encoding="utf-8") as out:
            out.write("\n" * torn + json.dumps(record) + "\n")


def _path() -> Path | None:
    told = os.environ.get(OUT)
    return Path(told) / "worlds.jsonl" if told else None
