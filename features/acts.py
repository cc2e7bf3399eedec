"""What people did, and who they are, as timelines: activities and contacts, each with what a row says by itself.

What a row is derived from must be known before it: a reply is measured against the last of our mails that the CRM had
by then, a person's seniority is what it had by then.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from configs.vocab import CANCELLED, NOT_HAPPENED
from features.asof import known
from features.parsing import fold_name
from features.periods import DAY, MICRO
from features.settle import deal_rows
from features.tables import NAT, PLANNED, Coded, Table
from features.timeline import Bool, Int, Timeline, timeline

NOT_HELD = (*NOT_HAPPENED, "no_answer")
CONNECTED = ("connected", "answered", "held", "completed")
SENIORITY_RANKS = {
    **dict.fromkeys(("staff", "individual_contributor", "user", "junior", "entry"), 0),
    **dict.fromkeys(("manager", "senior_manager", "team_lead", "lead"), 1),
    **dict.fromkeys(("director", "senior_director", "head", "head_of_department"), 2),
    **dict.fromkeys(("vp", "vice_president", "svp", "evp", "senior_vice_president"), 3),
    **dict.fromkeys(("c_level", "clevel", "cxo", "c_suite", "executive", "owner", "founder", "partner"), 4),
}
SENIOR = 2  # director and above
DECIDES = ("decision_maker", "economic_decision_maker", "economic_buyer", "executive_sponsor", "budget_holder")
OPENED = "opened"


def contacts_of(table: Table, deals: Table) -> Timeline:
    """Return contacts keyed by deal: contact code, rank (0 staff to 4 C-level, NAT not told), decides, senior.

    joined: the first row of each person on the deal.
    """
    rank, role = _ranks(table), table.coded("role")
    columns = {
        "contact": table.coded("contact_id").codes.astype(np.int64),
        "rank": rank,
        "senior": rank >= SENIOR,
        "decides": np.array([*(fold_name(value) in DECIDES for value in role.values), False], dtype=bool)[role.codes],
    }
    rows = timeline("contacts", deals.n, deal_rows(deals, table.coded("deal_id")), table.ints("known_at"), columns)
    joined = np.zeros(len(rows), dtype=bool)
    joined[rows.repeats("contact", None)[2].rows] = True
    return rows.with_columns({"joined": joined})


def activities_of(table: Table, deals: Table, contacts: Table) -> Timeline:
    """Return activities keyed by deal. Masks say what a row is; see the module docstring."""
    known_at, occurred_at = table.ints("known_at"), table.ints("occurred_at")
    kind, direction = _is(table, "kind"), _is(table, "direction")
    cancelled = _one_of(table.coded("outcome"), NOT_HELD)
    connected = _one_of(table.coded("outcome"), CONNECTED)
    planned = _one_of(table.coded("outcome"), (PLANNED,)) | ((occurred_at > known_at) & ~cancelled)
    done = ~planned & ~cancelled
    # Content was seen; but machines open mails too, so it is no act of the buyer.
    opened = _one_of(table.coded("outcome"), (OPENED,))
    # A call that nobody answered was made, a cancelled one was not.
    never = _one_of(table.coded("outcome"), CANCELLED)
    from_them = direction("inbound")
    inbound = from_them & done & ~opened
    outbound = direction("outbound") & ~planned & ~never
    meeting, call, email, web, campaign = (kind(word) for word in ("meeting", "call", "email", "web", "campaign"))
    held = meeting & done
    # What the buyer did: replied, met, took the call. Our own mails and unanswered calls are not engagement.
    buyer = inbound | held | (call & done & connected)
    columns = {
        "occurred_at": occurred_at,
        "delay_s": np.where(done, np.maximum(known_at - occurred_at, 0) // MICRO, 0),
        "contact": table.coded("contact_id").codes.astype(np.int64),
        "done": done,
        "inbound": inbound,
        "outbound": outbound,
        "reached": outbound | held,
        "call_in": inbound & call,
        "call_out": outbound & call,
        "call_connected": outbound & call & connected,
        "email_in": inbound & email,
        "email_out": outbound & email,
        "content": done & (kind("content") | web | opened),
        "web": inbound & web,
        "campaign_in": inbound & campaign,
        "campaign_out": outbound & campaign,
        "by_hand": (outbound & ~campaign) | held,
        "kind": table.coded("kind").codes.astype(np.int64),
        "contract_in": inbound & kind("contract"),
        "contract_out": outbound & kind("contract"),
        "meeting_held": held,
        "meeting_planned": meeting & planned,
        "meeting_cancelled": meeting & cancelled,
        "buyer": buyer,
        "ours": done & ~buyer,
        "senior_buyer": buyer & _senior(table, contacts, deals),
    }
    # What the CRM learnt of in one instant goes by when it happened, our side first; never by the order of the rows.
    turn = occurred_at * 2 + from_them
    rows = timeline("activities", deals.n, deal_rows(deals, table.coded("deal_id")), known_at, columns, turn)
    return rows.with_columns(
        # Counts go by days of entry: ten meetings typed in within an hour weigh as one.
        {"reached_of_day": _of_day(rows, "reached")}
        | {f"{name}_day": _of_day(rows, name) == 1 for name in ("buyer", "meeting_held")}
        | _answers(rows, "reply", "email_in", "email_out")
        | _answers(rows, "answer", "email_out", "email_in")
    )


def _answers(rows: Timeline, name: str, answer: str, asked: str) -> dict[str, Int | Bool]:
    """Mark the first `answer` after each `asked` as known by then, and how long it took (seconds, 0 at least)."""
    place = np.arange(len(rows))
    before = rows.previous(asked)[:-1]
    own = before >= rows.start[rows.entity]
    first = rows.mask(answer) & own & (rows.previous(answer)[:-1] < before)
    occurred_at = rows.values("occurred_at")
    took = np.where(first, occurred_at[place] - occurred_at[np.where(own, before, 0)], 0) if len(rows) else place
    return {name: first, f"{name}_s": np.maximum(took, 0) // MICRO}


def _of_day(rows: Timeline, where: str) -> Int:
    """Return for each matching row which of its deal's it is among those the CRM learnt of on one UTC day, 1 the first.

    0 on all other rows.
    """
    at = rows.marked(where).rows
    day, deal = rows.known_at[at] // DAY, rows.entity[at]
    place = np.arange(len(at))
    new = np.ones(len(at), dtype=bool)
    new[1:] = (day[1:] != day[:-1]) | (deal[1:] != deal[:-1])
    out = np.zeros(len(rows), dtype=np.int64)
    out[at] = place - np.maximum.accumulate(np.where(new, place, 0)) + 1 if len(at) else place
    return out


def _senior(table: Table, contacts: Table, deals: Table) -> Bool:
    """Return bool[n]: the row's contact was known on the deal as senior before the row was."""
    if not contacts.n:
        return np.zeros(table.n, dtype=bool)
    people = contacts.coded("contact_id")
    width = len(people.values)
    told = contacts.ints("known_at")
    deal, person = deal_rows(deals, contacts.coded("deal_id")), people.codes
    rows = np.flatnonzero((_ranks(contacts) >= SENIOR) & (told != NAT) & (deal >= 0) & (person >= 0))
    if not len(rows):
        return np.zeros(table.n, dtype=bool)
    pair, told = (deal * width + person)[rows], told[rows]
    order = np.lexsort((told, pair))  # what is found first of a pair is when it was first told
    pair, told = pair[order], told[order]
    deal, person = deal_rows(deals, table.coded("deal_id")), table.coded("contact_id").codes_in(people.values)
    asked = deal * width + person
    place = np.minimum(pair.searchsorted(asked), len(pair) - 1)
    found = (deal >= 0) & (person >= 0) & (pair.take(place) == asked)
    senior: Bool = found & known(told.take(place), table.ints("known_at"))
    return senior


def _ranks(contacts: Table) -> Int:
    """Return the seniority of each row, 0 staff to 4 C-level, NAT where it is not told."""
    seniority = contacts.coded("seniority")
    ranks = [SENIORITY_RANKS.get(fold_name(value), NAT) for value in seniority.values]
    return np.array([*ranks, NAT], dtype=np.int64)[seniority.codes]


def _is(table: Table, column: str) -> Callable[[str], Bool]:
    """Return a test of each row for a value of a text column; a value that no row holds matches none."""
    coded = table.coded(column)
    return lambda value: coded.codes == (coded.code_of(value) if value in coded.values else -2)


def _one_of(column: Coded, values: tuple[str, ...]) -> Bool:
    wanted = np.array([*(value in values for value in column.values), False], dtype=bool)
    return wanted.take(column.codes)
