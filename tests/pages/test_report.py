"""`forecastle report`: the pages as a folder, of one's own deals, linked within itself, written whole or not at all."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from typer.testing import CliRunner

from configs.errors import NotPromotedError, StateError, UsageError
from serving import report_command
from serving.pages.report import deal_file, list_file
from serving.pages.site import PAGES
from serving.pages.still import still
from serving.report_command import MARK, Wanted, write_report
from serving.store.engine import FILE
from tests.lead_office import CAPACITY, LeadOffice
from tests.payloads import PAYLOADS
from tests.stored import Office, office_in

pytestmark = pytest.mark.timeout(120)

LOADED = {"a": "href", "link": "href", "script": "src", "img": "src", "form": "action"}


class Links(HTMLParser):
    """What a page leads to and loads, its ids, its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.tags.add(tag)
        self.names |= set(told)
        self.ids.add(told.get("id") or "")
        if told.get(LOADED.get(tag, "")) is not None:
            self.links.append(str(told[LOADED[tag]]))


def made(office: Office, out: Path, **wanted: Any) -> report_command.Written:
    """A report of an office."""
    return write_report(office.config, Wanted(out, **wanted), lambda: office.now, lambda _: None)


def asked(office: Office, sql: str, *values: Any) -> list[Any]:
    with sqlite3.connect(office.config.state_dir / "serving" / FILE) as store:
        return [value for (value,) in store.execute(sql, values).fetchall()]


@pytest.fixture(scope="module")
def whole(past: Office, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of every team."""
    out = tmp_path_factory.mktemp("report") / "monday"
    made(past, out)
    return out


def pages_of(out: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in out.rglob("*.html")}


def test_every_page_of_the_site_and_every_flagged_deal_is_there(whole: Path, past: Office) -> None:
    titled = [page for page in PAGES if page.title and not page.leads]
    files = {"index.html", *(list_file(page.path, {}) for page in titled[1:])}
    files |= {deal_file(deal) for deal in asked(past, "SELECT DISTINCT deal_id FROM score_flags")}
    there = {path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()}
    assert files <= there
    assert sum(name.startswith("deals/") for name in there) == sum(name.startswith("deals/") for name in files)
    told = json.loads((whole / MARK).read_text())
    assert {*told["files"], MARK} == there
    for page in titled:
        assert f">{page.title}</a>" in (whole / "index.html").read_text()


def test_links_lead_to_files_of_the_report_and_nowhere_else(whole: Path) -> None:
    pages = {path: Links(text) for path, text in pages_of(whole).items()}
    led = set()
    for path, page in pages.items():
        for link in page.links:
            split = urlsplit(link)
            assert (split.scheme, split.netloc) == ("", ""), f"{path}: {link}"
            assert not split.path.startswith("/"), f"{path}: {link}"
            to = (path.parent / unquote(split.path)).resolve() if split.path else path
            assert to.is_file(), f"{path}: {link}"
            led.add(to)
            if split.fragment and to in pages:
                assert split.fragment in pages[to].ids, f"{path}: {link}"
    unreachable = set(pages) - {path.resolve() for path in led} - {whole / "index.html"}
    assert unreachable == set()


def test_it_asks_nothing_of_anybody(whole: Path) -> None:
    for path, text in pages_of(whole).items():
        page = Links(text)
        assert page.tags.isdisjoint({"form", "input", "select", "button", "iframe"}), path
        assert not any(name.startswith(("hx-", "on")) for name in page.names), path
        assert 'http-equiv="Content-Security-Policy"' in text
        assert "htmx.min" not in text
        assert re.findall(r"https?://(?!vega\.github\.io/schema)", text) == [], path


def test_figures_are_those_of_the_service(whole: Path, past: Office) -> None:
    """Every deal of the list with its score, and the same in the file beside it."""
    scores = dict(
        sqlite3.connect(past.config.state_dir / "serving" / FILE).execute("SELECT deal_id, answer FROM scores")
    )
    rows = list(csv.reader((whole / "deals.csv").read_text().splitlines()))
    names = rows[rows.index([]) + 1]
    listed = {row[0]: row[names.index("score")] for row in rows[rows.index([]) + 2 :]}
    assert listed == {deal: str(json.loads(answer)["score"]) for deal, answer in scores.items()}
    index = (whole / "deals.html").read_text()
    assert index.count('<th role="rowheader"') == len(scores)
    assert "Report of Jul 7, 2025" in index
    assert "every team" in index
    assert "In week 4 of the last 3 quarters" in (whole / "accuracy.html").read_text()


def test_leads_are_in_the_report_of_who_sees_every_team(office: Office, leads: LeadOffice, tmp_path: Path) -> None:
    made(office, tmp_path / "whole")
    page = (tmp_path / "whole/leads.html").read_text()
    assert page.count('<th role="rowheader" scope="row">L0') == CAPACITY
    assert ">Leads</a>" in (tmp_path / "whole/index.html").read_text()
    every = {lead for (lead,) in leads.asked("SELECT lead_id FROM lead_scores")}
    whole = "".join(path.read_text() for path in (tmp_path / "whole").glob("leads*.html"))
    assert every <= set(re.findall(r"L\d{5}", whole)), "the view of all open leads is followed"
    made(office, tmp_path / "team", teams=("Team 1",))
    assert list((tmp_path / "team").glob("leads*")) == []
    assert ">Leads</a>" not in (tmp_path / "team/index.html").read_text()


def test_a_report_of_a_team_tells_of_nobody_else(past: Office, tmp_path: Path) -> None:
    out = tmp_path / "team"
    written = made(past, out, teams=("Team 1",))
    theirs = set(asked(past, "SELECT deal_id FROM scores WHERE team = 'Team 1'"))
    foreign = set(asked(past, "SELECT deal_id FROM scores WHERE team <> 'Team 1' OR team IS NULL"))
    assert written.deals < len(theirs)
    for path in out.rglob("*"):
        if path.suffix in (".html", ".csv", ".json"):
            text = path.read_text()
            assert "Team 2" not in text, path
            assert [deal for deal in foreign if re.search(rf"\b{deal}\b", text)] == [], path
    assert "keys of some teams do not see it" in (out / "accuracy.html").read_text()
    with pytest.raises(UsageError, match="that is stored, of these teams"):
        made(past, tmp_path / "other", teams=("Team 1",), deals=(min(foreign),))


def test_deals_that_are_asked_for_have_a_page_and_the_list_leads_to_it(past: Office, tmp_path: Path) -> None:
    plain = asked(past, "SELECT deal_id FROM scores WHERE deal_id NOT IN (SELECT deal_id FROM score_flags)")[0]
    made(past, tmp_path / "out", deals=(plain,), language="de-DE")
    assert f'href="{deal_file(plain)}"' in (tmp_path / "out/deals.html").read_text()
    assert "07.07.2025" in (tmp_path / "out/index.html").read_text()
    for odd in ("no such deal", "a\x00b"):
        with pytest.raises(UsageError, match="--deal"):
            made(past, tmp_path / "odd", deals=(odd,))
    with pytest.raises(UsageError, match="one of 'Team 1'"):
        made(past, tmp_path / "odd", teams=("Team X",))
    assert not (tmp_path / "odd").exists()


def test_hostile_texts_are_texts(past: Office, whole: Path, tmp_path: Path) -> None:
    """Also in ids, which name files: none leaves the folder."""
    office = copied(past, tmp_path)
    ids = ["../../up", "a b?c#d", "con", "<script>alert(1)</script>", "%2e%2e/x"]
    with sqlite3.connect(office.config.state_dir / "serving" / FILE) as store:
        store.execute("PRAGMA foreign_keys = OFF")
        deals = [deal for (deal,) in store.execute("SELECT DISTINCT deal_id FROM score_flags ORDER BY deal_id")]
        for deal, other in zip(deals, ids, strict=False):
            for table in ("deals", "scores", "score_flags"):
                store.execute(f"UPDATE {table} SET deal_id = ? WHERE deal_id = ?", [other, deal])
        every = [deal for (deal,) in store.execute("SELECT deal_id FROM deals ORDER BY deal_id")]
        for k, deal in enumerate(every):
            store.execute("UPDATE deals SET name = ? WHERE deal_id = ?", [PAYLOADS[k % len(PAYLOADS)], deal])
    out = tmp_path / "out"
    made(office, out)
    assert {path.name for path in tmp_path.iterdir()} == {"state", "out"}
    tags = set().union(*(Links(text).tags for text in pages_of(out).values()))
    assert tags <= set().union(*(Links(text).tags for text in pages_of(whole).values()))
    for deal in ids:
        assert (out / deal_file(deal)).is_file(), deal


def copied(past: Office, folder: Path) -> Office:
    """The office with a store of its own."""
    state = folder / "state"
    shutil.copytree(past.config.state_dir, state)
    return Office(past.config.model_copy(update={"state_dir": state}), past.world, past.export, past.now)


class TestFolder:
    """What is replaced, what is refused, and what is left where something goes wrong."""

    def test_a_report_replaces_an_earlier_one_whole(self, past: Office, whole: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        shutil.copytree(whole, out)
        before = {path.name for path in out.iterdir()}
        (out / "index.html").write_text("an old one")
        made(past, out, teams=("Team 1",))
        assert "Team 1" in (out / "index.html").read_text()
        assert {path.name for path in out.iterdir()} <= before | {MARK}
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    @pytest.mark.parametrize("strange", ["notes.txt", "deals/mine.html", MARK])
    def test_a_folder_that_is_no_report_is_left_alone(self, past: Office, tmp_path: Path, strange: str) -> None:
        out = tmp_path / "out"
        (out / "deals").mkdir(parents=True)
        (out / strange).write_text("[]")
        if strange != MARK:
            (out / MARK).write_text('{"format": 1, "files": ["index.html"]}')
        else:
            (out / "index.html").write_text("mine")
        with pytest.raises(UsageError, match="which no report wrote"):
            made(past, out)
        assert (out / strange).read_text() == "[]"

    def test_where_it_fails_the_earlier_one_stands(
        self, past: Office, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "out"
        shutil.copytree(whole, out)
        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        looks: Iterator[int] = iter(range(10))
        with monkeypatch.context() as patched:
            patched.setattr(report_command, "newest", lambda _: next(looks) + 1)
            with pytest.raises(StateError, match="refreshed while the report was written"):
                made(past, out, teams=("Team 1",))
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_without_a_model_or_a_refresh_it_says_what_to_do(self, past: Office, tmp_path: Path) -> None:
        empty = office_in(past.world, tmp_path, past.export)
        with pytest.raises(StateError, match="forecastle refresh CONFIG"):
            made(empty, tmp_path / "out")
        (empty.config.state_dir / "bundles").unlink()
        with pytest.raises(NotPromotedError):
            made(empty, tmp_path / "out")


def test_the_command_answers_with_counts_and_exit_codes(past: Office, tmp_path: Path) -> None:
    from forecastle import app

    said = [f"--set={each}" for each in (*past.world.overrides, f"state_dir={past.config.state_dir}")]
    arguments = ["report", str(past.world.config_path), *said, "--out", str(tmp_path / "out"), "--json"]
    got = CliRunner().invoke(app, arguments)
    assert got.exit_code == 0, got.output
    told = json.loads(got.stdout.splitlines()[-1])
    assert told["files"] == sum(path.is_file() for path in (tmp_path / "out").rglob("*"))
    assert told["as_of"] == "2025-07-07T04:00:00Z"
    assert told["left_out"] == 0
    (tmp_path / "out/mine.txt").write_text("mine")
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_a_page_is_given_back_as_it_was_but_for_its_links() -> None:
    page = (
        '<!doctype html><p title="a &amp; b">x &lt; y &#62; &copy;<svg viewBox="0 0 1 1"><rect width="1"/></svg>'
        '<a href="/deals/a%20b#word" class="k">in</a><a href="?sort=p">sort</a><a href="https://x.example/">out</a>'
        '<form action="/login"><b>no</b></form><script type="application/json">{"a": "</b>&"}</script>'
    )
    there = {"/deals/a%20b": "deals/x.html"}
    assert still(page, "/deals", there.get) == (
        '<!doctype html><p title="a &amp; b">x &lt; y &#62; &copy;<svg viewBox="0 0 1 1"><rect width="1"/></svg>'
        '<a href="deals/x.html#word" class="k">in</a><a>sort</a><a>out</a>'
        '<script type="application/json">{"a": "</b>&"}</script>'
    )
