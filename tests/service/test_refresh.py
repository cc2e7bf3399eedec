"""`forecastle refresh`, and the routes that read what it stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text
from typer.testing import CliRunner

from configs.errors import DataError, InSampleError, UsageError
from forecastle import app
from serving.answers import iso
from serving.batch import budgeted, score_open
from serving.entries import ahead_json
from serving.fits import load_fitting
from serving.principal import Principal
from serving.refresh import sourced
from serving.store.deal_list import Query
from serving.store.repository import Repository
from serving.store.tables import FORECASTS, LEDGER, OUTCOMES, SCORE_FLAGS, SCORES, TOMBSTONES
from tests.served import World
from tests.service.test_events import told
from tests.stored import DAY, Office, Service, office_in, service

pytestmark = pytest.mark.timeout(120)
HOUR = DAY // 24


def of(office: Office, table: Any) -> list[Any]:
    with office.store() as store, store.engine.begin() as connection:
        return list(connection.execute(select(table)).all())


def counts(done: Any) -> tuple[int, ...]:
    return (done.scored, done.unchanged, done.closed, done.tombstoned, done.not_known, done.refused)


def is_open(few: list[str]) -> list[str]:
    return few[: len(few) // 2]


def test_every_deal_is_counted_and_what_is_stored_is_the_batchs(either: Office, few: list[str]) -> None:
    done = either.refresh()
    assert sum(counts(done)) == len(few)
    assert (done.scored, done.unchanged, done.refused) == (len(is_open(few)), 0, 0)
    bundle = load_fitting(either.config)
    seen, limits = sourced(either.config, bundle), either.config.flags
    scores, _ = budgeted(seen.record, bundle, score_open(seen, bundle, either.now, limits), either.now, limits)
    stored = {row.deal_id: row for row in of(either, SCORES)}
    assert sorted(stored) == sorted(one.deal_id for one in scores)
    shown = {(row.deal_id, row.code) for row in of(either, SCORE_FLAGS)}
    assert shown == {(one.deal_id, flag.code) for one in scores for flag in one.flags or ()}
    for one in scores:
        answer = json.loads(stored[one.deal_id].answer)
        assert stored[one.deal_id].p == answer["p_won_in_period"] == one.p
        assert answer["log_odds"] == one.log_odds
        assert {name: answer[name] for name in ahead_json(one.ahead)} == ahead_json(one.ahead)
        assert [reason["log_odds"] for reason in answer["reasons"]] == [reason.log_odds for reason in one.reasons]
    assert {row.deal_id: row.p for row in of(either, LEDGER)} == {one.deal_id: one.p for one in scores}
    assert {row.principal for row in of(either, LEDGER)} == {"refresh"}
    forecast = of(either, FORECASTS)
    assert len(forecast) == done.forecast > 0
    assert {row.level for row in forecast} == {"company", "team", "rep"}


def test_only_what_changed_or_is_of_another_day_is_scored(either: Office, few: list[str]) -> None:
    first = either.refresh()
    assert counts(either.refresh())[:2] == (0, first.scored)
    either.now += HOUR
    name = is_open(few)[0]
    row = {"deal_id": name, "kind": "email", "direction": "inbound", "occurred_at": "2025-05-05T00:30:00Z"}
    either.rewrite("activities.csv", lambda rows: [*rows, row])
    done = either.refresh()
    assert counts(done)[:2] == (1, first.scored - 1)
    assert {row.deal_id for row in of(either, SCORES) if row.as_of == either.now} == {name}
    with service(either) as served:
        event = {
            "event_id": "e1",
            "deal_id": is_open(few)[1],
            "activity": {"occurred_at": iso(either.now - 5), "kind": "call"},
        }
        assert served.push(event).json()["results"][0]["ok"]
    either.now += HOUR
    assert counts(either.refresh())[:2] == (1, first.scored - 1)
    assert counts(either.refresh())[:2] == (0, first.scored)
    either.now += DAY
    assert either.refresh().unchanged == 0


def test_what_was_pushed_and_is_in_the_next_export_counts_once(office: Office, few: list[str]) -> None:
    """The CRM tells the same row by an event and by the export; the words of either do."""
    name = is_open(few)[0]
    office.refresh()
    act = {"kind": "email", "direction": "inbound", "occurred_at": "2025-05-04T22:00:00Z"}
    with service(office) as served:
        event = {"event_id": "e1", "deal_id": name, "activity": act | {"kind": "Email"}}
        assert served.push(event).json()["results"][0]["ok"]
        pushed = served.score(name).json()["result"]
    office.rewrite("activities.csv", lambda rows: [*rows, {"deal_id": name} | act])
    office.refresh()
    with service(office) as served:
        assert served.score(name).json()["result"] == pushed
        assert served.push(event | {"event_id": "e2"}).json()["results"][0]["ok"]  # a second mail at that instant
        twice = served.score(name).json()["result"]
    office.rewrite("activities.csv", lambda rows: [*rows, {"deal_id": name} | act])
    office.refresh()
    with service(office) as served:
        assert served.score(name).json()["result"] == twice


def test_deleted_merged_and_vanished_deals_become_tombstones(either: Office, few: list[str]) -> None:
    deleted, merged, vanished = is_open(few)[:3]
    first = either.refresh()
    assert (len(of(either, TOMBSTONES)), len(of(either, SCORES))) == (0, first.scored)
    before = either.now
    either.now += HOUR

    def ended(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        last = {row["deal_id"]: row for row in rows}
        ends = {deleted: {"is_deleted": "true"}, merged: {"merged_into": few[5]}}
        new = [last[name] | {"known_at": iso(before + 1), "seq": "0"} | end for name, end in ends.items()]
        return [row for row in [*rows, *new] if row["deal_id"] != vanished]

    either.rewrite("deal_history.csv", ended)
    for name in ("deals.csv", "activities.csv", "contacts.csv"):
        either.rewrite(name, lambda rows: [row for row in rows if row["deal_id"] != vanished])
    done = either.refresh()
    assert (done.tombstoned, done.unchanged, done.scored) == (3, first.scored - 3, 0)
    assert {row.deal_id: row.kind for row in of(either, TOMBSTONES)} == {
        deleted: "deleted",
        merged: "merged",
        vanished: "vanished",
    }
    assert len(of(either, SCORES)) == first.scored - 3
    either.now += 1
    with service(either) as served:
        for name in (deleted, merged, vanished):
            got = served.score(name)
            assert (got.status_code, got.json()["code"]) == (410, "deal_gone")
            assert served.score(name, iso(before)).status_code == 200  # it was there then
    assert counts(either.refresh())[3] == 3
    either.rewrite("deals.csv", lambda rows: [*rows, {"deal_id": vanished, "created_at": "2025-04-01T00:00:00Z"}])
    assert either.refresh().tombstoned == 2  # it is back
    assert vanished not in {row.deal_id for row in of(either, TOMBSTONES)}


def test_a_source_that_lost_most_of_its_deals_is_refused(office: Office, few: list[str]) -> None:
    office.refresh()
    before = [tuple(row) for row in of(office, SCORES)]
    for name in ("deals.csv", "deal_history.csv", "activities.csv", "contacts.csv"):
        office.rewrite(name, lambda rows: [row for row in rows if row["deal_id"] == few[0]])
    with pytest.raises(DataError, match="not in it any more"):
        office.refresh()
    assert [tuple(row) for row in of(office, SCORES)] == before
    assert office.refresh(gone=True).tombstoned == len(few) - 1


def test_what_cannot_be_asked_for(office: Office) -> None:
    with pytest.raises(InSampleError):
        office.refresh(office.world.bundle.about.trained_as_of - 1)
    office.refresh()
    with pytest.raises(UsageError, match="before the scores that are stored"):
        office.refresh(office.now - 1)


def test_outcomes_are_the_closes_of_the_record(office: Office, few: list[str]) -> None:
    office.refresh()
    with office.store() as store, store.engine.begin() as connection:
        found = connection.execute(select(func.count(), OUTCOMES.c.outcome).group_by(OUTCOMES.c.outcome)).all()
    rows: list[dict[str, str]] = []
    office.rewrite("deal_history.csv", lambda listed: rows.extend(listed) or listed)
    expected = {word: sum(row["stage"] == f"Closed {word.title()}" for row in rows) for word in ("won", "lost")}
    assert {word: count for count, word in found} == {word: count for word, count in expected.items() if count}


def test_a_deal_that_only_events_tell_of_is_scored_too(office: Office) -> None:
    with service(office) as served:
        served.push(*told())
    done = office.refresh()
    office_scores = {row.deal_id: row for row in of(office, SCORES)}
    assert len(office_scores) == done.scored
    with service(office) as served:
        got = served.score("N1").json()["result"]
        assert {name: value for name, value in got.items() if name != "deal_id"} == json.loads(
            office_scores["N1"].answer
        )
        listed = served.get("/v1/deals", limit=1000).json()["deals"]
        assert (listed[-1]["deal_id"], listed[-1]["owner_id"], listed[-1]["team"]) == ("N1", "U0001", "Team 1")


def pages(served: Service, **query: Any) -> list[list[dict[str, Any]]]:
    """Every page of a list."""
    found: list[list[dict[str, Any]]] = []
    cursor: dict[str, str] = {}
    while True:
        got = served.get("/v1/deals", **query, **cursor).json()
        found.append(got["deals"])
        if got["next_cursor"] is None:
            return found
        cursor = {"cursor": got["next_cursor"]}


@pytest.fixture(scope="module")
def running(world: World, export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service over a refreshed store, to be read only."""
    office = office_in(world, tmp_path_factory.mktemp("running"), export)
    office.refresh()
    with service(office) as served:
        yield served


@pytest.mark.parametrize("sort", ["deal_id", "-deal_id", "p", "-p", "amount_expected", "-amount_expected"])
@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_pages_hold_every_deal_once_in_order(running: Service, few: list[str], sort: str, limit: int) -> None:
    got = pages(running, sort=sort, limit=limit)
    assert all(len(page) == limit for page in got[:-1])
    rows = [row for page in got for row in page]
    assert sorted(row["deal_id"] for row in rows) == sorted(is_open(few))
    name = {"p": "p_won_in_period"}.get(sort.removeprefix("-"), sort.removeprefix("-"))
    keys = [(row[name], row["deal_id"]) for row in rows]
    assert keys == sorted(keys, reverse=sort.startswith("-"))


def test_a_list_by_flag_and_team(running: Service) -> None:
    every = running.get("/v1/deals", limit=1000).json()["deals"]
    codes = {flag["code"] for row in every for flag in row["flags"]}
    assert codes
    for code in codes:
        listed = running.get("/v1/deals", flag=code).json()["deals"]
        assert [row["deal_id"] for row in listed] == [
            row["deal_id"] for row in every if code in {flag["code"] for flag in row["flags"]}
        ]
    for team in {row["team"] for row in every}:
        listed = running.get("/v1/deals", team=team, limit=1000).json()["deals"]
        assert listed == [row for row in every if row["team"] == team] != []
    assert running.get("/v1/deals", team="nobody's").json()["deals"] == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"sort": "name"}, "/sort"),
        ({"flag": "x'--"}, "/flag"),
        ({"limit": "0"}, "/limit"),
        ({"limit": "1001"}, "/limit"),
        ({"cursor": "bm9uc2Vuc2U"}, "/cursor"),
        ({"cursor": "é"}, "/cursor"),
        ({"team": "\x00"}, "/team"),
        ({"sort": ["p", "-p"]}, "/sort"),
        ({"page": "2"}, ""),
    ],
)
def test_a_list_that_cannot_be_asked_for(running: Service, query: dict[str, Any], pointer: str) -> None:
    got = running.get("/v1/deals", **query)
    assert (got.status_code, got.json()["code"]) == (422, "invalid_request")
    assert [error["pointer"] for error in got.json()["errors"]] == [pointer]


def test_a_cursor_is_of_its_own_question(running: Service) -> None:
    cursor = running.get("/v1/deals", sort="p", limit=1).json()["next_cursor"]
    assert running.get("/v1/deals", sort="p", limit=2, cursor=cursor).status_code == 200
    assert running.get("/v1/deals", sort="-p", limit=1, cursor=cursor).status_code == 422


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({}, 422, "invalid_request"),
        ({"as_of": "soon"}, 422, "invalid_request"),
        ({"as_of": "2025-01-01T00:00:00Z"}, 422, "in_sample"),
        ({"as_of": "now", "explain": "maybe"}, 422, "invalid_request"),
        ({"as_of": "now", "x": "1"}, 422, "invalid_request"),
    ],
)
def test_a_score_that_cannot_be_asked_for(
    running: Service, few: list[str], query: dict[str, str], status: int, code: str
) -> None:
    got = running.get(f"/v1/deals/{few[0]}/score", **query)
    assert (got.status_code, got.json()["code"]) == (status, code)


def test_scores_of_stored_deals(running: Service, few: list[str]) -> None:
    plain, full = running.score(few[0], explain="false").json(), running.score(few[0]).json()
    assert "reasons" not in plain["result"]
    assert plain["result"] == {name: value for name, value in full["result"].items() if name != "reasons"}
    got = running.score("nobody")
    assert (got.status_code, got.json()["code"]) == (404, "unknown_deal")
    assert running.score(few[0], "2025-03-31T00:00:00Z", in_sample="true").status_code in (200, 404)
    for path in ("/v1/deals", f"/v1/deals/{few[0]}/score?as_of=now"):
        assert running.client.get(path).status_code == 401


@pytest.mark.parametrize(
    "teams", [frozenset(), frozenset({"Team 1"}), frozenset({"Team 1", "Team 2"}), frozenset({"x"})]
)
def test_a_principal_sees_the_deals_of_its_teams_alone(either: Office, teams: frozenset[str]) -> None:
    """Deny by default; a deal of another team is as if it were not there."""
    either.refresh()
    query = Query(None, None, "deal_id", False, None, 1000)
    with either.store() as store:
        repository = Repository(store)
        every = repository.scores(Principal("k", None), query)
        mine = {one.deal_id for one in every if one.team in teams}
        assert {one.deal_id for one in repository.scores(Principal("k", teams), query)} == mine
        assert {one.deal_id for one in every if repository.deal(Principal("k", teams), one.deal_id)} == mine
    assert Principal("k").teams == frozenset()


def test_the_commands_tell_what_they_did(office: Office, few: list[str]) -> None:
    """`refresh` and `replay` as a user runs them; a changed ledger is exit code 1."""
    said = [f"state_dir={office.config.state_dir}", f"source.path={office.export}"]
    sets = [word for each in (*office.world.overrides, *said) for word in ("--set", each)]

    def run(*words: str) -> Any:
        return CliRunner().invoke(app, [words[0], str(office.world.config_path), *words[1:], *sets, "--json"])

    refreshed = run("refresh", "--as-of", "2025-05-05")
    assert refreshed.exit_code == 0, refreshed.output
    told = json.loads(refreshed.stdout.splitlines()[-1])
    assert (told["scored"], told["as_of"]) == (len(is_open(few)), "2025-05-05T04:00:00Z")
    replayed = run("replay", "--deal", few[0])
    assert json.loads(replayed.stdout.splitlines()[-1])["agree"] == 1
    with office.store() as store, store.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER ledger_no_update"))
        connection.execute(text("UPDATE ledger SET p = 0.5"))
    assert run("replay").exit_code == 1
    assert "not what their models give" in run("replay").output


def test_the_list_tells_how_deals_stand_and_sorts_by_it(either: Office, few: list[str]) -> None:
    """Read off the record as of the refresh; the change is against the score of a week before."""
    either.refresh()
    before = {row.deal_id: row.p for row in of(either, SCORES)}
    name = is_open(few)[0]
    either.now += 7 * DAY
    meeting = {"deal_id": name, "kind": "meeting", "outcome": "planned", "known_at": iso(either.now - HOUR)}
    either.rewrite("activities.csv", lambda rows: [*rows, meeting | {"occurred_at": iso(either.now + 3 * DAY)}])
    either.refresh()
    with service(either) as served:
        listed = {row["deal_id"]: row for row in served.get("/v1/deals", limit=1000).json()["deals"]}
        assert listed[name]["deal"]["next_meeting_at"] == iso(either.now + 3 * DAY)
        for deal, row in listed.items():
            was = before.get(deal)
            assert row["change"] == (None if was is None else row["p_won_in_period"] - was)
            assert row["deal"]["stage"] in either.world.bundle.about.stages.order
        for sort in ("amount", "close_date", "change", "stage_since", "pushes"):
            for sign in ("", "-"):
                whole = [row for page in pages(served, sort=sign + sort, limit=5) for row in page]
                assert sorted(row["deal_id"] for row in whole) == sorted(listed)
                least: Any = "" if sort in ("close_date", "stage_since") else 0.0 if sort == "change" else -1
                values = [(row if sort == "change" else row["deal"])[sort] or least for row in whole]
                assert values == sorted(values, reverse=sign == "-")
        owner = listed[name]["owner_id"]
        own = served.get("/v1/deals", owner=owner, limit=1000).json()["deals"]
        assert {row["deal_id"] for row in own} == {deal for deal, row in listed.items() if row["owner_id"] == owner}
        due = served.get("/v1/deals", due="2025-06-30", limit=1000).json()["deals"]
        assert {row["deal_id"] for row in due} == {
            deal for deal, row in listed.items() if (row["deal"]["close_date"] or "z") <= "2025-06-30"
        }
