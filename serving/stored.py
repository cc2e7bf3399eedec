"""Scoring a deal that the store knows: from its facts to the deal as a request would give it, and through that path.

The source and the CRM's events may tell the same fact. What both tell in the same words counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from configs.errors import DealGoneError, ForecastleError, UnknownDealError
from configs.schema import Serving
from serving.answers import Answer, identity, iso, judge, score_json, to_json
from serving.events import LISTS, fact_sha
from serving.intake import Loaded
from serving.store.repository import StoredDeal, StoredEvent
from serving.wire import UNKNOWN_STAGE

VANISHED = "vanished"


@dataclass(frozen=True)
class Question:
    """What is asked about a stored deal. as_of: UTC microseconds."""

    as_of: int
    explain: bool
    request_id: str


def deal_of(stored: StoredDeal) -> dict[str, Any] | None:
    """Return a stored deal as a request gives it; None where nothing tells of its creation.

    The source's word on what is fixed at creation goes before the events', and of these the last one received. A deal
    that is no longer in the source was deleted when that was seen.
    """
    head = stored.body
    if head is None:
        head = next((event.body for event in reversed(stored.events) if event.part == "deal"), None)
    if head is None:
        return None
    deal = head | {"deal_id": stored.deal_id}
    for part, name in LISTS.items():
        told = list(head.get(name) or ())
        deal[name] = told + _more(part, told, [event for event in stored.events if event.part == part])
    stone = stored.tombstone
    if stone is not None and stone.kind == VANISHED:
        last = deal["history"][-1]["stage"] if deal["history"] else UNKNOWN_STAGE
        deal["history"].append({"known_at": iso(stone.known_at), "stage": last, "is_deleted": True})
    return deal


def adds(stored: StoredDeal) -> bool:
    """Whether the events of a deal tell anything that the source does not."""
    body = stored.body or {}
    return any(
        _more(part, body.get(name) or (), [event for event in stored.events if event.part == part])
        for part, name in LISTS.items()
    )


def _more(part: str, told: Sequence[dict[str, Any]], events: Sequence[StoredEvent]) -> list[dict[str, Any]]:
    """Return the events' rows that the source does not tell, in order of (known_at, seq, received).

    Their place in the list then stands for seq, as it does for the source's.
    """
    left = Counter(fact_sha(part, row) for row in told) if events else Counter()
    more = []
    for event in events:
        if left[event.fact_sha256] > 0:
            left[event.fact_sha256] -= 1
        else:
            more.append(event)
    more.sort(key=lambda event: (event.known_at, event.body.get("seq") or 0, event.seq))
    return [{name: value for name, value in event.body.items() if name != "seq"} for event in more]


def answer_stored(stored: StoredDeal | None, asked: Question, loaded: Loaded, limits: Serving) -> Answer:
    """Answer ``GET /v1/deals/{deal_id}/score``.

    Raises UnknownDealError, DealGoneError, or what a deal given inline would get as its problem.
    """
    deal = None if stored is None else deal_of(stored)
    if stored is None or deal is None:
        raise UnknownDealError("no creation of such a deal is stored: push it as an event, or run `forecastle refresh`")
    judged = judge([deal], asked.as_of, asked.explain, loaded, limits)
    if not judged.scores:
        raise _why(judged.problems[0], stored)
    target = loaded.bundle.about.target
    result = {"deal_id": stored.deal_id} | score_json(judged.scores[0], target, asked.explain)
    document = identity(loaded) | {"as_of": iso(asked.as_of), "request_id": asked.request_id, "result": result}
    return Answer(to_json(document), 1, {}, judged.entries)


def _why(error: ForecastleError, stored: StoredDeal) -> ForecastleError:
    """Return the error of a deal inline as one of a stored deal."""
    codes = {fault.code for fault in error.faults}
    if codes == {"deal_closed"} and stored.tombstone is not None:
        merged = stored.tombstone.kind == "merged"
        return DealGoneError(f"the deal was {'merged into another' if merged else 'deleted'} before as_of")
    if codes == {"deal_not_known"}:
        return UnknownDealError("the deal was not known before as_of: ask for a later one")
    return error
