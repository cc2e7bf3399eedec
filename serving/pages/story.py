"""What a deal's own record tells beside its score: how it went, why the score moved, what is in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from configs.schema import Serving
from features.asof import Requests
from features.between import Act, acts_of, between
from features.build import FeatureMatrix, build_features
from features.periods import DAY
from features.record import Record
from models.bundle import Bundle
from models.moved_facts import Fact, facts_of
from models.why_moved import Move, why_moved
from serving.intake import Loaded, take_in
from serving.scoring import scorable
from serving.store.repository import StoredDeal
from serving.stored import deal_of

WEEK = 7 * DAY
BEGINNING = 1  # before the first instant that any record tells of, UTC microseconds
OURS = ("email_out", "call_out", "call_connected", "contract_out")
THEIRS = ("email_in", "call_in", "content", "contract_in")


@dataclass(frozen=True)
class Story:
    """moves: why the score moved within a week, none where it can't be said. changes: of tracked fields, oldest first.

    entered: stage -> local day it was last entered. decides: somebody who decides is known. next_step: one is written
    down, None where the CRM does not tell.
    """

    moves: tuple[Move, ...]
    changes: tuple[Fact, ...]
    acts: tuple[Act, ...]
    entered: Mapping[str, date]
    decides: bool
    next_step: bool | None


def story_of(stored: StoredDeal, as_of: int, loaded: Loaded, limits: Serving) -> Story | None:
    """Return the story of a stored deal as known at an as-of (UTC microseconds); None where it can't be read."""
    deal = deal_of(stored)
    if deal is None:
        return None
    record = take_in([deal], as_of, loaded, limits).record
    if record is None or not len(record.deal_ids.codes):
        return None
    bundle = loaded.bundle
    changes = tuple(facts_of(between(record, 0, BEGINNING, as_of), bundle.about.stages.order))
    of_fields = tuple(fact for fact in changes if fact.day is not None)
    view = record.view(_at(as_of))
    next_step = int(view.of("history").last("next_step")[0])
    return Story(
        moves=_moves(record, bundle, as_of),
        changes=of_fields,
        acts=acts_of(record, 0, as_of),
        entered={str(fact.after): fact.day for fact in of_fields if fact.what == "stage" and fact.day is not None},
        decides=bool(view.of("contacts").count("decides")[0] > 0),
        next_step=None if next_step < 0 else next_step == 1,
    )


def _moves(record: Record, bundle: Bundle, as_of: int) -> tuple[Move, ...]:
    """Return why the score moved within the week before an as-of; nothing where the deal was not open then."""
    earlier = as_of - WEEK
    looks = [_at(earlier), _at(as_of)]
    if not all(scorable(record.view(look))[1][0] for look in looks):
        return ()
    before, after = (_matrix(record, bundle, look) for look in looks)
    ends = tuple(_end(bundle, at) for at in (earlier, as_of))
    (moves,) = why_moved(bundle.model, bundle.plan, bundle.profile, before, after, [(ends[0], ends[1])])
    return tuple(moves)


def _matrix(record: Record, bundle: Bundle, look: Requests) -> FeatureMatrix:
    return build_features(record, look, bundle.plan)


def _end(bundle: Bundle, at: int) -> date | None:
    if bundle.about.target != "in_period":
        return None
    return bundle.calendar.last_day(int(bundle.calendar.index(np.array([at]))[0]))


def _at(as_of: int) -> Requests:
    return Requests(np.array([0], dtype=np.int64), np.array([as_of], dtype=np.int64))
