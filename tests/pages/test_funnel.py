"""The funnel page: conversion, pace and bookings by week, worked out again by hand, for who may see them."""

from __future__ import annotations

import html
import json
import re
import sqlite3
from pathlib import Path

import pytest

from serving.principal import Rights, Scope
from serving.store.engine import FILE
from serving.store.page_facts import KEPT, write_page_facts
from tests.paged import Visitor, key_for, visitor
from tests.served import World
from tests.stored import Office
from tests.tiny_pages import tiny_office


def plain(page: str) -> str:
    """The words of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def rows_of(page: str, caption: str) -> dict[str, list[str]]:
    """The rows of a table by what each is called: the words of its cells."""
    (table,) = re.findall(rf"<caption[^>]*>{caption}.*?</table>", page, re.S)
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in re.findall(r"<tr.*?</tr>", table, re.S)]
    return {plain(name): [plain(cell) for cell in cells] for name, *cells in rows[1:]}


@pytest.fixture
def tiny(world: World, tmp_path: Path) -> Office:
    """An office of three reps in two teams."""
    return tiny_office(world, tmp_path)


def seen(office: Office, path: str, *teams: str) -> str:
    """What a key of some teams reads, of all without any."""
    with visitor(office) as somebody:
        somebody.log_in(key_for(office, f"{teams} {path}", Rights(frozenset({Scope.READ}), frozenset(teams) or None)))
        answer = somebody.get(path)
        assert answer.status_code == 200, answer.text
        return str(answer.text)


def test_figures_are_those_worked_out_by_hand(tiny: Office) -> None:
    """Deals a, b, c, d and f entered Qualify from January to March; a, c and f were won then, d later, b was lost."""
    page = seen(tiny, "/funnel")
    stages = rows_of(page, "What became of the deals")
    # entered, went on, lost, still open, of decided, won in the end, days of won, days of open, stands there
    assert stages["Qualify"][:6] == ["5", "4", "1", "0", "80%", "80% 4 of 5"]
    assert stages["Qualify"][6:] == ["39 3 deals", "28", "40,000 1 deal"], "a 39, c 48, f 18 days; h"
    assert stages["Demo"][:4] == ["1", "1", "0", "0"]
    assert stages["Demo"][6:] == ["20 1 deal", "29", "877,777 1 deal"]
    assert stages["Propose"] == ["0", "0", "0", "0", "—", "—", "—", "11", "60,000 1 deal"]
    words = plain(page)
    assert "Won of 100 closed 75 3 won, 1 lost" in words
    assert "Average won deal 120,370 361,111 in all" in words
    days = (59 + 48 + 18) / 3
    assert f"Days to win {round(days)} on average; half take 48 days or less" in words
    assert f"Velocity {round(3 * 0.75 * 361_111 / 3 / days):,} a day" in words
    weeks = words[words.index("The same as a table") :]
    assert "1 0 (0%) 0 2 0 (0%) 25,000 3 50,000 (14%) 25,000" in weeks, "f came on 20 January, d on 10 April"


def test_a_team_has_its_own_funnel_and_links_to_its_reps(tiny: Office) -> None:
    page = seen(tiny, "/funnel?of=team:East")
    assert rows_of(page, "What became of the deals")["Qualify"][:4] == ["4", "3", "1", "0"]
    assert list(rows_of(page, "Pace and size")) == ["Ann Ode", "Bo Lind"]
    assert 'href="/funnel?of=rep%3AR1"' in page
    assert list(rows_of(seen(tiny, "/funnel"), "Pace and size")) == ["East", "West"]
    assert rows_of(seen(tiny, "/funnel?of=rep:R2"), "What became of the deals")["Qualify"][:2] == ["1", "1"]


def test_others_look_like_none(stranger: Visitor, office: Office) -> None:
    key = key_for(office, "funnel of one team", Rights(frozenset({Scope.READ}), frozenset({"Team 1"})))
    stranger.log_in(key)
    same = {"X-Request-Id": "same"}
    paths = ("company:all", "team:Team+2", "team:no+such", "nonsense", "rep:")
    answers = [stranger.get(f"/funnel?of={of}", **same) for of in paths]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.text for answer in answers}) == 1
    assert "Team 1" in plain(stranger.get("/funnel").text), "without an address it is the first that may be seen"


def test_parts_add_up_to_what_entered(manager: Visitor) -> None:
    stages = rows_of(manager.get("/funnel").text, "What became of the deals")
    for name, cells in stages.items():
        entered, on, lost, still = (int(cell.split()[0].replace(",", "")) for cell in cells[:4])
        assert entered == on + lost + still, name
    assert sum(int(cells[0].replace(",", "")) for cells in stages.values()) > 100


def test_hostile_names_are_text(tiny: Office) -> None:
    nasty = '</script><img src=x onerror="alert(1)">'
    with sqlite3.connect(tiny.config.state_dir / "serving" / FILE) as store:
        for level, node, body in store.execute("SELECT level, node, body FROM node_facts").fetchall():
            told = json.loads(body.replace('"Qualify"', json.dumps(nasty)))
            store.execute(
                "UPDATE node_facts SET body = ? WHERE level = ? AND node = ?", [json.dumps(told), level, node]
            )
        store.execute("UPDATE reps SET name = ?", [nasty])
    for path in ("/funnel", "/team", "/funnel?of=team:East"):
        page = seen(tiny, path)
        assert "<img src=x" not in page
        assert nasty in plain(page) or nasty in html.unescape(page)


def test_the_oldest_figures_go(tiny: Office) -> None:
    """A refresh done again replaces its own, and only so many as-ofs are kept."""
    with tiny.store() as store:
        for as_of in (*range(KEPT + 3), 5):
            row = {"as_of": as_of, "level": "company", "node": "all", "team": None, "body": "{}"}
            read = {"as_of": as_of, "ran_at": 7, "body": "{}"}
            store.writer.submit(lambda c, row=row, read=read: write_page_facts(c, [row], read)).result()
    with sqlite3.connect(tiny.config.state_dir / "serving" / FILE) as store:
        kept = [
            [as_of for (as_of,) in store.execute(f"SELECT DISTINCT as_of FROM {table} ORDER BY 1")]
            for table in ("node_facts", "refreshes")
        ]
    assert kept[0] == kept[1]
    assert len(kept[0]) == KEPT
    assert 5 in kept[0]
    assert 2 not in kept[0]
