"""One deal explained for a person: its score with reasons, flags, dates and notes, and why it moved since then.

The score is the one that `forecastle score` writes for that as-of, to the bit; flags are shown without a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from configs.errors import UsageError
from configs.schema import Config
from features.asof import Requests
from features.between import between
from features.build import FeatureMatrix, build_features
from features.known import known_before
from models.bundle import Bundle
from models.flags import Flag
from models.moved_facts import Fact, facts_of
from models.why_moved import Move, why_moved
from serving.answers import PROBABILITY, iso
from serving.batch import check_as_of, local_iso, stale_source
from serving.entries import ahead_json
from serving.facts import last_fact
from serving.fits import load_fitting
from serving.refresh import Sourced, sourced
from serving.scoring import DealScore, flag_json, reason_json, reasons_off, scorable, score


@dataclass(frozen=True)
class Moved:
    """Why a score moved. earlier: the answer of the earlier as-of. moves: they add up to the change of the log-odds."""

    earlier: DealScore
    moves: tuple[Move, ...]
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Explained:
    """What `explain` answers. moved: None where no earlier as-of was asked for."""

    score: DealScore
    target: str
    zone: str
    horizon_days: int
    moved: Moved | None


def explain_deal(
    config: Config,
    deal_id: str,
    as_of: int,
    earlier: int | None,
    model: str,
    in_sample: bool,
    progress: Callable[[str], None],
) -> Explained:
    """Explain one deal as of an instant, and why its score moved since an earlier one (UTC microseconds each).

    Raises UsageError for a deal that is not known or not open then, or for an earlier as-of that is not earlier;
    InSampleError, a BundleError or a DataError as `score` does.
    """
    if earlier is not None and earlier >= as_of:
        raise UsageError.at("--from", iso(earlier), expected=f"a day before --as-of, {iso(as_of)}")
    bundle = load_fitting(config, model, progress)
    asked = [as_of] if earlier is None else [earlier, as_of]
    check_as_of(bundle, asked, in_sample)
    progress(f"model {bundle.version}; reading the source")
    seen = sourced(config, bundle)
    if warning := stale_source(seen, as_of, config.time_zone):
        progress(warning)
    deal = deal_code(seen, deal_id)
    scores = [_scored(seen, bundle, config, deal, at) for at in asked]
    if reasons_off(scores, every=1):
        progress("warning: the reasons do not add up to the score; please report this")
    moved = None if earlier is None else _moved(seen, bundle, deal, scores[0], scores[1])
    return Explained(scores[-1], bundle.about.target, config.time_zone, bundle.about.horizon_days, moved)


def deal_code(seen: Sourced, deal_id: str) -> int:
    """Return the code of a deal. Raises UsageError where the source has none of that id."""
    code = seen.record.deal_ids.strings().index(deal_id) if deal_id in seen.record.deal_ids.values else -1
    if code < 0:
        got = f"{deal_id!r}, which no deal of the source is called"
        raise UsageError.at("DEAL_ID", got, expected="an id as in the column deal_id of a file of scores")
    return code


def _scored(seen: Sourced, bundle: Bundle, config: Config, deal: int, as_of: int) -> DealScore:
    asked = Requests(np.array([deal], dtype=np.int64), np.array([as_of], dtype=np.int64))
    known, is_open = scorable(seen.record.view(asked))
    if not is_open[0]:
        got = "a deal that is won, lost, deleted or merged" if known[0] else "a deal that is not known yet"
        when = local_iso(as_of, config.time_zone)
        raise UsageError.at("DEAL_ID", f"{got} as of {when}", expected="a deal that is open then")
    fresh = last_fact(known_before(seen.tables, as_of))
    return score(seen.record, asked, bundle, True, fresh, config.flags)[0]


def _moved(seen: Sourced, bundle: Bundle, deal: int, earlier: DealScore, later: DealScore) -> Moved:
    def matrix(one: DealScore) -> FeatureMatrix:
        at = Requests(np.array([deal], dtype=np.int64), np.array([one.as_of], dtype=np.int64))
        return build_features(seen.record, at, bundle.plan)

    ends = (earlier.period_end, later.period_end)
    (moves,) = why_moved(bundle.model, bundle.plan, bundle.profile, matrix(earlier), matrix(later), [ends])
    span = between(seen.record, deal, earlier.as_of, later.as_of)
    return Moved(earlier, tuple(moves), tuple(facts_of(span, bundle.about.stages.order)))


def document(told: Explained) -> dict[str, Any]:
    """Return what --json prints: the members of an answer of the endpoint, and `moved` where it was asked for."""
    one, moved = told.score, told.moved
    made = {"deal_id": one.deal_id, "as_of": iso(one.as_of), PROBABILITY[told.target]: one.p}
    if one.period_end is not None:
        made["period_end"] = one.period_end.isoformat()
    made |= ahead_json(one.ahead) | {"amount_expected": one.amount_expected, "score": one.score}
    made |= {"log_odds": one.log_odds, "rung": one.rung, "reasons": list(reason_json(one.reasons))}
    made |= {"flags": flag_json(one.flags), "data_notes": list(one.data_notes), "model_version": one.model_version}
    return made | {"moved": None if moved is None else _moved_json(moved, one, PROBABILITY[told.target])}


def _moved_json(moved: Moved, later: DealScore, probability: str) -> dict[str, Any]:
    earlier = moved.earlier
    return {
        "from": iso(earlier.as_of),
        probability: earlier.p,
        "period_end": None if earlier.period_end is None else earlier.period_end.isoformat(),
        "score": earlier.score,
        "log_odds": earlier.log_odds,
        "log_odds_change": later.log_odds - earlier.log_odds,
        "terms": [asdict(move) for move in moved.moves],
        "facts": [asdict(fact) | {"day": None if fact.day is None else fact.day.isoformat()} for fact in moved.facts],
    }


def lines(told: Explained) -> Iterator[str]:
    """Yield the lines that are printed; what the CRM holds is in them as it is (`configs.console.printable`)."""
    one = told.score
    when = f" by {one.period_end.isoformat()}" if one.period_end is not None else " in the end"
    yield f"{one.deal_id}  as of {local_iso(one.as_of, told.zone)}"
    yield f"score {one.score}: won{when} with {one.p:.1%}"
    yield from _ahead_lines(told)
    yield f"model {one.model_version}, rung {one.rung}"
    yield from _reason_lines(one)
    yield from _flag_lines(one.flags)
    if one.data_notes:
        yield "data notes"
        yield from (f"  {note}" for note in one.data_notes)
    if told.moved is not None:
        yield from _moved_lines(told.moved, one, told.zone)


def _ahead_lines(told: Explained) -> Iterator[str]:
    one, ahead = told.score, told.score.ahead
    if ahead is not None:
        shares = f"won {ahead.p_won:.1%}, lost {ahead.p_lost:.1%}, still open {ahead.p_open:.1%}"
        yield f"within {told.horizon_days} days: {shares}"
        if ahead.close_date is not None:
            early, middle, late = (day.isoformat() for day in ahead.close_date)
            yield f"if won, closed around {middle} (80 %: {early} to {late})"
        if ahead.slip_risk is not None:
            yield f"still open after its own close date with {ahead.slip_risk:.1%}"
    if one.amount_expected is not None:
        yield f"if won, worth {one.amount_expected:,.2f}"


def _reason_lines(one: DealScore) -> Iterator[str]:
    baseline, *shown, other = one.reasons
    yield f"reasons, in log-odds; they add up to {one.log_odds:+.3f}"
    for way, sign in (("higher", 1.0), ("lower", -1.0)):
        if chosen := [reason for reason in shown if reason.log_odds * sign > 0]:
            yield f"  what goes with a {way} score"
            yield from (f"    {reason.log_odds:+.2f}  {reason.sentence}" for reason in chosen)
    yield from (f"  {reason.log_odds:+.2f}  {reason.sentence}" for reason in (baseline, other))


def _flag_lines(flags: tuple[Flag, ...] | None) -> Iterator[str]:
    if flags is None:
        yield "flags are switched off"
        return
    yield "flags" if flags else "no flags"
    for flag in flags:
        since = "" if flag.first_seen is None else f", since {flag.first_seen.isoformat()}"
        stake = "" if flag.money_at_stake is None else f", {flag.money_at_stake:,.2f} at stake"
        yield f"  {flag.code} ({flag.severity}{since}{stake}): {flag.evidence}"
        yield f"    to look at: {flag.next_look}"


def _moved_lines(moved: Moved, later: DealScore, zone: str) -> Iterator[str]:
    earlier = moved.earlier
    change = later.log_odds - earlier.log_odds
    yield f"since {local_iso(earlier.as_of, zone)}: score {earlier.score} then, {later.score} now"
    yield f"  terms of the change, in log-odds; they add up to {change:+.3f}"
    yield from (f"    {move.log_odds:+.2f}  {move.sentence}" for move in moved.moves)
    yield "  what became known in between" if moved.facts else "  nothing became known in between"
    yield from (f"    {fact.sentence}" for fact in moved.facts)
