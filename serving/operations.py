"""Every operation of the service as the contract has it: its name, who may ask, what is sent, answered and refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from configs.errors import (
    BadJsonError,
    ConflictError,
    DealGoneError,
    ForbiddenError,
    ForecastleError,
    InSampleError,
    InternalError,
    InvalidRequestError,
    JobNotDoneError,
    JobsFullError,
    LimitExceededError,
    NoForecastError,
    NoLeadsError,
    NotFoundError,
    NotReadyError,
    OtherFeaturesError,
    OverloadedError,
    RateLimitedError,
    RequestTimeoutError,
    StoreError,
    StoreFullError,
    TooLargeError,
    UnauthorizedError,
    UnknownDealError,
    UnknownJobError,
    UnknownStageError,
    UnsupportedMediaTypeError,
)
from features.nodes import LEVELS
from serving import contract_examples as examples
from serving.bridge import PARTS
from serving.events import EventsRequest
from serving.principal import Scope
from serving.replies import (
    ContractAnswer,
    EventsAnswer,
    Health,
    JobAnswer,
    JobResultAnswer,
    ListAnswer,
    Ready,
    RowsAnswer,
    ScoreAnswer,
    StatusAnswer,
    StoredScoreAnswer,
)
from serving.replies_leads import LeadsAnswer
from serving.replies_managers import AccuracyAnswer, BridgeAnswer, ForecastAnswer, ModelAnswer
from serving.routes_deals import LIMIT, LONGEST, MOST, SORTS_TOLD
from serving.routes_events import LONGEST_KEY
from serving.rows import RowsRequest
from serving.schemas import JobRequest, LeadsRequest, ScoreRequest

JSON, TEXT = "application/json", "text/plain"

Problems = tuple[type[ForecastleError], ...]
_KEY: Problems = (UnauthorizedError, ForbiddenError, InternalError)
_WORK: Problems = (*_KEY, RateLimitedError, OverloadedError)
_BODY: Problems = (
    BadJsonError, RequestTimeoutError, TooLargeError, UnsupportedMediaTypeError, InvalidRequestError,
    LimitExceededError,
)  # fmt: skip
_STORE: Problems = (StoreError, StoreFullError)


@dataclass(frozen=True)
class Parameter:
    """One parameter of an operation; its place is read off the path. schema: in the words of OpenAPI."""

    name: str
    about: str
    schema: Mapping[str, Any]
    required: bool = False
    header: bool = False
    example: Any = None


@dataclass(frozen=True)
class Operation:
    """One route and method. scope: that the key needs, None: no key. answer: None for plain text; status: its own.

    problems: every error that the whole request may get. requests: bodies by what they show; the last is refused.
    """

    method: str
    path: str
    name: str
    summary: str
    scope: Scope | None
    answer: type[Any] | None
    told: str
    example: Any
    problems: Problems
    more: str = ""
    request: type[Any] | None = None
    requests: Mapping[str, Any] = field(default_factory=dict)
    parameters: tuple[Parameter, ...] = ()
    media: str = JSON
    status: int = 200


_WORD = {"type": "string", "minLength": 1, "maxLength": 200}
_YES = {"type": "boolean"}
_DAY_OF = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
_DEAL = Parameter("deal_id", "id of the deal in the CRM", _WORD, True, example="OPP-4711")
_JOB = Parameter("job_id", "id of the job", _WORD, True, example=examples.JOB_DONE["job_id"])
_OWN = "A job of another key is as if it were not there."
_AS_OF = Parameter(
    "as_of",
    "instant of the question: now, or ISO 8601 with an offset or Z; only facts known before it count",
    {"type": "string", "maxLength": 40},
    True,
    example="now",
)
_INSTANT = {"type": "string", "maxLength": 40}
_LEVEL = Parameter("level", "company, team or rep", {"type": "string", "enum": list(LEVELS)})
_NODE = Parameter("node", "id of a node of that level", {"type": "string", "maxLength": LONGEST})
_PAGE = (
    Parameter("cursor", "next_cursor of the page before", {"type": "string", "maxLength": LONGEST}),
    Parameter("limit", "deals a page", {"type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT}),
)
_FORECAST = (
    Parameter("period", "first day of a period; the newest that is stored unless given", _DAY_OF),
    _LEVEL,
    _NODE,
    Parameter("as_of", "instant: the forecast that stood then; the newest unless given", _INSTANT),
)
_BRIDGE = (
    Parameter("from", "instant: the forecast that stood then; a week before `to` unless given", _INSTANT),
    Parameter("to", "instant: the forecast that stood then; the newest unless given", _INSTANT),
    _LEVEL,
    _NODE,
    Parameter("part", "whose deals are listed; those of all unless given", {"type": "string", "enum": list(PARTS)}),
    *_PAGE,
)
_LISTING = (
    Parameter("flag", "code of a flag", {"type": "string", "pattern": "^[a-z_]{1,64}$"}),
    Parameter("team", "name of a team", {"type": "string", "maxLength": LONGEST}),
    Parameter("owner", "id of a rep", {"type": "string", "maxLength": LONGEST}),
    Parameter("category", "forecast category", {"type": "string", "maxLength": LONGEST}),
    Parameter("stage", "name of a stage", {"type": "string", "maxLength": LONGEST}),
    Parameter("due", "day by which the CRM's close date lies", _DAY_OF),
    Parameter("sort", "order; with - the largest first", {"type": "string", "enum": SORTS_TOLD, "default": "deal_id"}),
    *_PAGE,
)
_IDEMPOTENCY = Parameter(
    "Idempotency-Key",
    "the same key and body within a day get the same answer",
    {"type": "string", "maxLength": LONGEST_KEY},
    header=True,
)

OPERATIONS = (
    Operation(
        "POST", "/v1/deals/score", "scoreDeals", "Score deals given with their history", Scope.SCORE, ScoreAnswer,
        "A score or a problem for each deal, in the order of the request.", examples.SCORE_ANSWER,
        (*_WORK, *_BODY, InSampleError, NotReadyError, *_STORE),
        "One deal that is wrong spoils no other.", ScoreRequest, examples.SCORE_REQUESTS,
    ),
    Operation(
        "POST", "/v1/leads/score", "scoreLeads", "Score leads given with their history and activities", Scope.SCORE,
        LeadsAnswer, "A score or a problem for each lead, in the order of the request.", examples.LEADS_ANSWER,
        (*_WORK, *_BODY, InSampleError, NoLeadsError, NotReadyError, *_STORE),
        "One lead that is wrong spoils no other; one that opted out is refused as opted_out and never scored. Where "
        "the service has no serving.leads there is no such route.",
        LeadsRequest, examples.LEADS_REQUESTS,
    ),
    Operation(
        "POST", "/v1/rows/score", "scoreRows", "Score ready feature rows", Scope.SCORE, RowsAnswer,
        "A probability of the close head or a problem for each row, in the order of the request.", examples.ROWS_ANSWER,
        (*_KEY, *_BODY, OtherFeaturesError, InSampleError, NotReadyError, *_STORE),
        "For features built by forecastle itself; they are believed to hold nothing later than as_of. One row that is "
        "wrong spoils no other.", RowsRequest, examples.ROWS_REQUESTS,
    ),
    Operation(
        "GET", "/v1/deals/{deal_id}/score", "scoreStoredDeal", "Score a stored deal as of an instant", Scope.READ,
        StoredScoreAnswer, "The score.", examples.STORED_ANSWER,
        (
            *_WORK, InvalidRequestError, InSampleError, UnknownStageError, LimitExceededError, UnknownDealError,
            NotFoundError, DealGoneError, NotReadyError, *_STORE,
        ),
        "A deal of a team that the key may not see is as if it were not stored.",
        parameters=(
            _DEAL, _AS_OF,
            Parameter("explain", "whether to give reasons", _YES | {"default": True}),
            Parameter("in_sample", "allow an as_of before the model's trained_as_of", _YES | {"default": False}),
        ),
    ),
    Operation(
        "GET", "/v1/deals", "listDeals", "List the latest stored scores, a page at a time", Scope.READ, ListAnswer,
        "A page.", examples.LIST_ANSWER, (*_WORK, InvalidRequestError, *_STORE),
        "Of the teams that the key may see.", parameters=_LISTING,
    ),
    Operation(
        "GET", "/v1/forecast", "getForecast", "The stored forecast of a period by node, and how it went", Scope.READ,
        ForecastAnswer, "The forecast.", examples.FORECAST_ANSWER,
        (*_KEY, InvalidRequestError, NoForecastError, *_STORE),
        "A key of teams sees its teams and their reps, not the company.", parameters=_FORECAST,
    ),
    Operation(
        "GET", "/v1/forecast/bridge", "getForecastBridge", "What moved between two forecasts of a period", Scope.READ,
        BridgeAnswer, "Parts that add up to the cent, and their deals.", examples.BRIDGE_ANSWER,
        (*_KEY, InvalidRequestError, NoForecastError, *_STORE),
        "Of the company or the key's teams together, or of one node.", parameters=_BRIDGE,
    ),
    Operation(
        "GET", "/v1/accuracy", "getAccuracy", "What was said in past periods against what happened", Scope.READ,
        AccuracyAnswer, "The accuracy.", examples.ACCURACY_ANSWER, (*_KEY, InvalidRequestError, NotReadyError, *_STORE),
        "Of the deals of the teams that the key may see; the backtest is of the whole company.",
        parameters=(Parameter("period", "first day of a period that is over; the newest unless given", _DAY_OF),),
    ),
    Operation(
        "GET", "/v1/model", "getModel", "The card of the model that serves", Scope.STATUS, ModelAnswer, "The card.",
        examples.MODEL_ANSWER, (*_KEY, NotReadyError),
    ),
    Operation(
        "POST", "/v1/events", "pushEvents", "Push facts about deals", Scope.EVENTS, EventsAnswer,
        "What became of each event, in the order of the request; what is stored is on disk.", examples.EVENTS_ANSWER,
        (*_WORK, *_BODY, ConflictError, NotReadyError, *_STORE),
        "Each is stored, a duplicate, or refused on its own.", EventsRequest, examples.EVENTS_REQUESTS, (_IDEMPOTENCY,),
    ),
    Operation(
        "POST", "/v1/jobs/score", "makeJob", "Have more deals scored than one answer holds", Scope.SCORE, JobAnswer,
        "The job is on disk, and is worked off.", examples.JOB_QUEUED,
        (*_WORK, *_BODY, ConflictError, InSampleError, JobsFullError, NotReadyError, *_STORE),
        "Ask status_url until its state is done or failed.", JobRequest, examples.SCORE_REQUESTS, (_IDEMPOTENCY,),
        status=202,
    ),
    Operation(
        "GET", "/v1/jobs/{job_id}", "getJob", "How a job stands", Scope.SCORE, JobAnswer, "How it stands.",
        examples.JOB_DONE, (*_WORK, UnknownJobError, NotFoundError, *_STORE), _OWN, parameters=(_JOB,),
    ),
    Operation(
        "GET", "/v1/jobs/{job_id}/result", "getJobResult", "What came of a job, a page at a time", Scope.SCORE,
        JobResultAnswer, "A page, in the order of the request.", examples.JOB_RESULT,
        (*_WORK, InvalidRequestError, UnknownJobError, NotFoundError, JobNotDoneError, *_STORE),
        f"{_OWN} Each page names the model that gave it.",
        parameters=(
            _JOB, Parameter("cursor", "next_cursor of the page before", {"type": "string", "maxLength": LONGEST}),
        ),
    ),
    Operation(
        "GET", "/v1/health", "getHealth", "Whether the process answers", None, Health, "It does.", {"status": "ok"},
        (InternalError,),
    ),
    Operation(
        "GET", "/v1/ready", "getReady", "Whether a model is loaded", None, Ready, "It is.", examples.READY_ANSWER,
        (InternalError, NotReadyError),
    ),
    Operation(
        "GET", "/v1/status", "getStatus", "The model, how fresh its facts are, and the limits", Scope.STATUS,
        StatusAnswer, "The status.", examples.STATUS_ANSWER, (*_KEY, NotReadyError),
    ),
    Operation(
        "GET", "/v1/openapi.json", "getContract", "This document, with the limits of the service", None,
        ContractAnswer, "The contract.", examples.CONTRACT_ANSWER, (InternalError,),
    ),
    Operation(
        "GET", "/v1/metrics", "getMetrics", "Counts and times for Prometheus", Scope.STATUS, None,
        "The metrics in Prometheus' text format.", examples.METRICS_ANSWER, _KEY, media=TEXT,
    ),
)  # fmt: skip
"""In the order of the contract."""
