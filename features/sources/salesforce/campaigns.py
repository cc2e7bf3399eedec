"""From CampaignMember, and from what stands beside a mail, to what was done about a lead."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from configs.vocab import ActivityKind, Direction
from features.ingest import Notice
from features.settle import DIRECTION_WORDS, KIND_WORDS
from features.sources.exports import Export, Rows
from features.sources.facts import Facts, same
from features.sources.salesforce.ids import shortened
from features.sources.salesforce.leads import Leads
from features.tables import NAT, Coded, IntArray


def campaign_facts(rows: Rows) -> list[Facts]:
    """What a campaign sent to its members, and their first answers."""
    if not rows.n:
        return []
    created, answered = rows.ints("CreatedDate"), rows.ints("FirstRespondedDate")
    sent, said = np.flatnonzero(rows.live), np.flatnonzero(rows.live & (answered != NAT))
    return [
        _facts(sent, created[sent], Direction.OUTBOUND, "sent"),
        _facts(said, np.maximum(answered, created)[said], Direction.INBOUND, "responded"),
    ]


def untold_answers(rows: Rows) -> list[Notice]:
    """Answers without a date, which can't be used."""
    untold = int(np.count_nonzero(rows.live & rows.true("HasResponded") & (rows.ints("FirstRespondedDate") == NAT)))
    message = "answers to a campaign at a time that the export does not tell (FirstRespondedDate); left out"
    return [Notice("answer_untold", rows.name, untold, message)] if untold else []


def _facts(rows: IntArray, when: IntArray, direction: Direction, outcome: str) -> Facts:
    n = len(rows)
    kind, who = KIND_WORDS.index(ActivityKind.CAMPAIGN), DIRECTION_WORDS.index(direction)
    return Facts(rows, when, when, np.full(n, kind), np.full(n, who), same(outcome, n), np.full(n, np.nan))


def people_of_mails(export: Export, leads: Leads) -> list[Coded]:
    """The lead, or the contact that one became, that stands beside each mail: in its relations, and in its Task."""
    mails, relations, tasks = (export[name] for name in ("EmailMessage", "EmailMessageRelation", "Task"))
    told = []
    for rows, of, key, who in ((relations, "EmailMessageId", "Id", "RelationId"), (tasks, "Id", "ActivityId", "WhoId")):
        if of in rows.raw and key in mails.raw:
            person = rows.coded(who)
            told.append(_beside(mails.raw[key], rows.raw[of], person, leads.relevant(person)))
    return told


def _beside(key: pa.Array, of: pa.Array, person: Coded, rows: IntArray) -> Coded:
    """The person on the first of some rows that go by each key."""
    if not len(rows):
        return Coded.missing(len(key))
    found = pc.index_in(shortened(key), value_set=shortened(of.take(pa.array(rows))), skip_nulls=True)
    place = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return Coded(np.append(person.codes[rows], np.int32(-1))[place].astype(np.int32), person.values)
