"""The contract: what importers of CRMs take, true of every answer, and no request that it describes breaks a route."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.errors import error_classes
from configs.schema import Serving
from serving.api import Slot
from serving.jobs import JobRunner
from serving.openapi import document, text
from serving.operations import OPERATIONS, TEXT, Operation
from serving.rows import RowsRequest
from tests.contracted import REF, check, everything, faults, operation_of
from tests.leads_served import lead_world
from tests.ready_rows import rows_body
from tests.service.conftest import Served
from tests.service.test_events import BORN, CHANGES
from tests.stored import Office, Service, office_in, service

pytestmark = pytest.mark.timeout(120)

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
CONTRACT = document(Serving())
SCHEMAS: dict[str, Any] = CONTRACT["components"]["schemas"]
BY_NAME = {each.name: each for each in OPERATIONS}


def test_the_committed_document_is_current() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == text(Serving()), "run `make docs`"


def test_the_service_gives_it_with_its_own_limits(served: Served) -> None:
    served.client.app.state.api.limits = Serving(max_deals_plain=7, max_deals_explained=3)  # type: ignore[attr-defined]
    told = served.client.get("/v1/openapi.json").json()
    deals = told["components"]["schemas"]["ScoreRequest"]["properties"]["deals"]
    assert (deals["maxItems"], deals["description"].split("; ")[-1]) == (7, "at most 3 where explain is true")
    assert told["paths"] == CONTRACT["paths"]


def test_it_keeps_to_simple_types() -> None:
    parts = everything(CONTRACT)
    assert [part for part in parts if part.keys() & {"oneOf", "anyOf", "allOf", "not", "const", "$defs"}] == []
    schemas = [part for part in everything(SCHEMAS) if "type" in part and isinstance(part["type"], str | list)]
    kinds = {str(part["type"]) for part in schemas}
    assert kinds == {"string", "number", "integer", "boolean", "array", "object"}
    assert {part["$ref"].removeprefix(REF) for part in parts if "$ref" in part} <= SCHEMAS.keys()
    assert [part for part in parts if "$ref" in part and len(part) > 1] == []
    assert max(len(part["description"]) for part in parts if isinstance(part.get("description"), str)) <= 1333


def test_every_operation_is_named_once_and_shown_twice() -> None:
    told = [operation for path in CONTRACT["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in told]
    assert len(set(names)) == len(names) == len(OPERATIONS)
    assert all(re.fullmatch(r"[a-z][A-Za-z]{2,40}", name) for name in names)
    for operation in told:
        shown = [part for part in everything(operation["responses"]) if "example" in part]
        assert len(shown) >= 2
        assert "500" in operation["responses"]
        if "requestBody" in operation:
            assert len(operation["requestBody"]["content"]["application/json"]["examples"]) == 2
        for status, answer in operation["responses"].items():
            assert (int(status) < 300) == ("application/problem+json" not in answer["content"])


def test_it_lists_every_code_that_a_request_can_get() -> None:
    listed = {kind.code for each in OPERATIONS for kind in each.problems}
    assert listed <= {kind.code for kind in error_classes()}
    assert all(
        f"`{kind.code}`" in json.dumps(CONTRACT["paths"][each.path]) for each in OPERATIONS for kind in each.problems
    )


def test_what_is_sent_is_bounded() -> None:
    """Every text, list and map of a request has a most."""
    sent = [
        SCHEMAS[name]
        for name in (
            "ScoreRequest",
            "JobRequest",
            "LeadsRequest",
            "Lead",
            "LeadHistoryRow",
            "LeadActivity",
            "Deal",
            "HistoryRow",
            "Activity",
            "Contact",
            "Account",
        )
    ]
    sent.append(SCHEMAS["RowsRequest"])
    sent += [SCHEMAS[name] for name in ("EventsRequest", "Event", "Created")]
    most = {"string": {"maxLength", "enum"}, "array": {"maxItems"}}
    for part in (one for one in everything(sent) if isinstance(one.get("type"), str)):
        if part["type"] in most:
            assert part.keys() & most[part["type"]], part
        if part["type"] == "object":
            assert part["additionalProperties"] is False or "maxProperties" in part


@pytest.mark.parametrize("each", OPERATIONS, ids=lambda each: each.name)
def test_examples_are_of_their_schemas(each: Operation) -> None:
    if each.answer is None:
        assert each.media == TEXT
    else:
        assert faults(each.answer.__name__, each.example) == []
    for answer in CONTRACT["paths"][each.path][each.method.lower()]["responses"].values():
        problems = [kind["example"] for media, kind in answer["content"].items() if media == "application/problem+json"]
        assert [faults("Problem", one) for one in problems] == [[]] * len(problems)
    if each.request is not None:
        good, bad = each.requests.values()
        assert faults(each.request.__name__, good) == []
        assert faults(each.request.__name__, bad) != []


def test_an_answer_that_breaks_the_contract_is_caught(served: Served) -> None:
    """The check of all other tests can fail."""
    request = httpx.Request("GET", "http://testserver/v1/health")
    headers = {"x-request-id": "a", "content-type": "application/json"}
    check(httpx.Response(200, headers=headers, json={"status": "ok"}, request=request))
    problem = served.client.get("/v1/status").json() | {"request_id": "a"}
    for status, body in [(200, {}), (200, {"status": "ok", "more": 1}), (401, problem), (500, problem)]:
        with pytest.raises(AssertionError):
            check(httpx.Response(status, headers=headers, json=body, request=request))
    assert check in served.client.event_hooks["response"]


FEW = {"as_of": "2025-05-05T04:00:00Z", "deals": [{"deal_id": "N1", **BORN, "history": CHANGES}]}


@pytest.fixture
def running(office: Office) -> Iterator[Service]:
    """A service over a refreshed store, with its clock after the examples' facts."""
    office.refresh()
    with service(office) as one:
        yield one


def for_model(running: Service, told: dict[str, Any]) -> dict[str, Any]:
    """A request of rows for the live model, with the members that the example has: its features are made up."""
    bundle = running.office.world.bundle
    whole = rows_body(bundle, bundle.golden.values[:1], told["as_of"], told["ids"])
    return {name: whole[name] for name in told}


def test_every_operation_answers_as_told(running: Service, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The good example of each is taken, the bad one is refused with a problem that the contract lists."""
    deal = running.get("/v1/deals", limit=1).json()["deals"][0]["deal_id"]
    job = running.client.post("/v1/jobs/score", json=FEW, headers=running.headers).json()["job_id"]
    assert JobRunner(running.client.app.state.api).look()  # type: ignore[attr-defined]
    running.office.now = 1_778_000_000_000_000  # 5 May 2026
    api = running.client.app.state.api  # type: ignore[attr-defined]
    api.leads = Slot(api.now, lead_world(tmp_path_factory.mktemp("leads")).loaded)
    for each in OPERATIONS:
        path = each.path.replace("{deal_id}", deal).replace("{job_id}", job)
        query = {one.name: one.example for one in each.parameters if one.example and f"{{{one.name}}}" not in each.path}
        for name, told in (each.requests or {"": None}).items():
            body = for_model(running, told) if each.request is RowsRequest else told
            got = running.client.request(each.method, path, json=body, params=query, headers=running.headers)
            assert operation_of(each.method, path) == each
            assert got.status_code == (422 if name.startswith("refused") else each.status), got.text
            assert not any(one.get("problem") for one in got.json().get("results", ())) if each.answer else True


WORDS = st.one_of(
    st.text(max_size=30), st.sampled_from(["now", "2025-05-05T00:00:00Z", "2025-04-01", "Qualify", "x" * 201])
)
TIMES = st.datetimes(datetime(2024, 1, 1), datetime(2025, 5, 4)).map(lambda moment: f"{moment.isoformat()}Z")
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=8,
)


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema of the contract describes, and now and then one that it does not."""
    return st.one_of(*[_described(schema)] * 6, ANYTHING)


def _described(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _described(SCHEMAS[schema["$ref"].removeprefix(REF)])
    kind = schema["type"]
    if kind == "object":
        known: dict[str, Any] = schema.get("properties", {})
        needed = {name: values(known[name]) for name in schema.get("required", ())}
        rest = {name: values(known[name]) for name in known if name not in needed}
        return st.fixed_dictionaries(needed, optional=rest)
    if kind == "array":
        return st.lists(values(schema["items"]), min_size=schema.get("minItems", 0), max_size=3)
    least, most = schema.get("minimum", -(2**53)), schema.get("maximum", 2**53)
    texts = st.sampled_from(schema["enum"]) if "enum" in schema else WORDS if schema.get("minLength") != 10 else TIMES
    return {
        "string": texts,
        "number": st.one_of(st.integers(-10, 100_000), st.floats(-1e9, 1e9)),
        "integer": st.integers(least, most),
        "boolean": st.booleans(),
    }[kind]


@pytest.fixture(scope="module")
def fuzzed(world: Any, export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service for all the requests of a module: what some of them leave behind meets the others."""
    office = office_in(world, tmp_path_factory.mktemp("fuzz"), export)
    office.refresh()
    with service(office) as one:
        yield one


def ask_anything(running: Service, few: list[str], each: Operation, data: st.DataObject) -> None:
    """Send a drawn request to an operation: no 5xx, and an answer as the contract has it, which the client looks at."""
    path, query, headers, body = each.path, {}, dict(running.headers), None
    for one in each.parameters:
        if f"{{{one.name}}}" in path:
            deal = data.draw(st.one_of(st.sampled_from([*few, "a/b", ".."]), WORDS.filter(bool)))
            path = path.replace(f"{{{one.name}}}", quote(deal, safe=""))
        elif one.header:
            headers |= data.draw(st.fixed_dictionaries({}, optional={one.name: st.text("abc ", max_size=3)}))
        elif one.required or data.draw(st.booleans()):
            value = data.draw(values(dict(one.schema)))
            query[one.name] = str(value).lower() if isinstance(value, bool) else str(value)
    if each.request is not None:
        body = json.dumps(data.draw(values(SCHEMAS[each.request.__name__])))
        headers["Content-Type"] = "application/json"
    got = running.client.request(each.method, path, content=body, params=query, headers=headers)
    assert got.status_code < 500, got.text


@pytest.mark.parametrize("name", BY_NAME)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_no_request_breaks_an_operation(fuzzed: Service, few: list[str], name: str, data: st.DataObject) -> None:
    ask_anything(fuzzed, few, BY_NAME[name], data)
