"""Jobs: the results of the scoring route bit for bit, whoever works them off and however often a worker dies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from configs.errors import StoreError
from configs.schema import Jobs
from configs.vocab import LedgerMode
from serving.api import Api
from serving.auth import create_key, keys_file
from serving.jobs import ATTEMPTS, CHUNK, JobRunner
from serving.principal import Rights, Scope
from serving.replay import replay
from serving.store.jobs import JobBook, take_up
from serving.store.tables import JOB_CHUNKS, JOBS, LEDGER
from tests.served import World
from tests.service.conftest import NOW
from tests.service.test_metrics import asked, value
from tests.stored import EVERYTHING, Office, Service, office_in, service

pytestmark = pytest.mark.timeout(120)

HOUR = 3_600_000_000
DEALS = 2 * CHUNK + 30  # three chunks
ABOUT = ("request_id", "job_id", "next_cursor", "results")


@pytest.fixture
def served(either: Office) -> Iterator[Service]:
    """A service over an empty store, in either database."""
    with service(either) as running:
        yield running


@pytest.fixture
def alone(office: Office) -> Iterator[Service]:
    """The same in SQLite alone."""
    with service(office) as running:
        yield running


@pytest.fixture(scope="module")
def body(world: World, ids: list[str]) -> dict[str, Any]:
    """A request of three chunks, some of whose deals are wrong, each in another way."""
    few = [deal | {"activities": deal["activities"][:3]} for deal in world.body(ids[:12])["deals"]]
    deals = [few[k % len(few)] for k in range(DEALS)]
    deals[CHUNK] = 5
    deals[CHUNK + 1] = deals[0] | {"deal_id": "bad", "history": [{"known_at": "2025-04-01", "stage": "Propse"}]}
    deals[2 * CHUNK + 3] = deals[0] | {"deal_id": "worse", "roel": 1}
    return {"as_of": "2025-05-05T04:00:00Z", "explain": True, "deals": deals}


def api_of(one: Service) -> Api:
    found: Api = one.client.app.state.api  # type: ignore[attr-defined]
    return found


def limited(one: Service, **limits: Any) -> None:
    api_of(one).limits = api_of(one).limits.model_copy(update=limits)


def make(one: Service, body: Any, **headers: str) -> Any:
    return one.client.post("/v1/jobs/score", json=body, headers=one.headers | headers)


def run(one: Service, *, runner: JobRunner | None = None) -> bool:
    return (runner or JobRunner(api_of(one), one.office.lines.append)).look()


def pages(one: Service, job: str) -> list[dict[str, Any]]:
    """Every page of a result."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        got = one.get(f"/v1/jobs/{job}/result", **cursor)
        assert got.status_code == 200, got.text
        found.append(got.json())
        if found[-1]["next_cursor"] is None:
            return found
        cursor = {"cursor": found[-1]["next_cursor"]}


def at_once(one: Service, body: dict[str, Any]) -> dict[str, Any]:
    """What the scoring route says to the same body."""
    limited(one, max_deals_explained=DEALS)
    answer: dict[str, Any] = one.post(body).json()
    return answer


def ledger(one: Service, job: str) -> int:
    with one.office.store() as store, store.engine.begin() as connection:
        asked = select(func.count()).select_from(LEDGER).where(LEDGER.c.request_id == job)
        return int(connection.execute(asked).scalar_one())


class Killed(BaseException):
    """What a worker does not survive."""


class Dying(JobRunner):
    """A worker that is killed when it has computed so many chunks, before it can write the last of them."""

    def __init__(self, api: Api, after: int) -> None:
        super().__init__(api, lambda _: None)
        self.left = after

    def _score(self, held: Any, chunk: Any) -> bool:
        self.left -= 1
        if self.left == 0:
            raise Killed
        return super()._score(held, chunk)


def killed(one: Service, after: int) -> None:
    with pytest.raises(Killed):
        run(one, runner=Dying(api_of(one), after))


def test_a_job_gives_what_the_scoring_route_gives(served: Service, body: dict[str, Any]) -> None:
    made = make(served, body)
    told = made.json()
    assert (made.status_code, told["state"], told["deals"], told["done"]) == (202, "queued", DEALS, 0)
    assert made.headers["location"] == told["status_url"] == f"/v1/jobs/{told['job_id']}"
    assert served.get(told["status_url"]).json() | {"request_id": ""} == told | {"request_id": ""}
    early = served.get(told["result_url"])
    assert (early.status_code, early.json()["code"]) == (409, "job_not_done")
    assert run(served)
    assert not run(served)
    done = served.get(told["status_url"]).json()
    assert (done["state"], done["done"], done["finished_at"]) == ("done", DEALS, "2025-05-05T04:00:00Z")
    assert done["expires_at"] == "2025-05-06T04:00:00Z"
    found = pages(served, told["job_id"])
    assert [len(page["results"]) for page in found] == [CHUNK, CHUNK, 30]
    whole = at_once(served, body)
    assert [one for page in found for one in page["results"]] == whole["results"]
    assert [result["ok"] for result in whole["results"]].count(False) == 3
    for page in found:
        assert {name: value for name, value in page.items() if name not in ABOUT} == {
            name: value for name, value in whole.items() if name not in ABOUT
        }


def test_its_rows_of_the_ledger_are_there_once_and_can_be_replayed(served: Service, body: dict[str, Any]) -> None:
    job = make(served, body).json()["job_id"]
    run(served)
    scored = sum(one["ok"] for page in pages(served, job) for one in page["results"])
    assert ledger(served, job) == scored > 0
    assert api_of(served).ledger_told()["written"] == scored
    tally = replay(served.office.config, job, None, None, lambda _: None)
    assert (tally.agree, tally.rows) == (scored, scored)
    found = asked(served)
    assert value(found, "deals_scored_total") == scored
    assert (value(found, "jobs_total", outcome="queued"), value(found, "jobs_total", outcome="done")) == (1, 1)


def test_a_job_whose_worker_died_is_taken_up_after_its_last_whole_chunk(served: Service, body: dict[str, Any]) -> None:
    job = make(served, body).json()["job_id"]
    killed(served, 2)
    half = served.get(f"/v1/jobs/{job}").json()
    assert (half["state"], half["done"]) == ("running", CHUNK)
    assert not run(served)  # the lease still holds
    served.office.now += 21_000_000
    killed(served, 2)
    assert served.get(f"/v1/jobs/{job}").json()["done"] == 2 * CHUNK
    served.office.now += 21_000_000
    assert run(served)
    found = pages(served, job)
    results = [one for page in found for one in page["results"]]
    assert ledger(served, job) == sum(one["ok"] for one in results)
    assert results == at_once(served, body)["results"]


def test_a_worker_that_lost_its_job_writes_nothing(served: Service, body: dict[str, Any]) -> None:
    """It was only slow: another has taken the job up meanwhile, and what it computed is not counted twice."""
    job = make(served, body).json()["job_id"]

    class Slow(JobRunner):
        def _score(self, held: Any, chunk: Any) -> bool:
            if chunk.first == CHUNK:
                served.office.now += 21_000_000
                assert run(served)  # the other one, to the end
            return super()._score(held, chunk)

    lines: list[Any] = []
    assert run(served, runner=Slow(api_of(served), lines.append))
    assert [line["event"] for line in lines] == ["job_taken", "job_lost"]
    assert served.get(f"/v1/jobs/{job}").json()["state"] == "done"
    assert ledger(served, job) == sum(one["ok"] for page in pages(served, job) for one in page["results"])


def test_a_worker_that_stops_lets_go_of_its_job(alone: Service, body: dict[str, Any]) -> None:
    job = make(alone, body).json()["job_id"]

    class Stopping(JobRunner):
        def _score(self, held: Any, chunk: Any) -> bool:
            self.stop()
            return super()._score(held, chunk)

    run(alone, runner=Stopping(api_of(alone), alone.office.lines.append))
    assert alone.get(f"/v1/jobs/{job}").json()["done"] == CHUNK
    assert run(alone)  # at once: no lease is waited for
    assert alone.get(f"/v1/jobs/{job}").json()["state"] == "done"


def test_a_job_that_no_worker_survives_fails(alone: Service, body: dict[str, Any]) -> None:
    job = make(alone, body).json()["job_id"]
    for _ in range(ATTEMPTS):
        killed(alone, 1)
        alone.office.now += 21_000_000
    run(alone)
    told = alone.get(f"/v1/jobs/{job}").json()
    assert (told["state"], told["done"], told["problem"]["code"]) == ("failed", 0, "internal")
    assert alone.get(f"/v1/jobs/{job}/result").json()["code"] == "job_not_done"


def test_each_page_names_the_model_that_gave_it(alone: Service, world: World, body: dict[str, Any]) -> None:
    """The model is swapped between two chunks."""
    job, api = make(alone, body).json()["job_id"], api_of(alone)
    assert api.loaded is not None
    other = replace(api.loaded, facts=replace(api.loaded.facts, as_of=api.loaded.facts.as_of + 1))

    class Swapped(JobRunner):
        def _score(self, held: Any, chunk: Any) -> bool:
            kept = super()._score(held, chunk)
            self._api.loaded = other
            return kept

    run(alone, runner=Swapped(api, alone.office.lines.append))
    first, second, third = (page["reference_as_of"] for page in pages(alone, job))
    assert first != second == third


def test_a_model_that_has_seen_what_came_after_the_as_of_gives_no_page(
    alone: Service, world: World, body: dict[str, Any]
) -> None:
    """Swapped in before the job was begun; the request did not allow in-sample answers."""
    job, api = make(alone, body).json()["job_id"], api_of(alone)
    assert api.loaded is not None
    later = replace(world.bundle.about, trained_as_of=world.as_of + HOUR)
    api.loaded = replace(api.loaded, bundle=replace(world.bundle, about=later))
    run(alone)
    told = alone.get(f"/v1/jobs/{job}").json()
    assert (told["state"], told["done"], told["problem"]["code"]) == ("failed", 0, "in_sample")
    assert ledger(alone, job) == 0
    assert [line["event"] for line in alone.office.lines if line["event"].startswith("job")] == [
        "job_taken",
        "job_failed",
    ]


def test_what_broke_inside_is_told_as_ours_and_logged_without_data(alone: Service, body: dict[str, Any]) -> None:
    job = make(alone, body).json()["job_id"]

    class Broken(JobRunner):
        def _score(self, held: Any, chunk: Any) -> bool:
            raise ZeroDivisionError("c4n4ry")

    run(alone, runner=Broken(api_of(alone), alone.office.lines.append))
    assert alone.get(f"/v1/jobs/{job}").json()["problem"]["code"] == "internal"
    assert alone.office.lines[-2]["error"]["type"] == "ZeroDivisionError"
    assert "c4n4ry" not in str(alone.office.lines)
    assert value(asked(alone), "jobs_total", outcome="failed") == 1


def test_the_same_idempotency_key_makes_one_job(served: Service, body: dict[str, Any]) -> None:
    first = make(served, body, **{"Idempotency-Key": "one"})
    again = make(served, body, **{"Idempotency-Key": "one"})
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    other = make(served, body | {"explain": False}, **{"Idempotency-Key": "one"})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert make(served, body).json()["job_id"] != first.json()["job_id"]
    with served.office.store() as store, store.engine.begin() as connection:
        assert connection.execute(select(func.count()).select_from(JOBS)).scalar_one() == 2


def test_values_that_json_can_hold_come_back_as_they_were(alone: Service, body: dict[str, Any]) -> None:
    """Half a surrogate pair, a number beyond floats, a number of many digits, and nesting up to what is read at all."""
    deal = body["deals"][0]
    deals = [deal | {"deal_id": "\ud800x"}, deal | {"attributes": {"x": "BEYOND"}}, deal | {"attributes": "DIGITS"}]
    text = json.dumps(small(body) | {"deals": deals}).replace('"BEYOND"', "1e999").replace('"DIGITS"', "7" * 4_000)
    headers = alone.headers | {"Content-Type": "application/json"}
    job = alone.client.post("/v1/jobs/score", content=text.encode(), headers=headers).json()["job_id"]
    run(alone)
    whole = alone.client.post("/v1/deals/score", content=text.encode(), headers=headers).json()
    assert pages(alone, job)[0]["results"] == whole["results"]
    assert [one["ok"] for one in whole["results"]] == [False] * 3
    for depth in range(900, 1_000, 4):
        nested = json.dumps(small(body) | {"deals": [deal | {"account": "DEEP"}]})
        text = nested.replace('"DEEP"', "[" * depth + "]" * depth)
        status = alone.client.post("/v1/jobs/score", content=text.encode(), headers=headers).status_code
        assert status in (202, 400, 429), depth


def test_a_store_that_is_down_is_complained_of_once(world: World, export: Path, tmp_path: Path) -> None:
    office = office_in(world, tmp_path, export, "serving.watch_seconds=0.1")
    with service(office) as one:
        (office.config.state_dir / "serving" / "store.db").write_bytes(b"no database" * 1000)
        runner = JobRunner(api_of(one), office.lines.append)
        for _ in range(3):
            with pytest.raises(StoreError) as caught:
                runner.look()
            runner._complain(caught.value)
    assert [(line["event"], line["code"]) for line in office.lines] == [("jobs_failed", "store_error")]


def small(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"deals": body["deals"][:2]}


def another_key(one: Service) -> dict[str, str]:
    made = create_key(keys_file(one.office.config), "another", NOW, rights=EVERYTHING)
    return {"Authorization": f"Bearer {made}"}


def test_only_so_many_jobs_wait(served: Service, body: dict[str, Any]) -> None:
    limited(served, jobs=Jobs(max_waiting_key=2, max_waiting=3))
    other = another_key(served)
    assert [make(served, small(body)).status_code for _ in range(2)] == [202, 202]
    refused = make(served, small(body))
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (429, "jobs_full", "10")
    assert "of this key" in refused.json()["detail"]
    assert make(served, small(body), **other).status_code == 202
    assert "in all" in make(served, small(body), **other).json()["detail"]
    assert value(asked(served), "requests_shed_total", reason="jobs_full") == 2
    while run(served):
        pass
    assert make(served, small(body)).status_code == 202


def test_only_so_many_bytes_of_jobs_wait(served: Service, body: dict[str, Any]) -> None:
    size = make(served, small(body)).request.content.__len__() / 1e6
    limited(served, jobs=Jobs(max_mb=2 * size, max_waiting_key_mb=2.5 * size, max_waiting_mb=3.5 * size))
    other = another_key(served)
    assert make(served, small(body)).status_code == 202
    assert "of this key" in make(served, small(body)).json()["detail"]
    assert make(served, small(body), **other).status_code == 202
    assert "in all" in make(served, small(body), **other).json()["detail"]


def test_its_limits_are_its_own(alone: Service, body: dict[str, Any]) -> None:
    limited(alone, jobs=Jobs(max_deals=DEALS - 1), max_deals_plain=3, max_deals_explained=3)
    got = make(alone, body)
    assert (got.status_code, got.json()["errors"][0]["code"]) == (422, "too_many_deals")
    assert alone.post(body).json()["detail"].endswith(f"or a job (POST /v1/jobs/score) for up to {DEALS - 1:,}")
    limited(alone, jobs=Jobs(max_mb=0.001))
    got = make(alone, body)
    assert (got.status_code, "serving.jobs.max_mb" in got.json()["detail"]) == (413, True)


def test_a_request_that_cannot_be_asked_makes_no_job(alone: Service, body: dict[str, Any]) -> None:
    wrong = {"in_sample": "2025-03-01T00:00:00Z", "invalid_request": "soon"}
    assert [make(alone, body | {"as_of": as_of}).json()["code"] for as_of in wrong.values()] == list(wrong)
    assert not run(alone)


def test_a_job_is_of_the_key_that_made_it(served: Service, body: dict[str, Any]) -> None:
    job = make(served, small(body)).json()["job_id"]
    run(served)
    other = another_key(served)
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/result", "/v1/jobs/" + "0" * 32, "/v1/jobs/..%2f"):
        got = served.client.get(path, headers=other)
        assert (got.status_code, got.json()["code"]) in [(404, "unknown_job"), (404, "not_found")]
    created = create_key(keys_file(served.office.config), "reader", NOW, rights=Rights(frozenset({Scope.READ}), None))
    assert served.client.get(f"/v1/jobs/{job}", headers={"X-API-Key": created}).status_code == 403


@pytest.mark.parametrize("cursor", ["1", "-1", "x", "", "1" * 10, "00", str(CHUNK)])
def test_a_cursor_of_something_else_is_refused(alone: Service, body: dict[str, Any], cursor: str) -> None:
    job = make(alone, small(body)).json()["job_id"]
    run(alone)
    got = alone.get(f"/v1/jobs/{job}/result", cursor=cursor)
    assert (got.status_code, got.json()["errors"][0]["pointer"]) == (422, "/cursor")


def test_a_job_is_deleted_when_its_time_is_over(served: Service, body: dict[str, Any]) -> None:
    job = make(served, small(body)).json()["job_id"]
    run(served)
    served.office.now += 23 * HOUR
    run(served)
    assert served.get(f"/v1/jobs/{job}").status_code == 200
    served.office.now += 2 * HOUR
    run(served)
    assert served.get(f"/v1/jobs/{job}").json()["code"] == "unknown_job"
    with served.office.store() as store, store.engine.begin() as connection:
        assert connection.execute(select(func.count()).select_from(JOB_CHUNKS)).scalar_one() == 0


def test_the_deals_of_a_job_go_when_they_are_scored(alone: Service, body: dict[str, Any]) -> None:
    make(alone, body)
    run(alone)
    with alone.office.store() as store, store.engine.begin() as connection:
        assert set(connection.execute(select(JOB_CHUNKS.c.deals)).scalars()) == {None}


def test_the_oldest_job_goes_first_and_two_workers_take_two(served: Service, body: dict[str, Any]) -> None:
    names = []
    for _ in range(2):
        names.append(make(served, small(body)).json()["job_id"])
        served.office.now += 1
    store, now = api_of(served).store(), served.office.now
    taken = [store.writer.submit(lambda c, w=w: take_up(c, w, now, now + HOUR)).result() for w in ("a", "b", "c")]
    assert [None if held is None else (held.job_id, held.worker) for held in taken] == [
        (names[0], "a"), (names[1], "b"), None
    ]  # fmt: skip
    assert not JobBook(store).to_do(now)


def test_without_a_model_a_job_waits(alone: Service, body: dict[str, Any]) -> None:
    job, api = make(alone, small(body)).json()["job_id"], api_of(alone)
    loaded, api.loaded = api.loaded, None
    assert not run(alone)
    api.loaded = loaded
    assert run(alone)
    assert alone.get(f"/v1/jobs/{job}").json()["state"] == "done"


def test_a_ledger_that_is_off_keeps_no_rows(world: World, office: Office, body: dict[str, Any]) -> None:
    with service(office) as one:
        limited(one, ledger=LedgerMode.OFF)
        job = make(one, small(body)).json()["job_id"]
        run(one)
        assert ledger(one, job) == 0
        assert len(pages(one, job)) == 1


def test_the_thread_works_off_what_comes_and_ends_when_told(alone: Service, body: dict[str, Any]) -> None:
    runner = JobRunner(api_of(alone), alone.office.lines.append)
    runner.start()
    job = make(alone, small(body)).json()["job_id"]
    for _ in range(2_000):
        if alone.get(f"/v1/jobs/{job}").json()["state"] == "done":
            break
    runner.stop()
    assert alone.get(f"/v1/jobs/{job}").json()["state"] == "done"


def test_a_lease_is_renewed_while_a_chunk_is_worked_on(alone: Service, body: dict[str, Any]) -> None:
    """The chunk goes on until a renewal has come, however fast or slow that is."""
    limited(alone, jobs=Jobs(lease_seconds=0.5))
    make(alone, small(body))
    store = api_of(alone).store()

    def leased() -> int:
        with store.engine.begin() as connection:
            return int(connection.execute(select(JOBS.c.leased_until)).scalar_one())

    class Long(JobRunner):
        def _score(self, held: Any, chunk: Any) -> bool:
            store.writer.submit(lambda c: c.execute(update(JOBS).values(leased_until=1))).result()
            while leased() == 1:
                pass
            return super()._score(held, chunk)

    assert run(alone, runner=Long(api_of(alone), alone.office.lines.append))
    assert alone.office.lines[-1]["event"] == "job_done"
