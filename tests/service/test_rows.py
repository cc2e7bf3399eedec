"""`POST /v1/rows/score`: the very bits of the model, for rows of its own features alone, and kept to be replayed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from configs.errors import NotReplayedError
from configs.schema import Serving
from features.build import FeatureMatrix
from features.tables import NAT
from models.base import Float
from serving.answers import iso
from serving.replay import replay
from serving.rows import answer_rows
from serving.store.tables import LEDGER
from tests.ready_rows import rows_body
from tests.served import World
from tests.service.conftest import Serve, Served
from tests.service.test_replay import silent
from tests.stored import Office, Service, office_in, service

pytestmark = pytest.mark.timeout(120)

ROUTE = "/v1/rows/score"
Body = dict[str, Any]


def some(world: World, count: int = 3) -> Float:
    return world.prepared.examples.matrix.values[:count]


@pytest.fixture
def body(world: World) -> Body:
    """A request that is taken."""
    return rows_body(world.bundle, some(world), iso(world.as_of))


def post(served: Served | Service, body: Body) -> Any:
    return served.client.post(ROUTE, json=body, headers=served.headers)


def fault(got: Any) -> tuple[int, str, list[tuple[str, str]]]:
    told = got.json()
    return got.status_code, told["code"], [(one["pointer"], one["code"]) for one in told.get("errors", ())]


def test_an_answer_has_the_bits_of_the_model_and_names_it(served: Served, world: World, body: Body) -> None:
    got = post(served, body)
    assert got.status_code == 200
    told = got.json()
    matrix = FeatureMatrix(world.bundle.plan.names, some(world))
    assert [one["p_won_in_period"] for one in told["results"]] == world.bundle.model.predict(matrix).tolist()
    assert [one["log_odds"] for one in told["results"]] == world.bundle.model.logit(matrix).tolist()
    assert [one["id"] for one in told["results"]] == ["R0", "R1", "R2"]
    assert {(one["ok"], one["period_end"]) for one in told["results"]} == {(True, "2025-06-30")}
    assert (told["model_version"], told["as_of"]) == (world.bundle.version, "2025-05-05T04:00:00Z")
    assert told["feature_hash"] == world.bundle.about.plan_fingerprint
    assert told["request_id"] == got.headers["x-request-id"]
    assert (served.lines[-1]["route"], served.lines[-1]["rows"], served.lines[-1]["refused"]) == (ROUTE, 3, 0)


def test_status_tells_what_columns_to_send(served: Served, world: World) -> None:
    told = served.client.get("/v1/status", headers=served.headers).json()
    assert told["feature_names"] == list(world.bundle.plan.names)
    assert told["features"] == len(told["feature_names"])


def test_a_deal_scored_inline_has_the_same_bits_by_its_row(either: Office, world: World, ids: list[str]) -> None:
    """The vector that the ledger kept of a deal, sent as a row, in another order of columns."""
    with service(either) as served:
        inline = served.post(world.body(ids[:4], explain=False)).json()["results"]
        with either.store() as store, store.engine.begin() as connection:
            kept = connection.execute(select(LEDGER.c.features).order_by(LEDGER.c.id)).scalars().all()
        values = np.stack([np.frombuffer(one, "<f8") for one in kept])
        body = rows_body(world.bundle, values, iso(world.as_of), ids[:4])
        body["columns"].reverse()
        body["rows"] = [row[::-1] for row in body["rows"]]
        got = post(served, body).json()["results"]
    same = ("p_won_in_period", "log_odds", "rung", "period_end")
    assert [[one[name] for name in same] for one in got] == [[one[name] for name in same] for one in inline]


NUMBERS = st.one_of(
    st.none(),
    st.floats(-1e300, 1e300),
    st.integers(-(2**53), 2**53),
    st.sampled_from([0.0, -0.0, 5e-324, 1e300, 0.1, 10**30]),
)


class Case:
    """The model as a worker has it, put together once, and rows; without a repr of all that."""

    def __init__(self, world: World) -> None:
        self.bundle, self.loaded, self.as_of = world.bundle, world.loaded, world.as_of
        self.values = some(world, 4)

    def ask(self, body: Body) -> tuple[list[dict[str, Any]], list[bytes]]:
        """Results, and the vectors for the ledger."""
        got = answer_rows(json.dumps(body).encode(), self.as_of, "r", self.loaded, Serving())
        return json.loads(got.body)["results"], [entry.features for entry in got.entries]

    def expected(self, row: Float) -> float | None:
        """What the model says of a row, None where that is no probability."""
        matrix = FeatureMatrix(self.bundle.plan.names, row[None])
        (rank,) = matrix.column("stage_rank").tolist()
        if rank == rank and rank not in range(len(self.bundle.about.stages.order)):
            return None
        p = float(self.bundle.model.predict(matrix)[0])
        return p if p == p else None


@pytest.fixture(scope="module")
def case(world: World) -> Case:
    return Case(world)


CHANGES = st.lists(st.dictionaries(st.integers(0, 40), NUMBERS, max_size=8), min_size=1, max_size=4)


@given(changes=CHANGES, order=st.integers(0, 2**32))
def test_any_row_in_any_order_has_the_bits_of_the_model(case: Case, changes: list[dict[int, Any]], order: int) -> None:
    """Alone and among others, as JSON carries it: what comes out is `bundle.model.predict` of the same matrix."""
    names = case.bundle.plan.names
    values = case.values[: len(changes)].copy()
    for row, changed in zip(values, changes, strict=True):
        for place, value in changed.items():
            row[place] = np.nan if value is None else value
    places = np.random.default_rng(order).permutation(len(names)).tolist()
    body = rows_body(case.bundle, values, iso(case.as_of), columns=[names[place] for place in places])
    body["rows"] = [[row[place] for place in places] for row in body["rows"]]
    told, kept = case.ask(body)
    expected = [case.expected(row) for row in values]
    assert [one.get("p_won_in_period") for one in told] == expected
    assert kept == [row.tobytes() for row, p in zip(values, expected, strict=True) if p is not None]
    assert case.ask(body | {"rows": body["rows"][:1], "ids": body["ids"][:1]})[0][:1] == told[:1]


@pytest.mark.parametrize(
    ("name", "value", "place"), [("workdays_left", None, ""), ("stage_rank", -9, "/n"), ("stage_rank", 1.5, "/n")]
)
def test_what_no_probability_follows_from_is_refused(case: Case, name: str, value: Any, place: str) -> None:
    body = rows_body(case.bundle, case.values[:2], iso(case.as_of))
    at = body["columns"].index(name)
    body["rows"][1][at] = value
    first, second = case.ask(body)[0]
    assert first["ok"]
    assert [(one["pointer"], one["code"]) for one in second["problem"]["errors"]] == [
        (f"/rows/1{place.replace('n', str(at))}", "wrong_value")
    ]


def test_a_model_of_the_other_head_says_so(serve: Serve, world: World, body: Body) -> None:
    about = replace(world.bundle.about, target="eventual")
    eventual = replace(world.loaded, bundle=replace(world.bundle, about=about))
    one = post(serve(loaded=eventual), body).json()["results"][0]
    assert set(one) == {"id", "ok", "p_eventual", "log_odds", "rung"}


def test_rows_for_another_model_are_never_scored(served: Served, body: Body) -> None:
    got = post(served, body | {"feature_hash": "0" * 64})
    assert fault(got) == (409, "other_features", [("/feature_hash", "other_features")])
    assert body["feature_hash"] in got.text
    assert "log_odds" not in got.text


def test_columns_are_the_model_s_alone_and_all_of_them(served: Served, world: World, body: Body) -> None:
    first, second, *rest = world.bundle.plan.names
    got = post(served, body | {"columns": [f"{first}s", second, *rest[:-1], second]})
    places = [("/columns/0", "unknown_column"), (f"/columns/{len(rest) + 1}", "duplicate")]
    assert fault(got) == (422, "invalid_request", [*places, ("/columns", "missing"), ("/columns", "missing")])
    words = [one["message"] for one in got.json()["errors"]]
    assert f"{first}s is no feature of the model" in words[0]
    assert first in words[0].partition(";")[2]
    assert words[2:] == [f"{name} is missing; expected all features of the model" for name in (first, rest[-1])]
    got = post(served, body | {"columns": ["=cmd|' /C calc'!A0"]})
    assert "cmd" not in got.text
    assert len(got.json()["errors"]) == 21


def bad(value: Any) -> Callable[[Body], None]:
    def change(body: Body) -> None:
        body["rows"][1][2] = value

    return change


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("1", "wrong_type"),
        (True, "wrong_type"),
        ([1.0], "wrong_type"),
        ({}, "wrong_type"),
        (10**400, "wrong_value"),
        (10**301, "wrong_value"),
        (-1.5e300, "wrong_value"),
    ],
    ids=lambda value: str(value)[:8],
)
def test_a_bad_value_is_named_by_its_place_and_spoils_no_other_row(
    served: Served, world: World, body: Body, value: Any, code: str
) -> None:
    clean = post(served, body).json()["results"]
    bad(value)(body)
    got = post(served, body)
    first, second, third = got.json()["results"]
    assert (first, third) == (clean[0], clean[2])
    assert (second["id"], second["ok"], second["problem"]["code"]) == ("R1", False, "invalid_request")
    assert [(one["pointer"], one["code"]) for one in second["problem"]["errors"]] == [("/rows/1/2", code)]
    assert (served.lines[-1]["rows"], served.lines[-1]["refused"]) == (2, 1)


@pytest.mark.parametrize(("row", "code"), [([], "wrong_value"), ([1.0], "wrong_value"), ("x", "wrong_type")])
def test_a_row_of_another_width_is_named(served: Served, body: Body, row: Any, code: str) -> None:
    body["rows"][0] = row
    problem = post(served, body).json()["results"][0]["problem"]
    assert [(one["pointer"], one["code"]) for one in problem["errors"]] == [("/rows/0", code)]


def test_a_request_of_bad_rows_alone_is_answered(served: Served, body: Body) -> None:
    body["rows"] = [[], [], []]
    assert [one["ok"] for one in post(served, body).json()["results"]] == [False] * 3


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_what_is_no_number_of_json_is_refused(served: Served, body: Body, word: str) -> None:
    """1e400 is JSON, and infinite when it is read."""
    text_ = json.dumps(body | {"rows": [["@", *row[1:]] for row in body["rows"]]}).replace('"@"', word)
    got = served.client.post(ROUTE, content=text_, headers=served.headers)
    if word == "1e400":
        problem = got.json()["results"][2]["problem"]
        assert [(one["pointer"], one["code"]) for one in problem["errors"]] == [("/rows/2/0", "wrong_value")]
    else:
        assert (got.status_code, got.json()["code"]) == (400, "bad_json")


@pytest.mark.parametrize(
    ("more", "places"),
    [
        ({"as_of": "soon"}, [("/as_of", "wrong_value")]),
        ({"ids": ["a"]}, [("/ids", "wrong_value")]),
        ({"ids": ["a", "", "c"]}, [("/ids/1", "wrong_value")]),
        ({"ids": ["a", "half \ud800", "c"]}, [("/ids/1", "wrong_value")]),
        ({"rows": [], "ids": []}, [("/ids", "wrong_value"), ("/rows", "wrong_value")]),
        ({"columns": "all"}, [("/columns", "wrong_type")]),
        ({"deals": []}, [("/deals", "unknown_field")]),
    ],
)
def test_an_envelope_that_is_wrong_is_refused_whole(
    served: Served, body: Body, more: Body, places: list[tuple[str, str]]
) -> None:
    got = served.client.post(ROUTE, content=json.dumps(body | more), headers=served.headers)
    assert fault(got) == (422, "invalid_request", places)


def test_as_of_is_compulsory_and_not_before_the_training_ended(served: Served, body: Body) -> None:
    assert fault(post(served, body | {"as_of": "2025-01-01T00:00:00Z"}))[:2] == (422, "in_sample")
    assert post(served, body | {"as_of": "2025-01-01T00:00:00Z", "in_sample": True}).status_code == 200
    del body["as_of"]
    assert fault(post(served, body)) == (422, "invalid_request", [("/as_of", "missing")])


def test_the_limit_of_rows_is_that_of_plain_deals(serve: Serve, body: Body) -> None:
    served = serve(max_deals_plain=3)
    assert post(served, body).status_code == 200
    served.client.app.state.api.limits = Serving(max_deals_plain=2, max_deals_explained=2)  # type: ignore[attr-defined]
    assert fault(post(served, body)) == (422, "limit_exceeded", [("/rows", "too_many_rows")])


def test_a_long_request_is_answered_in_a_thread(served: Served, world: World) -> None:
    values = some(world, 200)
    body = rows_body(world.bundle, values, iso(world.as_of))
    told = post(served, body).json()["results"]
    expected = world.bundle.model.predict(FeatureMatrix(world.bundle.plan.names, values))
    assert [one["p_won_in_period"] for one in told] == expected.tolist()


@pytest.fixture
def kept(either: Office, world: World) -> Iterator[tuple[Office, list[Any]]]:
    """A store after a deal and two requests of rows, and the rows of its ledger."""
    with service(either) as served:
        served.post(world.body([str(world.seen.record.deal_ids.strings()[0])], in_sample=True))
        post(served, rows_body(world.bundle, some(world, 2), iso(world.as_of), ["D1", "nul\x00l"]))
        served.post(world.body([]) | {"deals": []})
        post(served, rows_body(world.bundle, some(world, 1), iso(world.as_of), ["D1"]))
    with either.store() as store, store.engine.begin() as connection:
        yield either, list(connection.execute(select(LEDGER).where(LEDGER.c.route == ROUTE).order_by(LEDGER.c.id)))


def test_the_ledger_keeps_rows_and_replay_computes_them_again(kept: tuple[Office, list[Any]], world: World) -> None:
    office, rows = kept
    assert [row.deal_id for row in rows] == ["D1", "nul\ufffdl", "D1"]
    matrix = FeatureMatrix(world.bundle.plan.names, some(world, 2))
    assert [row.p for row in rows[:2]] == world.bundle.model.predict(matrix).tolist()
    end = int(world.bundle.calendar.bounds(np.array([world.as_of]))[1][0])
    for row, values in zip(rows, matrix.values, strict=False):
        assert bytes(row.features) == values.tobytes()
        assert row.features_sha256 == sha256(row.features).hexdigest()
        assert (row.told, row.reasons, json.loads(row.heads)["amount_expected"]) == ("null", None, None)
        assert (row.as_of, row.window_end) == (world.as_of, end)
        assert (row.reference_as_of, row.reference_sha256) == (NAT, "")
        assert (row.bundle_sha256, row.feature_hash) == (world.bundle.sha, world.bundle.about.plan_fingerprint)
    tally = replay(office.config, None, None, None, silent)
    assert (tally.agree, tally.disagree, tally.gone) == (tally.rows, 0, {})
    assert tally.rows >= 3
    assert replay(office.config, None, "D1", None, silent).rows == 2


@pytest.mark.parametrize(
    "change",
    ["p = p + 1e-16 * 3", "features = zeroblob(length(features))", "heads = replace(heads, 'rung', 'rang')"],
)
def test_a_forged_row_is_named(office: Office, world: World, change: str) -> None:
    with service(office) as served:
        post(served, rows_body(world.bundle, some(world, 2), iso(world.as_of)))
    with office.store() as store, store.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER ledger_no_update"))
        connection.execute(text(f"UPDATE ledger SET {change} WHERE id = 2"))
    with pytest.raises(NotReplayedError, match="1 of 2 rows") as caught:
        replay(office.config, None, None, None, silent)
    assert [one.where.partition(",")[0] for one in caught.value.faults] == ["ledger row 2"]


def test_nothing_is_answered_that_cannot_be_kept(world: World, export: Path, tmp_path: Path, body: Body) -> None:
    office = office_in(world, tmp_path, export)
    with service(office) as served:
        (office.config.state_dir / "serving" / "store.db").write_bytes(b"no database" * 1000)
        got = post(served, body)
    assert (got.status_code, got.json()["code"]) == (503, "store_error")
    assert "log_odds" not in got.text
