"""The list of deals, its file and the page of one deal, without a browser: what they say, and to whom."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.flags import FLAGS
from serving.pages.deals import AT_ONCE
from serving.pages.flags import AT_RISK, NAMES
from serving.pages.question import VIEWS
from serving.principal import Rights, Scope
from serving.store.deal_list import SORTS
from serving.store.engine import FILE
from serving.store.repository import Repository
from tests.paged import Visitor, form_token, key_for, visitor
from tests.stored import Office, office_in

READS = frozenset({Scope.READ})


def asked(office: Office, sql: str, *values: Any) -> list[Any]:
    with sqlite3.connect(office.config.state_dir / "serving" / FILE) as store:
        return store.execute(sql, values).fetchall()


def shown(page: str) -> list[str]:
    """The ids of the deals of a page of the list, in its order."""
    return [html.unescape(found) for found in re.findall(r'href="/deals/([^"?]+)"', page)]


def every_page(somebody: Visitor, path: str) -> list[str]:
    """The ids of all pages, from the first on."""
    found: list[str] = []
    while path:
        page = somebody.get(path).text
        found += shown(page)
        later = re.search(r'rel="next" href="([^"]+)"', page)
        path = html.unescape(later[1]) if later else ""
    return found


@pytest.mark.parametrize("sort", [sign + name for name in SORTS for sign in ("", "-")])
def test_pages_add_up_to_all_deals_in_their_order(manager: Visitor, office: Office, sort: str) -> None:
    found = every_page(manager, f"/deals?sort={sort}")
    rows = {deal: row for deal, *row in asked(office, "SELECT deal_id, p, amount_cents, close_date FROM scores")}
    assert sorted(found) == sorted(rows)
    assert len(found) > AT_ONCE, "one page would prove nothing"
    place = {"p": 0, "amount": 1, "close_date": 2}.get(sort.removeprefix("-"))
    if place is not None:
        values = [rows[deal][place] for deal in found if rows[deal][place] is not None]
        assert values == sorted(values, reverse=sort.startswith("-"))


def test_filters_hold_for_every_deal_that_is_shown(manager: Visitor, office: Office) -> None:
    stage, team, owner = asked(office, "SELECT stage, team, owner_id FROM scores ORDER BY deal_id LIMIT 1")[0]
    wanted = asked(
        office, "SELECT deal_id FROM scores WHERE stage = ? AND team = ? AND owner_id = ?", stage, team, owner
    )
    found = every_page(manager, f"/deals?stage={stage}&team={team}&owner={owner}")
    assert sorted(found) == sorted(deal for (deal,) in wanted)


@pytest.mark.parametrize("part", ["id", "name", "account_name"])
def test_text_finds_ids_names_and_accounts_in_either_case(manager: Visitor, office: Office, part: str) -> None:
    column = "deal_id" if part == "id" else part
    sql = f"SELECT {column} FROM deals JOIN scores USING (deal_id) WHERE {column} IS NOT NULL ORDER BY deal_id LIMIT 1"
    text = asked(office, sql)[0][0]
    like = f"%{text}%"
    wanted = asked(
        office,
        "SELECT deal_id FROM scores JOIN deals USING (deal_id) "
        "WHERE deal_id LIKE ?1 OR name LIKE ?1 OR account_name LIKE ?1",
        like,
    )
    assert sorted(every_page(manager, f"/deals?q={text.upper()}")) == sorted(deal for (deal,) in wanted)


def test_a_percent_sign_is_no_wildcard(manager: Visitor) -> None:
    assert every_page(manager, "/deals?q=%25") == []


def test_views_hold_what_they_say(manager: Visitor, office: Office) -> None:
    marks = ",".join("?" * len(AT_RISK))
    risky = asked(office, f"SELECT DISTINCT deal_id FROM score_flags WHERE code IN ({marks})", *AT_RISK)
    assert sorted(every_page(manager, "/deals?view=at_risk")) == sorted(deal for (deal,) in risky)
    closing = asked(office, "SELECT deal_id FROM scores WHERE close_date <= '2025-06-30'")
    assert sorted(every_page(manager, "/deals?view=closing")) == sorted(deal for (deal,) in closing)
    assert {view.key for view in VIEWS} == {"", "at_risk", "closing", "quiet_commit", "closer"}


def test_every_flag_has_a_name() -> None:
    assert set(NAMES) == set(FLAGS)
    assert set(AT_RISK) <= set(FLAGS)


@pytest.mark.parametrize(
    "odd", ["sort=nonsense", "view=gone", "after=%00", "after=W10", "after=bm8", "flag=%FF", "owner="]
)
def test_an_odd_address_shows_the_list(manager: Visitor, odd: str) -> None:
    assert manager.get(f"/deals?{odd}").status_code == 200


def test_a_cursor_of_another_question_leads_to_the_first_page(manager: Visitor) -> None:
    later = html.unescape(re.findall(r'rel="next" href="([^"]+)"', manager.get("/deals?sort=p").text)[0])
    moved = manager.get(later.replace("sort=p", "sort=-p"))
    assert shown(moved.text) == shown(manager.get("/deals?sort=-p").text)


def test_money_and_days_are_written_as_the_reader_does(manager: Visitor, office: Office) -> None:
    cents = asked(office, "SELECT max(amount_cents) FROM scores")[0][0]
    whole = f"{round(cents / 100):,}"
    assert whole in manager.get("/deals", **{"Accept-Language": "en-GB"}).text
    german = manager.get("/deals", **{"Accept-Language": "de-DE,de;q=0.9,en;q=0.5"}).text
    assert whole.replace(",", ".") in german
    assert "30.06.2025" in german


class TestFile:
    """The same as CSV."""

    def rows(self, somebody: Visitor, path: str = "/deals.csv") -> tuple[dict[str, str], list[dict[str, str]]]:
        answer = somebody.get(path)
        assert answer.headers["content-disposition"] == 'attachment; filename="deals.csv"'
        lines = list(csv.reader(io.StringIO(answer.text)))
        gap = lines.index([])
        told = {line[0]: line[1] for line in lines[:gap]}
        return told, [dict(zip(lines[gap + 1], line, strict=True)) for line in lines[gap + 2 :]]

    def test_it_holds_all_pages_and_says_of_when_and_by_what(self, manager: Visitor, office: Office) -> None:
        told, rows = self.rows(manager)
        assert [row["deal_id"] for row in rows] == every_page(manager, "/deals")
        assert told["as of"] == "2025-05-05T04:00:00Z"
        assert told["model"] == office.world.bundle.version
        assert "34 were won by" in told["meaning"]
        assert {row["as_of"] for row in rows} == {told["as of"]}

    def test_filters_hold_and_are_told(self, manager: Visitor, office: Office) -> None:
        stage = asked(office, "SELECT stage FROM scores LIMIT 1")[0][0]
        told, rows = self.rows(manager, f"/deals.csv?view=at_risk&stage={stage}")
        assert (told["view"], told["stage"]) == ("At risk", stage)
        assert {row["stage"] for row in rows} <= {stage}

    def test_no_text_is_a_formula(self, manager: Visitor, office: Office) -> None:
        deal = asked(office, "SELECT deal_id FROM scores ORDER BY deal_id LIMIT 1")[0][0]
        name = asked(office, "SELECT name FROM deals WHERE deal_id = ?", deal)[0][0]
        try:
            for text in ("=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx"):
                with sqlite3.connect(office.config.state_dir / "serving" / FILE) as store:
                    store.execute("UPDATE deals SET name = ? WHERE deal_id = ?", [text, deal])
                _, rows = self.rows(manager)
                (row,) = [row for row in rows if row["deal_id"] == deal]
                assert row["deal"] == "'" + text
        finally:
            with sqlite3.connect(office.config.state_dir / "serving" / FILE) as store:
                store.execute("UPDATE deals SET name = ? WHERE deal_id = ?", [name, deal])


class TestTeams:
    """A key of a team sees its own deals alone, on every page."""

    @pytest.fixture
    def theirs(self, stranger: Visitor, office: Office) -> Iterator[Visitor]:
        """Somebody with a key of one team."""
        key = key_for(office, f"team {id(stranger)}", Rights(READS, frozenset({"Team 1"})))
        assert stranger.log_in(key).status_code == 303
        return stranger

    def of(self, office: Office, team: str) -> list[str]:
        return sorted(deal for (deal,) in asked(office, "SELECT deal_id FROM scores WHERE team = ?", team))

    def test_lists_and_files_hold_its_own(self, theirs: Visitor, office: Office) -> None:
        mine = self.of(office, "Team 1")
        assert 0 < len(mine) < len(asked(office, "SELECT 1 FROM scores"))
        assert sorted(every_page(theirs, "/deals")) == mine
        assert every_page(theirs, "/deals?team=Team+2") == []
        _, rows = TestFile().rows(theirs)
        assert sorted(row["deal_id"] for row in rows) == mine
        page = theirs.get("/deals").text
        assert "Team 2" not in page
        assert f"<strong>{len(mine)}</strong>" in page

    def test_a_foreign_deal_looks_like_none(self, theirs: Visitor, office: Office) -> None:
        foreign = self.of(office, "Team 2")[0]
        same = {"X-Request-Id": "same"}
        answers = [theirs.get(f"/deals/{deal}", **same) for deal in (foreign, "no-such-deal", "a%00b")]
        answers.append(theirs.get("/no/such/page", **same))
        assert {answer.status_code for answer in answers} == {404}
        assert len({answer.text for answer in answers}) == 1

    def test_a_word_needs_its_scope_and_the_deal(self, theirs: Visitor, office: Office) -> None:
        mine, foreign = self.of(office, "Team 1")[0], self.of(office, "Team 2")[0]
        page = theirs.get(f"/deals/{mine}").text
        assert "--scope override" in page
        form = {"form_token": form_token(page), "of_100": "50", "reason": "because"}
        assert theirs.post(f"/deals/{mine}", form).status_code == 403
        assert theirs.post(f"/deals/{foreign}", form).status_code == 404
        assert asked(office, "SELECT count(*) FROM overrides WHERE reason = 'because'")[0][0] == 0


class TestWord:
    """A manager's own word on a deal."""

    def test_it_stands_beside_the_models_and_can_be_taken_back(self, manager: Visitor, office: Office) -> None:
        deal, p = asked(office, "SELECT deal_id, p FROM scores ORDER BY deal_id DESC LIMIT 1")[0]
        path = f"/deals/{deal}"
        token = form_token(manager.get(path).text)
        said = {"form_token": token, "do": "say", "of_100": "61", "reason": "<b>They signed</b>"}
        assert manager.post(path, said).headers["location"] == f"{path}#word"
        page = manager.get(path).text
        assert "<strong>61 of 100</strong>" in page
        assert "&lt;b&gt;They signed&lt;/b&gt;" in page
        assert asked(office, "SELECT p FROM scores WHERE deal_id = ?", deal)[0][0] == p
        row = asked(office, "SELECT p, model_p, principal, window_end FROM overrides WHERE deal_id = ?", deal)[-1]
        assert (row[0], row[1], row[3]) == (0.61, p, "2025-06-30")
        assert manager.post(path, {"form_token": token, "do": "take_back", "reason": "a mistake"}).status_code == 303
        page = manager.get(path).text
        assert "took it back" in page
        assert 'class="word"' not in page

    @pytest.mark.parametrize(
        "wrong",
        [
            {"of_100": "101"},
            {"of_100": "-1"},
            {"of_100": "half"},
            {"of_100": ""},
            {"reason": ""},
            {"reason": "x" * 1001},
        ],
    )
    def test_a_word_that_is_none_is_told(self, manager: Visitor, office: Office, wrong: dict[str, str]) -> None:
        deal = asked(office, "SELECT deal_id FROM scores ORDER BY deal_id LIMIT 1")[0][0]
        token = form_token(manager.get(f"/deals/{deal}").text)
        form = {"form_token": token, "do": "say", "of_100": "50", "reason": "a reason"} | wrong
        answer = manager.post(f"/deals/{deal}", form)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
        assert asked(office, "SELECT count(*) FROM overrides WHERE deal_id = ?", deal)[0][0] == 0


def test_a_deal_tells_what_the_endpoint_tells(manager: Visitor, office: Office) -> None:
    """Factors and flags with their evidence are those that are stored."""
    deal, answer = asked(
        office, "SELECT deal_id, answer FROM scores JOIN score_flags USING (deal_id) ORDER BY deal_id LIMIT 1"
    )[0]
    told = json.loads(answer)
    page = html.unescape(manager.get(f"/deals/{deal}").text)
    factors = [one for one in told["reasons"] if one["factor"] not in ("baseline", "other")]
    assert factors
    assert all(one["sentence"][1:] in page for one in factors)
    codes = {code for (code,) in asked(office, "SELECT code FROM score_flags WHERE deal_id = ?", deal)}
    assert all(flag["evidence"][1:] in page for flag in told["flags"] if flag["code"] in codes)
    assert "Why it moved this week" in page


def test_a_deal_that_is_not_open_says_so(manager: Visitor, office: Office) -> None:
    deal = asked(office, "SELECT deal_id FROM deals WHERE deal_id NOT IN (SELECT deal_id FROM scores) LIMIT 1")[0][0]
    assert "This deal is not open" in manager.get(f"/deals/{deal}").text
    with sqlite3.connect(office.config.state_dir / "serving" / FILE) as store:
        store.execute("INSERT INTO outcomes VALUES (?, ?, 'won', 100)", [deal, office.now])
    try:
        assert "This deal was won" in manager.get(f"/deals/{deal}").text
    finally:
        with sqlite3.connect(office.config.state_dir / "serving" / FILE) as store:
            store.execute("DELETE FROM outcomes WHERE deal_id = ?", [deal])


def test_without_a_model_or_a_refresh_the_page_says_what_to_do(office: Office, tmp_path: Path) -> None:
    empty = office_in(office.world, tmp_path, office.export)
    with visitor(empty, ready=False) as somebody:
        somebody.log_in(key_for(empty, "first"))
        assert "forecastle promote CONFIG" in somebody.get("/deals").text
        somebody.client.app.state.api.loaded = office.world.loaded
        page = somebody.get("/deals").text
        assert "No deal has been scored yet" in page
        assert "forecastle refresh CONFIG" in page


def test_a_team_without_deals_is_told_so(stranger: Visitor, office: Office) -> None:
    key = key_for(office, "nobody's", Rights(READS, frozenset({"Team of none"})))
    stranger.log_in(key)
    page = stranger.get("/deals").text
    assert "no open deal that you may see" in page
    assert "Team of none" in page


def test_pages_carry_their_policy_and_errors_are_pages(manager: Visitor) -> None:
    for path in ("/deals", "/no/such/page", "/login"):
        answer = manager.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
    assert manager.client.get("/no/such/page").headers["content-type"] == "application/problem+json"
    assert manager.get("/v1/no/such").json()["code"] == "not_found"


def test_a_fault_is_a_page_without_its_cause(manager: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(Repository, "scores", broken)
    manager.client.raise_server_exceptions = False
    answer = manager.get("/deals")
    assert answer.status_code == 500
    assert "This did not work" in answer.text
    assert "secret" not in answer.text
