"""The way of leads as facts: when each was first known at a step or beyond it, seen from any as-of.

Steps: lead, worked, mql, sql, opportunity (it converted), won (the deal that it became was). A lead that skips a step
counts as having passed it: a conversion straight from a form passed all that lies between.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from configs.mapping import Mapping
from configs.schema import Leads
from configs.vocab import AttributeKind
from features.asof import Requests, known
from features.leads import STAGES, Became
from features.periods import DAY
from features.pipeline import Window, window_at
from features.record import Record
from features.stages import LOST
from features.tables import NAT, Coded, CrmTables
from features.timeline import Bool, Int

STEPS = ("lead", *STAGES.order[1:], "opportunity", "won")
OPPORTUNITY, WON = STEPS.index("opportunity"), STEPS.index("won")
NEVER = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Windows:
    """Days since its creation in which a lead is to convert, and in which its deal is to be won."""

    convert: int
    won: int

    @classmethod
    def of(cls, asked: Leads) -> Windows:
        """Return the windows that a config asks of leads."""
        return cls(asked.within_days, asked.won_within_days)

    def days(self, step: int) -> int:
        """Return within how many days a step is to be reached."""
        return self.won if step == WON else self.convert


@dataclass(frozen=True)
class LeadFacts:
    """Facts of n leads, whatever the as-of, in the record's order. Instants are UTC microseconds, NEVER where not told.

    reached: int64[steps, n], first known at a step or beyond. at: int64[steps, n], first known at the step itself.
    lost_at: int64[n], the deal that it became was lost. linked: bool[n], the record has that deal. groups: what leads
    are told apart by, such as their source, by name.
    """

    record: Record
    reached: Int
    at: Int
    lost_at: Int
    linked: Bool
    groups: MappingOf[str, Coded]


@dataclass(frozen=True)
class LeadView:
    """What is known strictly before an as-of of the leads that were created in the window or in the running period.

    period: int64[n], cohort. reached, at: as in `LeadFacts`, NEVER where not known yet. stopped: bool[n], disqualified
    and not taken up again, or its deal was lost. untold: bool[n], it converted into no deal that the record has, so
    what came of it is not told. created: int64[n]. over: bool[steps, n], the time to reach a step is over. in_time:
    bool[steps, n], it was reached within that time.
    """

    as_of: int
    window: Window
    windows: Windows
    period: Int
    created: Int
    reached: Int
    at: Int
    stopped: Bool
    untold: Bool
    over: Bool
    in_time: Bool
    groups: MappingOf[str, Coded]
    last_known: int

    def __len__(self) -> int:
        return len(self.period)


def lead_groups(mapping: Mapping) -> tuple[str, ...]:
    """Return what leads can be told apart by: their fixed fields, and declared attributes that are words."""
    fields = tuple(field.value for field in mapping.leads.fixed_fields)
    declared = mapping.leads.attributes.items()
    return (*fields, *(name for name, attribute in declared if attribute.kind is AttributeKind.CATEGORY))


def lead_facts(tables: CrmTables, record: Record, became: Became, groups: Sequence[str] = ()) -> LeadFacts:
    """Read the facts off leads in the shape of deals. groups: columns to tell them apart by; absent ones are left."""
    n = len(record.deal_ids)
    history = record.timelines["history"]
    at = np.full((len(STEPS), n), NEVER)
    at[0] = np.where(record.deals.known_at == NAT, NEVER, record.deals.known_at)
    stage, won = history.values("stage"), history.mask("won")
    for step in range(1, len(STAGES.order)):
        _earliest(at[step], history.entity, history.known_at, stage == step)
    _earliest(at[OPPORTUNITY], history.entity, history.known_at, won)
    at[WON] = np.where(became.won_at == NAT, NEVER, became.won_at)
    reached = np.minimum.accumulate(at[::-1], axis=0)[::-1]
    lost_at = np.where(became.lost_at == NAT, NEVER, became.lost_at)
    told = {name: tables.deals.coded(name) for name in groups if name in tables.deals.columns}
    return LeadFacts(record, reached, at, lost_at, became.linked, told)


def periods_back(facts: LeadFacts, as_of: int, windows: Windows) -> int:
    """Return how many complete periods to look back, so that half of the time is old enough to tell of wins."""
    starts = facts.record.calendar.starts
    begin, now = np.searchsorted(starts, [as_of - 2 * windows.won * DAY, as_of], side="right")
    return max(int(now - begin), 1)


def leads_at(facts: LeadFacts, as_of: int, windows: Windows, periods: int | None = None) -> LeadView:
    """Pick what is known strictly before an as-of. periods: complete ones to look back; see `periods_back`.

    Raises UsageError where the as-of lies outside the fiscal calendar.
    """
    record = facts.record
    window = window_at(record, as_of, periods_back(facts, as_of, windows) if periods is None else periods)
    created = np.asarray(record.deals.columns["created_at"], dtype=np.int64)
    period = np.searchsorted(window.calendar.starts, created, side="right") - 1
    rows = np.flatnonzero(
        known(facts.at[0], as_of) & (created != NAT) & (period >= window.first) & (period <= window.running)
    )
    created = created[rows]
    reached, at = (np.where(known(told[:, rows], as_of), told[:, rows], NEVER) for told in (facts.reached, facts.at))
    asked = Requests(rows, np.full(len(rows), as_of, dtype=np.int64))
    disqualified = record.view(asked).of("history").last("outcome") == LOST
    converted = reached[OPPORTUNITY] != NEVER
    stopped = np.where(converted, known(facts.lost_at[rows], as_of), disqualified)
    ends = np.array([created + windows.days(step) * DAY for step in range(len(STEPS))])
    return LeadView(
        as_of,
        window,
        windows,
        period[rows],
        created,
        reached,
        at,
        stopped,
        converted & ~facts.linked[rows],
        known(ends, as_of),
        (reached != NEVER) & (reached < ends),
        {name: column.take(rows) for name, column in facts.groups.items()},
        int(np.where(reached == NEVER, NAT, reached).max(initial=NAT)),
    )


def _earliest(first: Int, entity: Int, known_at: Int, rows: Bool) -> None:
    """Lower `first` to the earliest of the chosen rows of each entity."""
    np.minimum.at(first, entity[rows], known_at[rows])
