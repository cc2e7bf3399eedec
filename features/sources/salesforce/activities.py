"""From Task, Event and EmailMessage to activities of deals and leads: each record as the facts that it tells.

Each has its own clock. A Task is planned when it is entered and done when it is completed; an Event is upcoming, then
held or cancelled; a mail is known when it is logged, its first opening when that happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from configs.mapping import fold
from configs.salesforce import SalesforceMapping, TaskRule
from configs.vocab import PLANNED, ActivityKind, Direction
from features.ingest import Notice
from features.periods import DAY
from features.settle import DIRECTION_WORDS, KIND_WORDS
from features.sources.columns import joined
from features.sources.exports import Export, Rows
from features.sources.facts import Block, Facts, block, same, stacked
from features.sources.frames import Stacked
from features.sources.salesforce.attribution import REASONS, Attribution, Named
from features.sources.salesforce.campaigns import campaign_facts, people_of_mails, untold_answers
from features.sources.salesforce.ids import shortened
from features.sources.salesforce.leads import Leads, NamedLeads
from features.tables import NAT, Coded, FloatArray, IntArray

Mask = NDArray[np.bool_]
NO_ACTIVITY = "a to-do that is no activity: the mapping lists no such Type under task_types"
INTERNAL = "an internal call"
NO_TIME = "closed or deleted at a time that the export does not tell"
TWICE = "told by its EmailMessage"
COPY = "a copy for an invitee"
PATTERN = "the pattern of a series; its occurrences count"
BACKWARDS = "ends before it begins"
UNFINISHED = "ends after the export, and was never upcoming"
DRAFT = "a draft"
OF_MEMBERS = ("LeadId", "ContactId")  # who is in a campaign
OF_DEALS = "activities"
OF_LEADS = "lead_activities"
MINUTE = 60_000_000
LONGEST = 1e7  # minutes, some 19 years: no Event is longer
DONE_WORDS = ("completed",)
DRAFTS = ("5", "draft")


def activity_table(
    export: Export, mapping: SalesforceMapping, attribution: Attribution, leads: Leads, until: int
) -> tuple[dict[str, Stacked], list[Notice]]:
    """All activities that belong to a deal or to a lead, as `activities` and `lead_activities`.

    until: the last instant that the export tells of. The columns of the objects are let go one after the other: they
    may be most of what was read.
    """
    beside = people_of_mails(export, leads)
    told: tuple[tuple[str, Callable[[Rows], list[Facts]], tuple[str, ...]], ...] = (
        ("Task", lambda _: task_facts(export, mapping), ("WhatId", "WhoId", "AccountId")),
        ("Event", lambda rows: event_facts(rows, until), ("WhatId", "WhoId", "AccountId")),
        ("EmailMessage", mail_facts, ("RelatedToId", "contact_id")),
        ("CampaignMember", campaign_facts, ()),
    )
    blocks: dict[str, list[Block]] = {"activities": [], "lead_activities": []}
    notices = untold_answers(export["CampaignMember"])
    for name, facts, columns in told:
        rows = export[name]
        if rows.n:
            made = facts(rows)  # before anything is asked of a row: it refuses what is no activity
            people = [rows.coded(column) for column in (*columns[:2], *OF_MEMBERS)]
            named = leads.named([*people, *(beside if name == "EmailMessage" else ())])
            whose = attribution.named(rows, *columns) if columns else attribution.nobody(rows)
            notices += _of_object(rows, made, _Whose(attribution, whose, leads, named), blocks)
            rows.columns, rows.raw = {}, {}
    return {name: stacked(name, listed) for name, listed in blocks.items()}, notices


@dataclass(frozen=True)
class _Whose:
    """Whose the facts of an object are: a deal's, a lead's, or both: what went with a lead into its deal."""

    attribution: Attribution
    named: Named
    leads: Leads
    named_leads: NamedLeads

    def at(self, facts: Facts) -> tuple[IntArray, IntArray, IntArray, Mask]:
        """Deal and lead of each fact, -1 where none; why it has no deal; whether a contact gave it back to its lead."""
        deal, reason = self.attribution.at(self.named, facts.rows, facts.known_at)
        lead, given = self.leads.at(self.named_leads, facts.rows, facts.known_at)
        return deal, lead, reason, given


def _of_object(rows: Rows, listed: Sequence[Facts], whose: _Whose, blocks: Mapping[str, list[Block]]) -> list[Notice]:
    """Add the facts that belong to somebody to the blocks; refuse records without any, and say what is lost."""
    found = [whose.at(facts) for facts in listed]
    kept = np.zeros(rows.n, dtype=bool)
    for facts, (deal, lead, _, _) in zip(listed, found, strict=True):
        kept[facts.rows[(deal >= 0) | (lead >= 0)]] = True
    lost = given = 0
    for facts, (deal, lead, reason, back) in zip(listed, found, strict=True):
        lost += int(np.count_nonzero(kept[facts.rows[(deal < 0) & (lead < 0)]]))
        given += int(np.count_nonzero(back))
        for code, words in enumerate(REASONS):
            mask = np.zeros(rows.n, dtype=bool)
            mask[facts.rows[(reason == code) & (lead < 0)]] = True
            rows.refuse(mask & ~kept, words)
        contact = whose.named.contact
        blocks[OF_DEALS].append(block(rows, facts, {"deal_id": whose.attribution.deals.ids}, deal, contact))
        blocks[OF_LEADS].append(block(rows, facts, {"lead_id": whose.leads.ids}, lead, None))
    listed_notices = (
        (
            "unattributed_facts",
            lost,
            "facts of nobody, of records whose other facts have a deal or lead (planned, and later done)",
        ),
        ("given_back", given, "facts of a contact from before a lead became it: they count for the lead"),
    )
    return [Notice(code, rows.name, count, message) for code, count, message in listed_notices if count]


def task_facts(export: Export, mapping: SalesforceMapping) -> list[Facts]:
    """Tasks as planned and done. What is no activity is refused."""
    rows = export["Task"]
    if not rows.n:
        return []
    kind, direction, outcome = _meaning(rows, mapping)
    rows.refuse(_told_by_mail(export), TWICE)
    rows.refuse(kind < 0, NO_ACTIVITY)
    rows.refuse(direction < 0, INTERNAL)
    created, completed = rows.ints("CreatedDate"), rows.ints("CompletedDateTime")
    closed = _closed(rows, completed)
    # The last change of a deleted Task is its deletion, which takes back nothing that was known before it.
    gone = rows.true("IsDeleted")
    done_at = np.where(completed != NAT, completed, np.where(gone, created, rows.ints("LastModifiedDate")))
    rows.refuse(closed & (done_at == NAT), NO_TIME)
    done_at = np.maximum(done_at, created)
    due = rows.ints("ActivityDate")
    planned = np.flatnonzero(rows.live & (~closed | (created < done_at)))
    done = np.flatnonzero(rows.live & closed)
    minutes = rows.floats("CallDurationInSeconds") / 60
    return [
        Facts(
            planned,
            created[planned],
            np.where(due != NAT, due, created)[planned],
            kind[planned],
            direction[planned]
            if not rows.has("CallType")
            else np.where(
                kind[planned] == KIND_WORDS.index(ActivityKind.CALL),
                DIRECTION_WORDS.index(Direction.OUTBOUND),
                direction[planned],
            ),
            same(PLANNED, len(planned)),
            np.full(len(planned), np.nan),
        ),
        Facts(
            done,
            done_at[done],
            np.where(due != NAT, np.minimum(due, done_at), done_at)[done],
            kind[done],
            direction[done],
            outcome.take(done),
            minutes[done],
        ),
    ]


def _meaning(rows: Rows, mapping: SalesforceMapping) -> tuple[IntArray, IntArray, Coded]:
    """Kind and direction of each Task (-1: none), and the outcome that it has once it is done."""
    rules = mapping.index_of_types()
    call, mail = TaskRule(kind=ActivityKind.CALL), TaskRule(kind=ActivityKind.EMAIL)
    by_subtype = {"call": call, "email": mail, "listemail": mail}
    subtype, named = rows.coded("TaskSubtype"), rows.coded("Type")
    first = [by_subtype.get(fold(value)) for value in subtype.values]
    second = [rules.get(fold(value)) for value in named.values]
    listed = [call, mail, *rules.values()]
    index = {id(rule): code for code, rule in enumerate(listed)}
    one, two = (
        np.array([*(-1 if rule is None else index[id(rule)] for rule in found), -1], dtype=np.int64)
        for found in (first, second)
    )
    rule = np.where(one[subtype.codes] >= 0, one[subtype.codes], two[named.codes])
    kind = np.array([*(KIND_WORDS.index(rule.kind) for rule in listed), -1], dtype=np.int64)[rule]
    direction = np.array([*(DIRECTION_WORDS.index(rule.direction) for rule in listed), -1], dtype=np.int64)[rule]
    is_call = kind == KIND_WORDS.index(ActivityKind.CALL)
    direction = np.where(is_call, _call_direction(rows, direction), direction)
    direction[kind < 0] = DIRECTION_WORDS.index(Direction.OUTBOUND)  # refused for its kind, not for this
    said = Coded.of([rule.outcome for rule in listed]).take(rule) if listed else Coded.missing(rows.n)
    said = Coded(np.where(rule >= 0, said.codes, -1).astype(np.int32), said.values)
    disposition = rows.coded("CallDisposition")
    plain = {value for value in disposition.values if fold(value) == PLANNED}  # says nothing of what came of it
    codes = np.array([*(-1 if value in plain else code for code, value in enumerate(disposition.values)), -1])
    told = Coded(codes[disposition.codes].astype(np.int32), disposition.values)
    both = joined([said, told])
    if not isinstance(both, Coded):
        raise TypeError("outcomes are text")
    n = rows.n
    use = is_call & (both.codes[n:] >= 0)
    return kind, direction, Coded(np.where(use, both.codes[n:], both.codes[:n]).astype(np.int32), both.values)


def _call_direction(rows: Rows, otherwise: IntArray) -> IntArray:
    """Direction of calls by CallType: -1 for internal ones, the rule's where it is empty or another word."""
    call_type = rows.coded("CallType")
    words = {"inbound": DIRECTION_WORDS.index(Direction.INBOUND), "outbound": DIRECTION_WORDS.index(Direction.OUTBOUND)}
    codes = np.array([*({**words, "internal": -1}.get(fold(value), -2) for value in call_type.values), -2])
    told = codes[call_type.codes]
    return np.where(told == -2, otherwise, told)


def _closed(rows: Rows, completed: IntArray) -> Mask:
    """bool[n]: the Task is closed, by IsClosed, else by Status, else by a time of completion."""
    status = rows.coded("Status")
    by_status = np.array([*(fold(value) in DONE_WORDS for value in status.values), False], dtype=bool)[status.codes]
    said = rows.ints("IsClosed")
    mask: Mask = np.where(said != NAT, said == 1, by_status | (completed != NAT))
    return mask


def _told_by_mail(export: Export) -> Mask:
    """bool[n]: Tasks for mails that an EmailMessage tells as well."""
    rows, mails = export["Task"], export["EmailMessage"]
    mask = np.zeros(rows.n, dtype=bool)
    subtype = rows.coded("TaskSubtype")
    words = np.array([*(fold(value) in ("email", "listemail") for value in subtype.values), False], dtype=bool)
    some = np.flatnonzero(words[subtype.codes])
    if "Id" not in rows.raw or "ActivityId" not in mails.raw or not len(some):
        return mask
    ids, named = rows.raw["Id"].take(pa.array(some)), mails.raw["ActivityId"]
    named = named.filter(pa.array(mails.live))
    same = pc.is_in(shortened(ids), value_set=shortened(named).drop_null())
    mask[some] = same.to_numpy(zero_copy_only=False).astype(bool)
    return mask


def event_facts(rows: Rows, until: int) -> list[Facts]:
    """Events as upcoming, held and cancelled. An Event that ends after the export has only been upcoming."""
    if not rows.n:
        return []
    created, start, touched = rows.ints("CreatedDate"), rows.ints("StartDateTime"), rows.ints("LastModifiedDate")
    length = rows.floats("DurationInMinutes")
    end = rows.ints("EndDateTime")
    by_length = start + (np.clip(np.nan_to_num(length), -1, LONGEST) * MINUTE).astype(np.int64)
    end = np.where(end != NAT, end, by_length)
    length = np.where(np.isnan(length), (end - start) / MINUTE, length)
    gone = rows.true("IsDeleted")
    rows.refuse(rows.true("IsChild"), COPY)
    rows.refuse(rows.true("IsRecurrence"), PATTERN)
    rows.refuse(end < start, BACKWARDS)
    # Within a day after its end a deletion says that nobody came; later it tidies up, and the meeting was held.
    over = gone & (touched != NAT) & (touched > np.maximum(end, created) + DAY)
    gone, touched = gone & ~over, np.where(over, NAT, touched)
    rows.refuse(gone & (touched == NAT), NO_TIME)
    rows.refuse(~gone & (created >= start) & (end > until), UNFINISHED)
    live = rows.live
    upcoming = np.flatnonzero(live & (created < start))
    held = np.flatnonzero(live & ~gone & (end <= until))
    off = np.flatnonzero(live & gone)
    return [
        _meetings(upcoming, created, start, PLANNED, np.full(rows.n, np.nan)),
        _meetings(held, np.maximum.reduce([end, created, touched]), start, "held", length),
        _meetings(off, np.maximum(touched, created), start, "cancelled", np.full(rows.n, np.nan)),
    ]


def _meetings(rows: IntArray, known_at: IntArray, start: IntArray, outcome: str, minutes: FloatArray) -> Facts:
    n = len(rows)
    kind = np.full(n, KIND_WORDS.index(ActivityKind.MEETING))
    mutual = np.full(n, DIRECTION_WORDS.index(Direction.MUTUAL))
    return Facts(rows, known_at[rows], start[rows], kind, mutual, same(outcome, n), minutes[rows])


def mail_facts(rows: Rows) -> list[Facts]:
    """Mails, and the first opening of each."""
    if not rows.n:
        return []
    status = rows.coded("Status")
    drafts = np.array([*(fold(value) in DRAFTS for value in status.values), False], dtype=bool)[status.codes]
    rows.refuse(drafts, DRAFT)
    created, sent, opened = rows.ints("CreatedDate"), rows.ints("MessageDate"), rows.ints("FirstOpenedDate")
    mails = np.flatnonzero(rows.live)
    direction = np.where(
        rows.true("Incoming"), DIRECTION_WORDS.index(Direction.INBOUND), DIRECTION_WORDS.index(Direction.OUTBOUND)
    )
    first = Facts(
        mails,
        created[mails],
        np.where(sent != NAT, np.minimum(sent, created), created)[mails],
        np.full(len(mails), KIND_WORDS.index(ActivityKind.EMAIL)),
        direction[mails],
        Coded.missing(len(mails)),
        np.full(len(mails), np.nan),
    )
    read = np.flatnonzero(rows.live & (opened != NAT))
    when = np.maximum(opened, created)[read]
    opening = Facts(
        read,
        when,
        when,
        np.full(len(read), KIND_WORDS.index(ActivityKind.CONTENT)),
        np.full(len(read), DIRECTION_WORDS.index(Direction.INBOUND)),
        same("opened", len(read)),
        np.full(len(read), np.nan),
    )
    return [first, opening]
