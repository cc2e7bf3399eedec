"""Checks over whole tables: every fault at once, each with its rows, what was expected and what to do.

A fatal finding would poison an answer, so the read is refused. Any other is kept in the report, counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from configs.errors import Fault
from configs.vocab import NOT_HAPPENED
from features.parsing import EXPECTED
from features.periods import DAY, day_number
from features.settle import DEFAULTS, FIRST_DAY, LAST_DAY, WORDS, deal_rows
from features.stages import LOST, WON, StageMap, unknown_name
from features.tables import NAT, PLANNED, TABLES, Coded, CrmTables, IntArray, Table, is_missing

MAX_AMOUNT_CENTS = 10**14  # a million million
EXAMPLES = 3  # faults shown of one finding; the rest are counted
_DAYS = (day_number(FIRST_DAY), day_number(LAST_DAY))

Mask = NDArray[np.bool_]
Place = Callable[[str, int], str]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with some rows of a table. ``got`` describes a row; if not fatal it is only reported."""

    code: str
    table: str
    column: str
    rows: IntArray
    got: Callable[[int], str]
    expected: str = ""
    remedy: str = ""
    fatal: bool = True

    def fault(self, row: int, where: str) -> Fault:
        """This finding as a fault of one row."""
        return Fault(self.code, where, self.got(row), self.expected, self.remedy, f"{self.table}.{self.column}")


def faults_of(findings: Iterable[Finding], place: Place) -> Iterator[Fault]:
    """The first rows of each fatal finding as faults, then one that counts the others."""
    for finding in findings:
        if not finding.fatal:
            continue
        rows = finding.rows.tolist()
        for row in rows[:EXAMPLES]:
            yield finding.fault(row, place(finding.table, row))
        if len(rows) > EXAMPLES:
            more = len(rows) - EXAMPLES
            where = place(finding.table, rows[EXAMPLES])
            got = f"the same on {more} more row{'s'[: more > 1]}, the first of them here"
            yield Fault(finding.code, where, got, path=f"{finding.table}.{finding.column}")


def check_tables(tables: CrmTables, stages: StageMap, keep_unknown_stages: bool = False) -> tuple[Finding, ...]:
    """Check settled tables. ``keep_unknown_stages``: a stage may be missing (unknown ones were made missing before)."""
    findings: list[Finding] = []
    for table in (table for table in tables.by_name().values() if table.n):
        findings += [*_missing(table, keep_unknown_stages), *_duplicates(table), *_ranges(table), *_words(table)]
    findings += _stages(tables.deal_history, stages)
    for acts in (tables.activities, tables.lead_activities):
        findings += _activities(acts) if acts.n else ()
    findings += [*_history(tables, stages), *_references(tables)]
    findings += _of_leads(tables) if tables.leads.n or tables.lead_history.n else ()
    return tuple(finding for finding in findings if len(finding.rows))


def _rows(mask: Mask) -> IntArray:
    return mask.nonzero()[0].astype(np.int64, copy=False)


def _missing(table: Table, keep_unknown_stages: bool) -> Iterator[Finding]:
    for column in TABLES[table.name].columns:
        stage = (table.name, column.name) == ("deal_history", "stage") and not keep_unknown_stages
        if not stage and (column.nullable or (table.name, column.name) in DEFAULTS):
            continue  # where a default is missing, so is what it comes from
        rows = _rows(is_missing(table[column.name]))
        remedy = "fill it, or leave such rows out with `require` in the mapping"
        yield Finding("missing_value", table.name, column.name, rows, _says("empty"), EXPECTED[column.kind], remedy)


def _duplicates(table: Table) -> Iterator[Finding]:
    """Rows whose key was already seen on an earlier row."""
    key = TABLES[table.name].key
    if not key or not table.n:
        return
    parts = [data.codes.astype(np.int64) if isinstance(data, Coded) else data for data in (table[name] for name in key)]
    whole = ~np.logical_or.reduce([is_missing(table[name]) for name in key])
    order = np.lexsort([np.arange(table.n), *parts[::-1]])
    same = np.logical_and.reduce([part[order][1:] == part[order][:-1] for part in parts])
    repeats = np.zeros(table.n, dtype=bool)
    repeats[order[1:][same]] = True

    def got(row: int) -> str:
        return ", ".join(f"{name} {_show(table, name, row)}" for name in key) + " again"

    yield Finding(
        "duplicate_key", table.name, key[0], _rows(repeats & whole), got, "one row for each", "remove the repeated rows"
    )


def _ranges(table: Table) -> Iterator[Finding]:
    """Times, dates and amounts that can't be meant."""
    for column in TABLES[table.name].columns:
        name = column.name
        if column.kind in ("time", "date"):
            unit = DAY if column.kind == "time" else 1
            data = table.ints(name)
            low, high = _DAYS[0] * unit, _DAYS[1] * unit
            base = DEFAULTS.get((table.name, name))
            own = data != table.ints(base) if base else np.ones(table.n, dtype=bool)  # a default's fault is said once
            outside = _rows(own & (data != NAT) & ((data < low) | (data >= high)))
            yield Finding(
                "absurd_time", table.name, name, outside, _value(table, name), "a time from 1990 to 2099", "correct it"
            )
        elif column.kind == "money":
            amount = table.ints(name)
            huge = _rows((amount != NAT) & (np.abs(amount) > MAX_AMOUNT_CENTS))
            remedy = "give it in units of the base currency, or leave it empty"
            expected = f"at most {MAX_AMOUNT_CENTS // 100:,} in size"
            yield Finding("absurd_amount", table.name, name, huge, _value(table, name), expected, remedy)
            below = _rows((amount != NAT) & (amount < 0))
            yield Finding("negative_amount", table.name, name, below, _value(table, name), "0 or more", "", fatal=False)


def _words(table: Table) -> Iterator[Finding]:
    """Words outside the closed vocabularies, a finding for each word."""
    for (owner, column), known in WORDS.items():
        if owner == table.name:
            yield from _outside(table, column, known, "list it in the mapping, or correct it")


def _stages(history: Table, stages: StageMap) -> Iterator[Finding]:
    remedy = "list it in the mapping under stages (order, won or lost), or set stages.unknown: keep"
    yield from _outside(history, "stage", stages.names, remedy)


def _outside(table: Table, column: str, known: tuple[str, ...], remedy: str) -> Iterator[Finding]:
    coded = table.coded(column)
    code = "unknown_stage" if column == "stage" else f"unknown_{column}"
    for i, value in enumerate(coded.values):
        if value in known:
            continue
        fault = unknown_name(column.replace("_", " "), value, known, where="", remedy=remedy, path="")
        rows = _rows(coded.codes == i)
        yield Finding(code, table.name, column, rows, _says(fault.got), fault.expected, fault.remedy)


def _activities(table: Table) -> Iterator[Finding]:
    minutes = table.floats("minutes")
    below = _rows(minutes < 0)
    yield Finding("negative_minutes", table.name, "minutes", below, _value(table, "minutes"), "0 or more", "correct it")
    outcome = table.coded("outcome")
    silent = np.array([*(value in (PLANNED, *NOT_HAPPENED) for value in outcome.values), True], dtype=bool)
    said = ~silent[outcome.codes]
    known_at, occurred_at = table.ints("known_at"), table.ints("occurred_at")
    early = _rows(said & (known_at != NAT) & (occurred_at != NAT) & (known_at < occurred_at))

    def got(row: int) -> str:
        return (
            f"outcome {outcome.decode(row)!r} known at {show_time(known_at[row])}, before {show_time(occurred_at[row])}"
        )

    yield Finding("known_before_it_happened", table.name, "known_at", early, got, "known_at after it", "", fatal=False)


def _history(tables: CrmTables, stages: StageMap) -> Iterator[Finding]:
    """Deals and their history against each other."""
    deals, history = tables.deals, tables.deal_history
    coded = history.coded("deal_id")
    deal = deal_rows(deals, coded)
    unknown = _rows((deal < 0) & (coded.codes >= 0))

    def stranger(row: int) -> str:
        return f"history of deal {coded.decode(row)!r}, which is not in deals"

    remedy = "export the deal as well, or leave its history out"
    yield Finding("unknown_deal", history.name, "deal_id", unknown, stranger, "a deal_id of deals", remedy)
    yield from _creation(deals, history, deal, stages)
    yield from _openings(deals, history, deal, stages)


def _creation(deals: Table, history: Table, deal: IntArray, stages: StageMap) -> Iterator[Finding]:
    """History known before the deal was created: fatal where it closes the deal."""
    known_at = history.ints("known_at")
    created_at = np.append(deals.ints("created_at"), NAT)[deal]
    both = (known_at != NAT) & (created_at != NAT)
    closing = closing_rows(history, stages)
    before = both & (known_at < created_at)

    def got(row: int) -> str:
        deal_id, stage = history.coded("deal_id").decode(row), history.coded("stage").decode(row)
        when = f"known at {show_time(known_at[row])}, before it was created at {show_time(created_at[row])}"
        return f"deal {deal_id!r}: stage {stage!r} {when}"

    remedy = "correct created_at or known_at; check the time zone of both columns"
    expected = "created_at at or before the close"
    yield Finding("closed_before_created", history.name, "known_at", _rows(before & closing), got, expected, remedy)
    early = _rows(before & ~closing)
    yield Finding("history_before_created", history.name, "known_at", early, got, expected, "", fatal=False)
    yield _born_early(deals)


def _born_early(table: Table) -> Finding:
    """Deals or leads known before they were created."""
    known_at, created_at = table.ints("known_at"), table.ints("created_at")
    rows = _rows((known_at != NAT) & (created_at != NAT) & (known_at < created_at))
    when = _value(table, "known_at")
    return Finding("known_before_created", table.name, "known_at", rows, when, "known_at after it", "", fatal=False)


def _of_leads(tables: CrmTables) -> Iterator[Finding]:
    """Leads, and conversions that name a deal which is not listed, where a list is given at all."""
    yield _born_early(tables.leads)
    deal, listed = tables.lead_history.coded("deal_id"), tables.deals.coded("deal_id").values
    if listed:
        strange = _rows((deal.codes >= 0) & (deal.codes_in(listed) < 0))
        name = _value(tables.lead_history, "deal_id")
        yield Finding("unlisted_deal", "lead_history", "deal_id", strange, name, "listed", "", fatal=False)


def _openings(deals: Table, history: Table, deal: IntArray, stages: StageMap) -> Iterator[Finding]:
    """Deals without history, and deals whose history begins with their close."""
    name = _value(deals, "deal_id")
    rows = np.flatnonzero(deal >= 0)
    present = np.zeros(deals.n, dtype=bool)
    present[deal[rows]] = True
    lacking = _rows(~present & ~is_missing(deals["deal_id"]))
    yield Finding("no_history", deals.name, "deal_id", lacking, name, "a row in deal_history", "", fatal=False)
    order = rows[np.lexsort([history.ints("seq")[rows], history.ints("known_at")[rows], deal[rows]])]
    first = np.ones(len(order), dtype=bool)
    first[1:] = deal[order][1:] != deal[order][:-1]
    opening = order[first]
    closed = np.sort(deal[opening[closing_rows(history, stages)[opening]]])
    yield Finding("no_open_row", deals.name, "deal_id", closed, name, "a row before the close", "", fatal=False)


def closing_rows(history: Table, stages: StageMap) -> Mask:
    """bool[n]: the history rows that win or lose their deal."""
    stage = history.coded("stage")
    closes = np.isin(stages.outcomes(stage.values), (WON, LOST))
    mask: Mask = np.append(closes, False)[stage.codes]
    return mask


def _references(tables: CrmTables) -> Iterator[Finding]:
    """Accounts and reps that are named but not listed, where a list is given at all."""
    history, deals = tables.deal_history, tables.deals
    for table, column, listed in (
        (deals, "account_id", tables.accounts.coded("account_id")),
        (history, "owner_id", tables.reps.coded("rep_id")),
        (tables.quotas, "rep_id", tables.reps.coded("rep_id")),
        (tables.calls, "rep_id", tables.reps.coded("rep_id")),
    ):
        if not len(listed):
            continue
        coded = table.coded(column)
        strange = _rows((coded.codes >= 0) & (coded.codes_in(listed.values) < 0))
        yield Finding(
            f"unlisted_{column}", table.name, column, strange, _value(table, column), "listed", "", fatal=False
        )
    probability = history.floats("probability")
    outside = _rows((probability < 0) | (probability > 1))
    shown = _value(history, "probability")
    yield Finding("probability_range", history.name, "probability", outside, shown, "0 to 1", "", fatal=False)


def _says(text: str) -> Callable[[int], str]:
    return lambda _row: text


def _value(table: Table, column: str) -> Callable[[int], str]:
    return lambda row: _show(table, column, row)


def _show(table: Table, column: str, row: int) -> str:
    """One cell for people."""
    data = table[column]
    if isinstance(data, Coded):
        return repr(data.decode(row))
    kind = TABLES[table.name].column(column).kind
    value = data[row].item()
    if kind == "time":
        return show_time(int(value))
    if kind == "date":
        return show_time(int(value) * DAY)[:10]
    return f"{value / 100:,.2f}" if kind == "money" else f"{value:g}"


def show_time(instant: int) -> str:
    """Microseconds since the epoch as ISO 8601 UTC text; the number itself where no calendar reaches."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(instant))
    except OverflowError:
        return f"{instant} microseconds"
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
