"""`forecastle refresh`: the source's facts, the scores of all open deals and the forecast go into the store.

Only deals are scored whose facts changed, whose day has passed, or that another model scored. Deals that only the
source tells of go the way of `forecastle score`; those of which a CRM pushed more go the way of the endpoint.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import numpy as np
from sqlalchemy import Connection

from configs.errors import DataError, UsageError
from configs.load import mapping_of
from configs.schema import Config
from configs.vocab import LedgerMode
from features.asof import Requests
from features.periods import DAY, local_days
from features.tables import CrmTables
from models.bundle import Bundle
from models.flag_budget import NOBODY, within_budget
from models.flags import Flag
from serving.answers import flags_of, iso, judge, model_of, score_json
from serving.batch import open_deals, shown_before
from serving.contributions import Counted, Running, running_period, states_of
from serving.deal_facts import deal_facts, deal_names, rep_names
from serving.entries import Asked, Entry, entries_of, text_of
from serving.events import plain
from serving.example import deals_of
from serving.intake import Loaded, ready
from serving.page_facts import page_facts
from serving.refresh import Sourced, snapshot
from serving.refreshing import refreshing
from serving.scoring import DealScore, scorable, scoring
from serving.standing import outcomes_of, stones_of, whose
from serving.store.bridges import keep_bridges
from serving.store.called import write_calls
from serving.store.engine import Store
from serving.store.ledger import append
from serving.store.page_facts import write_page_facts
from serving.store.refreshed import (
    Known,
    Standing,
    answers,
    gone_by,
    known_deals,
    newest,
    standings,
    with_events,
    write_facts,
    write_forecast,
    write_outcomes,
    write_scores,
    write_stones,
)
from serving.store.repository import StoredDeal
from serving.store.states import Key, State, holding, newest_forecast, scores_at, write_states
from serving.store.states import Standing as Holding
from serving.stored import adds, deal_of

AT_ONCE = 500  # deals with events that are read together
MOST_VANISHED = 0.5  # of the deals that the source held before
COMMAND = "refresh"
WEEK = 7 * DAY

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Refreshed:
    """What became of every deal of the source and the store. as_of: UTC microseconds. forecast: rows, 0: none.

    not_known: created later, or their creation was never told. refused: facts that contradict each other.
    """

    as_of: int
    model_version: str
    bundle_sha256: str
    scored: int
    unchanged: int
    closed: int
    tombstoned: int
    not_known: int
    refused: int
    forecast: int

    def told(self) -> dict[str, Any]:
        """Return what --json says."""
        return vars(self) | {"as_of": iso(self.as_of)}


@dataclass(frozen=True)
class Before:
    """What the store holds before a refresh.

    eventful: deals of which events tell. ended, lost: deals that are gone, from when on, by an event and by the source.
    holding: how deals stand. forecast: first day of the period of the newest forecast, and the bundle that made it.
    """

    known: Known
    standings: Mapping[str, Standing]
    answers: Mapping[str, str]
    eventful: Mapping[str, StoredDeal]
    ended: Mapping[str, int]
    lost: Mapping[str, int]
    holding: Mapping[Key, Holding]
    forecast: tuple[str, str] | None


@dataclass
class Work:
    """What a refresh gathers. state: of every deal, one word of `Refreshed`. rows: of scores, by deal."""

    state: dict[str, str] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    flags: dict[str, tuple[Flag, ...]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    owners: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    closed_of: list[str] = field(default_factory=list)


def refresh(config: Config, as_of: int | None, now: int, allow_vanished: bool, progress: Progress) -> Refreshed:
    """Refresh the store as of an instant; now (UTC microseconds) where none is given.

    Raises UsageError, InSampleError, a BundleError, a DataError or StoreError; then the store is as it was.
    """
    started = time.perf_counter()
    instant = now if as_of is None else as_of
    with refreshing(config, instant, progress) as (bundle, store, seen):
        loaded = ready(bundle, snapshot(config, seen), mapping_of(config), config.flags)
        return _Refresh(config, loaded, seen, instant, now, progress).run(store, allow_vanished, started)


def documents(tables: CrmTables, bundle: Bundle) -> dict[str, dict[str, Any]]:
    """Return every deal of the source as a request gives it, by id, with all that is known of it at any time."""
    ids = sorted(name for name in tables.deals.coded("deal_id").strings() if name)
    return {deal["deal_id"]: deal for deal in deals_of(tables, bundle, ids)}


class _Refresh:
    """One refresh under way."""

    def __init__(self, config: Config, loaded: Loaded, seen: Sourced, as_of: int, now: int, progress: Progress) -> None:
        self.config, self.loaded, self.seen = config, loaded, seen
        self.as_of, self.now, self.progress = as_of, now, progress
        self.day = int(local_days(np.array([as_of]), config.time_zone)[0])
        self.docs = documents(seen.tables, loaded.bundle)
        self.shas = {name: sha256(plain(deal).encode()).hexdigest() for name, deal in self.docs.items()}
        self.work = Work()

    def run(self, store: Store, allow_vanished: bool, started: float) -> Refreshed:
        """Read the store, score what needs it, write all of it at once."""
        with store.engine.begin() as connection:
            self._refuse_the_past(newest(connection))
            before = self._before(connection)
        vanished = self._vanished(before.known, allow_vanished)
        stones = stones_of(self.seen.tables.deal_history)
        lost = {name: at for name, at in before.lost.items() if name not in self.docs}
        gone = {**before.ended, **lost, **stones.known_at, **dict.fromkeys(vanished, self.now)}
        pushed = self._eventful(before, vanished)
        self._score_source(before, set(pushed), gone)
        self._score_pushed(before, pushed, gone)
        for name in {*before.known.facts, *vanished} - set(self.work.state):
            self.work.state[name] = "tombstoned" if name in gone else "not_known"
        running = self._running(before)
        states = self._states(before, running)
        shown = self._within_budget(before)
        new_facts = [
            {"deal_id": name, "body": plain(self.docs[name]), "facts_sha256": sha}
            for name, sha in self.shas.items()
            if before.known.facts.get(name) != sha
        ]
        entries = self.work.entries if self.config.serving.ledger is not LedgerMode.OFF else []
        took = round((time.perf_counter() - started) * 1000, 3)
        told = self._told(len(running.rows))
        more = told.told() | {"last_event": max(before.known.last_event.values(), default=0)}
        pages = page_facts(self.seen, self.config, self.loaded.bundle, self.as_of, self.now, more)
        asked = Asked(f"{COMMAND}-{secrets.token_hex(8)}", COMMAND, COMMAND, self.now, took)

        def write(connection: Connection) -> None:
            self._refuse_the_past(newest(connection))  # another refresh may have ended meanwhile
            write_facts(connection, new_facts, self.work.owners, rep_names(self.seen.tables))
            write_stones(connection, stones.rows, [{"deal_id": name, "known_at": self.now} for name in vanished])
            keep = {name for name, state in self.work.state.items() if state in ("scored", "unchanged")}
            past = {} if self._new_period() else scores_at(connection, self.as_of - WEEK)
            rows = [row | {"p_before": past.get(name)} for name, row in self.work.rows.items()]
            write_scores(connection, rows, keep, shown)
            write_forecast(connection, running.rows)
            write_calls(connection, self.as_of, self._period_start(), running.calls)
            write_page_facts(connection, pages.nodes, pages.read)
            write_outcomes(connection, self.work.outcomes, self.work.closed_of)
            by_model = {one.deal_id: one.model_cents for one in running.shares if one.slot == 0}
            write_states(connection, self.as_of, states, by_model, self._same_period(before, running))
            append(connection, entries, asked, model_of(self.loaded))

        store.writer.submit(write).result()
        keep_bridges(store, self.as_of, self.config.time_zone)
        return told

    def _before(self, connection: Connection) -> Before:
        eventful = {stored.deal_id: stored for stored in with_events(connection)}
        ended, lost = (gone_by(connection, origin) for origin in ("event", "source"))
        told = (known_deals(connection), standings(connection), answers(connection))
        return Before(*told, eventful, ended, lost, holding(connection), newest_forecast(connection))

    def _refuse_the_past(self, stored: int | None) -> None:
        if stored is not None and self.as_of < stored:
            raise UsageError.at(
                "--as-of",
                f"{iso(self.as_of)} is before the scores that are stored, of {iso(stored)}",
                expected="that instant or a later one",
                remedy="for a file of scores of an earlier day use `forecastle score`",
            )

    def _vanished(self, known: Known, allowed: bool) -> list[str]:
        """Return the deals that the source held and does not hold any more. Raises DataError where they are many."""
        held = [name for name, sha in known.facts.items() if sha is not None]
        vanished = sorted(name for name in held if name not in self.docs)
        if not allowed and len(vanished) > MOST_VANISHED * len(held):
            raise DataError.at(
                "source",
                f"{len(vanished):,} of {len(held):,} deals that it held are not in it any more",
                expected=f"at most {MOST_VANISHED:.0%} of them gone at once",
                remedy="check that the export is whole; --allow-vanished takes them for deleted",
                code="vanished",
            )
        return vanished

    def _eventful(self, before: Before, vanished: Sequence[str]) -> dict[str, StoredDeal]:
        """Return the deals of which events tell more than the source, with the source's newest word."""
        lost, more = set(vanished), {}
        for name, stored in before.eventful.items():
            current = replace(stored, body=self.docs.get(name, stored.body))
            if name not in lost and (name not in self.docs or adds(current)):
                more[name] = current
        return more

    def _stale(self, before: Before, name: str) -> bool:
        """Whether a deal must be scored anew."""
        last = before.known.last_event.get(name, 0)
        now = Standing(self.shas.get(name), last, self.day, self.loaded.bundle.sha)
        return before.standings.get(name) != now

    def _score_source(self, before: Before, others: set[str], gone: Mapping[str, int]) -> None:
        """Score the deals that the source alone tells of, through the record of the whole source."""
        record, bundle = self.seen.record, self.loaded.bundle
        names = [name or "" for name in record.deal_ids.strings()]
        every = np.arange(len(names), dtype=np.int64)
        asked = Requests(every, np.full(len(names), self.as_of, dtype=np.int64))
        known, is_open = scorable(record.view(asked))
        owners, names_of = whose(record, asked), deal_names(self.seen.tables)
        rows: list[int] = []
        for k, name in enumerate(names):
            if name in others:
                continue
            self.work.owners.append({"deal_id": name} | owners[k] | names_of[name])
            if not is_open[k]:
                self.work.state[name] = self._not_open(name, bool(known[k]), gone)
            elif self._stale(before, name):
                rows.append(k)
            else:
                self.work.state[name] = "unchanged"
        self.work.outcomes += [one for one in outcomes_of(record, names) if one["deal_id"] not in others]
        self.work.closed_of += [name for name in names if name not in others]
        if not rows:
            return
        chosen = asked.take(np.array(rows, dtype=np.int64))
        made = scoring(record, chosen, bundle, True, self.loaded.facts.as_of, self.loaded.flags)
        scored = [names[k] for k in rows]
        self.work.entries += entries_of(made, scored, True)
        facts = deal_facts(record, chosen)
        for k, one, told in zip(rows, made.scores, facts, strict=True):
            self._take(names[k], one, owners[k] | told, before)

    def _score_pushed(self, before: Before, more: Mapping[str, StoredDeal], gone: Mapping[str, int]) -> None:
        """Score the deals of which events tell, as the endpoint does."""
        todo = []
        for name, stored in more.items():
            if name in before.standings and not self._stale(before, name):
                self.work.state[name] = "unchanged"
            elif (deal := deal_of(stored)) is None:
                self.work.state[name] = "not_known"
            else:
                todo.append((name, deal))
        for start in range(0, len(todo), AT_ONCE):
            some = todo[start : start + AT_ONCE]
            judged = judge([deal for _, deal in some], self.as_of, True, self.loaded, self.config.serving)
            self.work.entries += judged.entries
            intake = judged.intake
            if intake.record is not None:
                places = [int(place or 0) for place in intake.record.deal_ids.strings()]
                self.work.outcomes += outcomes_of(intake.record, [some[place][0] for place in places])
                told = zip(
                    whose(intake.record, intake.requests), deal_facts(intake.record, intake.requests), strict=True
                )
                facts = dict(zip(intake.positions, (owner | shown for owner, shown in told), strict=True))
            for place, (name, _) in enumerate(some):
                self.work.closed_of.append(name)
                if place in judged.scores:
                    self._take(name, judged.scores[place], facts[place], before)
                    continue
                codes = {fault.code for fault in judged.problems[place].faults}
                known = codes <= {"deal_closed", "deal_not_known"}
                self.work.state[name] = self._not_open(name, "deal_closed" in codes, gone) if known else "refused"

    def _not_open(self, name: str, known: bool, gone: Mapping[str, int]) -> str:
        if not known:
            return "not_known"
        return "tombstoned" if name in gone and gone[name] < self.as_of else "closed"

    def _take(self, name: str, one: DealScore, facts: Mapping[str, Any], before: Before) -> None:
        """Keep a new score. facts: whose the deal is and how it stands, as columns of ``scores``."""
        self.work.state[name] = "scored"
        self.work.flags[name] = one.flags or ()
        self.work.rows[name] = {
            "deal_id": name,
            "as_of": one.as_of,
            "day": self.day,
            "p": one.p,
            "amount_expected": one.amount_expected,
            **facts,
            "answer": text_of(score_json(one, self.loaded.bundle.about.target, True)),
            "facts_sha256": self.shas.get(name),
            "last_event": before.known.last_event.get(name, 0),
            "bundle_sha256": self.loaded.bundle.sha,
            "model_version": one.model_version,
        }

    def _within_budget(self, before: Before) -> list[tuple[str, str]]:
        """Return (code, deal_id) of the flags of all open deals that the alert budget lets through."""
        names = [name for name, state in self.work.state.items() if state in ("scored", "unchanged")]
        raised = [
            self.work.flags[name] if name in self.work.flags else flags_of(before.answers[name]) for name in names
        ]
        holder = {row["deal_id"]: row["owner_id"] for row in (*self.work.owners, *self.work.rows.values())}
        place = {owner: k for k, owner in enumerate(sorted({owner for owner in holder.values() if owner is not None}))}
        owners = [place.get(holder.get(name), NOBODY) for name in names]
        shown, _ = within_budget(raised, owners, self.config.flags, self._incumbents(names))
        return [(flag.code, name) for name, flags in zip(names, shown, strict=True) for flag in flags]

    def _incumbents(self, names: Sequence[str]) -> dict[str, list[int]]:
        """Return which of these deals the budget would have let through before, as a file of scores does."""
        record, place = self.seen.record, {name: k for k, name in enumerate(names)}
        asked = open_deals(record, self.as_of)
        of = [name or "" for name in record.deal_ids.take(asked.deal).strings()]
        before = shown_before(record, self.loaded.bundle, asked, self.config.flags)
        return {code: [place[of[row]] for row in rows if of[row] in place] for code, rows in before.items()}

    def _running(self, before: Before) -> Running:
        """Return the running period's forecast by what the source tells; an empty one where the model has none."""
        bundle = self.loaded.bundle
        kept = {
            name: Counted(one.state.p_money, one.state.worth)
            for (name, slot), one in before.holding.items()
            if slot == 0 and self.work.state.get(name) == "unchanged"
            if one.state.p_money is not None and one.state.worth is not None
        }
        other = before.forecast[1] if before.forecast and before.forecast[0] == self._period_start() else None
        try:
            return running_period(self.config, self.seen, bundle, self.as_of, kept, other)
        except UsageError as error:
            self.progress(f"no forecast: {error}")
            return Running()

    def _states(self, before: Before, running: Running) -> dict[Key, State]:
        """Return how every deal stands that is scored, or that the forecast counts."""
        scored = [name for name, state in self.work.state.items() if state in ("scored", "unchanged")]
        held = {name: vars(before.holding[name, 0].state) for name in scored if (name, 0) in before.holding}
        return states_of(
            scored, held | self.work.rows, running.shares, self.seen.record, self.as_of, self.loaded.bundle.sha
        )

    def _period_start(self) -> str:
        calendar = self.loaded.bundle.calendar
        return calendar.day(int(calendar.index(np.array([self.as_of]))[0])).isoformat()

    def _same_period(self, before: Before, running: Running) -> bool:
        """Whether the refresh before forecast the same period."""
        return bool(running.rows) and before.forecast is not None and before.forecast[0] == self._period_start()

    def _new_period(self) -> bool:
        """Whether scores of a week ago speak of another period."""
        start, _ = self.loaded.bundle.calendar.bounds(np.array([self.as_of]))
        return self.loaded.bundle.about.target == "in_period" and self.as_of - WEEK < int(start[0])

    def _told(self, forecast: int) -> Refreshed:
        states = list(self.work.state.values())
        words = ("scored", "unchanged", "closed", "tombstoned", "not_known", "refused")
        counts = {word: states.count(word) for word in words}
        bundle = self.loaded.bundle
        return Refreshed(self.as_of, bundle.version, bundle.sha, forecast=forecast, **counts)
