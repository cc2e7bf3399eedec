"""What the service answers about leads, field by field, as `serving.replies` does about deals."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from serving.replies import Identity, Problem, Reason


class LeadResult(TypedDict):
    """What became of one lead of a request: where ok the members after problem, which is there otherwise.

    p_convert: chance that it converts within horizon_days. p_won: that its deal is won in time. amount_expected: what
    the deal is worth if won. value_expected: what to expect of the lead. null: the record could not teach it. score:
    100 p_convert. grade: A to D, by the cuts of the service.
    """

    lead_id: str | None
    ok: bool
    problem: NotRequired[Problem]
    p_convert: NotRequired[float]
    p_won: NotRequired[float | None]
    amount_expected: NotRequired[float | None]
    value_expected: NotRequired[float | None]
    score: NotRequired[int]
    grade: NotRequired[Literal["A", "B", "C", "D"]]
    log_odds: NotRequired[float]
    rung: NotRequired[str]
    reasons: NotRequired[list[Reason]]
    data_notes: NotRequired[list[str]]


class LeadsAnswer(Identity):
    """Scores of leads given inline, in their order. horizon_days: within which p_convert holds."""

    as_of: str
    request_id: str
    results: list[LeadResult]
