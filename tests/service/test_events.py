"""`POST /v1/events`: each event on its own, once, in any order; and the next score sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from serving.answers import iso
from serving.store.tables import EVENTS, TOMBSTONES
from tests.stored import DAY, Office, Service, service

pytestmark = pytest.mark.timeout(120)

BORN = {"created_at": "2025-04-20T10:00:00Z", "type": "new", "source": "inbound"}
FIRST = {"stage": "Qualify", "amount": 48000, "close_date": "2025-06-20", "owner_id": "U0001"}
CHANGES = [
    FIRST | {"known_at": "2025-04-20T10:00:00Z"},
    FIRST | {"known_at": "2025-04-28T10:00:00Z", "stage": "Propose", "amount": 52000.5, "close_date": "2025-06-27"},
]
ACTS = [
    {"occurred_at": "2025-04-29T10:00:00Z", "kind": "email", "direction": "inbound"},
    {"occurred_at": "2025-05-01T10:00:00Z", "known_at": "2025-05-02", "kind": "meeting", "direction": "mutual"},
]
CONTACT = {"contact_id": "C1", "known_at": "2025-04-21T09:00:00Z", "role": "Economic Buyer"}


def told(deal: str = "N1") -> list[dict[str, Any]]:
    """A new deal as events, in order."""
    changes, acts = [("change", row) for row in CHANGES], [("activity", row) for row in ACTS]
    parts = [("deal", BORN), *changes, ("contact", CONTACT), *acts]
    return [{"event_id": f"{deal}-{k}", "deal_id": deal, part: row} for k, (part, row) in enumerate(parts)]


@pytest.fixture
def served(either: Office) -> Iterator[Service]:
    """A service over an empty store, in either database."""
    with service(either) as running:
        yield running


def stored(office: Office) -> int:
    with office.store() as store, store.engine.begin() as connection:
        return int(connection.execute(select(func.count()).select_from(EVENTS)).scalar_one())


def result(got: Any) -> dict[str, Any]:
    assert got.status_code == 200, got.text
    return {name: value for name, value in got.json()["result"].items() if name != "deal_id"}


def test_a_deal_told_by_events_scores_like_the_same_deal_inline(served: Service) -> None:
    answer = served.push(*told())
    assert answer.status_code == 200
    assert [(one["event_id"], one["ok"], one["status"]) for one in answer.json()["results"]] == [
        (event["event_id"], True, "stored") for event in told()
    ]
    deal = {"deal_id": "N1", **BORN, "history": CHANGES, "activities": ACTS, "contacts": [CONTACT]}
    inline = served.post({"as_of": iso(served.office.now), "deals": [deal]}).json()
    got = served.score("N1")
    expected = {name: value for name, value in inline["results"][0].items() if name not in ("deal_id", "ok")}
    assert result(got) == expected
    assert {name: value for name, value in got.json().items() if name not in ("result", "request_id")} == {
        name: value for name, value in inline.items() if name not in ("results", "request_id")
    }


@pytest.mark.parametrize("order", [(5, 4, 3, 2, 1, 0), (2, 0, 5, 1, 4, 3)])
def test_order_does_not_matter(served: Service, order: tuple[int, ...]) -> None:
    served.push(*told())
    mixed = told("N2")
    for place in order:
        assert served.push(mixed[place]).json()["results"][0]["status"] == "stored"
    assert result(served.score("N1")) == result(served.score("N2"))


def test_a_late_event_counts_from_when_it_was_known(served: Service) -> None:
    """Received last, known before the as-of: it counts; at an as-of before it was known it does not."""
    served.push(*told())
    early = "2025-04-30T00:00:00Z"
    before, now = result(served.score("N1", early)), result(served.score("N1"))
    late = CHANGES[1] | {"known_at": "2025-05-01T00:00:00Z", "stage": "Negotiate"}
    served.push({"event_id": "late", "deal_id": "N1", "change": late})
    assert result(served.score("N1", early)) == before
    assert result(served.score("N1"))["log_odds"] != now["log_odds"]


def test_an_event_counts_once(served: Service) -> None:
    served.push(*told())
    once = result(served.score("N1"))
    again = served.push(*told(), told()[0]).json()["results"]
    assert [one["status"] for one in again] == ["duplicate"] * (len(told()) + 1)
    assert result(served.score("N1")) == once
    assert stored(served.office) == len(told())


def test_an_event_id_for_something_else_is_a_conflict(served: Service) -> None:
    first = told()[0]
    served.push(first)
    other = first | {"deal": BORN | {"type": "renewal"}}
    got = served.push(other, told()[1]).json()["results"]
    assert (got[0]["ok"], got[0]["problem"]["code"], got[0]["problem"]["status"]) == (False, "conflict", 409)
    assert got[0]["problem"]["errors"][0]["pointer"] == "/events/0/event_id"
    assert got[1]["status"] == "stored"
    assert stored(served.office) == 2


INVALID, STAGE = "invalid_request", "unknown_stage"
BAD: dict[str, tuple[Any, str, str, str]] = {
    "not an object": (5, INVALID, "wrong_type", ""),
    "no part": ({}, INVALID, "one_part", ""),
    "two parts": ({"deal": BORN, "contact": CONTACT}, INVALID, "one_part", ""),
    "an unknown field": ({"contact": CONTACT | {"roel": "x"}}, INVALID, "unknown_field", "/contact/roel"),
    "an unknown part": ({"chang": {}}, INVALID, "unknown_field", "/chang"),
    "no stage": ({"change": {"known_at": "2025-04-20"}}, INVALID, "missing", "/change/stage"),
    "an unknown stage": ({"change": CHANGES[0] | {"stage": "Propse"}}, STAGE, STAGE, "/change/stage"),
    "no amount": ({"change": CHANGES[0] | {"amount": "much"}}, INVALID, "wrong_type", "/change/amount"),
    "no time": ({"activity": ACTS[0] | {"known_at": "yesterday.."}}, INVALID, "wrong_type", "/activity/known_at"),
    "an unknown kind": ({"activity": ACTS[0] | {"kind": "dance"}}, INVALID, "unknown_kind", "/activity/kind"),
    "an absurd time": ({"contact": CONTACT | {"known_at": "1812-01-01"}}, INVALID, "absurd_time", "/contact/known_at"),
    "the future": ({"contact": CONTACT | {"known_at": "2025-05-07"}}, INVALID, "in_the_future", "/contact/known_at"),
    "an attribute": ({"deal": BORN | {"attributes": {"x": 1}}}, INVALID, "unknown_attribute", "/deal/attributes"),
    "no id": ({"event_id": "", "contact": CONTACT}, INVALID, "wrong_value", "/event_id"),
    "half a character": ({"deal_id": "\ud800", "contact": CONTACT}, INVALID, "wrong_value", "/deal_id"),
    "a null in an id": ({"event_id": "a\x00", "contact": CONTACT}, INVALID, "wrong_value", "/event_id"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_event_fails_alone(office: Office, case: str) -> None:
    part, code, fault, pointer = BAD[case]
    bad = {"event_id": "bad", "deal_id": "N1"} | part if isinstance(part, dict) else part
    good = told()
    body = json.dumps({"events": [good[0], bad, good[1]]})
    with service(office) as served:
        headers = served.headers | {"Content-Type": "application/json"}
        got = served.client.post("/v1/events", content=body, headers=headers).json()["results"]
    assert [one["ok"] for one in got] == [True, False, True]
    assert got[1]["problem"]["code"] == code
    assert [(error["pointer"], error["code"]) for error in got[1]["problem"]["errors"]] == [
        (f"/events/1{pointer}", fault)
    ]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid_request"),
        ({"events": []}, 422, "invalid_request"),
        ({"events": [{}] * 4}, 422, "limit_exceeded"),
        ({"events": [{}], "more": 1}, 422, "invalid_request"),
        ([], 422, "invalid_request"),
    ],
)
def test_a_request_that_is_refused_as_a_whole(office: Office, body: Any, status: int, code: str) -> None:
    office.config = office.config.model_copy(
        update={"serving": office.config.serving.model_copy(update={"max_events": 3})}
    )
    with service(office) as served:
        got = served.client.post("/v1/events", json=body, headers=served.headers)
        assert (got.status_code, got.json()["code"]) == (status, code)
        assert served.client.post("/v1/events", json=body).status_code == 401
        assert served.client.post("/v1/events", content=b"x", headers=served.headers).status_code == 415


def test_an_idempotency_key_gives_the_same_answer_again(served: Service) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = served.push(*told(), **key)
    again = served.push(*told(), **key)
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    assert "idempotent-replayed" not in first.headers
    other = served.push(told()[0], **key)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert served.push(told()[0], **{"Idempotency-Key": "k" * 201}).status_code == 422


def test_an_idempotency_key_is_forgotten_after_a_day(served: Service) -> None:
    key = {"Idempotency-Key": "k-1"}
    served.push(told()[0], **key)
    served.office.now += DAY + 1
    served.push(told()[1], **{"Idempotency-Key": "k-2"})
    assert served.push(told()[2], **key).json()["results"][0]["status"] == "stored"


def test_a_deal_without_its_creation_is_unknown_until_it_comes(served: Service) -> None:
    served.push(told()[1])
    got = served.score("N1")
    assert (got.status_code, got.json()["code"]) == (404, "unknown_deal")
    served.push(told()[0])
    assert served.score("N1").status_code == 200


@pytest.mark.parametrize("name", ["a%00b", "%F0%9F", "..%5C..", "'%20OR%201=1--", "x" * 5000])
def test_an_id_that_is_nobodys_is_a_404(served: Service, name: str) -> None:
    got = served.score(name)
    assert (got.status_code, got.json()["code"]) == (404, "unknown_deal")


def test_a_creation_sent_again_replaces_the_first(served: Service) -> None:
    served.push(*told(), *told("N2"))
    served.push({"event_id": "again", "deal_id": "N1", "deal": BORN | {"created_at": "2025-04-01T00:00:00Z"}})
    assert result(served.score("N1"))["log_odds"] != result(served.score("N2"))["log_odds"]


@pytest.mark.parametrize(
    ("end", "status", "code", "word"),
    [
        ({"is_deleted": True}, 410, "deal_gone", "deleted"),
        ({"merged_into": "N9"}, 410, "deal_gone", "merged"),
        ({"stage": "Closed Won"}, 422, "invalid_request", "won, lost"),
    ],
)
def test_a_deal_that_ends(served: Service, end: dict[str, Any], status: int, code: str, word: str) -> None:
    """From its end on there is no score, before it there still is."""
    served.push(*told())
    before = result(served.score("N1", "2025-05-03T00:00:00Z"))
    served.push({"event_id": "end", "deal_id": "N1", "change": CHANGES[1] | {"known_at": "2025-05-03T00:00:00Z"} | end})
    got = served.score("N1")
    assert (got.status_code, got.json()["code"]) == (status, code)
    assert word in got.json()["detail"]
    assert "N9" not in got.text
    assert result(served.score("N1", "2025-05-03T00:00:00Z")) == before  # strictly before the as-of
    with served.office.store() as store, store.engine.begin() as connection:
        stones = connection.execute(select(TOMBSTONES.c.kind)).scalars().all()
    assert stones == ([] if status == 422 else [word])


def test_the_log_holds_nothing_of_an_event(served: Service) -> None:
    served.push(*told(), {"event_id": "c4n4ry", "deal_id": "c4n4ry"})
    assert served.office.lines[-1]["route"] == "/v1/events"
    assert served.office.lines[-1]["rows"] == len(told())
    assert "c4n4ry" not in json.dumps(list(served.office.lines))
