"""`forecastle explain`: the score of the file, reasons and moves that add up, text that does nothing to a terminal."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from configs.console import printable
from features.periods import DAY
from models.explain import EXACT
from serving.batch import open_deals, score_open
from serving.cli import register
from serving.explain_command import Explained, document, explain_deal, lines
from tests.served import AS_OF, World

pytestmark = pytest.mark.timeout(120)
app = typer.Typer()
register(app)
WEEKS = 4
EARLIER = "2025-04-07"


def run(world: World, *arguments: str, more: tuple[str, ...] = ()) -> Result:
    sets = (word for each in (*world.overrides, *more) for word in ("--set", each))
    return CliRunner().invoke(app, ["explain", str(world.config_path), *arguments, *sets])


@pytest.fixture(scope="module")
def old(world: World, ids: list[str]) -> list[str]:
    """Deals open at both looks."""
    asked = open_deals(world.seen.record, world.as_of - WEEKS * 7 * DAY)
    return [name for name in world.seen.record.deal_ids.take(asked.deal).strings() if name in ids]  # type: ignore[misc]


@pytest.fixture(scope="module")
def explained(world: World, old: list[str]) -> Callable[[str], Explained]:
    earlier = world.as_of - WEEKS * 7 * DAY
    return cache(lambda deal: explain_deal(world.config, deal, world.as_of, earlier, "live", False, lambda _: None))


def test_it_is_what_the_file_of_scores_says(
    world: World, old: list[str], explained: Callable[[str], Explained]
) -> None:
    scores = {one.deal_id: one for one in score_open(world.seen, world.bundle, world.as_of, world.config.flags)}
    assert explained(old[0]).score == scores[old[0]]


def test_moves_add_up_to_the_change_of_the_served_log_odds(
    world: World, old: list[str], explained: Callable[[str], Explained]
) -> None:
    for deal in old[:2]:
        told = explained(deal)
        assert told.moved is not None
        change = told.score.log_odds - told.moved.earlier.log_odds
        assert abs(sum(move.log_odds for move in told.moved.moves) - change) <= EXACT
        made = document(told)
        assert abs(sum(term["log_odds"] for term in made["moved"]["terms"]) - made["moved"]["log_odds_change"]) <= EXACT
        assert abs(sum(reason["log_odds"] for reason in made["reasons"]) - made["log_odds"]) <= EXACT


def test_the_command_tells_everything(world: World, old: list[str]) -> None:
    got = run(world, old[0], "--as-of", AS_OF, "--from", EARLIER)
    assert got.exit_code == 0, got.output
    text = got.stdout
    for words in (f"{old[0]}  as of 2025-05-05", "score ", "within 365 days", "if won, worth", "they add up to"):
        assert words in text
    assert "since 2025-04-07" in text
    assert "stands at" in text
    plain = run(world, old[0], "--as-of", AS_OF)
    assert "since 2025-04-07" not in plain.stdout
    told = json.loads(run(world, old[0], "--as-of", AS_OF, "--json").stdout)
    assert (told["deal_id"], told["moved"]) == (old[0], None)
    assert 0 <= told["p_won_in_period"] <= 1


def test_another_period_is_said(world: World, ids: list[str]) -> None:
    """From the second quarter into the third, on a deal that is open at both looks."""
    record = world.seen.record
    third = world.as_of + 70 * DAY
    both = {name for name in record.deal_ids.take(open_deals(record, third).deal).strings() if name} & set(ids)
    told = explain_deal(world.config, min(both), third, world.as_of, "live", False, lambda _: None)
    assert told.moved is not None
    said = [move.sentence for move in told.moved.moves if move.factor == "time_left"]
    assert [text for text in said if "another period: before it was a win by 2025-06-30" in text]
    assert told.moved.facts


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nobody\x1b[31m", "--as-of", AS_OF), 2, "which no deal of the source is called"),
        (("{deal}", "--as-of", "2019-01-01", "--in-sample"), 2, "not known yet"),
        (("{deal}", "--as-of", AS_OF, "--from", "2025-05-06"), 2, "--from"),
        (("{deal}", "--as-of", AS_OF, "--from", "2025-03-03"), 2, "--in-sample"),
        (("{deal}", "--as-of", "soon"), 2, "soon"),
    ],
)
def test_what_cannot_be_asked(world: World, old: list[str], arguments: tuple[str, ...], code: int, words: str) -> None:
    got = run(world, *(word.format(deal=old[0]) for word in arguments))
    assert (got.exit_code, got.stdout) == (code, ""), got.output
    assert words in got.stderr
    assert "\x1b" not in got.stderr
    assert "Traceback" not in got.stderr


def test_a_closed_deal_is_said_to_be_closed(world: World) -> None:
    history = world.seen.record.timelines["history"]
    closed = int(history.entity[(history.mask("closed")) & (history.known_at < world.as_of)][0])
    got = run(world, world.seen.record.deal_ids.decode(closed) or "", "--as-of", AS_OF)
    assert got.exit_code == 2
    assert "won, lost, deleted or merged" in got.stderr


HOSTILE = "D\x1b[2J\x9b31m\u202egnp\r\n\x07\u2028\u200b\ud800"


def test_hostile_text_does_nothing_to_a_terminal() -> None:
    said = printable(HOSTILE)
    assert said == "D\\u001b[2J\\u009b31m\\u202egnp\\r\\n\\u0007\\u2028\\u200b\\ud800"
    assert said.isprintable()
    assert printable("Größe 東京 50 %") == "Größe 東京 50 %"


def test_a_hostile_deal_id_is_printed_harmless(world: World, old: list[str], tmp_path: Path) -> None:
    """The export with one deal called so that a terminal would clear its screen and turn its writing around."""
    name = "D\x1b[2J\x9b31m\u202e"
    export = next((world.config.state_dir / "simulated").iterdir()) / "export"
    for path in export.iterdir():
        with path.open(newline="", encoding="utf-8") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        with (tmp_path / path.name).open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, rows[0])
            writer.writeheader()
            writer.writerows(row | {"deal_id": name} if row.get("deal_id") == old[0] else row for row in rows)
    source = (f"source.path={tmp_path}",)
    for more in ((), ("--json",)):
        got = run(world, name, "--as-of", AS_OF, "--from", EARLIER, *more, more=source)
        assert got.exit_code == 0, got.output
        assert [line for line in got.stdout.splitlines() if not line.isprintable()] == []
        assert "D\\u001b[2J" in got.stdout
        if more:
            assert json.loads(got.stdout)["deal_id"] == name


def test_reasons_and_facts_name_nobody(world: World, old: list[str], explained: Callable[[str], Explained]) -> None:
    tables = world.seen.tables
    columns = (
        tables.deal_history.coded("owner_id"),
        tables.deals.coded("account_id"),
        tables.contacts.coded("contact_id"),
    )
    names = {name for column in columns for name in column.values if len(name) > 2}
    text = "\n".join(line for deal in old[:2] for line in lines(explained(deal)))
    assert names
    assert [name for name in names if name in text] == []
