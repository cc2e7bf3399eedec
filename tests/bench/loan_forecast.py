"""BPI Challenge 2012: what will be approved within 28 days, forecast on Mondays from what was known then.

Open cases: P(approved within 28 days) x the amount asked for, fitted on rows whose 28 days had ended. Cases not yet
begun: `models.arrivals` with weeks for periods, since the log is 5.5 months long, and with the cases begun in the last
28 days for volume. Which of the two plain models speaks on a Monday is decided by what each had said on earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np

from configs.load import load_config
from features.asof import Requests
from features.periods import DAY, Calendar, fiscal_calendar
from features.sources.base import open_source
from features.told import told_at
from features.wins import Wins, wins_of
from models.arrivals import Arrivals, Window, arrivals_of, created_lately, past_arrivals
from models.base import Float, Int
from models.bookings import LEVELS, Book, Paths, Tree, simulate
from models.linear import fit_linear
from models.tables import fit_stage_time
from training.bookings_fit import Looks, shocks_of
from training.bookings_scores import Forecasts
from training.evaluate import row_loss
from training.prepare import Prepared, prepare, trainable

CONFIG = Path(__file__).parents[2] / "configs" / "bpic2012.yaml"
DAYS = 28
SPAN = DAYS * DAY
WEEKS = DAYS // 7
FITS = {"ridge": fit_linear, "table": fit_stage_time}
"""The first speaks while neither can be judged."""
TREE = Tree(("all",), (), np.array([-1]))
SEED, PATHS = 7, 10_000


@dataclass(frozen=True)
class Loans:
    """The log, prepared. mondays: the weeks, for a calendar. wins: approvals, all of them held by one rep.

    created: int64[m], when cases began, increasing. end: of the log, UTC microseconds.
    """

    prepared: Prepared
    mondays: Calendar
    wins: Wins
    created: Int
    end: int


@dataclass(frozen=True)
class Said:
    """What was said on a Monday. p: each model's chances of its rows. chosen: the model that spoke."""

    as_of: int
    rows: Int
    p: dict[str, Float]
    chosen: str
    arrivals: Arrivals
    paths: Paths


def load(folder: Path, until: int | None = None) -> Loans:
    """Read the log as `configs/bpic2012.yaml` does, looked at weekly, with the horizon for a label window.

    until: what is known before it, UTC microseconds; None: all.
    """
    more = ["snapshots.ages=[]", "training.eligibility=horizon", f"training.horizon_days={DAYS}"]
    config = load_config(CONFIG, [f"source.path={folder / 'bpic2012' / 'events.parquet'}", *more])
    prepared = prepare(config, open_source(config).read(), until)
    record = prepared.record
    wins = wins_of(record)
    created = np.sort(record.deals.known_at)
    first = np.datetime64(int(created[0]), "us").astype("datetime64[D]").astype(object)
    monday = first - timedelta(days=first.weekday())
    table = [monday + timedelta(days=7 * k) for k in range(40)]
    weeks = fiscal_calendar("month", 1, config.time_zone, table)
    last = int(record.timelines["history"].known_at.max())
    return Loans(prepared, weeks, replace(wins, rep=np.zeros(len(wins), dtype=np.int64)), created, last)


def mondays(loans: Loans) -> list[int]:
    """Return the Mondays with a whole window between the log's first day and them, and one before its end."""
    starts = loans.mondays.starts
    return [int(at) for at in starts if at - SPAN >= loans.created[0] and at + SPAN <= loans.end]


def approved(loans: Loans, start: int, end: int) -> int:
    """Return the cents approved in ``[start, end)``."""
    wins = loans.wins
    return int(wins.cents[(wins.won_at >= start) & (wins.won_at < end)].sum())


def walk(loans: Loans) -> list[Said]:
    """Forecast on every Monday, each from what was known then."""
    said: list[Said] = []
    for as_of in mondays(loans):
        said.append(say_at(loans, as_of, [each for each in said if each.as_of + SPAN <= as_of]))
    return said


def say_at(loans: Loans, as_of: int, told: list[Said]) -> Said:
    """Forecast on one Monday. told: what was said on those whose 28 days are over."""
    prepared = loans.prepared
    train = prepared.examples.take(trainable(prepared, as_of))
    rows = np.flatnonzero(prepared.examples.as_of == as_of)
    matrix = prepared.examples.take(rows).matrix
    p = {name: fit(train, prepared.frame).predict(matrix) for name, fit in FITS.items()}
    chosen, coming = _chosen(prepared, told), _coming(loans, as_of)
    return Said(as_of, rows, p, chosen, coming, _paths(prepared, rows, p[chosen], coming, told))


def _chosen(prepared: Prepared, told: list[Said]) -> str:
    """Return the model whose chances on earlier Mondays lost least, now that their 28 days are over."""
    y = prepared.examples.y
    loss = {name: sum(float(row_loss(y[each.rows], each.p[name]).sum()) for each in told) for name in FITS}
    return min(FITS, key=lambda name: loss[name])


def _coming(loans: Loans, as_of: int) -> Arrivals:
    """Return what is to be approved within 28 days of cases that have not begun."""
    known, created = loans.wins.before(as_of), loans.created[: np.searchsorted(loans.created, as_of)]
    past = past_arrivals(known, created, loans.mondays, Window(as_of, as_of, as_of + SPAN), SPAN)
    return arrivals_of(past, created_lately(created, as_of, SPAN), known, np.zeros(1, dtype=np.int64), np.ones(1))


def _paths(prepared: Prepared, rows: Int, p: Float, coming: Arrivals, told: list[Said]) -> Paths:
    asked = Requests(prepared.examples.deal[rows], prepared.examples.as_of[rows])
    amount = np.maximum(told_at(prepared.record, asked).amount_cents, 0) / 100.0
    none = np.zeros(len(rows), dtype=np.int64)
    book = Book([str(deal) for deal in asked.deal.tolist()], none, p, amount, np.zeros(0))
    seen = np.concatenate([np.zeros(0, dtype=np.int64), *(each.rows for each in told)])
    said = np.concatenate([np.zeros(0), *(each.p[each.chosen] for each in told)])
    at, one = prepared.examples.as_of[seen], np.zeros(len(seen), dtype=np.int64)
    looks = Looks(seen, at // (7 * DAY), one + 1, at, one, one, said, prepared.examples.y[seen])
    shocks = replace(shocks_of(looks)[0], team=0.0, rep=0.0)
    return simulate(book, coming, shocks, TREE, np.zeros(1, dtype=np.int64), SEED, PATHS)


def forecasts(loans: Loans, said: list[Said]) -> Forecasts:
    """Return the forecasts beside what was approved, in euros."""
    total = [each.paths.total().sum(axis=0) for each in said]
    n = len(said)
    return Forecasts(
        np.arange(n),
        np.ones(n, dtype=np.int64),
        np.full(n, "company"),
        np.full(n, "all"),
        np.array([approved(loans, each.as_of, each.as_of + SPAN) for each in said]) / 100.0,
        np.array([each.paths.mean().sum() for each in said]) / 100.0,
        np.stack([np.quantile(each, LEVELS, method="inverted_cdf") for each in total]) / 100.0,
    )
