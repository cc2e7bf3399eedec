"""Every route, with every scope and with ids of others: who is let in, and whose deals they see."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from features.nodes import NO_TEAM
from serving.auth import create_key, keys_file
from serving.jobs import JobRunner
from serving.principal import Rights, Scope
from tests.issuer import Issuer
from tests.ready_rows import rows_body
from tests.served import World
from tests.service.test_events import BORN, CHANGES
from tests.stored import DAY, EVERYTHING, Service, office_in, service

pytestmark = pytest.mark.timeout(120)

RIGHTS = ("scopes", "teams", "all_teams")
MADE = datetime(2025, 1, 1, tzinfo=UTC)
TEAM = "Team 1"


@dataclass(frozen=True)
class Row:
    """What is true of a route. scope: that a key needs, None: no key.

    shows: nothing stored, one deal, many deals, figures of nodes, a job, or counts of what the service did. status: of
    its answer; jobs are asked for that another key made.
    """

    scope: Scope | None
    shows: str = "nothing stored"
    status: int = 200


ROUTES = {
    ("GET", "/v1/health"): Row(None),
    ("GET", "/v1/ready"): Row(None),
    ("GET", "/v1/status"): Row(Scope.STATUS),
    ("POST", "/v1/deals/score"): Row(Scope.SCORE),
    ("GET", "/v1/deals/{deal_id}/score"): Row(Scope.READ, "one deal"),
    ("GET", "/v1/deals"): Row(Scope.READ, "many deals"),
    ("POST", "/v1/rows/score"): Row(Scope.SCORE),
    ("POST", "/v1/leads/score"): Row(Scope.SCORE, status=404),
    ("GET", "/v1/forecast"): Row(Scope.READ, "figures"),
    ("GET", "/v1/forecast/bridge"): Row(Scope.READ, "figures"),
    ("GET", "/v1/accuracy"): Row(Scope.READ, "accuracy"),
    ("GET", "/v1/model"): Row(Scope.STATUS),
    ("POST", "/v1/events"): Row(Scope.EVENTS),
    ("POST", "/v1/jobs/score"): Row(Scope.SCORE, "a job", 202),
    ("GET", "/v1/jobs/{job_id}"): Row(Scope.SCORE, "a job", 404),
    ("GET", "/v1/jobs/{job_id}/result"): Row(Scope.SCORE, "a job", 404),
    ("GET", "/v1/openapi.json"): Row(None),
    ("GET", "/v1/metrics"): Row(Scope.STATUS, "counts"),
}
"""A route that is missing here fails the tests."""


@dataclass
class Place:
    """A service over a store refreshed on two days.

    teams: of every stored deal, by id, None where it has none; reps: of its owners. job: of one key.
    """

    service: Service
    issuer: Issuer
    teams: dict[str, str | None]
    reps: dict[str, str | None]
    job: str
    count: int = 0
    by_token: bool = False

    def key(self, rights: Rights) -> dict[str, str]:
        """The headers of a new key, or of a token of a new client."""
        self.count += 1
        if self.by_token:
            return self.issuer.headers(rights, f"client {self.count}") | {"X-Request-Id": "same"}
        made = create_key(keys_file(self.service.office.config), f"key {self.count}", MADE, rights=rights)
        return {"Authorization": f"Bearer {made}", "X-Request-Id": "same"}

    def ask(self, route: tuple[str, str], headers: dict[str, str], deal: str, **query: str) -> Any:
        """Ask a route about a deal, in words that are right but for who asks."""
        method, path = route
        bundle = self.service.office.world.bundle
        inline = {"as_of": "now", "deals": [{"deal_id": deal, **BORN, "history": CHANGES}]}
        body = {
            "/v1/deals/score": inline,
            "/v1/jobs/score": inline,
            "/v1/leads/score": {"as_of": "now", "leads": [{"lead_id": "L1", "created_at": "2024-01-02"}]},
            "/v1/rows/score": rows_body(bundle, bundle.golden.values[:1], "now", [deal]),
            "/v1/events": {"events": [{"event_id": f"by-{self.count}", "deal_id": deal, "deal": BORN}]},
        }.get(path)
        query |= {"as_of": "now"} if path == "/v1/deals/{deal_id}/score" else {}
        path = path.replace("{deal_id}", deal).replace("{job_id}", self.job)
        return self.service.client.request(method, path, json=body, params=query, headers=headers)

    def of(self, team: str, mine: bool) -> list[str]:
        """The open deals of a team, or of all others."""
        return [deal for deal, whose in self.teams.items() if (whose == team) is mine]


@pytest.fixture(scope="module")
def place(world: World, export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One store for the whole module; the deals of a test are its own or only read."""
    folder = tmp_path_factory.mktemp("access")
    office = office_in(world, folder, Path(shutil.copytree(export, folder / "export")))
    office.refresh()
    office.now += DAY
    office.refresh()
    issuer = Issuer(folder / "jwks.json", office.now // 1_000_000)
    serving = office.config.serving.model_copy(update={"oauth": issuer.oauth()})
    office.config = office.config.model_copy(update={"serving": serving})
    with service(office) as running:
        listed = running.get("/v1/deals", limit=1000).json()["deals"]
        teams = {row["deal_id"]: row["team"] for row in listed}
        place = Place(running, issuer, teams, {row["owner_id"]: row["team"] for row in listed}, "")
        made = place.ask(("POST", "/v1/jobs/score"), running.headers, listed[0]["deal_id"])
        assert JobRunner(running.client.app.state.api).look()  # type: ignore[attr-defined]
        place.job = made.json()["job_id"]
        yield place


@pytest.fixture(params=["key", "token"])
def either(place: Place, request: pytest.FixtureRequest) -> Iterator[Place]:
    """The place, asked with keys or with access tokens: both get the same."""
    place.by_token = request.param == "token"
    yield place
    place.by_token = False


def test_every_route_stands_in_the_table(place: Place) -> None:
    app: Any = place.service.client.app
    found = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route) and route.path.startswith("/v1/")
        for method in (route.methods or set()) - {"HEAD"}
    }
    pages = [route for route in app.routes if not route.path.startswith("/v1/")]  # see tests/pages
    assert len(app.routes) == len(found) + len(pages)
    assert found == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_without_a_key_only_open_routes_answer(place: Place, route: tuple[str, str]) -> None:
    deal = place.of(TEAM, True)[0]
    expected = 200 if ROUTES[route].scope is None else 401
    for headers in ({}, {"X-API-Key": "fc_00000000_x"}):
        got = place.ask(route, headers, deal)
        assert got.status_code == expected
        assert deal not in got.text


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_a_scope_opens_its_routes_and_no_other(either: Place, route: tuple[str, str], scope: Scope) -> None:
    place = either
    deal = place.of(TEAM, True)[0]
    got = place.ask(route, place.key(Rights(frozenset({scope}), None)), deal)
    if ROUTES[route].scope in (None, scope):
        assert got.status_code == ROUTES[route].status, got.text
        return
    assert (got.status_code, got.json()["code"]) == (403, "forbidden")
    assert deal not in got.text
    assert place.service.office.lines[-1]["code"] == "forbidden"


@pytest.mark.parametrize("route", ROUTES, ids=" ".join)
def test_a_foreign_deal_is_as_if_it_were_not_there(either: Place, route: tuple[str, str]) -> None:
    """404 and not 403, in the same words and headers as for an id that nobody has."""
    place = either
    mine, foreign = place.of(TEAM, True), place.of(TEAM, False)
    assert mine
    assert foreign
    headers = place.key(Rights(frozenset(Scope), frozenset({TEAM})))
    shows = ROUTES[route].shows
    if shows == "one deal":
        unknown = place.ask(route, headers, "nobody's")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_deal")
        for deal in foreign:
            got = place.ask(route, headers, deal)
            assert (got.status_code, got.content, got.headers) == (404, unknown.content, unknown.headers)
        assert {place.ask(route, headers, deal).status_code for deal in mine} == {200}
    elif shows == "many deals":
        pages = [place.ask(route, headers, "", **query) for query in ({}, {"sort": "-p"}, {"team": TEAM})]
        assert [sorted(row["deal_id"] for row in page.json()["deals"]) for page in pages] == [mine] * 3
        for team in {whose for whose in place.teams.values() if whose not in (TEAM, None)}:
            assert place.ask(route, headers, "", team=str(team)).json()["deals"] == []
        paged = place.ask(route, headers, "", limit="1").json()
        assert place.ask(route, headers, "", limit="1000", cursor=paged["next_cursor"]).json() == {
            "request_id": "same", "deals": pages[0].json()["deals"][1:], "next_cursor": None
        }  # fmt: skip
    elif shows == "a job":
        no_job_of_others(place, route, headers, mine[0])
    elif shows == "figures":
        no_figures_of_others(place, route, headers)
    elif shows == "accuracy":  # of what is over: `test_accuracy` has figures
        assert place.ask(route, headers, "").json() == {
            "request_id": "same", "period_start": None, "periods": [], "live": None, "bookings": [], "backtest": None
        }  # fmt: skip
    elif shows == "counts":
        text = place.ask(route, headers, "").text
        assert [word for word in (*place.teams, *filter(None, place.teams.values())) if word in text] == []
    elif route == ("POST", "/v1/events"):
        answers = [place.ask(route, headers, deal) for deal in (foreign[0], mine[0], "nobody's")]
        assert {(got.status_code, got.content) for got in answers} == {(403, answers[0].content)}
    else:
        everything = place.key(EVERYTHING)
        got, whole = (place.ask(route, one, foreign[0]) for one in (headers, everything))
        assert (got.status_code, plain(got)) == (ROUTES[route].status, plain(whole))


def plain(got: httpx.Response) -> object:
    """An answer without the id of its request, which a problem tells."""
    told = got.json()
    return {name: value for name, value in told.items() if name != "request_id"} if "request_id" in told else told


def no_job_of_others(place: Place, route: tuple[str, str], headers: dict[str, str], deal: str) -> None:
    """A job of another key is answered as one that nobody made."""
    got = place.ask(route, headers, deal)
    assert got.status_code == ROUTES[route].status
    assert place.job not in got.text
    if route[0] == "GET":
        assert place.ask(route, place.service.headers | {"X-Request-Id": "same"}, "").status_code == 200
        there, place.job = place.job, "0" * 32
        unknown = place.ask(route, headers, "")
        place.job = there
        assert (got.content, got.headers, got.json()["code"]) == (unknown.content, unknown.headers, "unknown_job")


def no_figures_of_others(place: Place, route: tuple[str, str], headers: dict[str, str]) -> None:
    """A node of another team, the company and nobody's node are not there, all alike; no deal of others is listed."""
    whole, own = (place.ask(route, one, "").json() for one in (place.key(EVERYTHING), headers))
    listed = {row["deal_id"] for row in own.get("deals", ())}
    assert listed.isdisjoint(place.of(TEAM, False))
    assert bool(listed) is ("deals" in own)
    assert json.dumps(own).find('"all"') < 0
    assert {row["node"] for row in own.get("nodes", ()) if row["level"] == "team"} <= {TEAM}
    reps = {row["node"] for row in own.get("nodes", ()) if row["level"] == "rep"}
    assert reps <= {rep for rep, team in place.reps.items() if team == TEAM}
    assert reps or "parts" in own
    assert own != whole
    for team in {whose for whose in place.teams.values() if whose != TEAM}:
        got = place.ask(route, headers, "", level="team", node=team or NO_TEAM)
        unknown = place.ask(route, headers, "", level="team", node="nobody's")
        assert (got.status_code, got.content) == (404, unknown.content)
    for level, node in [("company", "all"), *(("rep", rep) for rep, team in place.reps.items() if team != TEAM)]:
        assert place.ask(route, headers, "", level=level, node=node).content == unknown.content
    none = place.ask(route, place.key(Rights(frozenset(Scope), frozenset({"no such team"}))), "")
    assert (none.status_code, none.content) == (404, unknown.content)


def test_a_cursor_of_another_key_shows_no_more(either: Place) -> None:
    place = either
    route = ("GET", "/v1/deals")
    cursor = place.ask(route, place.key(EVERYTHING), "", limit="1").json()["next_cursor"]
    headers = place.key(Rights(frozenset({Scope.READ}), frozenset({TEAM})))
    listed = place.ask(route, headers, "", cursor=cursor, limit="1000").json()["deals"]
    assert {row["deal_id"] for row in listed} <= set(place.of(TEAM, True))


def test_a_key_of_an_old_file_scores_and_sees_no_deal(place: Place) -> None:
    """Format 1 knew no rights: what is not given is not there."""
    path = keys_file(place.service.office.config)
    before = path.read_text()
    headers = place.key(EVERYTHING)
    told = json.loads(path.read_text())
    keys = [{name: value for name, value in key.items() if name not in RIGHTS} for key in told["keys"]]
    path.write_text(json.dumps({"format": 1, "keys": keys}))
    try:
        said = {route: place.ask(route, headers, place.of(TEAM, True)[0]).status_code for route in ROUTES}
    finally:
        path.write_text(before)
    allowed = {route for route, row in ROUTES.items() if row.scope in (None, Scope.SCORE, Scope.STATUS)}
    assert said == {route: row.status if route in allowed else 403 for route, row in ROUTES.items()}


def test_an_event_makes_no_deal_visible_before_a_refresh_says_whose_it_is(place: Place) -> None:
    running = place.service
    assert running.push({"event_id": "n-1", "deal_id": "N1", "deal": BORN}).json()["results"][0]["status"] == "stored"
    route = ("GET", "/v1/deals/{deal_id}/score")
    teams = frozenset(str(team) for team in place.teams.values())
    assert place.ask(route, place.key(Rights(frozenset({Scope.READ}), teams)), "N1").status_code == 404
    assert place.ask(route, place.key(EVERYTHING), "N1").status_code == 200
