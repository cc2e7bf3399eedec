"""What the service answers, field by field: the types from which the contract of `serving.openapi` is made.

Answers are written as plain objects where they come about; the tests hold every one of them against these types.
New members may be added to an answer; none is taken away under ``/v1``.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class FaultTold(TypedDict):
    """One thing that is wrong with a request. pointer: a JSON pointer into the body, or the name of a parameter."""

    pointer: str
    code: str
    message: str


class Problem(TypedDict):
    """An RFC 9457 problem. code is stable: go by it, not by words. instance: the route, by its template."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: NotRequired[list[FaultTold]]
    retry_after_seconds: NotRequired[int]
    instance: NotRequired[str]
    request_id: NotRequired[str]


class Reason(TypedDict):
    """A part of a score. The log_odds of all reasons add up to the score's."""

    factor: str
    log_odds: float
    value: float | None
    usual: float | None
    sentence: str


class TrackRecord(TypedDict):
    """What came of the deals that carried this flag before: shares, and how many deals and periods they rest on."""

    outcome: str
    precision: float
    low: float
    high: float
    usual: float | None
    recall: float
    lead_days: float
    deals: int
    periods: int


class Flag(TypedDict):
    """One finding about a deal, with its evidence."""

    code: str
    severity: Literal["low", "medium", "high"]
    evidence: str
    money_at_stake: float | None
    first_seen: str | None
    next_look: str
    new: bool
    rank: float | None
    track_record: TrackRecord | None


class CloseDate(TypedDict):
    """When the deal is won if it is: days, by which 10, 50 and 90 % are."""

    p10: str
    p50: str
    p90: str


class Score(TypedDict):
    """What is said of one deal. Of p_won_in_period and p_eventual the one of the model's target is there."""

    deal_id: str | None
    p_won_in_period: NotRequired[float]
    p_eventual: NotRequired[float]
    period_end: NotRequired[str]
    p_won: float | None
    p_lost: float | None
    p_open: float | None
    close_date: CloseDate | None
    slip_risk: float | None
    amount_expected: float | None
    score: int
    log_odds: float
    rung: str
    reasons: NotRequired[list[Reason]]
    flags: list[Flag] | None
    data_notes: list[str]


class Result(TypedDict):
    """What became of one deal of a request: the members of Score where ok, else a problem."""

    deal_id: str | None
    ok: bool
    problem: NotRequired[Problem]
    p_won_in_period: NotRequired[float]
    p_eventual: NotRequired[float]
    period_end: NotRequired[str]
    p_won: NotRequired[float | None]
    p_lost: NotRequired[float | None]
    p_open: NotRequired[float | None]
    close_date: NotRequired[CloseDate | None]
    slip_risk: NotRequired[float | None]
    amount_expected: NotRequired[float | None]
    score: NotRequired[int]
    log_odds: NotRequired[float]
    rung: NotRequired[str]
    reasons: NotRequired[list[Reason]]
    flags: NotRequired[list[Flag] | None]
    data_notes: NotRequired[list[str]]


class Identity(TypedDict):
    """Which model answers, how sure its level is, and how far its facts reach."""

    model_version: str
    bundle_sha256: str
    feature_hash: str
    reference_as_of: str
    horizon_days: int
    rung: str
    doubt: str | None


class ScoreAnswer(Identity):
    """Scores of deals given inline, in their order."""

    as_of: str
    request_id: str
    results: list[Result]


class StoredScoreAnswer(Identity):
    """The score of a stored deal."""

    as_of: str
    request_id: str
    result: Score


class RowResult(TypedDict):
    """What became of one row of a request: the close head's probability where ok, else a problem."""

    id: str
    ok: bool
    problem: NotRequired[Problem]
    p_won_in_period: NotRequired[float]
    p_eventual: NotRequired[float]
    period_end: NotRequired[str]
    log_odds: NotRequired[float]
    rung: NotRequired[str]


class RowsAnswer(Identity):
    """Probabilities for ready feature rows, in their order. reference_as_of is the service's; rows have their own."""

    as_of: str
    request_id: str
    results: list[RowResult]


class DealTold(TypedDict):
    """How a deal stood when it was scored. amount, close_date: the CRM's. Names are to show."""

    name: str | None
    account_name: str | None
    owner_name: str | None
    stage: str | None
    stage_since: str | None
    amount: float | None
    close_date: str | None
    category: str | None
    pushes: int | None
    created_at: str | None
    last_buyer_at: str | None
    next_meeting_at: str | None


class ListedScore(Score):
    """The latest stored score of a deal, whose it is, how it stood then, and the flags within the alert budget.

    change: of the probability within a week; null where it was not scored then, or about another period.
    """

    as_of: str
    owner_id: str | None
    team: str | None
    model_version: str
    change: float | None
    deal: DealTold


class ListAnswer(TypedDict):
    """A page of stored scores. next_cursor: what to ask for the next one with; null on the last."""

    request_id: str
    deals: list[ListedScore]
    next_cursor: str | None


class JobAnswer(TypedDict):
    """Where a job stands. done: of its deals; problem: why it failed; the result is there until expires_at."""

    request_id: str
    job_id: str
    state: Literal["queued", "running", "done", "failed"]
    deals: int
    done: int
    as_of: str
    explain: bool
    received_at: str
    finished_at: str | None
    expires_at: str
    status_url: str
    result_url: str
    poll_after_seconds: int
    problem: NotRequired[Problem]


class JobResultAnswer(ScoreAnswer):
    """A page of a job's results and the model that gave them. next_cursor: of the next page; null on the last."""

    job_id: str
    next_cursor: str | None


class EventResult(TypedDict):
    """What became of one event: stored, a duplicate, or a problem."""

    event_id: str | None
    ok: bool
    status: NotRequired[Literal["stored", "duplicate"]]
    problem: NotRequired[Problem]


class EventsAnswer(TypedDict):
    """What became of the events of a request, in their order."""

    request_id: str
    received: int
    results: list[EventResult]


class Health(TypedDict):
    """The process answers."""

    status: Literal["ok"]


class Ready(TypedDict):
    """A model is loaded."""

    status: Literal["ready"]
    model_version: str


class TrainedOn(TypedDict):
    """What the model was trained on."""

    rows: int
    deals: int
    since: str


class ReferenceTold(TypedDict):
    """The facts about reps, accounts and segments: from where, and why not from the source where they are not."""

    origin: str
    fresh: bool
    why: str
    closed_deals: int
    reps: int


class LimitsTold(TypedDict):
    """How much one request may hold."""

    body_bytes: int
    deals_plain: int
    deals_explained: int
    events_per_deal: int
    events: int
    job_deals: int
    job_bytes: int


class LedgerTold(TypedDict):
    """How many scores this worker has kept since it started."""

    mode: Literal["durable", "best_effort", "off"]
    written: int
    dropped: int


class RefusalTold(TypedDict):
    """A model, or facts, that a worker did not take up."""

    what: Literal["model", "facts"]
    code: str
    bundle_sha256: str
    at: str


class WatchTold(TypedDict):
    """Since when this worker serves its model, how often it took up another one, and what it refused."""

    since: str | None
    swaps: int
    refused: int
    last_refusal: RefusalTold | None


class ContractAnswer(TypedDict):
    """The contract itself, an OpenAPI document."""

    openapi: str
    info: dict[str, Any]
    servers: list[dict[str, Any]]
    paths: dict[str, Any]
    components: dict[str, Any]


class LeadModelTold(Identity):
    """The model of leads. horizon_days: within which a lead converts. fields: of leads, that the model uses."""

    name: str
    trained_as_of: str
    fields: list[str]
    reference_origin: Literal["source", "bundle"]
    reference_why: str


class LeadsTold(TypedDict):
    """What is served of leads. model: null until one is promoted."""

    model: LeadModelTold | None
    watch: WatchTold


class StatusAnswer(Identity):
    """What is served, how fresh it is, and the limits."""

    name: str
    target: Literal["in_period", "eventual"]
    time_zone: str
    trained_as_of: str
    trained_on: TrainedOn
    features: int
    feature_names: list[str]
    heads: list[str]
    stages: list[str]
    reference: ReferenceTold
    limits: LimitsTold
    ledger: LedgerTold
    watch: WatchTold
    leads: LeadsTold | None
