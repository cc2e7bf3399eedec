"""Hostile and oversized bodies: refused with a problem, quickly, without repeating what was sent."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.served import World, posted
from tests.service.conftest import Serve, Served

pytestmark = pytest.mark.timeout(120)

CANARY = "c4n4ry"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "Expecting value"),
        (b"{", "line 1, column 2"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 100_000, "nested"),
        (b'{"as_of":' + b"9" * 1_000_000 + b"}", "digits"),
        (b'{"as_of": "c4n4ry \xff"}', "UTF-8"),
        ('{"as_of": "now"}'.encode("utf-16"), "UTF-8"),
        (b'\xef\xbb\xbf{"as_of": "now"}', "BOM"),
        (b'{"as_of": NaN}', "NaN"),
        (b'{"as_of": -Infinity}', "NaN"),
        (b'{"c4n4ry": 1, "c4n4ry": 2}', "twice"),
        (b"{" + b",".join(b'"c4n4ry%d":1' % n for n in range(1001)) + b"}", "members"),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else "",
)
def test_what_is_not_json_is_400(served: Served, body: bytes, detail: str) -> None:
    got = served.score(body)
    assert (got.status_code, got.json()["code"]) == (400, "bad_json")
    assert detail in got.json()["detail"]
    assert CANARY not in got.text


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_413(serve: Serve, chunked: bool) -> None:
    served = serve(max_body_mb=0.05)

    def parts() -> Iterator[bytes]:
        for _ in range(6):
            yield b" " * 10_000

    body: Any = parts() if chunked else b" " * 60_000
    got = served.client.post("/v1/deals/score", content=body, headers=served.headers)
    assert (got.status_code, got.json()["code"]) == (413, "too_large")
    assert got.headers["connection"] == "close"


def test_a_body_that_lies_about_its_length_is_413(serve: Serve) -> None:
    served = serve(max_body_mb=0.05)
    got = served.score(b"{}", **{"Content-Length": "60000"})
    assert got.status_code == 413


@pytest.mark.parametrize(("explain", "most"), [(True, 2), (False, 4)])
def test_too_many_deals_are_refused_whole(serve: Serve, world: World, ids: list[str], explain: bool, most: int) -> None:
    served = serve(max_deals_explained=2, max_deals_plain=4)
    body = world.body(ids[:5], explain=explain)
    got = served.score(posted(body))
    assert (got.status_code, got.json()["code"]) == (422, "limit_exceeded")
    assert f"at most {most}" in got.json()["detail"]
    assert served.score(posted(body | {"deals": body["deals"][:most]})).status_code == 200


def test_a_deal_with_too_many_events_fails_alone(serve: Serve, world: World, ids: list[str]) -> None:
    served = serve(max_events_per_deal=300)
    body = world.body(ids[:2])
    for part in ("activities", "contacts"):
        body["deals"] = [deal | {part: deal[part][:5]} for deal in body["deals"]]
    body["deals"][1]["activities"] = body["deals"][0]["activities"] * 100
    first, second = served.score(posted(body)).json()["results"]
    assert first["ok"]
    assert (second["ok"], second["problem"]["code"]) == (False, "limit_exceeded")


def test_a_number_beyond_floats_is_a_fault_of_its_deal(served: Served, world: World, ids: list[str]) -> None:
    body = json.dumps(world.body(ids[:1]))
    deal = copy.deepcopy(json.loads(body))["deals"][0]
    deal["history"][0]["amount"] = "AMOUNT"
    text = json.dumps(json.loads(body) | {"deals": [deal]}).replace('"AMOUNT"', "1e999")
    (result,) = served.score(text.encode()).json()["results"]
    assert result["problem"]["errors"][0]["pointer"] == "/deals/0/history/0/amount"


@pytest.mark.parametrize("body", [b"[]", b"null", b'"now"', b"1", b"true"])
def test_json_that_is_no_object_is_422(served: Served, body: bytes) -> None:
    assert served.score(body).json()["code"] == "invalid_request"


def test_deep_values_inside_a_deal_are_faults_of_it(served: Served, world: World, ids: list[str]) -> None:
    body = world.body(ids[:1])
    nested: object = CANARY
    for _ in range(200):
        nested = [nested]
    for where in ("history", "activities", "deal_id", "attributes", "account"):
        got = served.score(posted(body | {"deals": [body["deals"][0] | {where: nested}]}))
        assert got.status_code == 200
        assert got.json()["results"][0]["problem"]["code"] == "invalid_request"
        assert CANARY not in got.text
