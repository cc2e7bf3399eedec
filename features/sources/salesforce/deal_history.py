"""The two histories of the opportunities as `deal_history`: every field's state, in our words, and what is assumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.salesforce import SalesforceMapping
from features.ingest import EXAMPLES, Notice
from features.sources.columns import among, at, joined
from features.sources.exports import Rows
from features.sources.frames import Stacked
from features.sources.salesforce.deals import CURRENT, Deals
from features.sources.salesforce.fields import FIELD_HISTORY, Changes, FieldLog, in_order
from features.sources.salesforce.history import OF_DEAL, OF_DELETION, OF_FIELDS, OF_LOG, Log, Spine, State, spine, state
from features.sources.salesforce.ids import short
from features.sources.salesforce.money import in_base
from features.tables import NAT, Coded, ColumnData, IntArray, Table, is_missing

Mask = NDArray[np.bool_]
NO_STAGES = "its deal has no history of its stage"

LOG_COLUMNS = {
    "stage": "StageName",
    "amount": "Amount",
    "close_date": "CloseDate",
    "probability": "Probability",
    "forecast_category": "ForecastCategory",
    "currency": "CurrencyIsoCode",
}
PREVIOUS = {"amount": "PrevAmount", "close_date": "PrevCloseDate"}
OF_OPEN_DEALS = ("amount", "close_date", "forecast_category", "probability")
"""The close overwrites these: of a deal that is closed now, what no history tells is left missing."""

SHOWN = ("stage", "amount", "close_date", "forecast_category", "owner_id", "next_step_set", "probability", "currency")


@dataclass(frozen=True)
class History:
    """`deal_history`, with the deal of each row and whether the deal is open from it on, for the activities."""

    stacked: Stacked
    deal: IntArray
    opened: Mask
    notices: tuple[Notice, ...]


def history_table(deals: Deals, deal: IntArray, fields: FieldLog, several: bool) -> History:
    """Merge the histories. deal: of each row of OpportunityHistory, -1 where it was refused.

    several: whether amounts are in several currencies.
    """
    log = _log(deals, deal)
    created = _ints(deals.current("CreatedDate"))
    gone, gone_at = _deleted(deals, created)
    told = fields.by_field
    used = [changes for name, changes in told.items() if name in CURRENT]
    rows = spine(
        created,
        gone,
        gone_at,
        log,
        np.concatenate([log.deal[:0], *(changes.deal for changes in used)]),
        np.concatenate([log.at[:0], *(changes.at for changes in used)]),
    )
    closing = {stage for stages in deals.mapping.closing_stages() for stage in stages}
    stage = state(
        rows, log, "stage", told.get("stage"), deals.current("stage"), ~_among(deals.current("stage"), closing)
    )
    states = {"stage": stage} | _others(deals, rows, log, told, stage, closing)
    closed = _among(stage.values, closing)
    # Before the first stage that is told there may be rows, but never ones that know how the deal ended.
    keep = ~(~stage.told & (is_missing(stage.values) | closed))
    editor, last_change = _editors(deals, rows, log, used)
    columns = _columns(deals, states, several)
    columns["deal_id"] = deals.ids.take(rows.deal)
    columns["known_at"] = rows.at
    columns["edited_by"] = editor
    deleted = rows.source == OF_DELETION
    columns["is_deleted"] = np.where(deleted, 1, NAT)
    merged = at(deals.current("merged_into"), np.where(deleted, rows.deal, -1))
    columns["merged_into"] = merged
    _refuse_untold(deals.export[FIELD_HISTORY], fields, rows, keep)
    chosen = np.flatnonzero(keep)
    columns = {name: at(data, chosen) for name, data in columns.items()}
    start = np.searchsorted(rows.deal[chosen], rows.deal[chosen])
    columns["seq"] = np.arange(len(chosen)) - start
    table = Table.of("deal_history", columns, len(chosen))
    place = _place(deals, rows, log, last_change, chosen)
    notes = tuple(f"{label}: {note}" for label, note in _notes(deals))
    files = tuple(deals.export[name].label for name in ("OpportunityHistory", FIELD_HISTORY) if deals.export.has(name))
    stacked = Stacked(table, place, files, len(chosen), notes=notes)
    notices = (*_assumed(states, rows, keep), *_untracked(deals, log, told), *_without_stages(deals, rows, keep))
    return History(stacked, rows.deal[chosen], (~closed & ~deleted)[chosen], notices)


def _ints(data: ColumnData) -> IntArray:
    if isinstance(data, Coded):
        raise TypeError("text where numbers are expected")
    return data.astype(np.int64, copy=False)


def _among(data: ColumnData, values: set[str]) -> Mask:
    return among(data, values) if isinstance(data, Coded) else np.zeros(len(data), dtype=bool)


def _log(deals: Deals, deal: IntArray) -> Log:
    rows = deals.export["OpportunityHistory"]
    known_at = rows.ints("CreatedDate")
    order = in_order(rows, deal, known_at, np.flatnonzero(deal >= 0))

    def of(names: Mapping[str, str]) -> dict[str, ColumnData]:
        return {name: at(rows.columns[column], order) for name, column in names.items() if column in rows.columns}

    return Log(deal[order], known_at[order], order, of(LOG_COLUMNS), of(PREVIOUS))


def _deleted(deals: Deals, created: IntArray) -> tuple[IntArray, IntArray]:
    """Deals that are deleted, and when: where nothing says so, at their last row."""
    gone = np.flatnonzero(_ints(deals.current("IsDeleted")) == 1)
    modified, stamped = (_ints(deals.current(name))[gone] for name in ("LastModifiedDate", "SystemModstamp"))
    when = np.where(modified != NAT, modified, stamped)
    return gone, np.where(when != NAT, when, created[gone])


def _others(
    deals: Deals, rows: Spine, log: Log, told: Mapping[str, Changes], stage: State, closing: set[str]
) -> dict[str, State]:
    """The other fields, each with what may stand in where no history tells it."""
    last = np.searchsorted(rows.deal, np.arange(rows.deals), side="right") - 1
    open_now = (
        ~(_among(stage.values, closing) | is_missing(stage.values))[last] if len(rows.deal) else np.zeros(0, bool)
    )
    states = {}
    for name in CURRENT:
        if name == "stage":
            continue
        tracked = name in log.columns or name in told
        current = deals.current(name)
        if name == "next_step_set" and isinstance(current, Coded):
            current = (current.codes >= 0).astype(np.int64)
        of_open = name in OF_OPEN_DEALS
        usable = open_now if of_open else np.ones(rows.deals, dtype=bool)
        if not tracked and (of_open or name == "next_step_set"):
            usable = np.zeros(rows.deals, dtype=bool)
        states[name] = state(rows, log, name, told.get(name), current, usable)
    return states


def _editors(deals: Deals, rows: Spine, log: Log, used: list[Changes]) -> tuple[ColumnData, IntArray]:
    """Who saved each row, and the last row of field history that goes into it (-1: none)."""
    logs, changes = deals.export["OpportunityHistory"], deals.export[FIELD_HISTORY]
    row = np.full(len(rows.deal), -1, dtype=np.int64)
    for change in used:
        np.maximum.at(row, rows.target(change.deal, change.at), change.rows)
    of_log, of_deal = rows.source == OF_LOG, rows.source == OF_DEAL
    by_log = np.full(len(row), -1, dtype=np.int64)
    by_log[of_log] = log.rows[rows.row[of_log]]
    saved, created = logs.coded("CreatedById"), deals.current("CreatedById")
    by_log = np.where(np.append(saved.codes, np.int32(-1))[by_log] >= 0, by_log, -1)
    pool = joined([saved, changes.coded("CreatedById"), created])
    number = np.where(by_log >= 0, by_log, np.where(row >= 0, logs.n + row, -1))
    number = np.where(of_deal, logs.n + changes.n + rows.row, number)
    return at(pool, number), row


def _columns(deals: Deals, states: Mapping[str, State], several: bool) -> dict[str, ColumnData]:
    """The columns of deal_history that are fields."""
    columns = {name: states[name].values for name in SHOWN}
    columns["stage"] = _stages(states["stage"].values, states["record_type"].values, deals.mapping)
    currency = columns["currency"]
    if isinstance(currency, Coded):
        columns["amount"] = in_base(_ints(columns["amount"]), currency, deals.mapping.currency)
    probability = columns["probability"]
    if not isinstance(probability, Coded):
        columns["probability"] = probability / 100
    columns["assumed"] = _assumed_names(states, [name for name in SHOWN if name != "currency" or several])
    return columns


def _stages(stage: ColumnData, record_type: ColumnData, mapping: SalesforceMapping) -> ColumnData:
    """Stages in our names: by the process of the row's record type, else by name."""
    if not isinstance(stage, Coded) or not isinstance(record_type, Coded) or not mapping.processes:
        return stage
    main, *further = mapping.stage_names()
    of_type: dict[str, dict[str, str]] = {}
    for process, names in zip(mapping.processes, further, strict=True):
        if not process.record_types:
            main = main | names
    for process, names in zip(mapping.processes, further, strict=True):
        of_type |= dict.fromkeys((*process.record_types, *map(short, process.record_types)), main | names)
    width = len(record_type.values) + 1
    pairs, which = np.unique(stage.codes.astype(np.int64) * width + record_type.codes + 1, return_inverse=True)
    texts: list[str | None] = []
    for pair in pairs.tolist():
        name = stage.values[pair // width] if pair >= 0 else None
        kind = (None, *record_type.values)[pair % width]
        texts.append(None if name is None else of_type.get(kind or "", main).get(name, name))
    coded = Coded.of(texts)
    return coded.take(which)


def _assumed_names(states: Mapping[str, State], names: list[str]) -> Coded:
    """The names of assumed columns of each row, comma-separated; missing where there are none."""
    n = len(states["stage"].told)
    mask = np.zeros(n, dtype=np.int64)
    for bit, name in enumerate(names):
        mask |= states[name].assumed.astype(np.int64) << bit
    distinct, which = np.unique(mask, return_inverse=True)
    texts = [
        ",".join(name for bit, name in enumerate(names) if value >> bit & 1) or None for value in distinct.tolist()
    ]
    return Coded.of(texts).take(which)


def _refuse_untold(changes: Rows, fields: FieldLog, rows: Spine, keep: Mask) -> None:
    """Refuse field history of deals that have no row: nothing tells their stage."""
    told = np.zeros(rows.deals + 1, dtype=bool)
    told[rows.deal[keep]] = True
    changes.refuse((fields.deal >= 0) & ~told[fields.deal], NO_STAGES)


def _place(deals: Deals, rows: Spine, log: Log, change: IntArray, chosen: IntArray) -> Callable[[int], str]:
    def place(row: int) -> str:
        i = int(chosen[row])
        source = int(rows.source[i])
        if source == OF_LOG:
            return deals.export["OpportunityHistory"].place(int(log.rows[rows.row[i]]))
        if source == OF_FIELDS:
            return deals.export[FIELD_HISTORY].place(int(change[i]))
        what = "creation" if source == OF_DEAL else "deletion"
        return f"{deals.opportunity.place(int(deals.rows[rows.deal[i]]))} ({what})"

    return place


def _notes(deals: Deals) -> list[tuple[str, str]]:
    rows = deals.export["OpportunityHistory"]
    return [(rows.label, note) for note in rows.notes]


def _assumed(states: Mapping[str, State], rows: Spine, keep: Mask) -> list[Notice]:
    """How much rests on values that no history tells."""
    notices = []
    for name, told in states.items():
        assumed = told.assumed & keep
        if name == "currency" or not assumed.any():
            continue
        many, deals = int(np.count_nonzero(assumed)), len(np.unique(rows.deal[assumed]))
        what = "current value, or that of a later row" if name in LOG_COLUMNS else "current value"
        message = f"{name}: rows of {deals:,} deals that rest on the {what}; no history tells it"
        notices.append(Notice("assumed", "deal_history", many, message))
    return notices


def _untracked(deals: Deals, log: Log, told: Mapping[str, Changes]) -> list[Notice]:
    """Fields that no history tells of any deal."""
    notices = []
    if not deals.export.has(FIELD_HISTORY):
        message = "no OpportunityFieldHistory: owners are the current ones; next steps and first values are lost"
        notices.append(Notice("no_field_history", FIELD_HISTORY, 0, message))
    lacking = [name for name in (*OF_OPEN_DEALS, "next_step_set") if name not in log.columns and name not in told]
    if lacking:
        message = f"left empty, because no history tells them of any deal: {', '.join(lacking)}"
        notices.append(Notice("untracked_fields", "deal_history", 0, message))
    return notices


def _without_stages(deals: Deals, rows: Spine, keep: Mask) -> list[Notice]:
    """Deals whose stage nothing tells: they are closed, so their stage now would be the outcome."""
    bare = np.setdiff1d(np.arange(rows.deals), rows.deal[keep])
    if not len(bare):
        return []
    places = tuple(repr(deals.ids.decode(deal)) for deal in bare[:EXAMPLES].tolist())
    message = "deals that are closed now and have no history of their stage; nothing is assumed of them"
    return [Notice("closed_without_history", "deals", len(bare), message, places)]
