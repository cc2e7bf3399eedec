"""`forecastle metrics` of a config of leads: what it prints and writes, and one clear error for each bad option."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import Result
from typer.testing import CliRunner

from features.lead_funnel import STEPS
from forecastle import app
from tests.lead_world import write_leads

AS_OF = ("--as-of", "2024-06-20")


@pytest.fixture(scope="module")
def leads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config of some hundred leads."""
    return write_leads(tmp_path_factory.mktemp("leads"), 600)


def run(config: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["metrics", str(config), *(str(argument) for argument in arguments)])


def test_the_terminal_tells_steps_periods_and_groups(leads: Path) -> None:
    done = run(leads, *AS_OF)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert "leads created since 2023-10-01; converted within 30 days and won within 120 days" in lines[0]
    assert [line.split()[0] for line in lines if line.startswith(("lead ", "worked", "mql", "opportunity", "won"))] == [
        "lead", "worked", "opportunity", "won",
    ], "no lead was ever seen as mql or sql"  # fmt: skip
    periods = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("202")}
    assert list(periods) == ["2023-10-01", "2024-01-01", "2024-04-01"]
    assert periods["2024-04-01"][-1] == "-", "none of them has had 120 days"
    assert periods["2024-01-01"][-1].endswith("%*"), "some of them have"
    assert periods["2023-10-01"][-1].endswith("%")
    assert "by source:" in lines
    assert "by size:" in lines


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_files_hold_every_step_of_every_cohort(leads: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"funnel{suffix}"
    done = run(leads, *AS_OF, "--by", "source", "--periods", "2", "--out", out, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    cohorts = (1 + 3) * (1 + 3)  # all and each source; all of it and each period
    assert len(told["cohorts"]) == cohorts
    first = told["cohorts"][0]["steps"][1]
    if suffix == ".json":
        assert json.loads(out.read_text()) == told
        return
    if suffix == ".csv":
        with out.open(newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        assert str(pq.read_schema(out).field("young").type) == "int64"
        rows = pq.read_table(out).to_pylist()
    assert len(rows) == cohorts * len(STEPS)
    assert {row["group"] or None for row in rows} == {None, "source"}
    assert float(rows[1]["rate_low"]) == first["rate_low"]
    assert int(rows[1]["judged"]) == first["judged"]


@pytest.mark.parametrize(
    ("option", "why"),
    [
        (("--level", "team"), "--level: given for a config of leads"),
        (("--goal", "100"), "--goal: given for a config of leads"),
        (("--by", "colour"), "--by: 'colour'; expected source or size"),
        (("--out", "funnel.xlsx"), "--out: 'funnel.xlsx'"),
    ],
)
def test_what_makes_no_sense_is_told(leads: Path, option: tuple[str, str], why: str) -> None:
    done = run(leads, *AS_OF, *option)
    assert done.exit_code == 2
    assert why in done.stderr


def test_before_the_first_lead_there_is_nothing_to_tell(leads: Path) -> None:
    done = run(leads, "--as-of", "2020-01-01")
    assert done.exit_code == 0, done.output
    assert "no lead was known by then" in done.stdout
