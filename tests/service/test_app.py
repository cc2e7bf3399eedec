"""The routes: what they answer, whom they refuse, and what they leave in the log."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from configs.errors import InternalError
from features.registry import Schema
from serving.intake import Loaded
from tests.served import World, posted
from tests.service.conftest import Serve, Served

pytestmark = pytest.mark.timeout(120)

Deal = dict[str, Any]


def test_an_answer_names_model_and_facts(served: Served, world: World, ids: list[str]) -> None:
    got = served.score(posted(world.body(ids[:2])), **{"X-Request-Id": "call-7"})
    assert got.status_code == 200
    answer = got.json()
    assert (answer["model_version"], answer["bundle_sha256"]) == (world.bundle.version, world.bundle.sha)
    assert answer["feature_hash"] == world.bundle.about.plan_fingerprint
    assert answer["as_of"] == "2025-05-05T04:00:00Z"
    assert answer["reference_as_of"].startswith("2025-07-01")
    assert answer["request_id"] == got.headers["x-request-id"] == "call-7"
    assert got.headers["cache-control"] == "no-store"
    assert [result["deal_id"] for result in answer["results"]] == ids[:2]
    result = answer["results"][0]
    assert result["ok"]
    assert 0 < result["p_won_in_period"] < 1
    assert result["period_end"] == "2025-06-30"
    assert isinstance(result["score"], int)
    assert answer["horizon_days"] == 365
    assert result["p_won"] + result["p_lost"] + result["p_open"] == pytest.approx(1.0, abs=1e-12)
    assert "2025-05-05" <= result["close_date"]["p10"] <= result["close_date"]["p50"] <= result["close_date"]["p90"]
    assert result["amount_expected"] > 0
    assert 0 <= result["slip_risk"] <= 1
    assert answer["rung"] == result["rung"] == world.bundle.model.rung
    assert world.bundle.model.doubt is not None
    assert answer["doubt"] == world.bundle.model.doubt.text()


def test_an_answer_of_a_model_without_the_other_heads_has_nulls(serve: Serve, world: World, ids: list[str]) -> None:
    bare = replace(world.loaded, bundle=replace(world.bundle, timing=None, amount=None))
    result = serve(loaded=bare).score(posted(world.body(ids[:1]))).json()["results"][0]
    missing = [name for name, value in result.items() if value is None]
    assert missing == ["p_won", "p_lost", "p_open", "close_date", "slip_risk", "amount_expected"]
    assert 0 < result["p_won_in_period"] < 1


def test_reasons_are_those_of_the_close_head(served: Served, world: World, ids: list[str]) -> None:
    result = served.score(posted(world.body(ids[:1]))).json()["results"][0]
    assert {tuple(reason) for reason in result["reasons"]} == {("factor", "log_odds", "value", "usual", "sentence")}
    assert abs(sum(reason["log_odds"] for reason in result["reasons"]) - result["log_odds"]) < 1e-6


def test_reasons_are_absent_unless_asked_for(served: Served, world: World, ids: list[str]) -> None:
    plain = served.score(posted(world.body(ids[:1], explain=False))).json()["results"][0]
    full = served.score(posted(world.body(ids[:1]))).json()["results"][0]
    assert plain == {name: value for name, value in full.items() if name != "reasons"}


def test_now_is_the_clock(served: Served, world: World, ids: list[str]) -> None:
    answer = served.score(posted(world.body(ids[:1], as_of="now"))).json()
    assert answer["as_of"] == "2025-05-20T12:00:00Z"


@pytest.mark.parametrize(
    ("as_of", "code"),
    [
        ("2025-05-21T12:00:01Z", "in_the_future"),
        ("2025-05-05", "wrong_value"),
        ("2025-05-05T00:00:00", "wrong_value"),
        ("soon", "wrong_value"),
        ("0001-01-01T00:00:00+14:00", "outside_calendar"),
        ("9999-12-31T23:59:59-14:00", "in_the_future"),
        (5, "wrong_type"),
        (None, "wrong_type"),
    ],
)
def test_an_as_of_that_cannot_be_asked_about(
    served: Served, world: World, ids: list[str], as_of: object, code: str
) -> None:
    got = served.score(posted(world.body(ids[:1], as_of=as_of, in_sample=True)))
    assert (got.status_code, got.json()["code"]) == (422, "invalid_request")
    assert [(error["pointer"], error["code"]) for error in got.json()["errors"]] == [("/as_of", code)]


def test_as_of_is_compulsory(served: Served, world: World, ids: list[str]) -> None:
    body = world.body(ids[:1])
    del body["as_of"]
    assert served.score(posted(body)).json()["errors"][0]["code"] == "missing"


def test_an_as_of_before_training_must_be_asked_for(served: Served, world: World, ids: list[str]) -> None:
    body = world.body(ids[:1], as_of="2025-03-01T00:00:00Z")
    got = served.score(posted(body))
    assert (got.status_code, got.json()["code"]) == (422, "in_sample")
    assert "2025-04-01T04:00:00Z" in got.json()["detail"]
    assert served.score(posted(body | {"in_sample": True})).status_code == 200


def last(**changes: object) -> Callable[[Deal], None]:
    """Change the last history row."""
    return lambda deal: deal["history"][-1].update(changes)


def add(**row: object) -> Callable[[Deal], None]:
    """Add a history row."""
    return lambda deal: deal["history"].append(row)


BAD_DEALS: dict[str, tuple[Callable[[Deal], object], str, str, str]] = {
    "unknown stage": (last(stage="Propse"), "unknown_stage", "unknown_stage", "stage"),
    "no stage": (last(stage=None), "invalid_request", "wrong_type", "stage"),
    "closed": (add(known_at="2025-05-01T00:00:00Z", stage="Closed Won"), "invalid_request", "deal_closed", ""),
    "deleted": (
        add(known_at="2025-05-01T00:00:00Z", stage="Propose", is_deleted=True),
        "invalid_request",
        "deal_closed",
        "",
    ),
    "created after": (
        lambda deal: deal.update(created_at="2025-05-06T00:00:00Z", known_at=None, history=[]),
        "invalid_request",
        "deal_not_known",
        "",
    ),
    "known before and created after": (
        lambda deal: deal.update(created_at="2025-05-06T00:00:00Z", known_at="2025-01-06T00:00:00Z"),
        "invalid_request",
        "deal_not_known",
        "",
    ),
    "closed before created": (
        lambda deal: deal["history"].insert(0, {"known_at": "2020-05-01T00:00:00Z", "stage": "Closed Lost"}),
        "invalid_request",
        "closed_before_created",
        "known_at",
    ),
    "bad time": (last(known_at="c4n4ry-05-05"), "invalid_request", "wrong_type", "known_at"),
    "bad amount": (last(amount="62,400"), "invalid_request", "wrong_type", "amount"),
    "true as amount": (last(amount=True), "invalid_request", "wrong_type", "amount"),
    "absurd amount": (last(amount=1e30), "invalid_request", "wrong_type", "amount"),
    "absurd date": (last(close_date="1225-01-01"), "invalid_request", "absurd_time", "close_date"),
    "bad category": (last(forecast_category="c4n4ry"), "invalid_request", "unknown_forecast_category", "category"),
    "bad kind": (lambda deal: deal["activities"][0].update(kind="c4n4ry"), "invalid_request", "unknown_kind", "kind"),
    "unknown field": (last(amonut=1), "invalid_request", "unknown_field", "amonut"),
    "unknown attribute": (
        lambda deal: deal.update(attributes={"deal_id": "0"}),
        "invalid_request",
        "unknown_attribute",
        "attributes",
    ),
    "no history list": (lambda deal: deal.pop("history"), "invalid_request", "missing", "history"),
    "blank id": (lambda deal: deal.update(deal_id="  "), "invalid_request", "wrong_value", "deal_id"),
    "half a letter": (lambda deal: deal.update(deal_id="\ud800"), "invalid_request", "wrong_value", "deal_id"),
}


@pytest.mark.parametrize("name", BAD_DEALS)
def test_a_bad_deal_fails_alone(served: Served, world: World, ids: list[str], name: str) -> None:
    change, code, fault, field = BAD_DEALS[name]
    body = world.body(ids[:3])
    alone = served.score(posted(body)).json()["results"]
    spoilt = copy.deepcopy(body)
    change(spoilt["deals"][1])
    got = served.score(posted(spoilt))
    assert got.status_code == 200
    results = got.json()["results"]
    assert [results[0], results[2]] == [alone[0], alone[2]]
    assert results[1]["ok"] is False
    problem = results[1]["problem"]
    assert (problem["code"], problem["status"]) == (code, 422)
    assert problem["errors"][0]["code"] == fault
    assert problem["errors"][0]["pointer"].startswith("/deals/1")
    assert problem["errors"][0]["pointer"].endswith(field)
    assert "c4n4ry" not in got.text


@pytest.mark.parametrize("part", ["attributes", "account"])
def test_a_bad_attribute_is_found_where_it_stood(serve: Serve, world: World, ids: list[str], part: str) -> None:
    loaded: Loaded = world.loaded
    about = loaded.bundle.about
    others = tuple(name for name in about.schema.dimensions if name != "region")
    schema = Schema(about.schema.target, others, ("region",))  # a number, so that a word is a fault
    asking = replace(loaded, bundle=replace(loaded.bundle, about=replace(about, schema=schema)))
    body = world.body(ids[:1])
    body["deals"][0] |= {"account": {}, "attributes": {}, part: {"region": "c4n4ry"}}
    (result,) = serve(loaded=asking).score(posted(body)).json()["results"]
    (fault,) = result["problem"]["errors"]
    assert (fault["code"], fault["pointer"]) == ("wrong_type", f"/deals/0/{part}/region")


def test_a_repeated_row_is_a_fault(served: Served, world: World, ids: list[str]) -> None:
    body = world.body(ids[:1])
    row = body["deals"][0]["history"][0] | {"seq": 1}
    body["deals"][0]["history"] += [row, dict(row)]
    (result,) = served.score(posted(body)).json()["results"]
    assert result["problem"]["errors"][0]["code"] == "duplicate_key"


def test_what_is_known_later_changes_nothing(served: Served, world: World, ids: list[str]) -> None:
    body = world.body(ids[:1])
    before = served.score(posted(body)).json()["results"]
    later = "2025-05-05T04:00:00Z"  # at the as-of itself: not before it
    body["deals"][0]["history"].append({"known_at": later, "stage": "Closed Won", "amount": 1})
    body["deals"][0]["activities"].append({"occurred_at": later, "kind": "meeting", "outcome": "held"})
    body["deals"][0]["contacts"].append({"contact_id": "new", "known_at": later})
    assert served.score(posted(body)).json()["results"] == before


def test_the_same_deal_may_stand_twice(served: Served, world: World, ids: list[str]) -> None:
    body = world.body(ids[:1])
    twice = body | {"deals": [body["deals"][0], body["deals"][0] | {"history": []}]}
    first, second = served.score(posted(twice)).json()["results"]
    assert first == served.score(posted(body)).json()["results"][0]
    assert [note.split(":")[0] for note in second["data_notes"]] == ["no_history"]


@pytest.mark.parametrize("amount", [62400, 62400.0, "62400", "62400.00", "6.24e4"])
def test_an_amount_may_be_written_in_several_ways(served: Served, world: World, ids: list[str], amount: object) -> None:
    body = world.body(ids[:1])
    body["deals"][0]["history"][-1]["amount"] = 62400
    plain = served.score(posted(body)).json()["results"]
    body["deals"][0]["history"][-1]["amount"] = amount
    assert served.score(posted(body)).json()["results"] == plain


def test_no_key_or_a_wrong_one_is_the_same_401(served: Served) -> None:
    answers = [
        served.client.post("/v1/deals/score", content=b"{}", headers=headers | {"X-Request-Id": "same"})
        for headers in (
            {},
            {"Authorization": "Bearer fc_00000000_wrong"},
            {"Authorization": f"Bearer {served.key}x"},
            {"Authorization": "Basic Zm9v"},
            {"X-API-Key": "fc"},
        )
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].headers["www-authenticate"].startswith("Bearer")


def test_either_header_opens(served: Served) -> None:
    for headers in ({"Authorization": f"Bearer {served.key}"}, {"X-API-Key": served.key}):
        assert served.client.get("/v1/status", headers=headers).status_code == 200


def test_status_tells_model_facts_and_limits(served: Served, world: World) -> None:
    status = served.client.get("/v1/status", headers=served.headers).json()
    assert status["trained_as_of"] == "2025-04-01T04:00:00Z"
    assert status["trained_on"]["rows"] == world.bundle.about.rows
    assert status["reference"]["origin"] == "source"
    assert status["reference"]["closed_deals"] == len(world.seen.record.reference.closes)
    assert status["limits"]["deals_explained"] == world.config.serving.max_deals_explained
    assert status["heads"] == ["close", "timing", "amount"]
    assert status["rung"] == world.bundle.model.rung
    assert world.bundle.model.doubt is not None
    assert status["doubt"] == world.bundle.model.doubt.text()


@pytest.mark.parametrize(
    "content_type", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""]
)
def test_another_media_type_is_415(served: Served, content_type: str) -> None:
    assert served.score(b"{}", **{"Content-Type": content_type}).status_code == 415


def test_a_charset_is_no_other_media_type(served: Served) -> None:
    assert served.score(b"{}", **{"Content-Type": "Application/JSON; charset=utf-8"}).status_code == 422


@pytest.mark.parametrize("path", ["/v1", "/v1/nope", "/v1/health/", "/metrics", "/docs.json", "/a%0aFAKE"])
def test_an_unknown_route_is_our_404(served: Served, path: str) -> None:
    got = served.client.get(path)
    assert (got.status_code, got.json()["code"]) == (404, "not_found")
    assert got.headers["content-type"] == "application/problem+json"
    assert "FAKE" not in got.text + json.dumps(served.lines)


def test_another_method_is_our_405(served: Served) -> None:
    got = served.client.get("/v1/deals/score")
    assert (got.status_code, got.json()["code"], got.headers["allow"]) == (405, "method_not_allowed", "OPTIONS, POST")
    assert served.client.delete("/v1/health").headers["allow"] == "GET, HEAD, OPTIONS"


def test_head_and_options(served: Served) -> None:
    assert (served.client.head("/v1/health").status_code, served.client.head("/v1/health").content) == (200, b"")
    options = served.client.options("/v1/deals/score")
    assert (options.status_code, options.headers["allow"]) == (204, "OPTIONS, POST")
    assert not any(name.startswith("access-control") for name in options.headers)


def test_without_a_model_health_answers_and_the_rest_waits(serve: Serve) -> None:
    served = serve(loaded=None)
    assert served.client.get("/v1/health").status_code == 200
    for got in (served.client.get("/v1/ready"), served.score(b"{}")):
        assert (got.status_code, got.json()["code"]) == (503, "not_ready")


def test_ready_names_the_model(served: Served, world: World) -> None:
    assert served.client.get("/v1/ready").json() == {"status": "ready", "model_version": world.bundle.version}


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "<script>"])
def test_an_odd_request_id_is_replaced(served: Served, given: str) -> None:
    got = served.client.get("/v1/nope", headers={"X-Request-Id": given})
    assert got.json()["request_id"] == got.headers["x-request-id"] != given
    assert len(got.headers["x-request-id"]) == 16


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("given", "trace"),
    [
        (f"00-{TRACE}-{SPAN}-01", TRACE),
        (f"cc-{TRACE}-{SPAN}-00", TRACE),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (TRACE, None),
        ("", None),
    ],
)
def test_a_trace_stands_in_the_log(served: Served, given: str, trace: str | None) -> None:
    served.client.get("/v1/status", headers=served.headers | {"traceparent": given})
    assert served.lines[-1].get("trace_id") == trace


def test_one_line_a_request_and_nothing_of_it(served: Served, world: World, ids: list[str]) -> None:
    body = world.body(ids[:2])
    body["deals"][1]["history"][0]["stage"] = "c4n4ry"
    served.score(posted(body))
    served.client.get("/v1/health")
    (line,) = served.lines
    assert (line["route"], line["status"], line["rows"], line["refused"]) == ("/v1/deals/score", 200, 1, 1)
    assert line["key"] == served.key.split("_")[1]
    text = json.dumps(served.lines)
    for secret in (served.key.split("_", 2)[2], "c4n4ry", ids[0], str(body["deals"][0]["history"][0]["amount"])):
        assert secret not in text


def test_our_own_fault_is_a_500_without_its_words(
    served: Served, world: World, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("c4n4ry of a customer")

    monkeypatch.setattr("serving.answers.scoring", broken)
    got = served.score(posted(world.body(ids[:1])))
    assert (got.status_code, got.json()["code"], got.json()["title"]) == (500, "internal", InternalError.title)
    assert got.headers["content-type"] == "application/problem+json"
    (line,) = served.lines
    assert line["error"]["type"] == "RuntimeError"
    assert line["error"]["at"][-1].startswith("service/test_app.py:")
    assert "c4n4ry" not in got.text + json.dumps(line)


def test_large_requests_are_answered_in_a_thread(served: Served, world: World, ids: list[str]) -> None:
    body = world.body(ids[:60], explain=False)
    assert len(posted(body)) > 100_000
    results = served.score(posted(body)).json()["results"]
    alone = [served.score(posted(body | {"deals": [deal]})).json()["results"][0] for deal in body["deals"][:5]]
    assert results[:5] == alone


def test_a_stage_nobody_knows_is_scored_where_the_mapping_keeps_them(
    serve: Serve, world: World, ids: list[str]
) -> None:
    loaded: Loaded = world.loaded
    keeping = replace(loaded, keep_unknown=True)
    body = world.body(ids[:1])
    body["deals"][0]["history"][-1]["stage"] = "Legal"
    (result,) = serve(loaded=keeping).score(posted(body)).json()["results"]
    assert result["ok"]
    assert "unknown_stage" in [note.split(":")[0] for note in result["data_notes"]]
