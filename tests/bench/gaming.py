"""A rep who games the score: what can be written into the CRM in an hour, and by how much it moves the log-odds.

Each trick writes rows an hour before the as-of onto every open deal it can be played on; all else stays as it is, the
reference facts too. A move is the log-odds after less the log-odds before, of the model that saw no trick in training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from configs.flags import Flags
from configs.schema import Config
from features.asof import Requests, before
from features.build import FeatureMatrix, build_features
from features.ingest import Ingest
from features.periods import DAY, MICRO, Calendar
from features.record import Record, build_record
from features.registry import Plan
from features.tables import NAT, TABLES, Coded, ColumnData, CrmTables, Table, missing_column
from models.base import Bool, Float, Int
from models.close import CloseModel
from models.flags import Flag, Scores, find_flags
from training.cuts import fit_on, ground_at
from training.prepare import Prepared, prepare

HOUR = 3600 * MICRO
MEETINGS, MAILS = 10, 20
LOOKS = (21, 42, 70)  # days into the period in which deals are looked at


FACTORS = ("rep_call", "close_date", "amount", "our_activity", "meetings")
"""Factors of what a rep can write at will, or log; the stage is one too, but no model is without it."""
MORE = ("days_since_rep_edit", "process_steps")


def editable(plan: Plan) -> tuple[str, ...]:
    """Return the features that a rep's own entries move."""
    return tuple(feature.name for feature in plan.features if feature.factor in FACTORS or feature.name in MORE)


@dataclass(frozen=True)
class Company:
    """A company and a model of its past. requests: deals open in the period after the model's cut."""

    prepared: Prepared
    tables: CrmTables
    record: Record
    model: CloseModel
    requests: Requests

    def matrix(self, record: Record) -> FeatureMatrix:
        """The columns of the model as another record tells them."""
        return build_features(record, self.requests, self.prepared.plan)


@dataclass(frozen=True)
class Played:
    """A trick on all deals that it can be played on. moves: float64[n] log-odds. flags: of each of them, after."""

    moves: Float
    flags: list[tuple[Flag, ...]]

    def share_flagged(self, *codes: str) -> float:
        """Return the share of the deals that carry at least one of these flags."""
        return float(np.mean([any(flag.code in codes for flag in listed) for listed in self.flags]))


def company(config: Config, ingest: Ingest, periods: int = 1) -> Company:
    """Fit on all but the last `periods` whole periods; look at the deals open in the one after the cut."""
    whole = prepare(config, ingest)
    place = int(np.searchsorted(whole.calendar.starts, whole.until, side="right")) - 1 - periods
    cut = int(whole.calendar.starts[place])
    prepared = prepare(config, ingest, cut)
    model, _ = fit_on(prepared, ground_at(prepared, cut))
    record = build_record(ingest.tables, whole.record.stages, whole.calendar, prepared.plan.context.schema)
    every = np.arange(ingest.tables.deals.n, dtype=np.int64)
    asked = Requests(np.tile(every, len(LOOKS)), np.repeat([cut + days * DAY for days in LOOKS], len(every)))
    return Company(prepared, ingest.tables, record, model, asked.take(record.is_open(asked)))


def flags_of(game: Company, record: Record) -> list[tuple[Flag, ...]]:
    """Return the flags of every deal as a record tells it, by the thresholds that ship."""
    p, unknown = game.model.predict(game.matrix(record)), np.full(len(game.requests), np.nan)
    return find_flags(record.view(game.requests), Scores(p, unknown, unknown, unknown, unknown, True), Flags())


def play(game: Company, trick: Trick) -> Played:
    """Play a trick at each look; deals where it changes nothing are left out."""
    stood = game.model.logit(game.matrix(game.record))
    moves = np.zeros(len(game.requests))
    flags: list[tuple[Flag, ...]] = [()] * len(game.requests)
    touched = np.zeros(len(game.requests), dtype=bool)
    for as_of in np.unique(game.requests.as_of).tolist():
        rows = np.flatnonzero(game.requests.as_of == as_of)
        look = replace(game, requests=game.requests.take(rows))
        tables, on = trick(look.tables, look.requests.deal, as_of, game.prepared.calendar)
        played = build_record(
            tables,
            game.record.stages,
            game.record.calendar,
            game.prepared.plan.context.schema,
            game.record.reference,
        )
        moves[rows] = game.model.logit(look.matrix(played)) - stood[rows]
        for row, listed in zip(rows.tolist(), flags_of(look, played), strict=True):
            flags[row] = listed
        touched[rows] = on
    return Played(moves[touched], [flags[row] for row in np.flatnonzero(touched).tolist()])


# Tricks: the tables with the rows written, and bool[n] the deals on which something was.

Trick = Callable[[CrmTables, Int, int, Calendar], tuple[CrmTables, Bool]]


def meetings(tables: CrmTables, deal: Int, as_of: int, calendar: Calendar) -> tuple[CrmTables, Bool]:
    """Log ten meetings as held, one on each of the last ten days."""
    ago = np.tile(np.arange(1, MEETINGS + 1), len(deal)) * DAY
    return _logged(tables, deal, as_of, MEETINGS, ago, "meeting", "mutual", "held"), np.ones(len(deal), dtype=bool)


def meeting(tables: CrmTables, deal: Int, as_of: int, calendar: Calendar) -> tuple[CrmTables, Bool]:
    """Log one meeting as held yesterday: what the first of the ten does."""
    ago = np.full(len(deal), DAY)
    return _logged(tables, deal, as_of, 1, ago, "meeting", "mutual", "held"), np.ones(len(deal), dtype=bool)


def mails(tables: CrmTables, deal: Int, as_of: int, calendar: Calendar) -> tuple[CrmTables, Bool]:
    """Send twenty mails within the hour."""
    ago = np.full(MAILS * len(deal), HOUR)
    return _logged(tables, deal, as_of, MAILS, ago, "email", "outbound", None), np.ones(len(deal), dtype=bool)


def commit(tables: CrmTables, deal: Int, as_of: int, calendar: Calendar) -> tuple[CrmTables, Bool]:
    """Call it commit."""
    said, row = _last(tables, deal, as_of)
    category = tables.deal_history.coded("forecast_category")
    on = np.array([word not in ("commit", "closed") for word in category.take(row).strings()], dtype=bool) & said
    return _edited(tables, row[on], as_of, {"forecast_category": Coded.of(["commit"] * int(on.sum()))}), on


def close_date(tables: CrmTables, deal: Int, as_of: int, calendar: Calendar) -> tuple[CrmTables, Bool]:
    """Move a close date that lies after the period to two weeks before the period's end, or to tomorrow."""
    said, row = _last(tables, deal, as_of)
    period = int(calendar.index(np.array([as_of]))[0])
    today = as_of // DAY
    wished = max(int(calendar.days[period + 1]) - 14, today + 1)
    due = tables.deal_history.ints("close_date")[row]
    on = said & (due != NAT) & (due >= calendar.days[period + 1])
    return _edited(tables, row[on], as_of, {"close_date": np.full(int(on.sum()), wished)}), on


def everything(tables: CrmTables, deal: Int, as_of: int, calendar: Calendar) -> tuple[CrmTables, Bool]:
    """All of it in the same hour."""
    for trick in (meetings, mails, close_date, commit):
        tables = trick(tables, deal, as_of, calendar)[0]
    return tables, np.ones(len(deal), dtype=bool)


TRICKS: Mapping[str, Trick] = {
    "1 meeting logged": meeting,
    "10 meetings logged": meetings,
    "20 mails sent": mails,
    "called commit": commit,
    "close date moved into the period": close_date,
    "all of it": everything,
}


def _last(tables: CrmTables, deal: Int, as_of: int) -> tuple[Bool, Int]:
    """Return whether each deal has a row before an as-of, and the last one's place in deal_history."""
    history = tables.deal_history
    owner = history.coded("deal_id").codes_in(tuple(tables.deals.coded("deal_id").strings()))  # type: ignore[arg-type]
    order = np.lexsort([history.ints("seq"), history.ints("known_at"), owner])
    width = np.int64(1) << 24
    days = np.unique(history.ints("known_at"))
    key = owner[order].astype(np.int64) * width + np.searchsorted(days, history.ints("known_at"))[order]
    at = np.searchsorted(key, deal * width + before(days, as_of)) - 1
    row = order[np.maximum(at, 0)]
    return (at >= 0) & (owner[row] == deal), row


def _edited(tables: CrmTables, row: Int, as_of: int, change: Mapping[str, ColumnData]) -> CrmTables:
    """Write some rows of deal_history again an hour before an as-of, with a change."""
    history = tables.deal_history
    copied = {name: _take(column, row) for name, column in history.columns.items()}
    at = {"known_at": np.full(len(row), as_of - HOUR), "seq": np.full(len(row), int(history.ints("seq").max()) + 1)}
    return replace(tables, deal_history=_appended(history, {**copied, **at, **change}, len(row)))


def _logged(
    tables: CrmTables, deal: Int, as_of: int, count: int, ago: Int, kind: str, direction: str, outcome: str | None
) -> CrmTables:
    """Log `count` acts on each deal in the last hour before an as-of, a minute apart. ago: microseconds, of each."""
    n = count * len(deal)
    minute = np.tile(np.arange(count), len(deal)) * 60 * MICRO
    rows: dict[str, ColumnData] = {
        "deal_id": tables.deals.coded("deal_id").take(np.repeat(deal, count)),
        "occurred_at": as_of - ago + minute,
        "known_at": as_of - HOUR + minute,
        "kind": Coded.of([kind] * n),
        "direction": Coded.of([direction] * n),
        "outcome": Coded.of([outcome] * n),
    }
    return replace(tables, activities=_appended(tables.activities, rows, n))


def _appended(table: Table, rows: Mapping[str, ColumnData], n: int) -> Table:
    kinds = {column.name: column.kind for column in TABLES[table.name].columns}
    columns: dict[str, ColumnData] = {}
    for name, column in table.columns.items():
        more = rows[name] if name in rows else missing_column(kinds[name], n)
        if isinstance(column, Coded):
            assert isinstance(more, Coded)
            columns[name] = Coded.of([*column.strings(), *more.strings()])
        else:
            assert not isinstance(more, Coded)
            columns[name] = np.concatenate([column, more])
    return Table.of(table.name, columns, table.n + n)


def _take(column: ColumnData, row: Int) -> ColumnData:
    return column.take(row) if isinstance(column, Coded) else column[row]
