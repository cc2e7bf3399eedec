"""The data page: every row kept or refused by reason, how fresh it is, the model's card, and whole counts for few."""

from __future__ import annotations

import html
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.store import PUBLISHED
from serving.papers import CARD
from serving.principal import Rights, Scope
from serving.store.engine import FILE
from tests.paged import Visitor, key_for, visitor
from tests.served import World
from tests.stored import DAY, Office, cut_export, few_deals, office_in, service

TEAM = frozenset({"Team 1"})
BAD = {"deal_id": "D-unheard-of", "occurred_at": "2025-04-01T10:00:00Z", "kind": "email", "direction": "inbound"}


def plain(page: str) -> str:
    """The words of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


@pytest.fixture(scope="module")
def mixed(world: World, tmp_path_factory: pytest.TempPathFactory) -> Office:
    """An office whose export has rows that must be refused, and whose CRM has pushed an event since."""
    folder = tmp_path_factory.mktemp("mixed")
    made = office_in(world, folder, cut_export(world, folder / "export", few_deals(world, 6)))
    made.rewrite(
        "activities.csv", lambda rows: [*rows, dict.fromkeys(rows[0], "") | BAD, dict.fromkeys(rows[0], "") | BAD]
    )
    made.refresh()
    change = {"stage": "Qualify", "known_at": "2025-05-04T10:00:00Z", "owner_id": "U0009"}
    with service(made) as served:
        born = {"created_at": "2025-05-04T10:00:00Z"}
        told = served.push(
            {"event_id": "1", "deal_id": "N1", "deal": born}, {"event_id": "2", "deal_id": "N1", "change": change}
        )
        assert [one["ok"] for one in told.json()["results"]] == [True, True]
    return made


@pytest.fixture
def whole(mixed: Office) -> Iterator[Visitor]:
    """Somebody who sees every team."""
    with visitor(mixed) as somebody:
        somebody.log_in(key_for(mixed, f"whole {id(somebody)}", Rights(frozenset({Scope.READ}), None)))
        yield somebody


def lines(office: Office, name: str) -> int:
    """Rows of a file of the export."""
    return len((office.export / name).read_text().splitlines()) - 1


def test_every_row_is_kept_or_refused_by_reason(whole: Visitor, mixed: Office) -> None:
    page = whole.get("/data").text
    words = plain(page)
    total = sum(lines(mixed, path.name) for path in mixed.export.glob("*.csv"))
    assert f"{total:,} in, {total - 2:,} kept, 2 refused" in words
    acts = lines(mixed, "activities.csv")
    assert f"activities activities.csv {acts:,} {acts - 2:,} 2" in words
    refused = words[words.index("What was refused, and why") : words.index("What was noticed")]
    assert re.search(r"2 of activities: \w+", refused), refused
    assert f"activities.csv:{acts}" in refused or "activities.csv" in refused, "where"


def test_last_facts_are_those_known_before_the_as_of(whole: Visitor, mixed: Office) -> None:
    """The export tells of days that are still to come."""
    with sqlite3.connect(mixed.config.state_dir / "serving" / FILE) as store:
        as_of, body = store.execute("SELECT as_of, body FROM refreshes").fetchone()
    facts = {one["table"]: one for one in json.loads(body)["facts"]}
    seen = mixed.world.seen.tables.calls.ints("submitted_at").tolist()
    assert facts["calls"]["later"] == sum(at >= as_of for at in seen) > 0
    assert facts["calls"]["last_fact"] == max(at for at in seen if at < as_of)
    assert facts["calls"]["rows"] == len(seen)
    words = plain(whole.get("/data").text)
    assert f"calls {len(seen):,} Apr 28, 2025, " in words
    assert f"AM {facts['calls']['later']:,}" in words.replace("\u202f", " ")


def test_it_says_how_fresh_everything_is(whole: Visitor, mixed: Office) -> None:
    words = plain(whole.get("/data").text)
    assert "2 events" in words
    assert "Events of the CRM 2" in words
    assert "Last thing that the CRM told May" in words
    with sqlite3.connect(mixed.config.state_dir / "serving" / FILE) as store:
        ledger = store.execute("SELECT count(*) FROM ledger").fetchone()[0]
        scores = store.execute("SELECT count(*) FROM scores").fetchone()[0]
    assert ledger == scores > 0
    assert f"Scores in the ledger {ledger:,}, May 5, 2025" in words
    assert f"of these open with a score: {scores:,}" in words
    assert "is the export still made" not in words
    mixed.now += 9 * DAY
    try:
        with visitor(mixed) as later:
            later.log_in(key_for(mixed, "nine days later", Rights(frozenset({Scope.READ}), None)))
            assert "is the export still made, and does the refresh run?" in plain(later.get("/data").text)
    finally:
        mixed.now -= 9 * DAY


def test_a_config_that_changed_is_told(whole: Visitor, mixed: Office) -> None:
    assert "as when the model was trained" in plain(whole.get("/data").text)
    path = mixed.config.state_dir / "serving" / FILE
    with sqlite3.connect(path) as store:
        (body,) = store.execute("SELECT body FROM refreshes").fetchone()
        store.execute("UPDATE refreshes SET body = ?", [json.dumps(json.loads(body) | {"config_sha256": "f" * 64})])
    try:
        assert "changed since the model was trained" in plain(whole.get("/data").text)
    finally:
        with sqlite3.connect(path) as store:
            store.execute("UPDATE refreshes SET body = ?", [body])


@pytest.mark.parametrize("scopes", [{Scope.READ}, {Scope.READ, Scope.STATUS}])
def test_a_team_sees_no_counts(mixed: Office, scopes: set[Scope]) -> None:
    with visitor(mixed) as somebody:
        somebody.log_in(key_for(mixed, f"team {scopes}", Rights(frozenset(scopes), TEAM)))
        page = somebody.get("/data").text
    words = plain(page)
    assert "Counts of what was read and refused are of the whole company" in words
    for told in ("What was read", "What was refused", "What is kept", "The last refreshes", "activities.csv", "events"):
        assert told not in words, told
    assert mixed.world.bundle.version in words
    assert ("A key with the scope status" in words) == (Scope.STATUS not in scopes)


def card_for(sha: str) -> dict[str, object]:
    """A card as training writes it."""
    gate = {"gate": "beats the table", "value": 0.01, "threshold": 0.0, "passed": True, "rule": "above", "note": "n"}
    test = {"model": "close", "deals": 1234, "log_loss": 0.31, "auc": 0.8, "close_gains": None, "reference": False}
    return {
        "model": {"bundle_sha256": sha},
        "intended_use": {
            "predicts": "wins",
            "for": "order",
            "not_for": ["judging people"],
            "fairness": "f",
            "contact": "",
        },
        "data": {"rows": 10, "deals": 5},
        "rung": {"name": "ridge", "is": "a line", "doubt": "wide", "level": ""},
        "leak_audit": {"says": "clean"},
        "limits": ["little data"],
        "notes": [],
        "metrics": [test, test | {"model": "table", "close_gains": {"value": 0.02, "low": 0.01, "high": 0.03}}],
        "gates": [gate, gate | {"passed": False}],
        "fingerprints": {"config.sha256": "abc"},
    }


def test_the_models_card(whole: Visitor, mixed: Office, tmp_path: Path) -> None:
    sha = mixed.world.bundle.sha
    assert "No card was published" in plain(whole.get("/data").text)
    path = mixed.config.state_dir / PUBLISHED / f"{sha}{CARD}"
    try:
        path.write_text(json.dumps(card_for(sha)))
        words = plain(whole.get("/data").text)
        for told in (
            "judging people",
            "little data",
            "1,234",
            "+0.0200 (+0.0100 to +0.0300)",
            "1 passed, 1 failed",
            "abc",
        ):
            assert told in words, told
        path.write_text(json.dumps({"model": {"bundle_sha256": sha}, "metrics": "odd"}))
        assert "No card was published" in plain(whole.get("/data").text)
    finally:
        path.unlink()


def test_before_the_first_refresh_it_says_what_to_do(world: World, office: Office, tmp_path: Path) -> None:
    empty = office_in(world, tmp_path, office.export)
    with visitor(empty, ready=False) as somebody:
        somebody.log_in(key_for(empty, "first"))
        words = plain(somebody.get("/data").text)
        assert "no refresh has read the CRM: forecastle refresh CONFIG" in words
        assert "none is live yet: forecastle train , then forecastle promote" in words
