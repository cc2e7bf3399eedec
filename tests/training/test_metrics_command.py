"""`forecastle metrics` as people meet it: files, levels, the planner, and one clear error for each bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import Result
from typer.testing import CliRunner

from configs.errors import StateError
from forecastle import app

CONFIG = """\
name: shop
time_zone: UTC
target: in_period
period: {kind: quarter}
source: {kind: files, path: EXPORT, mapping: mapping.yaml}
state_dir: STATE
"""
MAPPING = """\
stages:
  order: [Qualify, Propose]
  won: [Won]
  lost: [Lost]
"""
FILES = {
    "deals.csv": "deal_id,created_at\nD1,2024-01-02T09:00:00Z\nD2,2024-01-03T09:00:00Z\nD3,2024-02-03T09:00:00Z\n",
    "deal_history.csv": (
        "deal_id,known_at,stage,amount,owner_id,close_date\n"
        "D1,2024-01-02T09:00:00Z,Qualify,100,u1,2024-02-02\n"
        "D1,2024-02-01T09:00:00Z,Won,99.50,u1,2024-02-02\n"
        "D2,2024-01-03T09:00:00Z,Propose,20,=cmd(),2024-03-02\n"
        "D2,2024-03-03T09:00:00Z,Lost,0,=cmd(),2024-03-02\n"
        "D3,2024-02-03T09:00:00Z,Propose,700,u1,2024-06-30\n"
    ),
    "reps.csv": "rep_id,team,name\nu1,north,Ann Example\n=cmd(),+south,Bob Example\n",
    "quotas.csv": "rep_id,period_start,amount\nu1,2024-01-01,200\nu1,2024-04-01,1000\n=cmd(),2024-04-01,500\n",
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A config over a tiny, valid export whose ids are formulas."""
    export = tmp_path / "export"
    export.mkdir()
    for name, text in FILES.items():
        (export / name).write_text(text)
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    config = tmp_path / "shop.yaml"
    config.write_text(CONFIG.replace("EXPORT", str(export)).replace("STATE", str(tmp_path / "state")))
    return config


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["metrics", *(str(argument) for argument in arguments)])


def answer(*arguments: str | Path) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_figures_by_hand(shop: Path) -> None:
    told = answer(shop, "--as-of", "2024-05-15")
    company = told["nodes"][0]
    assert (told["as_of"], told["period_start"], told["period_end"]) == (
        "2024-05-15T00:00:00+00:00", "2024-04-01", "2024-06-30",
    )  # fmt: skip
    assert [node["node"] for node in told["nodes"]] == ["all", "+south", "north", "=cmd()", "u1"]
    assert (company["open_count"], company["open"], company["due"]) == (1, 700, 700)
    assert (company["win_rate"], company["win_rate_amount"]) == (0.5, round(100 / 120, 6))
    assert (company["average_won"], company["cycle_days_mean"], company["cycle_days_median"]) == (99.5, 30, 30)
    assert company["velocity_per_day"] == 1.66  # 1 x 0.5 x 99.50 / 30 days
    assert (company["quota"], company["booked"], company["to_go"], company["attainment"]) == (1500, 0, 1500, 0)
    assert company["coverage"] == round(700 / 1500, 6)
    assert company["funnel"][1] == {
        "stage": "Propose", "open_count": 1, "open": 700, "entered": 2, "advanced": 0, "lost": 1, "merged": 0,
        "still_open": 1, "rate": 0, "rate_low": 0, "rate_high": 0.5, "won": 0, "ended": 1, "win_rate": 0,
    }  # fmt: skip
    assert [curve["booked"] for curve in company["curves"]] == [99.5, 0]
    assert company["curves"][0]["attainment"] == round(99.5 / 200, 6)
    assert told["days_silent"] == pytest.approx(72.625)


def test_the_terminal_says_it_in_words(shop: Path) -> None:
    done = run(shop, "--as-of", "2024-05-15", "--goal", "5000")
    assert done.exit_code == 0, done.output
    for words in (
        "rates from 1 complete period since 2024-01-01", "73 days old", "sales velocity 2 a day", "Propose",
        "health 50 of 100", "team north", "rep u1", "quota per rep 750: 7 reps", "2 have a quota now",
    ):  # fmt: skip
        assert words in done.stdout, words
    assert "Example" not in done.stdout  # names are for people; nodes are ids


def test_the_terminal_says_what_is_missing(shop: Path) -> None:
    assert "no quota of the running period is known by then" in run(shop, "--as-of", "2024-04-01").stdout
    assert "no quota" not in run(shop, "--as-of", "2024-04-02").stdout
    assert "no deal was known by then" in run(shop, "--as-of", "2023-04-02").stdout


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_files_hold_every_node(shop: Path, suffix: str) -> None:
    out = shop.parent / "new" / f"metrics{suffix}"
    told = answer(shop, "--as-of", "2024-05-15", "--out", out)
    if suffix == ".json":
        assert json.loads(out.read_text()) == told
        return
    listed = csv_rows(out) if suffix == ".csv" else pq.read_table(out).to_pylist()
    guard = "'" if suffix == ".csv" else ""
    assert [row["node"] for row in listed] == ["all", f"{guard}+south", "north", f"{guard}=cmd()", "u1"]
    assert [float(row["booked"]) for row in listed] == [node["booked"] for node in told["nodes"]]
    # Nothing that was open half a quarter ago was won by its end, so no coverage would do.
    assert (float(listed[0]["yield"]), float(listed[0]["health"])) == (0, 50)
    assert listed[0]["coverage_needed"] in ("", None)
    assert json.loads(listed[0]["funnel"]) == told["nodes"][0]["funnel"]
    assert {int(row["schema_version"]) for row in listed} == {1}


def test_one_level(shop: Path) -> None:
    out = shop.parent / "reps.csv"
    told = answer(shop, "--as-of", "2024-05-15", "--level", "rep", "--out", out)
    assert {node["level"] for node in told["nodes"]} == {row["level"] for row in csv_rows(out)} == {"rep"}


def test_a_level_that_is_empty_still_has_columns(shop: Path) -> None:
    out = shop.parent / "early.parquet"
    told = answer(shop, "--as-of", "2023-01-01", "--level", "rep", "--out", out)
    assert told["nodes"] == []
    assert told["days_silent"] is None
    assert pq.read_table(out).num_rows == 0
    assert "win_rate" in pq.read_table(out).column_names


def test_a_plan_from_what_is_given(shop: Path) -> None:
    options = ("--goal", "10000", "--quota-per-rep", "1000", "--attainment", "0.8", "--coverage", "2.5")
    told = answer(shop, "--as-of", "2024-05-15", *options)
    assert told["plan"] == {
        "goal": 10000, "quota_per_rep": 1000, "attainment": 0.8, "coverage": 2.5, "pipeline_per_rep": 2500,
        "pipeline_total": 25000, "reps_now": 2, "reps_best_case": 10, "reps_needed": 13, "reps_missing": 11,
    }  # fmt: skip
    assert "plan" not in answer(shop, "--as-of", "2024-05-15")


def test_a_plan_from_the_own_past(shop: Path) -> None:
    told = answer(shop, "--as-of", "2024-05-15", "--goal", "10000")["plan"]
    # Of the one complete quarter 99.50 of a quota of 200 were booked; the record begins in it, after its start.
    assert (told["quota_per_rep"], told["attainment"], told["coverage"]) == (750, 0.4975, None)
    assert (told["reps_best_case"], told["reps_needed"]) == (14, 27)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--as-of", "soon"), "--as-of: 'soon'"),
        (("--as-of", "1950-01-01"), "fiscal calendar"),
        (("--as-of", "2024-05-15", "--level", "region"), "--level: 'region'; expected company or team or rep"),
        (("--as-of", "2024-05-15", "--by", "source"), "--by: given for a config of deals"),
        (("--as-of", "2024-05-15", "--out", "x.xlsx"), "--out: 'x.xlsx'"),
        (("--as-of", "2024-05-15", "--goal", "lots"), "--goal: 'lots'"),
        (("--as-of", "2024-05-15", "--goal", "nan"), "--goal: 'nan'"),
        (("--as-of", "2024-05-15", "--goal", "-5"), "--goal: '-5'"),
        (("--as-of", "2024-05-15", "--goal", "inf"), "--goal: 'inf'"),
        (("--as-of", "2024-05-15", "--goal", "1e30"), "--goal: '1e30'"),
        (("--as-of", "2024-05-15", "--goal", "5", "--attainment", "0"), "--attainment: '0'"),
        (("--as-of", "2024-05-15", "--coverage", "3"), "--coverage: given without --goal"),
        (("--as-of", "2024-05-15", "--periods", "0"), "--periods"),
        ((), "--as-of"),
    ],
)
def test_bad_input_is_one_clear_error(shop: Path, options: tuple[str, ...], words: str) -> None:
    done = run(shop, *options)
    assert done.exit_code == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_out_that_is_a_folder_or_cannot_be_made(shop: Path) -> None:
    (shop.parent / "folder.csv").mkdir()
    done = run(shop, "--as-of", "2024-05-15", "--out", shop.parent / "folder.csv")
    assert (done.exit_code, "is a folder" in done.stderr) == (2, True)
    done = run(shop, "--as-of", "2024-05-15", "--out", shop / "below.csv")
    assert (done.exit_code, "is no folder" in done.stderr) == (2, True)


def test_a_failed_write_leaves_the_old_file(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = shop.parent / "metrics.csv"
    out.write_text("old")

    def full(path: Path, *_: object) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.metrics_out.write_csv", full)
    done = run(shop, "--as-of", "2024-05-15", "--out", out)
    assert (done.exit_code, "No space left" in done.stderr) == (StateError.exit_code, True)
    assert out.read_text() == "old"
    assert [path.name for path in shop.parent.iterdir() if "metrics.csv" in path.name] == ["metrics.csv"]
