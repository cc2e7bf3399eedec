"""From the body of a scoring request to the body of its answer, about deals or leads: pure, the clock is given."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from configs.errors import Fault, ForecastleError, InSampleError, InvalidRequestError, LimitExceededError
from configs.schema import Grades, Serving
from configs.subject import Subject
from features.periods import DAY
from models.bundle import Bundle
from models.flags import Flag
from models.lead_queue import grades
from serving.entries import Entry, Model, ahead_json, entries_of
from serving.intake import Intake, Loaded, take_in
from serving.kinds import DEALS, Kind
from serving.problems import problem
from serving.schemas import NOW, Asking, LeadsRequest, read_envelope, read_request
from serving.scoring import DealScore, Worth, flag_json, reason_json, reasons_off, scoring, with_left_out

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
PROBABILITY = {"in_period": "p_won_in_period", "eventual": "p_eventual", "converted": "p_convert"}
"""Name of the probability, by target: of the field in answers and of the column in files."""


@dataclass(frozen=True)
class Answer:
    """The body of an answer, how many deals of the request got a score, and how many a problem, by its code.

    entries: what the ledger is to keep, an entry for each score. reasons_off: of the explained scores that were
    checked, how many have reasons that do not add up; a fault of ours.
    """

    body: bytes
    scored: int
    refused: Mapping[str, int]
    entries: tuple[Entry, ...] = ()
    reasons_off: int = 0


def answer(body: bytes, now: int, request_id: str, loaded: Loaded, limits: Serving) -> Answer:
    """Answer ``POST /v1/deals/score``. now: UTC microseconds.

    Raises BadJsonError, InvalidRequestError, LimitExceededError or InSampleError for the request as a whole; what is
    wrong with one deal stands in its place among the results.
    """
    request = read_request(body)
    return _answered(request, request.deals, now, request_id, loaded, limits)


def answer_leads(body: bytes, now: int, request_id: str, loaded: Loaded, limits: Serving) -> Answer:
    """Answer ``POST /v1/leads/score``, as `answer` does."""
    request = read_envelope(body, LeadsRequest)
    return _answered(request, request.leads, now, request_id, loaded, limits)


def _answered(
    request: Asking, items: Sequence[object], now: int, request_id: str, loaded: Loaded, limits: Serving
) -> Answer:
    """Answer a request about deals or leads, each with what is known of it."""
    as_of = read_as_of(request.as_of, now, loaded.bundle, request.in_sample)
    _refuse_excess(len(items), request.explain, loaded.kind, limits)
    judged = judge(items, as_of, request.explain, loaded, limits)
    results = results_of(items, judged, loaded, request.explain)
    document = identity(loaded) | {"as_of": iso(as_of), "request_id": request_id, "results": results}
    refused = Counter(problem.code for problem in judged.problems.values())
    off = reasons_off(list(judged.scores.values()))
    return Answer(to_json(document), len(judged.scores), refused, judged.entries, off)


@dataclass(frozen=True)
class Judged:
    """What became of the deals of a request, by their place in it: a score or a problem each.

    entries: for the ledger, in the order of the scores. intake: what the deals were read into.
    """

    scores: Mapping[int, DealScore]
    problems: Mapping[int, ForecastleError]
    entries: tuple[Entry, ...]
    intake: Intake


def judge(
    deals: Sequence[object], as_of: int, explain: bool, loaded: Loaded, limits: Serving, first: int = 0
) -> Judged:
    """Score deals or leads given with their history as of an instant (UTC microseconds). first: place of the first."""
    intake = take_in(deals, as_of, loaded, limits, first)
    if intake.record is None or not len(intake.requests):
        return Judged({}, intake.problems, (), intake)
    flags = loaded.flags if loaded.kind is DEALS else None
    made = scoring(intake.record, intake.requests, loaded.bundle, explain, loaded.facts.as_of, flags)
    placed = zip(intake.positions, made.scores, strict=True)
    scores = {place: with_left_out(one, intake.ignored.get(place, ())) for place, one in placed}
    names = [
        (_name(deals[place - first], loaded.kind) or "").replace("\x00", "\ufffd") for place in intake.positions
    ]  # PostgreSQL's texts
    return Judged(scores, intake.problems, entries_of(made, names, explain), intake)


def results_of(
    deals: Sequence[object], judged: Judged, loaded: Loaded, explained: bool, first: int = 0
) -> list[dict[str, Any]]:
    """Return the elements of ``results`` in the order of the deals, which begin at a place in the request."""
    return [
        _result(deal, judged.scores.get(place), judged.problems.get(place), loaded, explained)
        for place, deal in enumerate(deals, first)
    ]


def model_of(loaded: Loaded) -> Model:
    """Return what the ledger says of the model and its facts."""
    bundle, facts = loaded.bundle, loaded.facts
    return Model(bundle.sha, bundle.version, bundle.about.plan_fingerprint, facts.as_of, facts.sha)


def identity(loaded: Loaded) -> dict[str, Any]:
    """Return what every answer says of the model, of how sure its level is, and of how fresh its facts are."""
    doubt = loaded.bundle.model.doubt
    return {
        "model_version": loaded.bundle.version,
        "bundle_sha256": loaded.bundle.sha,
        "feature_hash": loaded.bundle.about.plan_fingerprint,
        "reference_as_of": iso(loaded.facts.as_of),
        "horizon_days": loaded.bundle.about.horizon_days,
        "rung": loaded.bundle.model.rung,
        "doubt": None if doubt is None else doubt.text(Subject.of(loaded.bundle.about.target)),
    }


def iso(instant: int) -> str:
    """Return an instant (UTC microseconds) as ISO 8601 with Z; microseconds only where there are any."""
    return (EPOCH + instant * MICROSECOND).isoformat().replace("+00:00", "Z")


def to_json(document: Mapping[str, Any]) -> bytes:
    """Write JSON; floats in their shortest form that reads back as the same bits."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def read_as_of(text: str, now: int, bundle: Bundle, in_sample: bool) -> int:
    """Read the as_of of a request. now: UTC microseconds.

    Raises InvalidRequestError where it is no instant, or one that can't be asked about, and InSampleError where the
    model has seen what came after it.
    """
    if text == NOW:
        as_of = now
    else:
        as_of = _instant(text, now)
        _refuse_outside(as_of, bundle)
    _refuse_in_sample(as_of, bundle, in_sample)
    return as_of


def check_as_of(as_of: int, bundle: Bundle, in_sample: bool) -> None:
    """Hold an as_of that was read before against another model. Raises as `read_as_of` does."""
    _refuse_outside(as_of, bundle)
    _refuse_in_sample(as_of, bundle, in_sample)


def _refuse_in_sample(as_of: int, bundle: Bundle, in_sample: bool) -> None:
    trained = bundle.about.trained_as_of
    if as_of < trained and not in_sample:
        raise InSampleError(
            f"the model has seen what came after as_of: it was trained as of {iso(trained)}; "
            "ask for a later as_of, or send in_sample: true and treat the answer as a fit, not a forecast"
        )


def _refuse_outside(as_of: int, bundle: Bundle) -> None:
    starts = bundle.calendar.starts
    if not starts[0] <= as_of < starts[-1]:
        raise _bad_as_of("outside_calendar", "outside the fiscal calendar of the model", "an instant within it")


def _instant(text: str, now: int) -> int:
    expected = "ISO 8601 with an offset or Z, such as 2026-03-31T00:00:00Z, or now"
    try:
        moment = datetime.fromisoformat(text)
        as_of = (moment - EPOCH) // MICROSECOND
    except (ValueError, TypeError, OverflowError):  # TypeError: a time without an offset
        raise _bad_as_of("wrong_value", "not an instant", expected) from None
    if as_of > now + DAY:
        raise _bad_as_of("in_the_future", "more than a day after the service's clock", "an instant until then")
    return as_of


def _bad_as_of(code: str, got: str, expected: str) -> InvalidRequestError:
    return InvalidRequestError(faults=[Fault(code, "", got, expected, path="/as_of")])


def _refuse_excess(count: int, explain: bool, kind: Kind, limits: Serving) -> None:
    most = limits.max_deals_explained if explain else limits.max_deals_plain
    if count > most:
        remedy = "send fewer at a time"
        if explain and count <= limits.max_deals_plain:
            remedy += f", or explain: false for up to {limits.max_deals_plain:,}"
        if kind is DEALS:
            remedy += f", or a job (POST /v1/jobs/score) for up to {limits.jobs.max_deals:,}"
        got, code = f"{count:,} {kind.many}{' with reasons' if explain else ''}", f"too_many_{kind.many}"
        raise LimitExceededError(faults=[Fault(code, "", got, f"at most {most:,}", remedy, f"/{kind.many}")])


def _name(deal: object, kind: Kind) -> str | None:
    """Return the id of a deal or lead as it may be told again, None where it has none."""
    deal_id = deal.get(kind.id) if isinstance(deal, dict) else None
    return deal_id if isinstance(deal_id, str) and len(deal_id) <= 200 and _is_text(deal_id) else None


def _result(
    deal: object, scored: DealScore | None, error: ForecastleError | None, loaded: Loaded, explained: bool
) -> dict[str, Any]:
    """One element of ``results``."""
    kind = loaded.kind
    named = {kind.id: _name(deal, kind)}
    if scored is None:
        return named | {"ok": False, "problem": problem(error or InvalidRequestError())}
    if scored.worth is not None:
        return named | {"ok": True} | lead_json(scored, scored.worth, loaded.grades, explained)
    return named | {"ok": True} | score_json(scored, loaded.bundle.about.target, explained)


def lead_json(scored: DealScore, worth: Worth, cuts: Grades, explained: bool) -> dict[str, Any]:
    """Return the score of a lead as members of a result."""
    (grade,) = grades(np.array([scored.p]), cuts)
    result: dict[str, Any] = {PROBABILITY["converted"]: scored.p} | asdict(worth)
    result |= {"score": scored.score, "grade": grade, "log_odds": scored.log_odds, "rung": scored.rung}
    if explained:
        result["reasons"] = list(reason_json(scored.reasons))
    return result | {"data_notes": list(scored.data_notes)}


def score_json(scored: DealScore, target: str, explained: bool) -> dict[str, Any]:
    """Return a score as members of a result."""
    result: dict[str, Any] = {PROBABILITY[target]: scored.p}
    if scored.period_end is not None:
        result["period_end"] = scored.period_end.isoformat()
    result |= ahead_json(scored.ahead) | {"amount_expected": scored.amount_expected}
    result |= {"score": scored.score, "log_odds": scored.log_odds, "rung": scored.rung}
    if explained:
        result["reasons"] = list(reason_json(scored.reasons))
    return result | {"flags": flag_json(scored.flags), "data_notes": list(scored.data_notes)}


def flags_of(answer: str) -> tuple[Flag, ...]:
    """Return the flags that a stored answer holds, with what an alert budget goes by."""
    return tuple(
        Flag(
            flag["code"],
            flag["severity"],
            flag["evidence"],
            flag["money_at_stake"],
            None,
            flag["next_look"],
            rank=flag.get("rank"),
        )
        for flag in json.loads(answer).get("flags") or ()
    )


def _is_text(value: str) -> bool:
    """Whether a text can be written as UTF-8 (JSON may hold halves of surrogate pairs)."""
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
