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
    return tuple(findings)


def _found(
    code: str,
    table: Table,
    column: str,
    mask: Mask,
    got: Callable[[int], str],
    expected: str = "",
    remedy: str = "",
    fatal: bool = True,
) -> Iterator[Finding]:
    """The finding of some rows of a table, given as bool[n]; none where there is no such row, as nearly always."""
    rows = mask.nonzero()[0]
    if len(rows):
        rows = rows.astype(np.int64, copy=False)
        yield Finding(code, table.name, column, rows, got, expected, remedy, fatal)


def _missing(table: Table, keep_unknown_stages: bool) -> Iterator[Finding]:
    for column in TABLES[table.name].columns:
        stage = (table.name, column.name) == ("deal_history", "stage") and not keep_unknown_stages
        if not stage and (column.nullable or (table.name, column.name) in DEFAULTS):
            continue  # where a default is missing, so is what it comes from
        lacking = is_missing(table[column.name])
        remedy = "fill it, or leave such rows out with `require` in the mapping"
        yield from _found("missing_value", table, column.name, lacking, _says("empty"), EXPECTED[column.kind], remedy)


def _duplicates(table: Table) -> Iterator[Finding]:
    """Rows whose key was already seen on an earlier row."""
    key = TABLES[table.name].key
    if not key or not table.n:
        return
    parts = [data.codes if isinstance(data, Coded) else data for data in (table[name] for name in key)]
    order = np.lexsort(parts[::-1])  # stable: of equal keys the earliest row stands first
    same = np.logical_and.reduce([part[order[1:]] == part[order[:-1]] for part in parts])
    if not same.any():
        return
    repeats = np.zeros(table.n, dtype=bool)
    repeats[order[1:][same]] = True
    whole = ~np.logical_or.reduce([is_missing(table[name]) for name in key])

    def got(row: int) -> str:
        return ", ".join(f"{name} {_show(table, name, row)}" for name in key) + " again"

    yield from _found(
        "duplicate_key", table, key[0], repeats & whole, got, "one row for each", "remove the repeated rows"
    )


def _ranges(table: Table) -> Iterator[Finding]:
    """Times, dates and amounts that can't be meant."""
    for column in TABLES[table.name].columns:
        name = column.name
        if column.kind in ("time", "date"):
            unit = DAY if column.kind == "time" else 1
            data = table.ints(name)
            low, high = _DAYS[0] * unit, _DAYS[1] * unit
            outside = ((data < low) & (data != NAT)) | (data >= high)
            if base := DEFAULTS.get((table.name, name)):
                outside &= data != table.ints(base)  # a default's fault is said once
            yield from _found(
                "absurd_time", table, name, outside, _value(table, name), "a time from 1990 to 2099", "correct it"
            )
        elif column.kind == "money":
            amount = table.ints(name)
            huge = (amount != NAT) & (np.abs(amount) > MAX_AMOUNT_CENTS)
            remedy = "give it in units of the base currency, or leave it empty"
            expected = f"at most {MAX_AMOUNT_CENTS // 100:,} in size"
            yield from _found("absurd_amount", table, name, huge, _value(table, name), expected, remedy)
            below = (amount != NAT) & (amount < 0)
            yield from _found("negative_amount", table, name, below, _value(table, name), "0 or more", fatal=False)


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
        said = _says(fault.got)
        yield from _found(code, table, column, coded.codes == i, said, fault.expected, fault.remedy)


def _activities(table: Table) -> Iterator[Finding]:
    minutes = table.floats("minutes")
    shown = _value(table, "minutes")
    yield from _found("negative_minutes", table, "minutes", minutes < 0, shown, "0 or more", "correct it")
    outcome = table.coded("outcome")
    silent = np.array([*(value in (PLANNED, *NOT_HAPPENED) for value in outcome.values), True], dtype=bool)
    said = ~silent.take(outcome.codes)
    known_at, occurred_at = table.ints("known_at"), table.ints("occurred_at")
    early = said & (known_at != NAT) & (known_at < occurred_at)  # NAT is before every instant

    def got(row: int) -> str:
        return (
            f"outcome {outcome.decode(row)!r} known at {show_time(known_at[row])}, before {show_time(occurred_at[row])}"
        )

    yield from _found("known_before_it_happened", table, "known_at", early, got, "known_at after it", fatal=False)


def _history(tables: CrmTables, stages: StageMap) -> Iterator[Finding]:
    """Deals and their history against each other."""
    deals, history = tables.deals, tables.deal_history
    coded = history.coded("deal_id")
    deal = deal_rows(deals, coded)
    unknown = (deal < 0) & (coded.codes >= 0)

    def stranger(row: int) -> str:
        return f"history of deal {coded.decode(row)!r}, which is not in deals"

    remedy = "export the deal as well, or leave its history out"
    yield from _found("unknown_deal", history, "deal_id", unknown, stranger, "a deal_id of deals", remedy)
    closing = closing_rows(history, stages)
    yield from _creation(deals, history, deal, closing)
    yield from _openings(deals, history, deal, closing)


def _creation(deals: Table, history: Table, deal: IntArray, closing: Mask) -> Iterator[Finding]:
    """History known before the deal was created: fatal where it closes the deal."""
    known_at = history.ints("known_at")
    created_at = np.append(deals.ints("created_at"), NAT)[deal]
    before = (known_at != NAT) & (known_at < created_at)  # NAT is before every instant

    def got(row: int) -> str:
        deal_id, stage = history.coded("deal_id").decode(row), history.coded("stage").decode(row)
        when = f"known at {show_time(known_at[row])}, before it was created at {show_time(created_at[row])}"
        return f"deal {deal_id!r}: stage {stage!r} {when}"

    remedy = "correct created_at or known_at; check the time zone of both columns"
    expected = "created_at at or before the close"
    if before.any():
        yield from _found("closed_before_created", history, "known_at", before & closing, got, expected, remedy)
        yield from _found("history_before_created", history, "known_at", before & ~closing, got, expected, fatal=False)
    yield from _born_early(deals)


def _born_early(table: Table) -> Iterator[Finding]:
    """Deals or leads known before they were created."""
    known_at, created_at = table.ints("known_at"), table.ints("created_at")
    early = (known_at != NAT) & (known_at < created_at)  # NAT is before every instant
    when = _value(table, "known_at")
    yield from _found("known_before_created", table, "known_at", early, when, "known_at after it", fatal=False)


def _of_leads(tables: CrmTables) -> Iterator[Finding]:
    """Leads, and conversions that name a deal which is not listed, where a list is given at all."""
    yield from _born_early(tables.leads)
    deal, listed = tables.lead_history.coded("deal_id"), tables.deals.coded("deal_id").values
    if listed:
        strange = (deal.codes >= 0) & (deal.codes_in(listed) < 0)
        name = _value(tables.lead_history, "deal_id")
        yield from _found("unlisted_deal", tables.lead_history, "deal_id", strange, name, "listed", fatal=False)


def _openings(deals: Table, history: Table, deal: IntArray, closing: Mask) -> Iterator[Finding]:
    """Deals without history, and deals whose history begins with their close."""
    name = _value(deals, "deal_id")
    rows = np.flatnonzero(deal >= 0)
    present = np.zeros(deals.n, dtype=bool)
    present[deal[rows]] = True
    lacking = ~present & ~is_missing(deals["deal_id"])
    yield from _found("no_history", deals, "deal_id", lacking, name, "a row in deal_history", fatal=False)
    if not closing.any():
        return
    order = rows[np.lexsort([history.ints("seq")[rows], history.ints("known_at")[rows], deal[rows]])]
    first = np.ones(len(order), dtype=bool)
    first[1:] = deal[order[1:]] != deal[order[:-1]]
    closed = np.zeros(deals.n, dtype=bool)
    closed[deal[order[first & closing[order]]]] = True
    yield from _found("no_open_row", deals, "deal_id", closed, name, "a row before the close", fatal=False)


def closing_rows(history: Table, stages: StageMap) -> Mask:
    """bool[n]: the history rows that win or lose their deal."""
    stage = history.coded("stage")
    outcomes = stages.outcomes(stage.values)
    closes = (outcomes == WON) | (outcomes == LOST)
    mask: Mask = closes.take(stage.codes) & (stage.codes >= 0) if len(closes) else np.zeros(history.n, dtype=bool)
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
        strange = (coded.codes >= 0) & (coded.codes_in(listed.values) < 0)
        yield from _found(f"unlisted_{column}", table, column, strange, _value(table, column), "listed", fatal=False)
    probability = history.floats("probability")
    outside = (probability < 0) | (probability > 1)
    shown = _value(history, "probability")
    yield from _found("probability_range", history, "probability", outside, shown, "0 to 1", fatal=False)


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
