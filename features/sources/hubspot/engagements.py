"""From engagements and events to `lead_activities`: each record as the facts that it tells, each with its own clock.

A mail or call is known when it is logged, not before it happens. A meeting is planned when it is entered, held or
called off when its outcome was set. What a browser did before its contact was there is known with the contact, and
what is about a contact that was merged into another, with the merge.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from configs.mapping import fold
from configs.vocab import PLANNED, ActivityKind, Direction
from features.ingest import Notice
from features.settle import DIRECTION_WORDS, KIND_WORDS
from features.sources.columns import among
from features.sources.exports import Export, Rows
from features.sources.facts import OUTCOMES, Block, Facts, block, stacked
from features.sources.frames import Stacked
from features.sources.hubspot.contacts import ARCHIVED, UNTOLD, Contacts, Pairs, archived
from features.sources.hubspot.history import first_said
from features.sources.hubspot.objects import ENGAGEMENTS, EVENTS, HISTORY, KEY
from features.tables import NAT, Coded, IntArray

Mask = NDArray[np.bool_]
NO_CONTACT = "names no contact"
OF_NOBODY = "its contacts are not in the export, or left out"
MERGE_UNTOLD = "of a contact that was merged at a time that the export does not tell"
TWICE = "a repeated row"
NOTE = "a note: nobody acted"
NO_DIRECTION = "a mail that was neither sent nor received"
NO_ACTIVITY = "a to-do that is no call or mail"
NO_START = "a meeting without a start"
NO_TIME = "done at a time that the export does not tell"
MACHINE = "a machine's: filteredEvent"
OTHER_EVENT = "an event of another type"
NO_WORD = -1
TASK_KINDS = {"call": ActivityKind.CALL, "email": ActivityKind.EMAIL}
MAIL_DIRECTIONS = {
    "email": Direction.OUTBOUND,
    "forwardedemail": Direction.OUTBOUND,
    "incomingemail": Direction.INBOUND,
}
CALLED_OFF = {"canceled": "cancelled", "cancelled": "cancelled", "noshow": "no_show"}
Told = tuple[ActivityKind, Direction, str | None]
WORDS: dict[str, tuple[str, dict[str, Told]]] = {
    "form_submissions": ("", {"": (ActivityKind.CONTENT, Direction.INBOUND, "submitted")}),
    "page_views": ("", {"": (ActivityKind.WEB, Direction.INBOUND, None)}),
    "email_events": (
        "type",
        {
            "delivered": (ActivityKind.CAMPAIGN, Direction.OUTBOUND, "sent"),
            "open": (ActivityKind.CONTENT, Direction.INBOUND, "opened"),
            "click": (ActivityKind.CAMPAIGN, Direction.INBOUND, "clicked"),
        },
    ),
    "marketing_events": (
        "state",
        {
            "registered": (ActivityKind.CAMPAIGN, Direction.INBOUND, "registered"),
            "attended": (ActivityKind.CAMPAIGN, Direction.INBOUND, "attended"),
            "cancelled": (ActivityKind.CAMPAIGN, Direction.INBOUND, "cancelled"),
            "noshow": (ActivityKind.CAMPAIGN, Direction.INBOUND, "no_show"),
        },
    ),
}
"""Objects of what a contact did: the property that says what, and what each of its words is to us."""


def activity_table(export: Export, contacts: Contacts) -> tuple[Stacked, list[Notice]]:
    """All that was done about leads, and by them."""
    facts: dict[str, Callable[[Rows], list[Facts]]] = {
        "emails": _mails,
        "calls": _calls,
        "meetings": lambda rows: _meetings(rows, export["meetings" + HISTORY]),
        "tasks": lambda rows: _tasks(rows, export["tasks" + HISTORY]),
        **dict.fromkeys(EVENTS, _events),
    }
    blocks: list[Block] = []
    notices: list[Notice] = []
    notes = export["notes"]
    notes.refuse(np.ones(notes.n, dtype=bool), NOTE)
    for name in (*ENGAGEMENTS, *EVENTS):
        rows = export[name]
        if rows.n:
            rows.refuse(archived(rows), ARCHIVED)
            made, found = _of_object(rows, facts[name](rows), contacts)
            blocks += made
            notices += found
    return stacked("lead_activities", blocks), notices


def _of_object(rows: Rows, listed: list[Facts], contacts: Contacts) -> tuple[list[Block], list[Notice]]:
    """The facts of an object that belong to leads; records without any are refused."""
    pairs, with_lead, blocks = _owned(rows, contacts), 0, []
    for facts in listed:
        place = np.full(rows.n, -1)
        place[facts.rows] = np.arange(len(facts.rows))
        told = pairs.take(place[pairs.row] >= 0)
        fact = place[told.row]
        floor = np.maximum(contacts.created[told.lead], told.since)
        with_lead += int(np.count_nonzero(facts.known_at[fact] < floor))
        spread = Facts(
            facts.rows[fact],
            np.maximum(facts.known_at[fact], floor),
            facts.occurred_at[fact],
            facts.kind[fact],
            facts.direction[fact],
            facts.outcome.take(fact),
            facts.minutes[fact],
        )
        blocks.append(block(rows, spread, {"lead_id": contacts.ids}, told.lead, None))
    message = "facts from before their contact was there, or was merged with another; they count from then on"
    return blocks, [Notice("known_with_lead", rows.name, with_lead, message)] if with_lead else []


def _owned(rows: Rows, contacts: Contacts) -> Pairs:
    """The leads of each record, each once; records without any are refused."""
    pairs = contacts.pairs(rows.coded("contact_ids"))
    ours = (pairs.lead >= 0) & (pairs.since != UNTOLD)
    named, untold, has = (np.zeros(rows.n, dtype=bool) for _ in range(3))
    named[pairs.row], untold[pairs.row[(pairs.lead >= 0) & ~ours]], has[pairs.row[ours]] = True, True, True
    rows.refuse(~named, NO_CONTACT)
    rows.refuse(untold & ~has, MERGE_UNTOLD)
    rows.refuse(~has, OF_NOBODY)
    pairs = pairs.take(ours)
    key = rows.coded(KEY).codes[pairs.row].astype(np.int64)
    # A row for each contact repeats the record; two rows of one record and contact say it twice.
    seen = np.unique(np.stack([np.where(key >= 0, key, -1 - pairs.row), pairs.lead]), axis=1, return_index=True)[1]
    first, kept = np.zeros(len(pairs.row), dtype=bool), np.zeros(rows.n, dtype=bool)
    first[seen] = True
    kept[pairs.row[first]] = True
    rows.refuse(~kept, TWICE)
    return pairs.take(first & rows.live[pairs.row])


def _facts(which: Mask, known_at: IntArray, occurred_at: IntArray, kind: IntArray, way: IntArray, out: Coded) -> Facts:
    """Facts on some rows of an object; every argument is of all its rows."""
    rows = np.flatnonzero(which)
    none = np.full(len(rows), np.nan)
    return Facts(rows, known_at[rows], occurred_at[rows], kind[rows], way[rows], out.take(rows), none)


def _all(word: ActivityKind | Direction, n: int) -> IntArray:
    words = KIND_WORDS if isinstance(word, ActivityKind) else DIRECTION_WORDS
    return np.full(n, words.index(word.value), dtype=np.int64)


def _outcome(word: str | None, n: int) -> Coded:
    return Coded(np.full(n, -1 if word is None else OUTCOMES.index(word), dtype=np.int32), OUTCOMES)


def _coded(column: Coded, words: dict[str, int], missing: int = NO_WORD) -> IntArray:
    """int64[n]: the code of each cell's word, whatever its case and underscores; NO_WORD for others."""
    listed = [words.get(fold(value), NO_WORD) for value in column.values]
    return np.array([*listed, missing], dtype=np.int64)[column.codes]


def _mails(rows: Rows) -> list[Facts]:
    words = {word: DIRECTION_WORDS.index(way.value) for word, way in MAIL_DIRECTIONS.items()}
    way = _coded(rows.coded("hs_email_direction"), words)
    rows.refuse(way == NO_WORD, NO_DIRECTION)
    return _happened(rows, ActivityKind.EMAIL, way)


def _calls(rows: Rows) -> list[Facts]:
    """Calls; one without a direction is ours. What came of it is a current value, and not read."""
    words = {way.value: DIRECTION_WORDS.index(way.value) for way in (Direction.INBOUND, Direction.OUTBOUND)}
    way = _coded(rows.coded("hs_call_direction"), words, words[Direction.OUTBOUND.value])
    way[way == NO_WORD] = words[Direction.OUTBOUND.value]
    return _happened(rows, ActivityKind.CALL, way)


def _happened(rows: Rows, kind: ActivityKind, way: IntArray) -> list[Facts]:
    when = rows.ints("hs_timestamp")
    known_at = np.maximum(when, rows.ints("hs_createdate"))
    return [_facts(rows.live, known_at, when, _all(kind, rows.n), way, _outcome(None, rows.n))]


def _meetings(rows: Rows, log: Rows) -> list[Facts]:
    """Meetings as planned, held and called off: by history of the outcome, without it by what was touched last.

    One that is entered after its start was held, whatever its outcome says: that it was called off comes on top.
    """
    n, created, start = rows.n, rows.ints("hs_createdate"), rows.ints("hs_meeting_start_time")
    start = np.where(start != NAT, start, rows.ints("hs_timestamp"))
    rows.refuse(start == NAT, NO_START)
    end = np.maximum(rows.ints("hs_meeting_end_time"), start)
    kind, way = _all(ActivityKind.MEETING, n), _all(Direction.MUTUAL, n)
    late = created >= start

    def said(words: frozenset[str]) -> IntArray:
        if log.n:
            return first_said(rows, log, "hs_meeting_outcome", words)
        now = rows.coded("hs_meeting_outcome")
        said_now = among(now, {value for value in now.values if fold(value) in words})
        return np.where(said_now, rows.ints("hs_lastmodifieddate"), NAT)

    done = said(frozenset({"completed"}))
    held_at = np.where(late, np.maximum(created, end), np.where(done == NAT, NAT, np.maximum(done, end)))
    facts = [
        _facts(rows.live & ~late, created, start, kind, way, _outcome(PLANNED, n)),
        _facts(rows.live & (held_at != NAT), held_at, start, kind, way, _outcome("held", n)),
    ]
    for outcome in dict.fromkeys(CALLED_OFF.values()):
        off = said(frozenset(word for word, ours in CALLED_OFF.items() if ours == outcome))
        facts.append(_facts(rows.live & (off != NAT), off, start, kind, way, _outcome(outcome, n)))
    return facts


def _tasks(rows: Rows, log: Rows) -> list[Facts]:
    """Tasks to call or mail, as planned and done."""
    n, created, due = rows.n, rows.ints("hs_createdate"), rows.ints("hs_timestamp")
    due = np.where(due != NAT, due, created)
    kind = _coded(rows.coded("hs_task_type"), {word: KIND_WORDS.index(of.value) for word, of in TASK_KINDS.items()})
    rows.refuse(kind == NO_WORD, NO_ACTIVITY)
    status = rows.coded("hs_task_status")
    done = rows.ints("hs_task_completion_date")
    finished = among(status, {word for word in status.values if fold(word) == "completed"}) | (done != NAT)
    told = first_said(rows, log, "hs_task_status", frozenset({"completed"})) if log.n else np.full(n, NAT)
    done = np.where(done != NAT, done, np.where(told != NAT, told, rows.ints("hs_lastmodifieddate")))
    rows.refuse(finished & (done == NAT), NO_TIME)
    done = np.maximum(done, created)
    ahead = ~finished | (created < done)
    way = _all(Direction.OUTBOUND, n)
    return [
        _facts(rows.live & ahead, created, due, kind, way, _outcome(PLANNED, n)),
        _facts(rows.live & finished, done, np.minimum(due, done), kind, way, _outcome(None, n)),
    ]


def _events(rows: Rows) -> list[Facts]:
    """What a contact did, or was sent by a campaign."""
    when, (column, words) = rows.ints(EVENTS[rows.name]), WORDS[rows.name]
    said = rows.coded(column) if column else Coded(np.zeros(rows.n, dtype=np.int32), ("",))
    listed = list(words.values())
    word = _coded(said, {text: code for code, text in enumerate(words)})
    rows.refuse(rows.true("filteredEvent"), MACHINE)
    rows.refuse(word == NO_WORD, OTHER_EVENT)
    kind = np.array([KIND_WORDS.index(of.value) for of, _, _ in listed])[word]
    way = np.array([DIRECTION_WORDS.index(of.value) for _, of, _ in listed])[word]
    outcomes = [-1 if outcome is None else OUTCOMES.index(outcome) for _, _, outcome in listed]
    out = Coded(np.array(outcomes, dtype=np.int32)[word], OUTCOMES)
    return [_facts(rows.live, when, when, kind, way, out)]
