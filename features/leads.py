"""Leads in the shape of deals: a sales process of their own, which converting wins and disqualifying loses.

So that everything that is true of deals (the one gatekeeper of time, the laws, one path for training and serving, the
ladder of models, bundles, reasons) is true of leads without being written again. What is lost is nothing: a lead has a
creation, a history of what became of it, and activities, and no amount, owner or close date.

What became of the deal that a lead turned into is kept beside, see `Became`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import numpy as np

from configs.mapping import LEAD_STAGES, lead_mapping
from configs.mapping import Mapping as MappingFile
from configs.vocab import LeadEvent
from features.ingest import Ingest, IngestReport, Notice
from features.settle import compact, created_same_day, deal_rows
from features.stages import LOST, WON, StageMap
from features.tables import NAT, Coded, ColumnData, CrmTables, Table
from features.timeline import Bool, Int

OPTED_OUT = "opted_out"  # code of the notice that counts them
BORN = NAT + 1  # seq of the row of a lead's creation: before all others of that instant, whatever seq they were given
STAGES = StageMap(LEAD_STAGES.order, LEAD_STAGES.won, LEAD_STAGES.lost)


@dataclass(frozen=True)
class Became:
    """What became of the deal that each lead turned into, as long as the record tells it; n leads, in their order.

    converted_at, won_at, lost_at: int64[n], UTC microseconds, NAT where it did not happen (yet); of the deal's first
    close. cents: int64[n], the amount on the winning row, NAT where it was not won or has none. linked: bool[n], the
    conversion names a deal that the record has.
    """

    converted_at: Int
    won_at: Int
    lost_at: Int
    cents: Int
    linked: Bool

    def take(self, rows: Int) -> Became:
        """Return some of the leads."""
        return Became(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def as_leads(ingest: Ingest, mapping: MappingFile, zone: ZoneInfo) -> Ingest:
    """Return what was read with the leads in the place of the deals. mapping: the source's own; zone: the company's.

    Leads that opted out are left out, whenever they did: they are neither trained on nor scored. What a lead's history
    says after its conversion is left out too: it is a deal by then. Both are counted.
    """
    tables, counted = ingest.tables, []
    opted_out = tables.leads.ints("opted_out") == 1
    leads = tables.leads.take(~opted_out)
    counted.append(_notice(OPTED_OUT, "leads", "leads that opted out: neither trained on nor scored", opted_out.sum()))
    told, acts = (_of(leads, table) for table in (tables.lead_history, tables.lead_activities))
    for name, table in (("lead_history", told), ("lead_activities", acts)):
        counted.append(_notice("no_lead", name, "rows of no lead that is left", getattr(tables, name).n - table.n))
    history, late = _before_conversion(told, "lead_id", "event")
    counted.append(_notice("after_conversion", "lead_history", "rows after the lead's conversion, left out", late))
    shaped = lead_tables(leads, history, acts, mapping, zone)
    became = became_of(leads, history, tables.deals, tables.deal_history, ingest.stages)
    notices = (*ingest.report.notices, *(notice for notice in counted if notice.rows))
    attributes = {name: attribute.kind for name, attribute in lead_mapping(mapping).attributes.items()}
    return Ingest(shaped, IngestReport(ingest.report.tables, notices), STAGES, attributes, became)


def lead_tables(leads: Table, history: Table, activities: Table, mapping: MappingFile, zone: ZoneInfo) -> CrmTables:
    """Return leads, what became of them and what was done about them as the tables of deals."""
    fields = mapping.leads.fixed_fields
    declared = {name: leads.columns[name] for name in mapping.leads.attributes if name in leads.columns}
    deals: dict[str, ColumnData] = {
        "deal_id": leads["lead_id"],
        "created_at": leads["created_at"],
        "known_at": leads["known_at"],
        "name": leads["name"],
        **{field.value: leads[field.value] for field in fields},
        **declared,
    }
    acts: Mapping[str, ColumnData] = {
        "deal_id": activities["lead_id"],
        **{name: activities[name] for name in ("occurred_at", "known_at", "kind", "direction", "outcome", "minutes")},
    }
    told = Table.of("activities", acts, activities.n)
    events = _events(leads, history)
    born, _ = created_same_day(Table.of("deals", deals, leads.n), events, zone)
    shaped = born_then(CrmTables.of({"deals": born, "deal_history": events, "activities": told}))
    return CrmTables.of({name: compact(table) for name, table in shaped.by_name().items()})


def inline_leads(tables: CrmTables) -> CrmTables:
    """Return leads given as deals (`features.inline`), with events as stages, as `lead_tables` returns them."""
    history, _ = _before_conversion(tables.deal_history, "deal_id", "stage")
    return born_then(replace(tables, deal_history=history))


def born_then(tables: CrmTables) -> CrmTables:
    """Return the tables with a row of history for each lead's creation before those of what became of it."""
    deals, events = tables.deals, tables.deal_history
    ids, deal = deals.coded("deal_id"), deal_rows(deals, events.coded("deal_id"))
    stage = np.concatenate([np.zeros(deals.n, dtype=np.int32), events.coded("stage").codes_in(STAGES.names)])
    history = Table.of(
        "deal_history",
        {
            "deal_id": Coded(np.concatenate([ids.codes, ids.codes[deal]]), ids.values),
            "known_at": np.concatenate([deals.ints("known_at"), events.ints("known_at")]),
            "seq": np.concatenate([np.full(deals.n, BORN), events.ints("seq")]),
            "stage": Coded(stage.astype(np.int32), STAGES.names),
        },
    )
    return replace(tables, deal_history=history)


def became_of(leads: Table, history: Table, deals: Table, deal_history: Table, stages: StageMap) -> Became:
    """Return what became of the deals that leads turned into."""
    n = leads.n
    lead = deal_rows(leads, history.coded("lead_id"))
    event, at = history.coded("event"), history.ints("known_at")
    converted = (event.codes == event.code_of(LeadEvent.CONVERTED.value)) & (event.codes >= 0) & (lead >= 0)
    rows = np.flatnonzero(converted)
    converted_at, deal = np.full(n, NAT), np.full(n, -1)
    converted_at[lead[rows]] = at[rows]
    deal[lead[rows]] = deal_rows(deals, history.coded("deal_id"))[rows]
    close_at, outcome, cents = _closes(deals, deal_history, stages)
    here = np.where(deal >= 0, deal, deals.n)  # the last row is of no deal
    won, lost = outcome[here] == WON, outcome[here] == LOST
    return Became(
        converted_at,
        np.where(won, close_at[here], NAT),
        np.where(lost, close_at[here], NAT),
        np.where(won, cents[here], NAT),
        deal >= 0,
    )


def _closes(deals: Table, history: Table, stages: StageMap) -> tuple[Int, Int, Int]:
    """Return (known_at, outcome, amount in cents) of each deal's first close, int64[n + 1]; the last is of no deal."""
    close_at, outcome, cents = (np.full(deals.n + 1, NAT) for _ in range(3))
    stage, deal = history.coded("stage"), deal_rows(deals, history.coded("deal_id"))
    kind = np.append(stages.outcomes(stage.values), -1)[stage.codes]
    known_at, seq = history.ints("known_at"), history.ints("seq")
    closing = np.flatnonzero(np.isin(kind, (WON, LOST)) & (deal >= 0))
    latest_first = closing[np.lexsort((seq[closing], known_at[closing]))][::-1]
    place = deal[latest_first]  # of equal places the last one written stays: the first close
    close_at[place], outcome[place] = known_at[latest_first], kind[latest_first]
    cents[place] = history.ints("amount")[latest_first]
    return close_at, outcome, cents


def _events(leads: Table, history: Table) -> Table:
    """Return what became of the leads that there are, as history of deals."""
    lead = deal_rows(leads, history.coded("lead_id"))
    told = np.flatnonzero(lead >= 0)
    event, ids = history.coded("event"), leads.coded("lead_id")
    return Table.of(
        "deal_history",
        {
            "deal_id": Coded(ids.codes[lead[told]], ids.values),
            "known_at": history.ints("known_at")[told],
            "seq": history.ints("seq")[told],
            "stage": Coded(event.codes[told], event.values),
        },
    )


def _before_conversion(history: Table, of: str, what: str) -> tuple[Table, int]:
    """Return the history up to each lead's first conversion, and how many rows were after it.

    of, what: the columns of the lead and of what became of it.
    """
    ids, event, at = history.coded(of), history.coded(what), history.ints("known_at")
    seq, rows = history.ints("seq"), np.arange(history.n)
    order = np.lexsort((seq, at, ids.codes))
    lead = ids.codes[order]
    converted = event.codes[order] == (event.code_of(LeadEvent.CONVERTED.value) if len(event.values) else -2)
    first = np.full(len(ids.values) + 1, history.n)
    np.minimum.at(first, lead[converted], rows[converted])
    kept = rows <= first[lead]
    return history.take(np.sort(order[kept])), int((~kept).sum())


def _of(leads: Table, table: Table) -> Table:
    """Return the rows that are of these leads."""
    return table.take(np.flatnonzero(deal_rows(leads, table.coded("lead_id")) >= 0))


def _notice(code: str, table: str, message: str, rows: int) -> Notice:
    return Notice(code, table, int(rows), message)
