"""What pipeline figures are counted from: the facts of a record, and those of them known strictly before an as-of.

The facts are read once; `pipeline_at` picks, for any past date, the open deals, the window of complete periods before
it, what closed and what entered a stage in that window, the quotas, and how the pipeline stood at the same time into
each of those periods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date

import numpy as np

from configs.errors import UsageError
from features.asof import Requests, before, known
from features.episodes import Entries, Episodes, entries_of, episodes_of, owners_at
from features.nodes import Nodes, nodes_of
from features.periods import Calendar, instant_text
from features.record import Record, rep_teams
from features.stages import LOST, WON
from features.tables import NAT, CrmTables
from features.timeline import Bool, Int
from features.wins import Wins, wins_of


@dataclass(frozen=True)
class Quotas:
    """Quotas in the order in which they became known, int64[q] each: known_at, rep code (-1 unknown), period, cents."""

    known_at: Int
    rep: Int
    period: Int
    cents: Int

    def take(self, rows: Int | Bool | slice) -> Quotas:
        """Return some of the quotas."""
        return Quotas(*(getattr(self, column.name)[rows] for column in fields(self)))


@dataclass(frozen=True)
class PipelineFacts:
    """Facts of one company, whatever the as-of. teams: team by rep id."""

    record: Record
    wins: Wins
    episodes: Episodes
    entries: Entries
    quotas: Quotas
    teams: Mapping[str, str]


@dataclass(frozen=True)
class OpenDeals:
    """The deals open as of an instant, int64[n] each.

    deal, rep (-1 none), stage (rank, -1 none): codes. cents: 0 where no amount above zero is told. close_day: local day
    since 1970-01-01, NAT where there is none.
    """

    deal: Int
    rep: Int
    stage: Int
    cents: Int
    close_day: Int

    def __len__(self) -> int:
        return len(self.deal)

    def due(self, calendar: Calendar, period: int) -> Bool:
        """Return bool[n]: whether the close date lies in a period."""
        first, end = int(calendar.days[period]), int(calendar.days[period + 1])
        return (self.close_day >= first) & (self.close_day < end)


@dataclass(frozen=True)
class Window:
    """The complete periods that rates are taken from, ``first:running``; running: the period of the as-of."""

    calendar: Calendar
    first: int
    running: int

    @property
    def periods(self) -> range:
        """The complete periods."""
        return range(self.first, self.running)

    @property
    def bounds(self) -> tuple[int, int]:
        """Start and end of the window, UTC microseconds; equal where it is empty."""
        return int(self.calendar.starts[self.first]), int(self.calendar.starts[self.running])

    @property
    def days(self) -> int:
        """Local days in the window."""
        return int(self.calendar.days[self.running] - self.calendar.days[self.first])

    def within(self, instants: Int) -> Bool:
        """Return bool[n]: which instants lie in the window."""
        begin, end = self.bounds
        return (instants >= begin) & (instants < end)

    def dates(self) -> tuple[date, date]:
        """First and last day of the running period."""
        return self.calendar.day(self.running), self.calendar.last_day(self.running)


@dataclass(frozen=True)
class Look:
    """A past period seen from the same time into it: the deals open then, and the cents each brought by its end."""

    period: int
    at: int
    open: OpenDeals
    won: Int


@dataclass(frozen=True)
class PipelineView:
    """All that is known strictly before an as-of and that pipeline figures are counted from.

    open: deals open now. wins: those of the window and of the running period. closes: episodes won or lost in the same
    time. entries: into stages in the window, with the episode of each (`begun`) and its owner as of the date. quotas:
    of the same periods. last_known: the newest change of a deal before the as-of, NAT where there is none.
    """

    as_of: int
    window: Window
    nodes: Nodes
    open: OpenDeals
    wins: Wins
    closes: Episodes
    entries: Entries
    begun: Episodes
    begun_rep: Int
    quotas: Quotas
    looks: tuple[Look, ...]
    last_known: int


def pipeline_facts(tables: CrmTables, record: Record) -> PipelineFacts:
    """Read the facts off a record and the tables it was made of."""
    history = record.timelines["history"]
    episodes = episodes_of(history)
    entries = entries_of(history, episodes, record.stages)
    return PipelineFacts(
        record, wins_of(record), episodes, entries, _quotas(tables, record), dict(rep_teams(tables.reps))
    )


def open_deals(record: Record, as_of: int) -> OpenDeals:
    """Return the deals open as of an instant, as they were known strictly before it."""
    every = np.arange(len(record.deal_ids), dtype=np.int64)
    asked = Requests(every, np.full(len(every), as_of, dtype=np.int64))
    asked = asked.take(record.is_open(asked))
    history = record.view(asked).of("history")
    return OpenDeals(
        asked.deal,
        np.maximum(history.last("owner"), -1),
        np.maximum(history.last("stage"), -1),
        np.maximum(history.last("amount"), 0),
        history.last("close_date"),
    )


def window_at(record: Record, as_of: int, periods: int) -> Window:
    """Return the last complete periods before an as-of, at most `periods`, none of before the record's first deal.

    Raises UsageError where the as-of lies outside the fiscal calendar.
    """
    calendar = record.calendar
    running = before(calendar.starts, as_of + 1) - 1
    if not 0 <= running < len(calendar.starts) - 1:
        raise UsageError.at(
            "--as-of",
            instant_text(as_of, calendar.zone),
            expected=f"a day of the fiscal calendar, {calendar.day(0)} to {calendar.last_day(len(calendar.days) - 2)}",
        )
    deals = record.deals.known_at
    seen = deals[known(deals, as_of) & (deals != NAT)]
    begun = before(calendar.starts, int(seen.min()) + 1) - 1 if len(seen) else running
    return Window(calendar, min(max(running - periods, begun, 0), running), running)


def pipeline_at(facts: PipelineFacts, as_of: int, periods: int) -> PipelineView:
    """Pick what is known strictly before an as-of. Raises UsageError as `window_at` does."""
    record, window = facts.record, window_at(facts.record, as_of, periods)
    begin = window.bounds[0]
    wins = facts.wins.before(as_of)
    wins = wins.take(slice(before(wins.won_at, begin), None))
    episodes, history = facts.episodes, record.timelines["history"]
    over = known(episodes.ended_at, as_of) & (episodes.ended_at >= begin)
    closes = episodes.take(over & is_outcome(episodes.outcome))
    entries = facts.entries.take(window.within(facts.entries.entered_at))
    begun = episodes.take(entries.episode)
    begun_rep = owners_at(history, begun, as_of)
    quotas = facts.quotas.take(slice(0, before(facts.quotas.known_at, as_of)))
    quotas = quotas.take((quotas.period >= window.first) & (quotas.period <= window.running))
    now = open_deals(record, as_of)
    elapsed = as_of - int(window.calendar.starts[window.running])
    looks = tuple(look_at(facts, window.calendar, period, elapsed) for period in window.periods)
    reps = (now.rep, wins.rep, closes.rep, begun_rep, quotas.rep, *(look.open.rep for look in looks))
    nodes = nodes_of(record.reference.vocabulary.values["rep"], facts.teams, np.concatenate(reps))
    told = history.known_at[known(history.known_at, as_of)]
    last = int(told.max(initial=NAT))
    return PipelineView(as_of, window, nodes, now, wins, closes, entries, begun, begun_rep, quotas, looks, last)


def look_at(facts: PipelineFacts, calendar: Calendar, period: int, elapsed: int) -> Look:
    """Return a past period seen `elapsed` microseconds after its start, or in its last one where it is shorter."""
    start, end = int(calendar.starts[period]), int(calendar.starts[period + 1])
    at = min(start + elapsed, end - 1)
    then = open_deals(facts.record, at)
    wins = facts.wins.before(end)
    wins = wins.take(slice(before(wins.won_at, at), None))
    standing = wins.take(known(wins.opened_at, at))
    brought = np.zeros(len(facts.record.deal_ids), dtype=np.int64)
    np.add.at(brought, standing.deal, standing.cents)
    return Look(period, at, then, brought[then.deal])


def is_outcome(outcome: Int) -> Bool:
    """Return bool[n]: won or lost; a merged episode has no outcome, an open one none yet."""
    return np.isin(outcome, (WON, LOST))


def _quotas(tables: CrmTables, record: Record) -> Quotas:
    table, days = tables.quotas, record.calendar.days
    known_at, first, cents = table.ints("known_at"), table.ints("period_start"), table.ints("amount")
    period = np.searchsorted(days, first, side="right") - 1
    rep = table.coded("rep_id").codes_in(record.reference.vocabulary.values["rep"]).astype(np.int64)
    told = (known_at != NAT) & (first != NAT) & (cents != NAT)
    order = np.flatnonzero(told)[np.argsort(known_at[told], kind="stable")]
    return Quotas(known_at[order], rep[order], period[order].astype(np.int64), cents[order])
