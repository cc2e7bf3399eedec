"""`forecastle rep-patterns` as people meet it: opt-in, facts by rep id, the mirror beside, one clear error each."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from features.tables import NAT, CrmTables, Table
from forecastle import app
from tests.callers import World, facts_of, quarter, tables_of
from tests.models.test_rep_patterns import JUDGING

CONFIG = """\
name: callers
time_zone: UTC
target: in_period
period: {kind: quarter}
source: {kind: files, path: EXPORT, mapping: mapping.yaml}
state_dir: STATE
"""
MAPPING = "stages:\n  order: [Qualify, Demo, Propose]\n  won: [Won]\n  lost: [Lost]\n"
ON = ("--set", "flags.rep_patterns.enabled=true")
AS_OF = ("--as-of", f"{quarter(8)}")


@cache
def tables() -> CrmTables:
    return tables_of(facts_of(World(reps=20, under=3, over=2, factor=2.0), 1002))


@pytest.fixture
def callers(tmp_path: Path) -> Path:
    """A config over an export of 20 reps, one of whose ids is a formula and all of whom have names."""
    export = tmp_path / "export"
    export.mkdir()
    for name in ("deals", "deal_history", "calls"):
        _write(export / f"{name}.csv", tables()[name])
    (export / "reps.csv").write_text("rep_id,name\n" + "".join(f"r{k:03d},Ann Example\n" for k in range(20)))
    for file in export.glob("*.csv"):
        file.write_text(file.read_text().replace("r000", "=cmd()"))
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    config = tmp_path / "callers.yaml"
    config.write_text(CONFIG.replace("EXPORT", str(export)).replace("STATE", str(tmp_path / "state")))
    return config


def _write(path: Path, table: Table) -> None:
    kinds = {"known_at": "time", "created_at": "time", "submitted_at": "time", "period_start": "date"}
    names = [name for name in table.columns if table.has(name) and name != "seq"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        columns = [_texts(table, name, kinds.get(name)) for name in names]
        writer.writerows(zip(*columns, strict=True))


def _texts(table: Table, name: str, kind: str | None) -> list[str]:
    data = table[name]
    if not hasattr(data, "dtype"):
        return [text or "" for text in table.coded(name).strings()]
    scale = {"time": 1_000_000, "date": 1 / 86_400}.get(kind or "")
    if scale is None:
        return ["" if v == NAT else f"{v / 100:.2f}" for v in table.ints(name).tolist()]
    stamps = [datetime.fromtimestamp(v / scale, UTC) for v in table.ints(name).tolist()]
    return [f"{stamp:%Y-%m-%d}" if kind == "date" else stamp.isoformat() for stamp in stamps]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["rep-patterns", *(str(argument) for argument in arguments)])


def answer(*arguments: str | Path) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_it_is_refused_without_opt_in_before_any_data_is_read(callers: Path) -> None:
    done = run(callers.parent / callers.name, *AS_OF, "--set", "source.path=nowhere")
    assert done.exit_code == 2
    for words in ("flags.rep_patterns.enabled", "opt-in", "docs/rep-patterns.md", "tell the reps"):
        assert words in done.output, words


def test_the_terminal_tells_facts_and_both_directions(callers: Path) -> None:
    done = run(callers, *AS_OF, *ON)
    assert done.exit_code == 0, done.output
    for words in (
        "8 finished quarters since 2020-01-01; 20 reps", "show them to the rep first", "of 20 reps compared",
        "booked above the commit call, further than the peers: 3", "booked below the commit call", "=cmd(): in ",
        "plain explanations: a territory", "too little to tell: none of 20 reps", "160 quarters of reps = 160 compared",
        "right after a quota that was reached early: none of 0",
    ):  # fmt: skip
        assert words in done.stdout, words
    assert "Example" not in done.stdout
    assert not JUDGING.search(done.stdout.replace("nothing here ranks anybody", ""))


def test_the_mirror_is_shown_where_it_is_empty(callers: Path) -> None:
    done = run(callers, *AS_OF, *ON, "--set", "flags.rep_patterns.min_deals=10000")
    assert "above the commit call, further than the peers: none of 0" in done.stdout
    assert "below the commit call, further than the peers: none of 0" in done.stdout
    assert "too little to tell: 20 of 20" in done.stdout


def test_the_file_has_a_row_per_pattern_and_per_rep_of_whom_too_little_is_known(callers: Path) -> None:
    out = callers.parent / "new" / "patterns.csv"
    told = answer(callers, *AS_OF, *ON, "--out", out)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["rep_id", "pattern", "evidence", "plain_explanations"]
    assert [row["pattern"] for row in rows] == [row["pattern"] for row in told["rows"]]
    assert rows[0]["rep_id"] == "'=cmd()"
    assert told["patterns"]["booked_above_call"] == 3
    assert told["too_little"] + told["compared"] == told["reps"] == 20
    counts = told["rep_periods"]
    assert counts["in"] == counts["kept"] + sum(counts["left_out"].values())
    assert not [name for row in told["rows"] for name in row if "score" in name or "rank" in name or name == "p"]
    few = answer(callers, *AS_OF, *ON, "--set", "flags.rep_patterns.min_deals=25")
    assert {row["pattern"] for row in few["rows"]} == {"too_little_to_tell"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--out", "patterns.txt"), "ends in .csv"),
        (("--as-of", "1950-01-01"), "fiscal calendar"),
        (("--as-of", "yesterday"), "ISO 8601"),
        (("--set", "flags.rep_patterns.q=0.9"), "flags.rep_patterns.q"),
        (("--set", "flags.rep_patterns.periods=5"), "min_periods not above periods"),
    ],
)
def test_what_cannot_be_asked_for(callers: Path, arguments: tuple[str, ...], words: str) -> None:
    done = run(callers, *AS_OF, *ON, *arguments)
    assert done.exit_code == 2, done.output
    assert words in done.output
