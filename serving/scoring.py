"""Scoring: deals and as-ofs in, what every head says with reasons out. Pure, NumPy only.

The endpoint and the batch file both call `score`; a deal has the same bits alone, in a batch, and as a training row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.flags import Flags
from configs.vocab import Target
from features.asof import AsOfView, Requests
from features.build import FeatureMatrix, features_in
from features.columns import known_or
from features.periods import DAY, EPOCH, local_days
from features.record import Record
from features.tables import NAT
from features.told import Told, told_in
from models.base import Float
from models.bundle import Bundle
from models.explain import EXACT, Reason, explain, off_by
from models.flag_earlier import looks_back, with_earlier
from models.flags import Flag, Scores, find_flags
from models.heads import Prediction
from models.timing import Outlook
from models.track_record import record_json
from serving.notes import data_notes

FEW = 16
"""Rows, those of earlier days included, up to which the heads are asked of these days too before it is known whether
their answer is needed."""
SAMPLED = 20
"""Of explained answers every so many-th, the first of a request included, is checked: do its reasons add up?"""
LEFT_OUT = "was not looked at: the leak audit found that it knows the outcome, so the model was trained without it"


@dataclass(frozen=True)
class Ahead:
    """What may become of a deal. p_won, p_lost, p_open: at the model's horizon, adding up to 1.

    close_date: local days (10, 50 and 90 %), given that it is won; None where no curve tells. slip_risk: P(neither won
    nor lost by the end of the CRM's own close date), None without such a date.
    """

    p_won: float
    p_lost: float
    p_open: float
    close_date: tuple[date, date, date] | None
    slip_risk: float | None


@dataclass(frozen=True)
class Worth:
    """What a lead may be worth, see `models.leads`, money to the cent; None where it can't be told."""

    p_won: float | None
    amount_expected: float | None
    value_expected: float | None


@dataclass(frozen=True)
class DealScore:
    """One answer, about a deal or a lead in the shape of one.

    as_of: UTC microseconds. period_end: last day of the period, inclusive; None for other heads than `in_period`. p:
    the probability, log_odds: its logit before rounding to p. score: 100 p rounded half up. ahead: None without a
    timing head. amount_expected: E[amount | won] in currency, to the cent, None without an amount head. rung: which
    rung of the cold-start ladder answers. reasons: empty unless asked for; they add up to log_odds. data_notes: see
    `serving.notes`. flags: see docs/flags.md, None where they were not looked for. worth: of a lead, None for a deal.
    """

    deal_id: str
    as_of: int
    period_end: date | None
    p: float
    log_odds: float
    score: int
    ahead: Ahead | None
    amount_expected: float | None
    rung: str
    reasons: tuple[Reason, ...]
    data_notes: tuple[str, ...]
    model_version: str
    flags: tuple[Flag, ...] | None = None
    worth: Worth | None = None


@dataclass(frozen=True)
class Scoring:
    """Answers with what they were computed from: scores[i] belongs to row i of `matrix` and `told`.

    told: None for leads, whose features say all.

    window_end: int64[n], end of the period that p speaks of, UTC microseconds, NAT for the head `eventual`.
    """

    scores: list[DealScore]
    matrix: FeatureMatrix
    told: Told | None
    window_end: NDArray[np.int64]


def score(
    record: Record,
    requests: Requests,
    bundle: Bundle,
    explained: bool,
    reference_as_of: int,
    limits: Flags | None = None,
) -> list[DealScore]:
    """Return the scores of `scoring`; none where nothing is asked."""
    return scoring(record, requests, bundle, explained, reference_as_of, limits).scores if len(requests) else []


def scoring(
    record: Record,
    requests: Requests,
    bundle: Bundle,
    explained: bool,
    reference_as_of: int,
    limits: Flags | None = None,
) -> Scoring:
    """Score every request, in order; each deal must be open at its as-of (`Record.is_open`), and there must be one.

    reference_as_of: the instant up to which the record's reference facts are complete, UTC microseconds.
    limits: the thresholds of the flags; None: deals are not flagged.
    Raises ConfigError where an as-of lies outside the fiscal calendar.
    """
    view = record.view(requests)
    looked = with_earlier(view, limits) if limits is not None and _are_few(requests, limits) else view
    asked = ask(record, looked, bundle)
    flags = flagged(record, len(requests), bundle, asked, limits)
    now = slice(len(requests))
    matrix, said = asked.matrix.take(now), asked.said.take(now)
    told = None if asked.told is None else asked.told.take(now)
    p, log_odds = said.p.tolist(), said.log_odds.tolist()
    ahead = ahead_of(said.outlook, requests.as_of, record.calendar.zone)
    amounts = amounts_of(said)
    worths = worths_of(bundle, said)
    rungs = bundle.heads.rungs(said.blind)
    reasons = (
        [tuple(listed) for listed in explain(bundle.model, bundle.plan, bundle.profile, matrix)]
        if explained
        else [()] * len(requests)
    )
    notes = data_notes(looked, len(requests), reference_as_of, bundle.amount is not None, about_leads(bundle))
    ends, window_end = _period_ends(looked, len(requests), bundle.about.target)
    ids = record.deal_ids.take(requests.deal).strings()
    scores = [
        DealScore(
            deal_id=ids[i] or "",
            as_of=as_of,
            period_end=ends[i],
            p=p[i],
            log_odds=log_odds[i],
            score=floor(100 * p[i] + 0.5),
            ahead=ahead[i],
            amount_expected=amounts[i],
            rung=rungs[i],
            reasons=reasons[i],
            data_notes=notes[i],
            model_version=bundle.version,
            flags=flags[i],
            worth=worths[i],
        )
        for i, as_of in enumerate(requests.as_of.tolist())
    ]
    return Scoring(scores, matrix, told, window_end)


def amounts_of(said: Prediction) -> list[float | None]:
    """Return E[amount | won] of each row to the cent, None without an amount head."""
    return [None] * len(said.p) if said.amount is None else np.round(said.amount, 2).tolist()


def worths_of(bundle: Bundle, said: Prediction) -> list[Worth] | list[None]:
    """Return what each lead may be worth; None for each deal."""
    if not about_leads(bundle):
        return [None] * len(said.p)
    told = said.leads
    if told is None:
        return [Worth(None, None, None)] * len(said.p)
    columns = (told.p_won, np.round(told.amount, 2), np.round(told.value, 2))
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [Worth(*(None if value != value else value for value in row)) for row in rows]


def about_leads(bundle: Bundle) -> bool:
    """Whether a model speaks of leads in the shape of deals."""
    return bundle.about.target == Target.CONVERTED


@dataclass(frozen=True)
class Asked:
    """What the heads say of the requests of a view, and what they say it from; row i belongs to request i."""

    view: AsOfView
    matrix: FeatureMatrix
    told: Told | None
    said: Prediction


def ask(record: Record, view: AsOfView, bundle: Bundle) -> Asked:
    """Ask the heads of the requests of a view; of leads the close head alone."""
    matrix = features_in(record, view, bundle.plan)
    told = None if about_leads(bundle) else told_in(view, record.reference)
    return Asked(view, matrix, told, bundle.heads.predict(matrix, told))


def _are_few(requests: Requests, limits: Flags) -> bool:
    """Whether the heads are asked of the earlier days too, before it is known which deals are flagged."""
    return limits.enabled and len(requests) * (1 + len(looks_back(limits))) <= FEW


def flagged(
    record: Record, n: int, bundle: Bundle, asked: Asked, limits: Flags | None
) -> Sequence[tuple[Flag, ...] | None]:
    """Return the flags of n requests, each None where they are not looked for; no alert budget holds here.

    asked: what the heads say of the requests, which come first, and of their earlier days where they are few.
    """
    if limits is None or not limits.enabled:
        return [None] * n

    def says(view: AsOfView) -> Scores:
        return _scores(bundle, ask(record, view, bundle).said)

    records = bundle.track_record.under(limits) if bundle.track_record is not None else {}
    return find_flags(asked.view, _scores(bundle, asked.said), limits, says, n, records)


def flags_of(record: Record, requests: Requests, bundle: Bundle, limits: Flags) -> list[tuple[Flag, ...]]:
    """Return the flags of every request, which must be open deals, without scoring them otherwise."""
    if not len(requests):
        return []
    asked = ask(record, record.view(requests), bundle)
    return [listed or () for listed in flagged(record, len(requests), bundle, asked, limits)]


def _scores(bundle: Bundle, said: Prediction) -> Scores:
    """Return what the flags ask of the heads."""
    doubt, unknown = bundle.model.doubt, np.full(len(said.p), np.nan)
    low, high = (unknown, unknown) if doubt is None else (said.p * doubt.low, said.p * doubt.high)
    return Scores(
        p=said.p,
        low=low,
        high=high,
        slip_risk=unknown if said.outlook is None else said.outlook.slip_risk,
        amount=unknown if said.amount is None else said.amount,
        in_period=bundle.about.target == "in_period",
    )


def scorable(view: AsOfView) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (known, scorable), bool[n] each: known and created before the as-of; and open as well."""
    known = view.exists() & ~(view.days_since_created() <= 0)  # so that a missing created_at (NaN) is no objection
    return known, known & view.is_open()


def _period_ends(view: AsOfView, n: int, target: str) -> tuple[list[date | None], NDArray[np.int64]]:
    """Last day of the periods of the first n requests, and the instants at which these end; none without a period."""
    if target != "in_period":
        return [None] * n, np.full(n, NAT, dtype=np.int64)
    period, calendar = view.period()[:n], view.calendar
    return [calendar.last_day(index) for index in period.tolist()], calendar.starts[period + 1]


def ahead_of(outlook: Outlook | None, as_of: NDArray[np.int64], zone: str) -> list[Ahead | None]:
    """Turn an outlook into plain values, and days after each as-of (int64[n]) into local dates."""
    if outlook is None:
        return [None] * len(as_of)
    shares = zip(outlook.p_won.tolist(), outlook.p_lost.tolist(), outlook.p_open.tolist(), strict=True)
    dates = _dates(as_of, np.stack([outlook.close_p10, outlook.close_p50, outlook.close_p90]), zone)
    slips = [None if risk != risk else risk for risk in outlook.slip_risk.tolist()]
    return [Ahead(*of, day, slip) for of, day, slip in zip(shares, dates, slips, strict=True)]


def _dates(as_of: NDArray[np.int64], days: Float, zone: str) -> list[tuple[date, date, date] | None]:
    """Return for each row the local days that lie `days` (float64[3, n]) after its as-of, None where one is NaN."""
    missing = np.isnan(days).any(axis=0)
    instants = as_of + (known_or(days, 0.0) * DAY).astype(np.int64)
    local = local_days(instants.ravel(), zone).tolist()
    names = {day: EPOCH + timedelta(days=day) for day in set(local)}
    n, told = len(as_of), [names[day] for day in local]
    rows = zip(np.asarray(missing).tolist(), told[:n], told[n : 2 * n], told[2 * n :], strict=True)
    return [None if gone else (first, second, third) for gone, first, second, third in rows]


def with_left_out(scored: DealScore, names: Sequence[str]) -> DealScore:
    """Return an answer that says which facts of the request were not looked at; names: of the model's own mapping."""
    if not names:
        return scored
    note = f"left_out: {', '.join(names)} {LEFT_OUT}"
    return replace(scored, data_notes=(*scored.data_notes, note))


def reasons_off(scores: Sequence[DealScore], every: int = SAMPLED) -> int:
    """Return how many of every so many-th explained scores have reasons that miss the log-odds. It fails no answer."""
    return sum(off_by(one.reasons, one.log_odds) > EXACT for one in scores[::every] if one.reasons)


def reason_json(reasons: tuple[Reason, ...]) -> Iterator[dict[str, object]]:
    """Yield reasons as the plain objects of the column and the field ``reasons``."""
    for reason in reasons:
        yield {
            "factor": reason.factor,
            "log_odds": reason.log_odds,
            "value": reason.value,
            "usual": reason.usual,
            "sentence": reason.sentence,
        }


def flag_json(flags: tuple[Flag, ...] | None) -> list[dict[str, Any]] | None:
    """Return flags as the plain objects of the column and the field ``flags``; None where they were not looked for."""
    if flags is None:
        return None
    return [
        {
            "code": flag.code,
            "severity": flag.severity,
            "evidence": flag.evidence,
            "money_at_stake": flag.money_at_stake,
            "first_seen": None if flag.first_seen is None else flag.first_seen.isoformat(),
            "next_look": flag.next_look,
            "new": flag.new,
            "rank": flag.rank,
            "track_record": record_json(flag.track_record),
        }
        for flag in flags
    ]
