"""The documents are true: tables as code has them, commands that exist, configs that load, requests that are valid."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from math import exp
from pathlib import Path
from typing import Any

import pytest
import typer.main

from configs.errors import ForecastleError, error_classes
from configs.load import load_config, load_mapping
from configs.schema import Config
from features.registry import Schema
from forecastle import app
from serving.answers import PROBABILITY
from serving.app import create_app
from serving.batch import columns
from serving.leads import COLUMNS as LEAD_COLUMNS
from serving.notes import NOTES
from serving.schemas import deal_faults, read_request
from training.catalogue import BLOCKS, blocks_of, feature_table, rendered

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
LONGER = sorted((ROOT / "docs").glob("*.md"))
SAYING = "\n".join([README, *(path.read_text(encoding="utf-8") for path in LONGER)])
PAGES = (
    *("README.md", "docs/config.md", "docs/features.md", "docs/flags.md"),
    *("docs/hubspot.md", "docs/salesforce.md"),
)
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
FENCE = re.compile(r"^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def fenced(kind: str) -> list[str]:
    """Return the bodies of the README's code blocks of one kind."""
    return [match["body"] for match in FENCE.finditer(README) if match["kind"] == kind]


def commands(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command with its full name, without `forecastle`."""
    for name, command in getattr(group, "commands", {}).items():
        yield f"{above}{name}", command
        yield from commands(command, f"{above}{name} ")


COMMANDS = dict(commands(typer.main.get_command(app)))
LEAVES = {name for name, command in COMMANDS.items() if not hasattr(command, "commands")}


@pytest.mark.parametrize("name", PAGES)
def test_generated_tables_are_current(name: str) -> None:
    page = (ROOT / name).read_text(encoding="utf-8")
    assert page.count("<!-- generated:") == len(blocks_of(page)) > 0
    assert rendered(page) == page, "run `make docs`"


def test_every_table_stands_in_a_page() -> None:
    pages = "".join((ROOT / name).read_text(encoding="utf-8") for name in PAGES)
    assert sorted(blocks_of(pages)) == sorted(BLOCKS)


def test_an_unknown_block_is_named() -> None:
    with pytest.raises(ValueError, match="no table is called 'flagged'"):
        rendered("<!-- generated:flagged -->\n<!-- /generated:flagged -->")


def test_tables_follow_the_schema() -> None:
    eventual = feature_table(Schema("eventual", ("product",), ("seats",)))
    assert "`product_lift`" in eventual
    assert "`attr_seats`" in eventual
    assert "`days_left`" not in eventual


def test_every_error_and_config_key_is_listed() -> None:
    errors, keys = BLOCKS["errors"](), BLOCKS["config"]()
    assert all(f"| `{error.code}` |" in errors for error in error_classes() if error is not ForecastleError)
    assert all(f"| `{name}" in keys for name in Config.model_fields)


def said() -> list[str]:
    """Return every command line of the README and the pages of docs/, and every option that stands alone."""
    prose = [code for code in CODE.findall(FENCE.sub("", SAYING)) if code.startswith(("forecastle ", "--"))]
    blocks = [match["body"] for match in FENCE.finditer(SAYING) if match["kind"] == "sh"]
    return prose + [line for body in blocks for line in body.splitlines() if line.startswith("forecastle ")]


def test_commands_exist() -> None:
    named = [line.split()[1:3] for line in said() if line.startswith("forecastle ")]
    assert len(named) > 20
    assert [words for words in named if words[0] not in LEAVES and " ".join(words) not in LEAVES] == []


def test_every_command_is_described() -> None:
    assert [name for name in LEAVES if f"| `forecastle {name}" not in README] == []


def test_options_exist() -> None:
    known = {option for command in COMMANDS.values() for param in command.params for option in param.opts}
    options = [word for line in said() for word in re.findall(r"--[a-z-]+", line)]
    assert len(options) > 10
    assert set(options) - known == set()


def test_make_words_exist() -> None:
    words = set(re.findall(r"`(?:\w+=\S+ )*make (\w+)", README))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert words
    assert words <= targets


def test_yaml_loads(tmp_path: Path) -> None:
    blocks = fenced("yaml")
    assert len(blocks) >= 2
    for k, body in enumerate(blocks):
        path = tmp_path / f"block-{k}.yaml"
        path.write_text(body, encoding="utf-8")
        if body.startswith("name:"):
            assert load_config(path).source.mapping is not None
        else:
            assert load_mapping(path, "files").stages.order


def test_the_request_is_valid() -> None:
    bodies = [body for body in fenced("json") if '"deals"' in body]
    assert bodies
    for body in bodies:
        request = read_request(body.encode())
        assert [fault for deal in request.deals for fault in deal_faults(deal, "")] == []


def test_reasons_add_up() -> None:
    documents: list[dict[str, Any]] = [json.loads(body) for body in fenced("json")]
    answers = [document for document in documents if "results" in document]
    assert answers
    for result in (result for document in answers for result in document["results"]):
        p, log_odds = result[PROBABILITY["in_period"]], result["log_odds"]
        assert sum(reason["log_odds"] for reason in result["reasons"]) == pytest.approx(log_odds, abs=1e-6)
        assert p == pytest.approx(1 / (1 + exp(-log_odds)), abs=1e-12)
        assert result["score"] == round(100 * p)


def test_columns_of_the_score_file_are_listed() -> None:
    for name in (*columns("in_period"), *columns("eventual"), *LEAD_COLUMNS):
        assert f"| `{name}` |" in README, name


def test_data_notes_are_listed() -> None:
    assert [code for code in NOTES if f"`{code}`" not in README] == []


def test_routes_are_listed() -> None:
    routes = create_app(load_config(ROOT / "configs" / "demo.yaml")).routes
    pages = (ROOT / "docs/pages.md").read_text()
    for path in (getattr(route, "path", "") for route in routes):
        assert f"`{path}`" in (README if path.startswith("/v1/") else pages), path


@pytest.mark.parametrize("path", [ROOT / "README.md", *LONGER, *DECISIONS], ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    targets = LINK.findall(path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_decisions_are_numbered_and_whole() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{k:04}" for k in range(1, len(DECISIONS) + 1)]
    for path in DECISIONS:
        text = path.read_text(encoding="utf-8")
        assert [head for head in ("\n## Context\n", "\n## Choice\n", "\n## Cost\n") if head not in text] == []
        assert f"docs/decisions/{path.name}" in README
