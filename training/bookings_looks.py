"""Looks at every whole period of a record, for baselines of its bookings: what was open and called as of each week."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from configs.errors import ConfigError
from configs.vocab import Grid, Target
from features.asof import Requests, before
from features.periods import DAY, HOUR, Calendar
from features.standings import called_at
from features.tables import NAT
from features.told import told_at
from features.wins import wins_of
from models.base import Float
from models.baselines import PAST_PERIOD
from training.backtest import Tested
from training.bookings_baselines import CRM, OF_ROWS
from training.bookings_past import Look, Nodes, Past
from training.prepare import Prepared
from training.snapshots import weekly_grid

WEEKS = (1, 4, 7, 10, 12)
YEAR = 365.25 * DAY


def nodes_of(prepared: Prepared, teams: Sequence[str] | None = None) -> Nodes:
    """Return the hierarchy of a record. teams: names in order of code; the codes themselves where there are none."""
    vocabulary = prepared.record.reference.vocabulary
    count = int(vocabulary.rep_team.max(initial=-1)) + 1
    return Nodes(
        vocabulary.rep_team, vocabulary.values["rep"], tuple(teams or vocabulary.teams or map(str, range(count)))
    )


def whole_periods(prepared: Prepared) -> range:
    """Return the periods that the record covers from their first instant to their last."""
    calendar, known = prepared.calendar, prepared.record.deals.known_at
    known = known[known != NAT]
    first = before(calendar.starts, int(known.min(initial=prepared.until)))
    return range(first, max(before(calendar.starts, prepared.until + 1) - 1, first))


def looks_of(
    prepared: Prepared, tested: Tested | None = None, periods: Sequence[int] | None = None, weeks: Sequence[int] = WEEKS
) -> Past:
    """Return a look per period and week, with the wins of the whole record: what baselines are made from.

    An as-of is the first of the weekly grid (Mondays and the period's start) at or after the period's start + 7 (week -
    1) days; weeks that begin after the period's end are left out. tested: where rates of rows come from; looks without
    its rows (periods before the first fold) have no ``p``. periods: calendar indices, default `whole_periods`.
    Open deals are the rows that `prepare` kept: without those that were later merged into another deal, and with those
    that have no row of a history yet, which have neither amount nor rep.
    Raises ConfigError for a head without periods or without the weekly grid.
    """
    config = prepared.config
    if config.target != Target.IN_PERIOD or config.snapshots.grid != Grid.WEEKLY:
        raise ConfigError.at(
            "target",
            f"{config.target.value} with snapshots.grid {config.snapshots.grid.value}",
            expected="in_period with the weekly grid: bookings are those of a fiscal period",
        )
    chosen = whole_periods(prepared) if periods is None else periods
    calendar, nodes = prepared.calendar, nodes_of(prepared)
    rates = _rates(prepared, tested)
    looks = tuple(
        _look(prepared, nodes, rates, period, week, as_of)
        for period in chosen
        for week, as_of in instants(calendar, period, weeks)
    )
    per_year = max(round(YEAR / float(np.median(np.diff(calendar.starts)))), 1)
    return Past(nodes, calendar.starts, wins_of(prepared.record), looks, per_year)


def instants(calendar: Calendar, period: int, weeks: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (week, as-of) of a period, see `looks_of`.

    A Monday after the clocks went forward is an hour early and still begins its week.
    """
    start, end = (int(calendar.starts[period + k]) for k in (0, 1))
    grid = weekly_grid(calendar, start, end)
    for week in weeks:
        at = before(grid, start + 7 * (week - 1) * DAY - HOUR)
        if at < len(grid):
            yield week, int(grid[at])


def _rates(prepared: Prepared, tested: Tested | None) -> dict[str, Float]:
    """Return p of every example by each baseline of rows, float64[n], NaN where no fold tested it."""
    rates = {}
    for name in (CRM, *OF_ROWS):
        if tested is not None and name in tested.p:
            rates[name] = np.full(len(prepared.examples), np.nan)
            rates[name][tested.rows] = tested.p[name]
    return rates


def _look(prepared: Prepared, nodes: Nodes, rates: dict[str, Float], period: int, week: int, as_of: int) -> Look:
    examples = prepared.examples
    first, stop = (before(examples.as_of, instant) for instant in (as_of, as_of + 1))
    asked = Requests(examples.deal[first:stop], examples.as_of[first:stop])
    cents = told_at(prepared.record, asked).amount_cents
    past_days = prepared.facts.column(PAST_PERIOD)[first:stop]
    start = int(prepared.calendar.starts[period])
    length = int(np.diff(prepared.calendar.days[period : period + 2])[0])
    owner = prepared.record.view(asked).of("history").last("owner")
    p = {name: rate[first:stop] for name, rate in rates.items() if not np.isnan(rate[first:stop]).any()}
    return Look(
        period=period,
        week=week,
        as_of=as_of,
        rep=np.maximum(owner, -1),
        cents=np.where((cents != NAT) & (cents > 0), cents, 0),
        due=(past_days <= 0) & (past_days > -length),  # NaN, no close date, is neither
        called=called_at(prepared.record.reference.events["calls"], len(nodes.reps), start, as_of),
        p=p if stop > first else {},
    )
