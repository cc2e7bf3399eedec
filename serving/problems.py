"""RFC 9457 problem documents: what a caller is told when something can't be done.

A document names the place and the remedy, never the value that was sent, a path of this machine or a stack. Codes
are stable.
"""

from __future__ import annotations

from typing import Any

from configs.errors import BusyError, Fault, ForecastleError, InSampleError, RequestError

TYPE = "urn:forecastle:problem:"
MEDIA_TYPE = "application/problem+json"


def problem(error: ForecastleError, request_id: str = "", instance: str = "") -> dict[str, Any]:
    """Return the document of an error; the problem of one deal in an answer has neither request_id nor instance.

    The words of an error are told only where it was written for callers: requests and in-sample as-ofs. Any other
    may name files or settings, so the caller gets its title.
    """
    told = isinstance(error, RequestError | InSampleError)
    document: dict[str, Any] = {
        "type": TYPE + error.code,
        "title": error.title,
        "status": error.status,
        "detail": (error.message or _detail(error)) if told else error.title,
        "code": error.code,
    }
    if told and error.faults:
        document["errors"] = [fault_json(fault) for fault in error.faults]
    if isinstance(error, BusyError):
        document["retry_after_seconds"] = error.retry_after
    if instance:
        document["instance"] = instance
    if request_id:
        document["request_id"] = request_id
    return document


def _detail(error: ForecastleError) -> str:
    """One fault in full, or how many there are."""
    if len(error.faults) == 1:
        return fault_json(error.faults[0])["message"]
    return f"{len(error.faults)} faults, listed in errors" if error.faults else error.title


def fault_json(fault: Fault) -> dict[str, str]:
    """Return a fault as ``{pointer, code, message}``; ``pointer`` is a JSON pointer into the body."""
    expected = f"expected {fault.expected}" if fault.expected else ""
    message = "; ".join(part for part in (fault.got, expected, fault.remedy) if part)
    return {"pointer": fault.path, "code": fault.code, "message": message}


def media_type(accept: str | None) -> str:
    """Return the media type of a problem: ``application/json`` where Accept does not allow problem+json."""
    if not accept:
        return MEDIA_TYPE
    ranges = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return MEDIA_TYPE if ranges & {"*/*", "application/*", MEDIA_TYPE} else "application/json"
