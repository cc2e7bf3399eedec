"""`forecastle refresh` of a config of leads: every lead accounted for, the store replaced as a whole or left alone."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from configs.errors import UsageError
from forecastle import app
from serving.fits import load_fitting
from serving.lead_refresh import refresh_leads
from serving.leads import score_leads
from serving.refresh import sourced
from serving.store import leads as stored
from serving.store.engine import open_store
from serving.store.leads import KEPT, last_refresh, stored_leads, write_leads
from serving.store.tables import LEAD_REFRESHES, LEAD_SCORES
from tests.lead_office import LeadOffice, lead_office
from tests.stored import DAY, URL_ENV, database


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> LeadOffice:
    """Leads with a live model; made once a session, shared with tests/pages."""
    return lead_office(tmp_path_factory.getbasetemp() / "leads")


@pytest.fixture
def leads(trained: LeadOffice, tmp_path: Path) -> LeadOffice:
    """The same with an empty store in SQLite."""
    return trained.beside(tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, trained: LeadOffice, tmp_path: Path) -> Iterator[LeadOffice]:
    """The same in SQLite and in PostgreSQL."""
    if request.param == "sqlite":
        yield trained.beside(tmp_path)
        return
    with database(request.getfixturevalue("cluster")) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv(URL_ENV, url)
        at = trained.config.serving.store.model_copy(update={"url_env": URL_ENV})
        yield trained.beside(tmp_path, store=at)


def held(leads: LeadOffice) -> tuple[list[Any], list[Any]]:
    """Everything that the store holds of leads."""
    store = open_store(leads.config)
    try:
        with store.engine.begin() as connection:
            scores = connection.execute(select(LEAD_SCORES).order_by(LEAD_SCORES.c.lead_id)).all()
            told = connection.execute(select(LEAD_REFRESHES).order_by(LEAD_REFRESHES.c.as_of)).all()
            return [tuple(row) for row in scores], [tuple(row) for row in told]
    finally:
        store.close()


def rows_of(leads: LeadOffice, name: str) -> list[dict[str, str]]:
    with (leads.folder / "export" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_lead_is_accounted_for(either: LeadOffice) -> None:
    done = either.refresh()
    scores, told = held(either)
    source = rows_of(either, "leads.csv")
    gone = {row["lead_id"] for row in source if row["opted_out"] == "True"}
    assert done.scored + done.closed + done.not_known + done.opted_out == len(source)
    assert (done.scored, done.opted_out) == (len(scores), len(gone))
    assert min(done.closed, done.not_known, done.opted_out, done.queued) > 0
    assert gone.isdisjoint(row[0] for row in scores)
    ended = {row["lead_id"] for row in rows_of(either, "lead_history.csv")
             if row["event"] in ("converted", "disqualified") and row["known_at"] < "2024-05-27T00:00:00Z"}  # fmt: skip
    assert ended.isdisjoint(row[0] for row in scores)
    assert json.loads(told[0][2])["counts"] == done.told()


def test_rows_are_those_of_score_leads(either: LeadOffice) -> None:
    either.refresh()
    bundle = load_fitting(either.config)
    wanted = {
        row.lead_id: row for row in score_leads(either.config, bundle, sourced(either.config, bundle), either.as_of)
    }
    store = open_store(either.config)
    try:
        with store.engine.begin() as connection:
            found = stored_leads(connection)
            reasons = stored.reasons_of(connection, [lead.lead_id for lead in found])
    finally:
        store.close()
    assert [lead.lead_id for lead in found] == sorted(wanted)
    source = {row["lead_id"]: row for row in rows_of(either, "leads.csv")}
    for lead in found:
        row = wanted[lead.lead_id]
        assert (lead.p_convert.hex(), lead.grade, lead.queue_rank, lead.queue_why) == (
            row.p_convert.hex(), row.grade, row.queue_rank, row.queue_why,
        )  # fmt: skip
        assert [one["sentence"] for one in reasons[lead.lead_id]] == [one.sentence for one in row.reasons]
        assert lead.source == source[lead.lead_id]["source"]


def test_the_last_act_is_one_that_was_known(leads: LeadOffice) -> None:
    leads.refresh()
    acts: dict[str, str] = {}
    for row in rows_of(leads, "lead_activities.csv"):
        if row["occurred_at"] < "2024-05-27T00:00:00Z" and row["outcome"] != "no_answer":
            acts[row["lead_id"]] = max(acts.get(row["lead_id"], ""), row["occurred_at"])
    stored_acts = dict(leads.asked("SELECT lead_id, strftime('%Y-%m-%dT%H:%M:%SZ', last_act_at / 1000000, 'unixepoch') "
                                   "FROM lead_scores"))  # fmt: skip
    assert stored_acts == {lead: acts.get(lead) for lead in stored_acts}
    assert any(stored_acts.values())


def test_done_twice_it_is_as_done_once(either: LeadOffice) -> None:
    either.refresh()
    first = held(either)
    either.refresh()
    assert held(either) == first


def test_a_later_refresh_replaces_all_and_an_earlier_one_is_refused(leads: LeadOffice) -> None:
    early = leads.refresh(leads.as_of - 7 * DAY)
    leads.refresh()
    scores, told = held(leads)
    assert {row[1] for row in scores} == {leads.as_of}
    assert [row[0] for row in told] == [early.as_of, leads.as_of]
    with pytest.raises(UsageError, match="before the leads that are stored"):
        leads.refresh(leads.as_of - DAY)
    assert held(leads) == (scores, told)


def test_a_write_that_fails_leaves_the_store_as_it_was(either: LeadOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    either.refresh()
    before = held(either)

    def broken(*_: object) -> None:
        raise RuntimeError("half way")

    with monkeypatch.context() as patch:
        patch.setattr(stored, "upsert", broken)
        with pytest.raises(RuntimeError, match="half way"):
            either.refresh(either.as_of + DAY)
    assert held(either) == before


def test_the_oldest_accounts_go(leads: LeadOffice) -> None:
    store = open_store(leads.config)
    try:
        for as_of in range(KEPT + 3):
            row = {"as_of": as_of, "ran_at": 7, "body": json.dumps({"of": as_of})}
            store.writer.submit(lambda c, row=row: write_leads(c, [], row)).result()
        with store.engine.begin() as connection:
            kept = list(connection.execute(select(LEAD_REFRESHES.c.as_of).order_by(LEAD_REFRESHES.c.as_of)).scalars())
            newest = last_refresh(connection)
    finally:
        store.close()
    assert kept == list(range(3, KEPT + 3))
    assert newest is not None
    assert newest.told == {"of": KEPT + 2}


def test_an_as_of_that_the_model_has_seen_past_is_refused(leads: LeadOffice) -> None:
    with pytest.raises(UsageError):
        refresh_leads(leads.config, leads.as_of - 60 * DAY, leads.as_of, lambda _: None)


def test_the_command_tells_the_counts(leads: LeadOffice) -> None:
    state = f"state_dir={leads.config.state_dir}"
    done = CliRunner().invoke(app, ["refresh", str(leads.path), "--as-of", "2024-05-27", "--set", state, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["scored"] == leads.asked("SELECT count(*) FROM lead_scores")[0][0] > 0
    assert "leads scored" in done.stderr
