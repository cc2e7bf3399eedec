"""Every error of Forecastle, in one tree. No other module defines an exception.

Columns: class, machine code (stable), HTTP status, exit code of the command line.

    ForecastleError               forecastle_error       500 1  base; never raised itself
      ConfigError                 config_error           500 2  a config or mapping file, or a --set, is wrong
        UsageError                usage_error            422 2  a command was asked for something it cannot do
          InSampleError           in_sample              422 2  a score before the model's trained_as_of
      GateRefused                 gate_refused           409 3  a model did not pass its gates
      DataError                   data_error             422 4  the records cannot be used
        MissingFileError          missing_file           422 4  a file or folder of the source is not there
        UnreadableFileError       unreadable_file        422 4  a file is damaged, cut off or of a wrong format
        SchemaError               schema_error           422 4  tables break their contract: columns, types, keys, rows
        UnmappedError             unmapped               422 4  a word that the mapping does not list
        TooLittleDataError        too_little_data        422 4  not enough closed deals, periods or rows to go on
      StateError                  state_error            503 1  the state directory cannot be read or written
        StoreError                store_error            503 1  the store of events, scores and ledger cannot be used
          StoreFullError          store_full             503 1  there is no space left for it
          StoreVersionError       store_version          503 1  a newer version of forecastle made it
      TrackingError               tracking_error         503 1  the experiment store failed
      NotReplayedError            not_replayed           500 1  a score of the ledger is not what its model gives
      BundleError                 bundle_error           503 1  a model bundle cannot be used
        BundleMismatchError       bundle_mismatch        503 1  made by other feature specs, config or format
        BundleDamagedError        bundle_damaged         503 1  a file of the bundle is missing or has another digest
        NotPromotedError          none_promoted          503 1  no model carries the alias `live`
        NotTrainedError           not_trained            503 1  no model has been trained for this config
      RequestError                request_error          400 1  a request to the service is refused
        BadJsonError              bad_json               400 1  the body is not JSON
        UnauthorizedError         unauthorized           401 1  no valid API key or token
        ForbiddenError            forbidden              403 1  the key or token may not do this
        NotFoundError             not_found              404 1  no such route or record
          UnknownDealError        unknown_deal           404 1  no deal of this id is stored
          UnknownJobError         unknown_job            404 1  no job of this id is kept
          NoForecastError         no_forecast            404 1  no forecast of that period, instant or node is stored
          NoLeadsError            no_leads               404 1  the service has no config of leads
        MethodNotAllowedError     method_not_allowed     405 1  the route exists, not with this method
        RequestTimeoutError       request_timeout        408 1  the body did not come in time
        ConflictError             conflict               409 1  an id or key was used before, for something else
        JobNotDoneError           job_not_done           409 1  the job has no result yet, or failed
        OtherFeaturesError        other_features         409 1  feature rows were built for another model's features
        DealGoneError             deal_gone              410 1  the deal was deleted or merged into another
        TooLargeError             too_large              413 1  the body is over the limit in bytes
        UnsupportedMediaTypeError unsupported_media_type 415 1  the body is not application/json
        InvalidRequestError       invalid_request        422 1  the body breaks the request schema
        UnknownStageError         unknown_stage          422 1  a deal is in a stage the model has never been told of
        OptedOutError             opted_out              422 1  a lead does not want to be contacted
        LimitExceededError        limit_exceeded         422 1  too many deals or events in one request
        NotReadyError             not_ready              503 1  no model is loaded yet
        BusyError                 busy                   503 1  base of what says when to ask again; never raised itself
          RateLimitedError        rate_limited           429 1  the key has sent more than its rate
          JobsFullError           jobs_full              429 1  too many jobs, or bytes of them, wait already
          OverloadedError         overloaded             503 1  the worker has as much to do as it takes at once
        InternalError             internal               500 1  our fault; details are in the log, not in the answer

A message says what was got, what was expected, where, and what to do; it names ids (capped), never whole records.
Errors survive pickling, so they can cross from a worker process.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

MAX_SHOWN = 20
"""Faults printed by one error; the rest are counted. All of them stay in ``faults``."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    ``code``      machine-readable, snake case, stable (``unknown_key``, ``wrong_type``, ``duplicate_key`` ...)
    ``where``     ``file:line:column``, ``file:row``, ``--set a.b=c`` or the ids concerned; may be empty
    ``got``       what was found, short
    ``expected``  what would have been right; may be empty when ``got`` says it all
    ``remedy``    what to do about it; may be empty
    ``path``      dotted path in a config, JSON pointer in a request, ``table.column`` in data; may be empty
    """

    code: str
    where: str
    got: str
    expected: str = ""
    remedy: str = ""
    path: str = ""

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.where, self.path) if part)
        expected = f"expected {self.expected}" if self.expected else ""
        text = "; ".join(part for part in (self.got, expected, self.remedy) if part)
        return f"{place}: {text}" if place else text


class ForecastleError(Exception):
    """Base of every error. ``str(error)`` is a full message for people; ``faults`` are the parts for programs."""

    code: ClassVar[str] = "forecastle_error"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    title: ClassVar[str] = "Forecastle could not go on"

    def __init__(self, message: str = "", faults: Iterable[Fault] = ()) -> None:
        self.message = message
        self.faults = tuple(faults)
        super().__init__(self.message, self.faults)  # args rebuild the error when it is unpickled

    @classmethod
    def at(
        cls, where: str, got: str, *, expected: str = "", remedy: str = "", path: str = "", code: str | None = None
    ) -> Self:
        """Return an error with one fault; the fault's code is the class's own unless given."""
        return cls(faults=(Fault(code or cls.code, where, got, expected, remedy, path),))

    def __str__(self) -> str:
        head = self.message or (self.title if len(self.faults) != 1 else "")
        if not self.faults:
            return head
        if not head:
            return str(self.faults[0])
        return "\n".join([f"{head}:", *(f"  {line}" for line in _capped(self.faults))])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


def _capped(faults: tuple[Fault, ...]) -> Iterator[str]:
    """Yield a line a fault, at most MAX_SHOWN, then how many more there are."""
    yield from (str(fault) for fault in faults[:MAX_SHOWN])
    if len(faults) > MAX_SHOWN:
        yield f"and {len(faults) - MAX_SHOWN} more"


def error_classes(root: type[ForecastleError] = ForecastleError) -> Iterator[type[ForecastleError]]:
    """Yield ``root`` and every class below it, depth first, in the order they are written."""
    yield root
    for child in root.__subclasses__():
        yield from error_classes(child)


class ConfigError(ForecastleError):
    """A config or mapping file, or an override of it, is wrong. ``faults`` holds every fault found at once."""

    code, status, exit_code = "config_error", 500, 2
    title = "The configuration is wrong"


class UsageError(ConfigError):
    """A command or call was asked for something it cannot do."""

    code, status, exit_code = "usage_error", 422, 2
    title = "This cannot be asked for"


class InSampleError(UsageError):
    """A score was asked for an as-of before the model's ``trained_as_of``, and in-sample was not allowed."""

    code, status, exit_code = "in_sample", 422, 2
    title = "The model has already seen what came after this date"


class GateRefused(ForecastleError):
    """A model did not pass its gates; a fault for each gate that failed."""

    code, status, exit_code = "gate_refused", 409, 3
    title = "The model did not pass its gates"


class DataError(ForecastleError):
    """The records cannot be used as they are. ``faults`` holds every fault found at once."""

    code, status, exit_code = "data_error", 422, 4
    title = "The data is refused"


class MissingFileError(DataError):
    """A file or folder that the source needs is not there."""

    code, status, exit_code = "missing_file", 422, 4
    title = "A file of the source is missing"


class UnreadableFileError(DataError):
    """A file is there, but it is damaged, cut off, empty, or not of the format its name says."""

    code, status, exit_code = "unreadable_file", 422, 4
    title = "A file of the source cannot be read"


class SchemaError(DataError):
    """Tables break their contract: missing columns, wrong types, repeated keys, impossible rows."""

    code, status, exit_code = "schema_error", 422, 4
    title = "The tables break their contract"


class UnmappedError(DataError):
    """The data holds a stage, event or category that the mapping does not list."""

    code, status, exit_code = "unmapped", 422, 4
    title = "The mapping does not cover the data"


class TooLittleDataError(DataError):
    """There are too few closed deals, periods or rows for what was asked."""

    code, status, exit_code = "too_little_data", 422, 4
    title = "There is too little data"


class StateError(ForecastleError):
    """The state directory cannot be read, written or locked."""

    code, status, exit_code = "state_error", 503, 1
    title = "The state directory cannot be used"


class StoreError(StateError):
    """The store of events, scores and ledger cannot be opened, read or written."""

    code, status, exit_code = "store_error", 503, 1
    title = "The store cannot be used"


class StoreFullError(StoreError):
    """There is no space left for the store."""

    code, status, exit_code = "store_full", 503, 1
    title = "The store is full: what cannot be kept is not answered"


class StoreVersionError(StoreError):
    """A newer version of forecastle made the store."""

    code, status, exit_code = "store_version", 503, 1
    title = "The store was made by a newer version"


class TrackingError(ForecastleError):
    """The experiment store failed."""

    code, status, exit_code = "tracking_error", 503, 1
    title = "The experiment store failed"


class NotReplayedError(ForecastleError):
    """A row of the ledger is not what its feature vector and its model give."""

    code, status, exit_code = "not_replayed", 500, 1
    title = "The ledger and the models do not agree"


class BundleError(ForecastleError):
    """A model bundle cannot be used."""

    code, status, exit_code = "bundle_error", 503, 1
    title = "The model bundle cannot be used"


class BundleMismatchError(BundleError):
    """The bundle was made by other feature specs, another config or another format than the running code's."""

    code, status, exit_code = "bundle_mismatch", 503, 1
    title = "The model bundle does not fit the running code"


class BundleDamagedError(BundleError):
    """A file of the bundle is missing, or its digest is not the recorded one."""

    code, status, exit_code = "bundle_damaged", 503, 1
    title = "The model bundle is damaged"


class NotPromotedError(BundleError):
    """No model carries the alias ``live``."""

    code, status, exit_code = "none_promoted", 503, 1
    title = "No model is live"


class NotTrainedError(BundleError):
    """No model has been trained for this config."""

    code, status, exit_code = "not_trained", 503, 1
    title = "No model has been trained"


class RequestError(ForecastleError):
    """A request to the service is refused. Base of the HTTP family."""

    code, status, exit_code = "request_error", 400, 1
    title = "The request is refused"


class BadJsonError(RequestError):
    """The body is not JSON."""

    code, status, exit_code = "bad_json", 400, 1
    title = "The body is not JSON"


class UnauthorizedError(RequestError):
    """There is no valid API key or access token."""

    code, status, exit_code = "unauthorized", 401, 1
    title = "An API key or access token is needed"


class ForbiddenError(RequestError):
    """The API key or access token is valid but may not do this."""

    code, status, exit_code = "forbidden", 403, 1
    title = "The API key or access token may not do this"


class NotFoundError(RequestError):
    """There is no such route or record."""

    code, status, exit_code = "not_found", 404, 1
    title = "Not found"


class UnknownDealError(NotFoundError):
    """No deal of this id is stored, or none that the caller may see."""

    code, status, exit_code = "unknown_deal", 404, 1
    title = "No such deal is stored"


class UnknownJobError(NotFoundError):
    """No job of this id is kept, or none that the caller's key made."""

    code, status, exit_code = "unknown_job", 404, 1
    title = "No such job is kept"


class NoForecastError(NotFoundError):
    """No forecast of that period, instant or node is stored, or none that the caller may see."""

    code, status, exit_code = "no_forecast", 404, 1
    title = "No such forecast is stored"


class NoLeadsError(NotFoundError):
    """The service has no config of leads, so it serves none."""

    code, status, exit_code = "no_leads", 404, 1
    title = "This service serves no leads"


class MethodNotAllowedError(RequestError):
    """The route exists, but not with this method."""

    code, status, exit_code = "method_not_allowed", 405, 1
    title = "The method is not allowed here"


class RequestTimeoutError(RequestError):
    """The body of a request did not come in time."""

    code, status, exit_code = "request_timeout", 408, 1
    title = "The body came too slowly"


class ConflictError(RequestError):
    """An event id or an idempotency key was used before, for something else."""

    code, status, exit_code = "conflict", 409, 1
    title = "This id was used for something else"


class JobNotDoneError(RequestError):
    """The job has no result: it waits, runs or failed."""

    code, status, exit_code = "job_not_done", 409, 1
    title = "The job has no result"


class OtherFeaturesError(RequestError):
    """Feature rows were built for other features than those of the model that would score them."""

    code, status, exit_code = "other_features", 409, 1
    title = "The rows were built for other features than the model has"


class DealGoneError(RequestError):
    """The deal was deleted or merged into another before the as-of."""

    code, status, exit_code = "deal_gone", 410, 1
    title = "The deal is gone"


class TooLargeError(RequestError):
    """The body is over the limit in bytes."""

    code, status, exit_code = "too_large", 413, 1
    title = "The body is too large"


class UnsupportedMediaTypeError(RequestError):
    """The body is not ``application/json``, or is compressed."""

    code, status, exit_code = "unsupported_media_type", 415, 1
    title = "The body must be application/json"


class InvalidRequestError(RequestError):
    """The body breaks the request schema; a fault for each place."""

    code, status, exit_code = "invalid_request", 422, 1
    title = "The request breaks its schema"


class UnknownStageError(RequestError):
    """A deal is in a stage that the model has never been told of."""

    code, status, exit_code = "unknown_stage", 422, 1
    title = "A stage is unknown to the model"


class OptedOutError(RequestError):
    """A lead does not want to be contacted, so it is not scored."""

    code, status, exit_code = "opted_out", 422, 1
    title = "The lead opted out and is never scored"


class LimitExceededError(RequestError):
    """There are too many deals or events in one request."""

    code, status, exit_code = "limit_exceeded", 422, 1
    title = "The request is over a limit"


class NotReadyError(RequestError):
    """No model is loaded yet."""

    code, status, exit_code = "not_ready", 503, 1
    title = "The service is not ready"


class BusyError(RequestError):
    """Base of what says when to ask again. retry_after: whole seconds, at least 1."""

    code, status, exit_code = "busy", 503, 1
    title = "Ask again later"

    def __init__(self, message: str = "", faults: Iterable[Fault] = (), retry_after: int = 1) -> None:
        super().__init__(message, faults)
        self.retry_after = max(1, retry_after)


class RateLimitedError(BusyError):
    """The API key has sent more requests than its rate."""

    code, status, exit_code = "rate_limited", 429, 1
    title = "This key sends too many requests"


class JobsFullError(BusyError):
    """Too many jobs, or too many bytes of them, wait already."""

    code, status, exit_code = "jobs_full", 429, 1
    title = "Too many jobs wait already"


class OverloadedError(BusyError):
    """The worker has as much to do as it takes at once."""

    code, status, exit_code = "overloaded", 503, 1
    title = "The service has too much to do"


class InternalError(RequestError):
    """Our fault. Details are in the log, not in the answer."""

    code, status, exit_code = "internal", 500, 1
    title = "Something went wrong inside"
