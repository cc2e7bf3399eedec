"""What people did, as Salesforce keeps it: calls and other doings as Tasks, meetings as Events, mails as EmailMessages.

Canonical rows are facts; a Salesforce record is a thing that several facts are told of. A planned meeting and what came
of it are one Event, a mail and its first opening one EmailMessage.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from configs.errors import UsageError
from features.sources.company_calendar import HOUR, Bools, Ints
from features.sources.company_salesforce_forms import coded, dates, decimals, flags, numbered, same, times, worded

DISPOSITIONS = {"connected": "Connected", "no_answer": "No Answer"}
CALL_TYPES = {"inbound": "Inbound", "outbound": "Outbound"}
# (kind, direction, outcome; empty: none) -> Task.Type. The shipped mapping says the same the other way round.
TASK_TYPES = {
    ("content", "inbound", "viewed"): "Content Viewed",
    ("content", "inbound", "opened"): "Email Opened",  # only where no mail is left for the opening
    ("web", "inbound", ""): "Web Visit",
    ("contract", "outbound", "sent"): "Contract Sent",
    ("contract", "inbound", "returned"): "Contract Returned",
}
NONE = -1
MAIL_SENT, MAIL_READ = "3", "1"


def task_frame(activities: pd.DataFrame, time_zone: str) -> pd.DataFrame:
    """Calls and all that is neither mail nor meeting: a completed Task each, entered when it became known.

    Raises UsageError for an activity that no Task can tell.
    """
    _, mail_of = pair_openings(activities)
    unpaired = np.ones(len(activities), np.bool_)
    unpaired[mail_of[mail_of != NONE]] = False
    kind = activities["kind"]
    rows = activities[(kind != "email") & (kind != "meeting") & unpaired].reset_index(drop=True)
    call = (rows["kind"] == "call").to_numpy()
    local = rows["occurred_at"].dt.tz_convert(time_zone).dt.tz_localize(None).dt.normalize()
    known, seconds = times(rows["known_at"]), (rows["minutes"] * 60).where(call)
    return pd.DataFrame(
        {
            "Id": numbered("00T", len(rows)),
            "WhatId": rows["deal_id"],
            "WhoId": rows["contact_id"],
            "AccountId": _missing(rows),
            "OwnerId": _missing(rows),
            "CreatedDate": known,
            "CompletedDateTime": known,
            "ActivityDate": dates(local),
            "Status": same("Completed", len(rows)),
            "IsClosed": same("true", len(rows)),
            "TaskSubtype": coded(call.astype(np.int64), ["Task", "Call"]),
            "Type": _task_types(rows),
            "CallType": worded(rows["direction"], CALL_TYPES).where(call),
            "CallDisposition": worded(rows["outcome"], DISPOSITIONS).where(call),
            "CallDurationInSeconds": decimals(seconds, 0),
            "LastModifiedDate": known,
            "IsDeleted": same("false", len(rows)),
        }
    )


def _missing(rows: pd.DataFrame) -> pd.Series:
    """A column without values."""
    return pd.Series(np.nan, rows.index, "str")


def _task_types(rows: pd.DataFrame) -> pd.Series:
    """The Type of each Task. Raises UsageError where one has none."""
    said = pd.Series(np.where(rows["kind"] == "call", "Call", ""), rows.index, dtype=object)
    told = [rows[name].astype("str").fillna("") for name in ("kind", "direction", "outcome")]
    for (kind, direction, outcome), name in TASK_TYPES.items():
        said[(told[0] == kind) & (told[1] == direction) & (told[2] == outcome)] = name
    if (said == "").any():
        some = sorted({" ".join(words) for words in zip(*(t[said == ""] for t in told), strict=True)})
        raise UsageError.at(
            "simulated company",
            f"activities without a Salesforce form: {', '.join(some)}",
            remedy="add them to TASK_TYPES",
        )
    return said.astype("category")


def pair_openings(activities: pd.DataFrame) -> tuple[Ints, Ints]:
    """Positions of the outbound mails and, for each, the position of its first opening (NONE: never opened).

    An opening belongs to the nearest earlier mail that has none yet: of its deal and contact, else of its deal.
    """
    mail = ((activities["kind"] == "email") & (activities["direction"] == "outbound")).to_numpy()
    opened = ((activities["kind"] == "content") & (activities["outcome"] == "opened")).to_numpy()
    deal = pd.factorize(activities["deal_id"])[0].astype(np.int64)
    contact = pd.factorize(activities["contact_id"])[0].astype(np.int64)
    known = activities["known_at"].dt.as_unit("s").astype(np.int64).to_numpy()
    found = np.full(len(activities), NONE, np.int64)
    for group in (deal * (contact.max(initial=0) + 2) + contact, deal):
        free = np.flatnonzero((mail & (found == NONE)) | (opened & ~np.isin(np.arange(len(found)), found)))
        order = free[np.lexsort((opened[free], known[free], group[free]))]
        mails, openings = _stacked(order, group, opened)
        found[mails] = openings
    return np.flatnonzero(mail), found[mail]


def _stacked(order: Ints, group: Ints, opened: Bools) -> tuple[Ints, Ints]:
    """Go through mails and openings in `order`; each opening takes the last free mail of its group. Gives both."""
    waiting: list[int] = []
    pairs: list[tuple[int, int]] = []
    last = None
    for at, own, is_opening in zip(order.tolist(), group[order].tolist(), opened[order].tolist(), strict=True):
        if own != last:
            last, waiting = own, []
        if not is_opening:
            waiting.append(at)
        elif waiting:
            pairs.append((waiting.pop(), at))
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def mail_frame(activities: pd.DataFrame) -> pd.DataFrame:
    """Mails; FirstOpenedDate is the instant at which the opening became known."""
    mails, openings = pair_openings(activities)
    first_opened = activities["known_at"].iloc[openings].set_axis(mails).where(openings != NONE)
    rows = activities[activities["kind"] == "email"]
    inbound = rows["direction"] == "inbound"
    return pd.DataFrame(
        {
            "Id": numbered("02s", len(rows)),
            "ActivityId": _missing(rows),
            "RelatedToId": rows["deal_id"],
            "Contact__c": rows["contact_id"],
            "CreatedDate": times(rows["known_at"]),
            "MessageDate": times(rows["occurred_at"]),
            "Incoming": flags(inbound),
            "FirstOpenedDate": times(first_opened.reindex(_positions(activities, rows)).set_axis(rows.index)),
            "Status": coded(inbound.to_numpy().astype(np.int64), [MAIL_SENT, MAIL_READ]),
            "IsDeleted": same("false", len(rows)),
        }
    )


def _positions(whole: pd.DataFrame, part: pd.DataFrame) -> Ints:
    """Row numbers in `whole` of the rows of `part`."""
    return np.asarray(whole.index.get_indexer(part.index), np.int64)


def event_frame(activities: pd.DataFrame, closes: pd.Series, until: pd.Timestamp) -> pd.DataFrame:
    """Meetings. `closes`: first close by deal id; `until`: the last instant that the export knows of.

    A planned meeting and its held or cancelled row are one Event. A planned one that nobody followed up is open while
    it ends after `until`; else it is a deleted Event, dropped at the deal's close or, where that is not between, at its
    own end: Salesforce would take it for held.
    """
    rows = _meetings(activities)
    planned, held, off = (rows[rows["outcome"] == word] for word in ("planned", "held", "cancelled"))
    if odd := len(rows) - len(planned) - len(held) - len(off):
        raise UsageError.at("simulated company", f"{odd} meetings neither planned nor held nor cancelled")
    went = _pair(planned, held, ["deal", "start", "minutes"])
    rest = planned[went == NONE]
    called_off = _pair(rest, off, ["deal", "start"])
    left = _pair_loosely(rest[called_off == NONE], off.drop(off.index[called_off[called_off != NONE]]))
    follow = pd.Series(NONE, planned.index)
    follow[planned.index[went != NONE]] = held.index[went[went != NONE]]
    follow[rest.index[called_off != NONE]] = off.index[called_off[called_off != NONE]]
    follow.update(left)
    events = pd.concat([_followed(rows, planned, follow, closes, until), _alone(held, off, follow)])
    return _event_texts(events.sort_values(["created", "row"], ignore_index=True))


def _meetings(activities: pd.DataFrame) -> pd.DataFrame:
    """Meeting rows in order, with numbers to pair by: `deal`, `start` (seconds) and `minutes` (0 where missing)."""
    rows = activities[activities["kind"] == "meeting"].reset_index(drop=True)
    return rows.assign(
        deal=pd.factorize(rows["deal_id"])[0],
        start=rows["occurred_at"].dt.as_unit("s").astype(np.int64),
        minutes=rows["minutes"].fillna(0).astype(np.int64),
        known=rows["known_at"],
        row=np.arange(len(rows)),
    )


def _pair(left: pd.DataFrame, right: pd.DataFrame, keys: list[str]) -> Ints:
    """For each row of `left` the place in `right` with equal keys, the nth with the nth; NONE where there is none."""
    first = left[keys].assign(turn=left.groupby(keys).cumcount())
    second = right[keys].assign(turn=right.groupby(keys).cumcount(), place=np.arange(len(right)))
    return first.merge(second, on=[*keys, "turn"], how="left")["place"].fillna(NONE).to_numpy(np.int64)


def _pair_loosely(planned: pd.DataFrame, off: pd.DataFrame) -> pd.Series:
    """Cancelled rows that tell when they were called off and not the meeting's start: index of `off` by planned index.

    Each goes to the deal's next meeting that was booked before and began at most an hour ago.
    """
    right = planned.assign(limit=planned["start"] + HOUR, plan=planned.index)[["deal", "limit", "plan", "known"]]
    left = off.assign(limit=off["start"], follow=off.index)[["deal", "limit", "follow", "known"]]
    both = pd.merge_asof(
        left.sort_values(["limit", "follow"]),
        right.sort_values(["limit", "plan"]),
        on="limit",
        by="deal",
        direction="forward",
        suffixes=("", "_plan"),
    )
    both = both[both["known_plan"] < both["known"]].drop_duplicates("plan")
    return pd.Series(both["follow"].to_numpy(np.int64), both["plan"].to_numpy(np.int64), dtype=np.int64)


def _followed(
    rows: pd.DataFrame, planned: pd.DataFrame, follow: pd.Series, closes: pd.Series, until: pd.Timestamp
) -> pd.DataFrame:
    """Events of planned meetings: when they were last touched, and whether they are deleted."""
    end = planned["occurred_at"] + pd.to_timedelta(planned["minutes"], unit="min")
    closed = closes.set_axis(closes.index.astype("str")).reindex(planned["deal_id"].astype("str"))
    closed = closed.set_axis(planned.index)
    dropped = closed.where((closed >= planned["known"]) & (closed <= end), end)
    paired = follow != NONE
    after = rows.loc[follow.where(paired, 0)].set_index(planned.index)
    still = ~paired & (end > until)
    touched = after["known"].where(paired, planned["known"].where(still, dropped))
    gone = (paired & (after["outcome"] == "cancelled")) | (~paired & ~still)
    return planned.assign(created=planned["known"], end=end, touched=touched, gone=gone)


def _alone(held: pd.DataFrame, off: pd.DataFrame, follow: pd.Series) -> pd.DataFrame:
    """Events of meetings that were never planned: entered when they became known.

    A cancelled one that no plan goes with is entered at its own start, so that nothing says it was planned.
    """
    held, off = held[~held.index.isin(follow)], off[~off.index.isin(follow)]
    end = held["occurred_at"] + pd.to_timedelta(held["minutes"], unit="min")
    met = held.assign(created=held["known"], end=end, touched=held["known"], gone=False)
    not_met = off.assign(created=off["occurred_at"], end=off["occurred_at"], touched=off["known"], gone=True)
    return pd.concat([met, not_met])


def _event_texts(events: pd.DataFrame) -> pd.DataFrame:
    """The Event object from rows with `created`, `end`, `touched` and `gone`."""
    n = len(events)
    return pd.DataFrame(
        {
            "Id": numbered("00U", n),
            "WhatId": events["deal_id"],
            "WhoId": events["contact_id"],
            "AccountId": _missing(events),
            "CreatedDate": times(events["created"]),
            "StartDateTime": times(events["occurred_at"]),
            "EndDateTime": times(events["end"]),
            "DurationInMinutes": decimals(events["minutes"], 0),
            "LastModifiedDate": times(events["touched"]),
            "IsDeleted": flags(events["gone"]),
            "IsChild": same("false", n),
            "IsRecurrence": same("false", n),
            "Type": same("Meeting", n),
        }
    )
