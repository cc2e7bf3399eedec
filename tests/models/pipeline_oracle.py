"""The slow and obvious second computation of pipeline figures: plain rows, plain loops, no NumPy arithmetic.

Whatever is known at or after the as-of is thrown away first; then each figure is what docs/metrics.md says.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from statistics import fmean, median

from features.periods import DAY, Calendar
from features.stages import StageMap
from features.tables import NAT, CrmTables

OPEN, WON, LOST, MERGED = "open", "won", "lost", "merged"


@dataclass(frozen=True)
class Row:
    at: int
    outcome: str
    stage: str | None
    amount: int
    close_day: int | None
    owner: str | None
    assumed: bool


@dataclass
class Episode:
    """opened: as a win tells it. rows: before the end. end: the row that ended it."""

    deal: str
    opened: int
    rows: list[Row] = field(default_factory=list)
    end: Row | None = None

    @property
    def owner(self) -> str | None:
        return self.rows[-1].owner if self.rows else self.end.owner if self.end else None

    @property
    def stake(self) -> int:
        told = [row.amount for row in self.rows if row.amount > 0]
        return told[-1] if told else max(self.end.amount, 0) if self.end else 0


@dataclass(frozen=True)
class Company:
    """Everything known before `cut`; teams: of each rep."""

    deals: dict[str, tuple[int, list[Row]]]
    quotas: list[tuple[str, int, int]]  # rep, local day, cents
    stages: StageMap
    calendar: Calendar
    cut: int

    def before(self, instant: int) -> Company:
        left = {
            deal: (known, [row for row in rows if row.at < instant])
            for deal, (known, rows) in self.deals.items()
            if known < instant
        }
        return replace(self, deals=left, cut=instant)

    def episodes(self) -> list[Episode]:
        found: list[Episode] = []
        for deal, (known, rows) in self.deals.items():
            current: Episode | None = None
            for row in rows:
                if row.outcome == OPEN and (current is None or current.end is not None):
                    current = Episode(deal, known if current is None else row.at)
                    found.append(current)
                elif row.outcome != OPEN and current is None:
                    current = Episode(deal, known)
                    found.append(current)
                assert current is not None
                if row.outcome == OPEN:
                    current.rows.append(row)
                elif current.end is None:
                    current.end = row
        for episode in found:
            end = episode.end
            if end is not None:
                episode.rows = [row for row in episode.rows if row.at < end.at]
        return found

    def open_now(self) -> list[tuple[str, str | None, str | None, int, int | None]]:
        """(deal, owner, stage, cents, close day) of each open deal."""
        found = []
        for deal, (_, rows) in self.deals.items():
            if not rows:
                found.append((deal, None, None, 0, None))
            elif rows[-1].outcome == OPEN:
                last = rows[-1]
                found.append((deal, last.owner, last.stage, max(last.amount, 0), last.close_day))
        return found

    def wins(self) -> list[Episode]:
        return [episode for episode in self.episodes() if episode.end and episode.end.outcome == WON]

    def period_of(self, instant: int) -> int:
        return max(k for k, start in enumerate(self.calendar.starts.tolist()) if start <= instant)


def company_of(tables: CrmTables, stages: StageMap, calendar: Calendar, as_of: int) -> Company:
    """Read plain rows off the tables."""
    deals: dict[str, tuple[int, list[Row]]] = {}
    for deal, known in zip(
        tables.deals.coded("deal_id").strings(), tables.deals.ints("known_at").tolist(), strict=True
    ):
        deals[str(deal)] = (known, [])
    table = tables.deal_history
    columns = (
        table.coded("deal_id").strings(), table.ints("known_at").tolist(), table.ints("seq").tolist(),
        table.coded("stage").strings(), table.ints("amount").tolist(), table.ints("close_date").tolist(),
        table.coded("owner_id").strings(), table.ints("is_deleted").tolist(), table.coded("merged_into").strings(),
        table.coded("assumed").strings(),
    )  # fmt: skip
    for deal, at, _, stage, amount, day, owner, deleted, merged, assumed in sorted(
        zip(*columns, strict=True), key=lambda row: (row[1], row[2])
    ):
        outcome = WON if stage in stages.won else LOST if stage in stages.lost else OPEN
        outcome = MERGED if merged is not None else LOST if deleted == 1 else outcome
        known, rows = deals[str(deal)]
        told = stage if stage in stages.order else None
        rows.append(
            Row(max(at, known), outcome, told, 0 if amount == NAT else amount, None if day == NAT else day, owner,
                "stage" in (assumed or "").split(","))
        )  # fmt: skip
    quotas = [
        (str(rep), day, cents)
        for rep, day, cents, at in zip(
            tables.quotas.coded("rep_id").strings(),
            tables.quotas.ints("period_start").tolist(),
            tables.quotas.ints("amount").tolist(),
            tables.quotas.ints("known_at").tolist(),
            strict=True,
        )
        if at < as_of
    ]
    return Company(deals, quotas, stages, calendar, as_of).before(as_of)


def window_of(company: Company, periods: int) -> tuple[int, int]:
    """First period of the window, and the running one."""
    running = company.period_of(company.cut)
    first = company.period_of(min(known for known, _ in company.deals.values()))
    return max(running - periods, first), running


def figures(company: Company, reps: set[str | None], periods: int) -> dict[str, object]:
    """Every figure of the node that holds these reps, but for shrunken ones. reps: None is nobody."""
    starts, days = company.calendar.starts.tolist(), company.calendar.days.tolist()
    first, running = window_of(company, periods)
    begin, end = starts[first], starts[running]
    mine = [episode for episode in company.episodes() if episode.owner in reps]
    closed = [e for e in mine if e.end and e.end.outcome in (WON, LOST) and begin <= e.end.at < end]
    won, lost = ([e for e in closed if e.end and e.end.outcome == kind] for kind in (WON, LOST))
    booked = [max(e.end.amount, 0) for e in won if e.end]
    cycles = [(e.end.at - e.opened) / DAY for e in won if e.end and e.end.at > e.opened]
    standing = [deal for deal in company.open_now() if deal[1] in reps]
    now = [max(e.end.amount, 0) for e in mine if e.end and e.end.outcome == WON and e.end.at >= end]
    quota = [cents for rep, day, cents in company.quotas if rep in reps and days[running] <= day < days[running + 1]]
    stakes = sum(e.stake for e in won), sum(e.stake for e in lost)
    due = [deal for deal in standing if deal[4] is not None and days[running] <= deal[4] < days[running + 1]]
    since = starts[max(running - 1, first)]
    recent = [
        (e.end.outcome == WON, e.end.outcome == LOST)
        for e in mine
        if e.end and e.end.outcome in (WON, LOST) and e.end.at >= since
    ]
    begun = [max(start for start in starts if start <= e.end.at) for e in won if e.end]
    later = [min(start for start in starts if start > e.end.at) for e in won if e.end]
    gone_at = [e.end.at - start for e, start in zip(won, begun, strict=True) if e.end]
    shares = [gone / (stop - start) for gone, start, stop in zip(gone_at, begun, later, strict=True)]
    by_now = sum(cents for gone, cents in zip(gone_at, booked, strict=True) if gone < company.cut - starts[running])
    today = (
        datetime.fromtimestamp(company.cut // 1_000_000, UTC).date() - datetime(1970, 1, 1, tzinfo=UTC).date()
    ).days
    return {
        "open": (len(standing), sum(deal[3] for deal in standing)),
        "due": (len(due), sum(deal[3] for deal in due)),
        "overdue": sum(1 for deal in standing if deal[4] is not None and deal[4] < today),
        "closed": (len(won), len(lost), *stakes),
        "win_rate": len(won) / len(closed) if closed else None,
        "win_rate_amount": stakes[0] / sum(stakes) if sum(stakes) else None,
        "average": sum(booked) / sum(1 for cents in booked if cents) if sum(booked) else None,
        "cycle": (fmean(cycles), median(cycles)) if cycles else (None, None),
        "quota": sum(quota) if quota else None,
        "booked": sum(now),
        "recent": (sum(k for k, _ in recent), sum(k for _, k in recent)),
        "unpriced": sum(1 for deal in standing if deal[3] == 0),
        "usual_share": by_now / sum(booked) if sum(booked) else None,
        "centre": sum(gone * cents for gone, cents in zip(shares, booked, strict=True)) / sum(booked)
        if sum(booked)
        else None,
        "yield": past_yield(company, reps, periods, due=False),
        "yield_due": past_yield(company, reps, periods, due=True),
    }


def past_yield(company: Company, reps: set[str | None], periods: int, due: bool) -> tuple[int, int]:
    """(cents open at the same time into the window's periods, cents that those deals brought by its end)."""
    starts, days = company.calendar.starts.tolist(), company.calendar.days.tolist()
    first, running = window_of(company, periods)
    stood = won = 0
    for period in range(first, running):
        at = min(starts[period] + company.cut - starts[running], starts[period + 1] - 1)
        for deal, owner, _, cents, day in company.before(at).open_now():
            if owner in reps and (not due or (day is not None and days[period] <= day < days[period + 1])):
                stood += cents
                for win in company.wins():
                    assert win.end is not None
                    if win.deal == deal and win.opened < at <= win.end.at < starts[period + 1]:
                        won += max(win.end.amount, 0)
    return stood, won


def flow(company: Company, reps: set[str | None], periods: int, stage: str) -> dict[str, int]:
    """The cohort that entered a stage in the window: entered, advanced, lost, merged, still_open, won, ended."""
    starts = company.calendar.starts.tolist()
    first, running = window_of(company, periods)
    process = next(p for p in company.stages.processes or (company.stages.order,) if stage in p)
    later = process[process.index(stage) + 1 :]
    counts = dict.fromkeys(("entered", "advanced", "lost", "merged", "still_open", "won", "ended"), 0)
    for episode in company.episodes():
        entries = [k for k, row in enumerate(episode.rows) if row.stage == stage and not row.assumed]
        if episode.owner not in reps or not entries:
            continue
        if not starts[first] <= episode.rows[entries[0]].at < starts[running]:
            continue
        outcome = episode.end.outcome if episode.end else OPEN
        beyond = any(row.stage in later for row in episode.rows[entries[0] :]) or outcome == WON
        counts["entered"] += 1
        counts["advanced" if beyond else {OPEN: "still_open"}.get(outcome, outcome)] += 1
        counts["won"] += outcome == WON
        counts["ended"] += outcome in (WON, LOST)
    return counts
