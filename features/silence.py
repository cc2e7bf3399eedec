"""The buyer's silence: how long it lasts, the gaps that are usual for a deal, and how old silences of won deals were.

A long silence is unusual only beside the deal's own pace, and at a random moment silences are longer than gaps are (the
long ones last longest). So a silence is set beside those that stood open when deals that were won later were looked at,
week by week while they were open, each in usual gaps of its own. What a won deal adds is known at its close.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.asof import AsOfView, Seen, look
from features.closes import ends_of
from features.columns import days_between, ratio
from features.periods import DAY, SECONDS_PER_DAY
from features.rates import fixed_code, standing
from features.reference import AGES, MILLION, SEGMENT, Events, events
from features.tables import NAT
from features.timeline import Float, Int, Timeline, timeline

GAP_WEIGHT = 3.0  # gaps of the usual length that a deal's own mean gap is shrunken by
SEGMENT_WEIGHT = 20.0  # gaps of the company's mean that a segment's is shrunken by
STAGE_WEIGHT = 200.0  # weeks of all won deals that those of a stage are shrunken by
MONTH = 30.0  # days between acts of the buyer before any deal was won
LOOKED = ("looks", *(f"old_{k}" for k in range(AGES)))
EDGES = 2.0 ** (np.arange(AGES) / 2)  # usual gaps: 1, 1.4, 2, 2.8, ... 32
WEEK, MONDAY = 7 * DAY, 4 * DAY  # the first Monday of the epoch
MOST_WEEKS = 260  # the last five years of a deal are looked at


@dataclass(frozen=True)
class Pace:
    """float64[n] each, days. silent: since the buyer's last act. gap: usual for the deal. usual: for deals like it."""

    silent: Float
    gap: Float
    usual: Float


def pace(view: AsOfView) -> Pace:
    """Return how long each buyer has been silent and which gaps are usual; made once for a view.

    Before the buyer's first act the silence runs from the deal's creation.
    """
    return view.shared("pace", lambda: _pace(view))


def _pace(view: AsOfView) -> Pace:
    acts = view.of("activities")
    created = np.asarray(view.fixed("created_at"), dtype=np.int64)
    usual = usual_gap(standing(view).company, view.about("segment", fixed_code(view, SEGMENT)))
    return Pace(silent_days(acts, created), own_gap(acts, usual), usual)


def silent_days(acts: Seen, created_at: Int) -> Float:
    """Return the days since the buyer's last act, or since the creation of the deal; NaN where neither is known."""
    spoke = acts.latest("occurred_at", "buyer")
    silent = days_between(np.where(spoke == NAT, created_at, spoke), acts.as_of)
    return np.maximum(silent, 0.0)


def company_gap(company: Seen) -> Float:
    """Return the mean days between acts of the buyer on won deals; a month before any was won."""
    norm = ratio(company.total("buyer_s", "won"), company.total("buyer_gaps", "won")) / SECONDS_PER_DAY
    return np.where(np.isnan(norm), MONTH, norm)


def usual_gap(company: Seen, segment: Seen) -> Float:
    """Return the mean days between acts on won deals of the segment, shrunken towards those of the company."""
    spans, gaps = segment.total("buyer_s", "won") / SECONDS_PER_DAY, segment.total("buyer_gaps", "won")
    return (spans + SEGMENT_WEIGHT * company_gap(company)) / (gaps + SEGMENT_WEIGHT)


def own_gap(acts: Seen, usual: Float) -> Float:
    """Return the deal's own mean days between acts of the buyer, shrunken towards the usual; an hour at least."""
    count = acts.count("buyer")
    first, last = acts.first("occurred_at", "buyer"), acts.latest("occurred_at", "buyer")
    span = np.where(count > 1, np.where(last == NAT, 0, last) - np.where(first == NAT, 0, first), 0)
    own = np.maximum(span, 0) / MILLION / SECONDS_PER_DAY
    gap = (own + GAP_WEIGHT * usual) / (np.maximum(count - 1.0, 0.0) + GAP_WEIGHT)
    return np.maximum(gap, 1.0 / 24)


def shares_at_age(view: AsOfView) -> Float:
    """Return the share of the weeks of won deals with a silence of ``EDGES[k]`` usual gaps or more, float64[AGES, n].

    Of deals in the same stage, shrunken towards all; it falls with k. NaN where no won deal was looked at. Made once
    for a view.
    """
    return view.shared("silent_shares", lambda: _shares_at_age(view))


def _shares_at_age(view: AsOfView) -> Float:
    every = view.about("silences", np.zeros(len(view), dtype=np.int64))
    stage = view.about("stage_silence", standing(view).stage)
    told, told_in_stage = (seen.totals(LOOKED) for seen in (every, stage))
    parent = ratio(told[1:], told[0])
    shares: Float = (told_in_stage[1:] + STAGE_WEIGHT * parent) / (told_in_stage[0] + STAGE_WEIGHT)
    return shares


def silences_of(history: Timeline, activities: Timeline, closes: Events, deals: dict[str, Int], stages: int) -> Events:
    """Read ``silences`` off the deals' own timelines; see `features.reference.Events`.

    deals: int64[d] per deal: created_at, and its segment where the record has them. stages: how many are open.
    """
    ends = ends_of(history)
    told = np.flatnonzero(history.mask("won")[ends.end] & (ends.stop > ends.first))
    close, at = _weeks(history.known_at[ends.first[told]], ends.known_at[told])
    close = told[close]
    deal = ends.deal[close]
    segment = deals.get(SEGMENT, np.full(len(deals["created_at"]), -1, dtype=np.int64))
    acts = look(activities, deal, at)
    usual = usual_gap(*(look(line, code, at) for line, code in _norms(closes, segment, deal)))
    gaps = silent_days(acts, deals["created_at"][deal]) / own_gap(acts, usual)
    stage = look(history, deal, at).last("stage")
    keep = ~np.isnan(gaps)
    width = stages + 1
    pair, where = np.unique((close * width + np.where(stage == NAT, -1, stage) + 1)[keep], return_inverse=True)
    counts = {"looks": np.bincount(where, minlength=len(pair)).astype(np.int64)}
    for k, edge in enumerate(EDGES.tolist()):
        counts[f"old_{k}"] = np.bincount(where[gaps[keep] >= edge], minlength=len(pair)).astype(np.int64)
    return events({"known_at": ends.known_at[pair // width], "stage": pair % width - 1, **counts})


def _weeks(opened: Int, closed: Int) -> tuple[Int, Int]:
    """Return (which, instant) of every Monday after an episode's first row and no later than its close, int64[k]."""
    last = (closed - MONDAY) // WEEK
    first = np.maximum((opened - MONDAY) // WEEK + 1, last - MOST_WEEKS + 1)
    size = np.maximum(last - first + 1, 0)
    which = np.repeat(np.arange(len(size)), size)
    week = first[which] + np.arange(len(which)) - np.repeat(np.cumsum(size) - size, size)
    return which, week * WEEK + MONDAY


def _norms(closes: Events, segment: Int, deal: Int) -> tuple[tuple[Timeline, Int], tuple[Timeline, Int]]:
    """Return the closes as a timeline of the company and as one by segment, each with the code to ask of each deal."""
    said = closes.columns
    columns = {"won": said["won"].astype(bool), "buyer_s": said["buyer_s"], "buyer_gaps": said["buyer_gaps"]}
    own = said.get(SEGMENT, np.full(len(closes), -1, dtype=np.int64))
    company = timeline("company", 1, np.zeros(len(closes), dtype=np.int64), said["known_at"], columns)
    by = timeline("segment", int(max(own.max(initial=0), segment.max(initial=0))) + 1, own, said["known_at"], columns)
    return (company, np.zeros(len(deal), dtype=np.int64)), (by, segment[deal])
