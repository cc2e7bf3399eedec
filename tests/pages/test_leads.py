"""The page of leads, without a browser: what it says, and to whom."""

from __future__ import annotations

import csv
import html
import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.load import load_config
from models.lead_queue import Room, queue
from serving.pages.lead_question import SORTS
from serving.pages.leads import AT_ONCE, BACKTEST, LEAST
from serving.papers import REPORT
from serving.principal import Rights, Scope
from serving.store.engine import FILE
from tests.companies import DEMO
from tests.lead_office import CAPACITY, LeadOffice
from tests.paged import Visitor, key_for, visitor
from tests.pages.test_funnel import plain, rows_of
from tests.payloads import PAYLOADS
from tests.stored import Office

READS = frozenset({Scope.READ})
READERS = count()


def shown(page: str) -> list[str]:
    """The ids of the leads of a page of the list, in its order."""
    return re.findall(r'<th role="rowheader" scope="row">(L\d+)<', page)


def every_page(somebody: Visitor, path: str) -> list[str]:
    """The ids of all pages, from the first on."""
    found: list[str] = []
    while path:
        page = somebody.get(path).text
        found += shown(page)
        later = re.search(r'rel="next" href="([^"]+)"', page)
        path = html.unescape(later[1]) if later else ""
    return found


@pytest.fixture(scope="module")
def shop(leads: LeadOffice, tmp_path_factory: pytest.TempPathFactory) -> Office:
    """A service of deals, whose model is not there yet, that names the leads."""
    said = [f"state_dir={tmp_path_factory.mktemp('shop')}", f"serving.leads={leads.path}"]
    return Office(load_config(DEMO, said), None, leads.folder, leads.as_of)  # type: ignore[arg-type]  # nothing asks it


@pytest.fixture
def stranger(shop: Office) -> Iterator[Visitor]:
    """Somebody who is not logged in."""
    with visitor(shop, ready=False) as somebody:
        yield somebody


@pytest.fixture
def manager(stranger: Visitor) -> Visitor:
    """Somebody who is, and sees every team."""
    assert stranger.log_in(key_for(stranger.office, f"Dana {next(READERS)}")).status_code == 303
    return stranger


def served(shop: Office, leads: LeadOffice) -> Office:
    """The office with other leads, whose config is written beside their state."""
    path = leads.config.state_dir.parent / "leads.yaml"
    path.write_text(leads.path.read_text().replace(str(leads.folder / "state"), str(leads.config.state_dir)))
    (path.parent / "mapping.yaml").write_text((leads.folder / "mapping.yaml").read_text())
    settled = shop.config.serving.model_copy(update={"leads": path})
    return replace(shop, config=shop.config.model_copy(update={"serving": settled}))


def read(shop: Office, path: str = "/leads", rights: Rights | None = None) -> Any:
    """What somebody with a key of these rights gets, who sees everything unless said."""
    with visitor(shop, ready=False) as somebody:
        somebody.log_in(key_for(shop, f"reader {next(READERS)}", rights or Rights(READS, None)))
        return somebody.get(path)


def test_the_queue_is_the_one_that_was_stored(manager: Visitor, leads: LeadOffice) -> None:
    stored = leads.asked("SELECT lead_id, queue_why FROM lead_scores WHERE queue_rank IS NOT NULL ORDER BY queue_rank")
    page = manager.get("/leads").text
    assert shown(page) == [lead for lead, _ in stored]
    assert len(stored) == CAPACITY
    drawn = sum(why == "explore" for _, why in stored)
    assert drawn > 0
    assert page.count("drawn to learn</span>") == drawn
    words = plain(page)
    assert f"In the queue {CAPACITY} of" in words
    assert "of 100 leads like this one, 34 converted within 30 days" in words


@pytest.mark.parametrize("capacity", [1, 11, CAPACITY, 100_000])
def test_another_capacity_makes_the_queue_that_a_refresh_would(
    manager: Visitor, leads: LeadOffice, capacity: int
) -> None:
    rows = leads.asked("SELECT lead_id, p_convert, value_expected FROM lead_scores ORDER BY lead_id")
    told = leads.told()["queue"]
    ids, p = [row[0] for row in rows], np.array([row[1] for row in rows])
    value = np.array([np.nan if row[2] is None else row[2] for row in rows])
    places = queue(ids, p, value, Room(capacity, told["explore_share"], told["week"], told["seed"]))
    wanted = sorted((place.rank, lead) for lead, place in zip(ids, places, strict=True) if place is not None)
    found = every_page(manager, f"/leads?capacity={capacity}")
    assert found == [lead for _, lead in wanted]
    assert len(found) == min(capacity, len(ids))


@pytest.mark.parametrize("odd", ["0", "-1", "many", "1e3", "9" * 40, "00000001" + "9" * 400, "0" * 5000 + "1", "²", ""])
def test_an_odd_capacity_is_that_of_the_config(manager: Visitor, odd: str) -> None:
    answer = manager.get(f"/leads?capacity={odd}")
    assert answer.status_code == 200
    assert len(shown(answer.text)) == CAPACITY


@pytest.mark.parametrize("sort", [sign + name for name in SORTS for sign in ("", "-")])
def test_pages_add_up_to_all_leads_in_their_order(manager: Visitor, leads: LeadOffice, sort: str) -> None:
    found = every_page(manager, f"/leads?view=all&sort={sort}")
    rows = {lead: row for lead, *row in leads.asked("SELECT lead_id, p_convert, created_at FROM lead_scores")}
    assert sorted(found) == sorted(rows)
    assert len(found) > 2 * AT_ONCE, "one page would prove nothing"
    place = {"p": 0, "created_at": 1}.get(sort.removeprefix("-"))
    if place is not None:
        values = [rows[lead][place] for lead in found]
        assert values == sorted(values, reverse=sort.startswith("-"))


def test_filters_hold_and_a_cursor_of_another_question_leads_to_the_first_page(
    manager: Visitor, leads: LeadOffice
) -> None:
    asked = "SELECT lead_id FROM lead_scores WHERE grade = ? AND source = ?"
    wanted = [lead for (lead,) in leads.asked(asked, "D", "list")]
    assert sorted(every_page(manager, "/leads?view=all&grade=D&source=list")) == sorted(wanted)
    assert len(wanted) > AT_ONCE
    later = re.findall(r'rel="next" href="([^"]+)"', manager.get("/leads?view=all&sort=p").text)[0]
    moved = manager.get(html.unescape(later).replace("sort=p", "sort=created_at"))
    assert shown(moved.text) == shown(manager.get("/leads?view=all&sort=created_at").text)


@pytest.mark.parametrize("odd", ["sort=nonsense", "view=gone", "after=%00", "after=W10", "grade=%FF", "source=no+such"])
def test_an_odd_address_shows_the_list(manager: Visitor, odd: str) -> None:
    assert manager.get(f"/leads?{odd}").status_code == 200


def test_why_is_what_is_stored(manager: Visitor, leads: LeadOffice) -> None:
    """The two weightiest factors of the first lead in the queue, and none that makes no difference."""
    (told,) = leads.asked("SELECT reasons FROM lead_scores WHERE queue_rank = 1")[0]
    page = html.unescape(manager.get("/leads").text)
    factors = [one for one in json.loads(told) if one["factor"] not in ("baseline", "other")]
    factors.sort(key=lambda one: -abs(one["log_odds"]))
    assert abs(factors[1]["log_odds"]) > LEAST
    (first,) = re.findall(r'<ul class="why">(.*?)</ul>', page)[:1]
    assert [one["sentence"][1:] + "." for one in factors[:2]] == [
        sentence[1:] for sentence in re.findall("<li>(.*?)</li>", first)
    ]


def test_the_funnel_is_that_of_the_metrics(manager: Visitor, leads: LeadOffice) -> None:
    funnel = leads.told()["funnel"]
    page = manager.get("/leads").text
    rows = rows_of(page, "What became of the leads")
    for step in funnel["cohorts"][0]["steps"]:
        if step["step"] in ("worked", "opportunity"):
            cells = rows[step["step"].capitalize()]
            assert cells[0].split()[0] == str(step["reached"])
            assert cells[1:4] == [str(step[name]) for name in ("went_on", "stopped", "waiting")]
            assert cells[4].startswith(f"{step['rate']:.0%} likely {step['rate_low']:.0%} to {step['rate_high']:.0%}")
    assert list(rows) == ["Leads", "Worked", "Opportunity", "Won"], "nobody was ever marketing qualified"
    periods = rows_of(page, "Share of leads that reached each step in time, by period")
    assert next(iter(periods.values()))[-1] == "too young", "the newest first; none has had its time to be won"
    assert "still young" in next(iter(periods.values()))[0]
    assert set(rows_of(page, "Share of leads that reached each step in time, by source")) == {"web", "list", "referral"}


def test_leads_that_opted_out_are_nowhere(manager: Visitor, leads: LeadOffice) -> None:
    with (leads.folder / "export/leads.csv").open(newline="") as file:
        gone = {row["lead_id"] for row in csv.DictReader(file) if row["opted_out"] == "True"}
    assert len(gone) > 5
    assert gone.isdisjoint(every_page(manager, "/leads?view=all"))
    assert gone.isdisjoint(every_page(manager, "/leads?capacity=1000000"))


class TestAccess:
    """Leads belong to no team, so a key must see every one."""

    def test_a_key_of_a_team_is_refused_and_has_no_link(self, shop: Office) -> None:
        theirs = Rights(READS, frozenset({"Team 1"}))
        for path in ("/leads", "/leads?view=all", "/leads?capacity=5"):
            answer = read(shop, path, theirs)
            assert answer.status_code == 403
            assert "keys of all teams" in answer.text
            assert shown(answer.text) == []
        assert 'href="/leads"' not in read(shop, "/deals", theirs).text
        assert 'href="/leads"' in read(shop, "/deals").text

    @pytest.mark.parametrize("scope", [scope for scope in Scope if scope not in (Scope.READ, Scope.OVERRIDE)])
    def test_a_key_without_read_gets_no_session(self, stranger: Visitor, shop: Office, scope: Scope) -> None:
        key = key_for(shop, f"only {scope}", Rights(frozenset({scope}), None))
        assert stranger.log_in(key).status_code != 303
        assert stranger.get("/leads").headers["location"] == "/login?next=%2Fleads"

    def test_a_stranger_is_sent_to_the_form(self, stranger: Visitor) -> None:
        answer = stranger.get("/leads?grade=A")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fleads%3Fgrade%3DA")

    def test_it_takes_no_form(self, manager: Visitor) -> None:
        assert manager.post("/leads", {"capacity": "5"}).status_code == 405

    def test_where_no_leads_are_served_there_is_no_such_page(self, shop: Office) -> None:
        settled = shop.config.serving.model_copy(update={"leads": None})
        plainly = replace(shop, config=shop.config.model_copy(update={"serving": settled}))
        with visitor(plainly, ready=False) as somebody:
            somebody.log_in(key_for(plainly, "no leads"))
            same = {"X-Request-Id": "same"}
            assert somebody.get("/leads", **same).text == somebody.get("/no/such/page", **same).text
            assert 'href="/leads"' not in somebody.get("/deals").text


def test_without_a_refresh_or_a_model_the_page_says_what_to_do(shop: Office, leads: LeadOffice, tmp_path: Path) -> None:
    other = leads.beside(tmp_path)
    page = read(served(shop, other)).text
    assert "No lead has been scored yet" in page
    assert "forecastle refresh LEADS_CONFIG" in page
    (other.config.state_dir / "bundles").unlink()
    page = read(served(shop, other)).text
    assert "No model of leads is live yet" in page
    assert "forecastle promote LEADS_CONFIG" in page


def test_hostile_texts_are_text(shop: Office, leads: LeadOffice, tmp_path: Path) -> None:
    other = leads.beside(tmp_path)
    other.refresh()
    nasty = '</script><img src=x onerror="alert(1)">'
    with sqlite3.connect(other.config.state_dir / "serving" / FILE) as store:
        for k, (lead,) in enumerate(store.execute("SELECT lead_id FROM lead_scores").fetchall()):
            text = PAYLOADS[k % len(PAYLOADS)]
            reasons = json.dumps([{"factor": "fit", "log_odds": 1.0, "sentence": text}])
            sql = "UPDATE lead_scores SET name = ?, source = ?, status = ?, reasons = ? WHERE lead_id = ?"
            store.execute(sql, [text, nasty, text, reasons, lead])
        store.execute("UPDATE lead_scores SET last_act = ? WHERE last_act IS NOT NULL", [nasty])
        for as_of, body in store.execute("SELECT as_of, body FROM lead_refreshes").fetchall():
            told = body.replace('"referral"', json.dumps(nasty)).replace('"source"', json.dumps(nasty))
            store.execute("UPDATE lead_refreshes SET body = ? WHERE as_of = ?", [told, as_of])
    page = read(served(shop, other), "/leads?capacity=500").text
    assert "<img src=x" not in page
    assert nasty in html.unescape(page)
    whole = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())
    assert sum(" ".join(text.split()) in whole for text in PAYLOADS[:AT_ONCE]) > AT_ONCE // 2


def test_how_right_grades_were_is_told_where_the_report_tells_it(
    shop: Office, leads: LeadOffice, tmp_path: Path
) -> None:
    other = leads.beside(tmp_path)
    other.refresh()
    bundles = other.config.state_dir / "bundles"
    sha = other.told()["counts"]["bundle_sha256"]
    assert "How right grades were" not in read(served(shop, other)).text
    (tmp_path / "bundles").mkdir()
    for path in bundles.resolve().iterdir():
        (tmp_path / "bundles" / path.name).symlink_to(path)
    bundles.unlink()
    (tmp_path / "bundles").rename(bundles)
    section = {"key": BACKTEST, "head": ["grade", "converted"], "rows": [["A", "48.1% [44.0, 52.2]"]]}
    paper = {"bundle_sha256": sha, "report": {"sections": [{"key": "other"}, section]}}
    (bundles / f"{sha}{REPORT}").write_text(json.dumps(paper))
    words = plain(read(served(shop, other)).text)
    assert "How right grades were" in words
    assert "grade converted A 48.1% [44.0, 52.2]" in words
