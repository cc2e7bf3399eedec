"""How patterns in reps' calls are said: facts, the peers' beside them, the mirror facts with them, plain explanations.

Every sentence is a template here; none says why, none judges, and a rep is named by id alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from configs.flags import RepPatterns
from models.flag_words import some
from models.rep_patterns import CallFacts, Finding, Pattern, PushFacts, RepFindings, TooLittle

TEMPLATES: Mapping[str, str] = {
    "calls": "in {above} of {periods} what was booked came out above the commit call of week {week}, in {below} "
    "below; in the median it was {ratio}, and {usual} for the {peers}; it lay above the {peers}'s median in {beyond} "
    "and below it in {short}",
    "after_quota": "after {early} in which quota was reached {early_days} or more before the end, wins in the first "
    "{push_days} of the next came to {early_wins} on average; after {others} in which it was not, to {other_wins}; for "
    "all reps with a quota, after the same {early}, to {usual}",
    "no_calls": "too few calls to set beside what was booked",
    "middle": "half of the reps compared lie between {low} and {high} of their peers' ratio of booked to called",
    "too_little": "too little to tell: {periods} with a call to compare and {deals} closed; {min_periods} and "
    "{min_deals} are needed",
}
TITLES: Mapping[Pattern, str] = {
    Pattern.ABOVE: "booked above the commit call, further than the peers",
    Pattern.BELOW: "booked below the commit call, further than the peers",
    Pattern.AFTER_QUOTA: "more wins than else right after a quota that was reached early",
}
_ON_CALLS = (
    "a territory or accounts that came or went within a period",
    "deals that are opened and won within a period, which no early call can hold",
    "one very large deal, or a few",
    "buyers whose own fiscal year decides when they sign",
    "services or renewals that are booked without a call",
    "a manager who asks for calls of a certain kind",
)
EXPLANATIONS: Mapping[Pattern, tuple[str, ...]] = {
    Pattern.ABOVE: _ON_CALLS,
    Pattern.BELOW: _ON_CALLS,
    Pattern.AFTER_QUOTA: (
        "a run of strong periods, in which both fall together",
        "buyers whose own budget begins with the period",
        "approvals or paperwork that wait for the period's end on our side",
        "a price or product that was announced for the new period",
    ),
}


def evidence(finding: Finding, limits: RepPatterns, noun: str) -> str:
    """Return the sentence of a finding; a pattern of wins after quota has that of the calls behind it.

    noun: quarter, month or period.
    """
    calls = TEMPLATES["no_calls"] if finding.calls is None else _calls(finding.calls, limits.week, noun)
    return calls if finding.push is None else f"{_push(finding.push, limits, noun)}; {calls}"


def _calls(calls: CallFacts, week: int, noun: str) -> str:
    return TEMPLATES["calls"].format(
        above=calls.above,
        periods=some(calls.periods, noun),
        week=week,
        below=calls.below,
        ratio=_level(calls.ratio),
        usual=_level(calls.usual),
        peers="team" if calls.of_team else "company",
        beyond=calls.beyond,
        short=calls.short,
    )


def _push(push: PushFacts, limits: RepPatterns, noun: str) -> str:
    return TEMPLATES["after_quota"].format(
        early=some(push.early, noun),
        early_days=some(limits.early_days, "day"),
        push_days=some(limits.push_days, "day"),
        early_wins=f"{push.early_wins:.1f}",
        others=some(push.others, noun),
        other_wins=f"{push.other_wins:.1f}",
        usual=f"{push.usual:.1f}",
    )


def middle(found: RepFindings) -> str | None:
    """Return how far reps lie apart anyway, None where none is compared."""
    if found.middle is None:
        return None
    low, high = (f"{ratio * 100:.0f} %" for ratio in found.middle)
    return TEMPLATES["middle"].format(low=low, high=high)


def not_told(rep: TooLittle, limits: RepPatterns, noun: str) -> str:
    """Return the sentence about a rep of whom too little is known."""
    return TEMPLATES["too_little"].format(
        periods=some(rep.periods, noun),
        deals=some(rep.deals, "deal"),
        min_periods=limits.min_periods,
        min_deals=limits.min_deals,
    )


def _level(ratio: float) -> str:
    """Return how far booked lies from the call: "31 % above it", "4 % below it", "level with it"."""
    apart = round(abs(ratio - 1) * 100)
    return "level with it" if not apart else f"{apart} % {'above' if ratio > 1 else 'below'} it"
