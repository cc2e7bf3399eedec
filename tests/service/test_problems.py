"""Problem documents: complete, stable, and silent about what was sent and where we run."""

from __future__ import annotations

import pytest

from configs.errors import ConfigError, Fault, ForecastleError, InSampleError, RequestError, error_classes
from serving.problems import MEDIA_TYPE, media_type, problem

CLASSES = [kind for kind in error_classes() if kind is not ForecastleError]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.code)
def test_every_error_has_a_document(kind: type[ForecastleError]) -> None:
    document = problem(kind("words"), "r-1", "/v1/deals/score")
    assert document["type"] == f"urn:forecastle:problem:{kind.code}"
    assert (document["title"], document["status"], document["code"]) == (kind.title, kind.status, kind.code)
    assert (document["instance"], document["request_id"]) == ("/v1/deals/score", "r-1")
    assert document["detail"]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.code)
def test_only_errors_for_callers_tell_their_words(kind: type[ForecastleError]) -> None:
    document = problem(kind("secret /home/x", [Fault("code", "/etc/x:3", "secret value", path="/deals/0")]))
    if issubclass(kind, RequestError | InSampleError):
        assert document["detail"] == "secret /home/x"
        assert document["errors"] == [{"pointer": "/deals/0", "code": "code", "message": "secret value"}]
        assert "/etc/x" not in str(document)
    else:
        assert "secret" not in str(document)
        assert "/etc" not in str(document)


def test_one_fault_is_the_detail_and_more_are_counted() -> None:
    fault = Fault("wrong_value", "", "got", "this", "do that", "/as_of")
    assert problem(RequestError(faults=[fault]))["detail"] == "got; expected this; do that"
    assert problem(RequestError(faults=[fault, fault]))["detail"] == "2 faults, listed in errors"
    assert problem(ConfigError(faults=[fault]))["detail"] == ConfigError.title


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, MEDIA_TYPE),
        ("*/*", MEDIA_TYPE),
        ("application/*;q=0.5", MEDIA_TYPE),
        ("application/json, application/problem+json", MEDIA_TYPE),
        ("application/json", "application/json"),
        ("text/html", "application/json"),
    ],
)
def test_media_type_follows_accept(accept: str | None, expected: str) -> None:
    assert media_type(accept) == expected
