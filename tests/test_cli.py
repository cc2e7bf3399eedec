"""The command line as people meet it: quick to start, and one clear error with its exit code for each bad input."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from click.testing import Result
from typer.testing import CliRunner

from configs.schema import Config
from configs.vocab import Ablation
from forecastle import app
from tests.companies import DEMO, ROOT

HEAVY = ("numpy", "pandas", "pyarrow", "sklearn", "scipy", "lightgbm", "mlflow", "bentoml", "starlette", "sqlalchemy")

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
DEALS = "deal_id,created_at\nD1,2024-01-02T09:00:00Z\nD2,2024-01-03T09:00:00Z\n"
HISTORY = """\
deal_id,known_at,stage,amount
D1,2024-01-02T09:00:00Z,Qualify,100
D1,2024-02-02T09:00:00Z,Won,99.00
D2,2024-01-03T09:00:00Z,Propose,20
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A config over a tiny, valid export; returns the config's path."""
    export = tmp_path / "export"
    export.mkdir()
    (export / "deals.csv").write_text(DEALS)
    (export / "deal_history.csv").write_text(HISTORY)
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    config = tmp_path / "shop.yaml"
    config.write_text(CONFIG.replace("EXPORT", str(export)).replace("STATE", str(tmp_path / "state")))
    return config


# --- quick to start --------------------------------------------------------------------------------------------------


def test_the_front_door_imports_nothing_heavy() -> None:
    code = f"import forecastle, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_imports_nothing_heavy_either() -> None:
    code = (
        "import sys, forecastle\n"
        "sys.argv = ['forecastle', '--help']\n"
        "try:\n    forecastle.main()\n"
        f"finally:\n    print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    for command in ("config", "features", "simulate", "train", "backtest", "promote", "score", "serve"):
        assert command in done.stdout


def test_the_installed_command_is_this_one() -> None:
    command = Path(sys.executable).with_name("forecastle")
    done = subprocess.run([command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "train" in done.stdout


def test_threads_that_wait_sleep() -> None:
    code = "import forecastle, os; print(os.environ['OMP_WAIT_POLICY'])"
    told = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    for environment, expected in ((told, "PASSIVE"), (told | {"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env=environment
        )
        assert done.stdout.strip() == expected


# --- config ----------------------------------------------------------------------------------------------------------


def test_config_check_says_that_all_is_well() -> None:
    done = run("config", "check", DEMO, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout.splitlines()[-1])["name"] == "demo"


def test_config_show_tells_where_values_come_from() -> None:
    done = run("config", "show", DEMO, "--set", "model.seeds=3")
    assert done.exit_code == 0
    line = next(line for line in done.stdout.splitlines() if "seeds" in line)
    assert "3" in line
    assert "--set" in line


def test_config_schema_is_a_schema_that_the_demo_fits() -> None:
    done = run("config", "schema")
    schema = json.loads(done.stdout)
    jsonschema.Draft7Validator.check_schema(schema)
    assert schema == json.loads((ROOT / "configs" / "schema.json").read_text())


@pytest.mark.parametrize("command", [["config", "check"], ["train"], ["backtest", "--out", "never"], ["promote"]])
def test_a_typo_in_a_config_is_refused_with_what_was_meant(command: list[str], shop: Path) -> None:
    shop.write_text(shop.read_text() + "modle: {seeds: 3}\nseed: many\n")
    done = run(*command, shop)
    assert done.exit_code == 2
    assert "did you mean 'model'" in done.stderr
    assert "shop.yaml:7" in done.stderr  # both faults, each with its line
    assert "shop.yaml:8" in done.stderr
    assert done.stdout == ""


def test_a_typo_in_an_override_is_refused() -> None:
    done = run("train", DEMO, "--set", "model.sedes=3")
    assert done.exit_code == 2
    assert "seeds" in done.stderr


def test_a_config_that_is_not_there(tmp_path: Path) -> None:
    done = run("train", tmp_path / "none.yaml")
    assert done.exit_code == 2
    assert "none.yaml" in done.stderr


@pytest.mark.parametrize("arguments", [["train"], ["trian", DEMO], ["train", DEMO, "--sett", "a=1"]])
def test_wrong_usage(arguments: list[str | Path]) -> None:
    assert run(*arguments).exit_code == 2


def test_an_as_of_that_is_no_day(shop: Path) -> None:
    done = run("train", shop, "--as-of", "yesterday")
    assert done.exit_code == 2
    assert "'yesterday'" in done.stderr
    assert "ISO 8601" in done.stderr


# --- features --------------------------------------------------------------------------------------------------------


def test_features_are_told_without_the_data(shop: Path) -> None:
    """A line a group; what only the data can tell is said to be so."""
    (shop.parent / "export" / "deals.csv").unlink()
    (shop.parent / "mapping.yaml").write_text(MAPPING + "attributes: {seats: {kind: number}, tier: {kind: category}}\n")
    done = run("features", shop, "--set", "features.drop=[pushes]", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert f"velocity: {told['groups']['velocity']} features" in done.stdout
    assert told["where_the_data_have_them"] == ["type_lift", "source_lift", "tier_lift"]
    assert f"{sum(told['groups'].values())} features for target in_period" in done.stdout
    assert "features" not in told


def test_features_are_described_in_full(shop: Path) -> None:
    (shop.parent / "mapping.yaml").write_text(MAPPING + "attributes: {seats: {kind: number}}\n")
    done = run(
        "features", shop, "--describe", "--json", "--set", "features.groups=[deal, clock]", "--set", "target=eventual"
    )
    told = json.loads(done.stdout.splitlines()[-1])
    names = [feature["name"] for feature in told["features"]]
    assert "attr_seats" in names
    assert "days_left" not in names
    assert {"unit", "missing", "sign", "says", "source", "group"} <= set(told["features"][0])
    assert all(f"| `{name}` |" in done.stdout for name in names)
    assert "| sentence | source of the definition |" in done.stdout


def test_features_that_cannot_be_are_refused(shop: Path) -> None:
    done = run("features", shop, "--set", "features.drop=[stage_rank]")
    assert done.exit_code == 2
    assert "'stage_rank'" in done.stderr


@pytest.mark.parametrize("command", [["train"], ["backtest", "--out", "never"]])
def test_one_flag_asks_for_every_ablation(command: list[str], shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import training.commands
    import training.train_command

    asked: list[Config] = []

    def note(config: Config, *_: object) -> dict[str, str]:
        asked.append(config)
        return {}

    home = training.train_command if command[0] == "train" else training.commands
    monkeypatch.setattr(home, command[0], note)
    assert run(*command, shop).exit_code == 0
    assert run(*command, shop, "--ablate").exit_code == 0
    assert [config.backtest.ablations for config in asked] == [(Ablation.REP_ID,), tuple(Ablation)]


# --- data ------------------------------------------------------------------------------------------------------------


def swap(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(export: Path) -> None:
        text = (export / name).read_text()
        assert text.count(old) == 1
        (export / name).write_text(text.replace(old, new))

    return change


def cut_off(export: Path) -> None:
    """The last line ends in the middle of a row."""
    whole = (export / "deal_history.csv").read_text()
    (export / "deal_history.csv").write_text(whole[: whole.index(",Propose")])


def cut_off_gzip(export: Path) -> None:
    whole = gzip.compress(HISTORY.encode())
    (export / "deal_history.csv").unlink()
    (export / "deal_history.csv.gz").write_bytes(whole[: len(whole) // 2])


BAD_DATA: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "missing file": (
        lambda export: (export / "deal_history.csv").unlink(),
        ("deal_history.csv", "no such file", "check source.path"),
    ),
    "missing folder": (lambda export: export.rename(export.with_name("elsewhere")), ("export", "check source.path")),
    "wrong dtype": (
        swap("deal_history.csv", "99.00", "ninety-nine"),
        ("deal_history.csv:3", "'ninety-nine'", "export amounts as plain numbers"),
    ),
    "unknown stage": (
        swap("deal_history.csv", "Propose", "Propsoe"),
        ("deal_history.csv:4", "stage 'Propsoe'", "did you mean 'Propose'?", "stages.unknown: keep"),
    ),
    "truncated CSV": (cut_off, ("deal_history.csv:4", "2 fields", "4, as in the header", "cut off")),
    "truncated gzip": (cut_off_gzip, ("deal_history.csv.gz", "cut off", "copy it again")),
    "closed before created": (
        swap("deals.csv", "2024-01-02", "2024-02-12"),
        ("deal_history.csv:3", "deal 'D1'", "before it was created", "time zone"),
    ),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_is_one_clear_error(name: str, shop: Path) -> None:
    """Exit code 4; the place, what was got and the remedy; no traceback, nothing on standard output, no state left."""
    change, words = BAD_DATA[name]
    change(shop.parent / "export")
    done = run("train", shop)
    assert done.exit_code == 4, done.stderr
    for word in words:
        assert word in done.stderr
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (shop.parent / "state" / "candidates").exists()


def test_every_fault_of_the_data_at_once(shop: Path) -> None:
    for name in ("wrong dtype", "unknown stage"):
        BAD_DATA[name][0](shop.parent / "export")
    done = run("train", shop)
    assert done.exit_code == 4
    assert "deal_history.csv:3" in done.stderr
    assert "deal_history.csv:4" in done.stderr


def test_too_little_data_is_told_as_such(shop: Path) -> None:
    """Two good deals are read without complaint: a table that leans on its prior can be trained, nothing be tested."""
    done = run("train", shop)
    assert done.exit_code == 0
    assert "cold start: nothing to judge on" in done.stdout
    tested = run("backtest", shop, "--out", shop.parent / "report")
    assert tested.exit_code == 4
    assert "longer history" in tested.stderr
    assert "Traceback" not in tested.stderr
    out = shop.parent / "forecast.csv"
    foretold = run("forecast", shop, "--as-of", "2024-02-03", "--out", out, "--model", "candidate")
    assert foretold.exit_code == 2  # two deals teach no amount: each can be scored, no sum be foretold
    assert "has no bookings model" in foretold.stderr
    assert "more deals were won with an amount" in foretold.stderr
    assert "Traceback" not in foretold.output
    assert not out.exists()


def test_debug_shows_the_traceback(shop: Path) -> None:
    BAD_DATA["unknown stage"][0](shop.parent / "export")
    assert "UnmappedError" in repr(run("train", shop, "--debug").exception)


def test_promoting_what_was_never_trained(shop: Path) -> None:
    done = run("promote", shop)
    assert done.exit_code == 1
    assert "run `forecastle train` first" in done.stderr


# --- simulate --------------------------------------------------------------------------------------------------------


def test_simulate_writes_export_and_truth_apart(tmp_path: Path) -> None:
    out = tmp_path / "company"
    done = run("simulate", "--out", out, "--periods", "10", "--wins-per-period", "30", "--seed", "4242")
    assert done.exit_code == 0, done.stderr
    assert {path.name for path in out.iterdir()} == {"export", "truth"}
    assert str(out / "export") in done.stdout
    again = run("simulate", "--out", out, "--periods", "10", "--wins-per-period", "30")
    assert again.exit_code == 2
    assert "is not empty" in again.stderr


def test_simulate_writes_the_salesforce_shape(tmp_path: Path) -> None:
    out = tmp_path / "company"
    done = run("simulate", "--out", out, "--shape", "salesforce", "--periods", "10", "--wins-per-period", "30")
    assert done.exit_code == 0, done.stderr
    assert {path.name for path in out.iterdir()} == {"export", "truth"}
    assert (out / "export" / "OpportunityHistory.csv").is_file()
    assert "configs/salesforce.yaml" in done.stdout


def test_simulate_knows_its_shapes(tmp_path: Path) -> None:
    done = run("simulate", "--out", tmp_path / "x", "--shape", "salesforse")
    assert done.exit_code == 2
    assert "canonical or salesforce" in done.stderr
    later = run("simulate", "--out", tmp_path / "x", "--shape", "hubspot")
    assert later.exit_code == 2
    assert "not written yet" in later.stderr
    assert not (tmp_path / "x").exists()


def test_a_notice_that_counts_nothing_tells_no_rows(tmp_path: Path) -> None:
    (tmp_path / "Opportunity.csv").write_text("Id,CreatedDate,Shoe\nD1,2024-01-02T09:00:00Z,9\n")
    (tmp_path / "OpportunityHistory.csv").write_text(
        "Id,OpportunityId,CreatedDate,StageName\nH1,D1,2024-01-02T09:00:00Z,Qualify\n"
    )
    result = run("readiness", ROOT / "configs" / "salesforce.yaml", "--set", f"source.path={tmp_path}")
    assert result.exit_code == 0
    told = result.output.splitlines()
    assert "Opportunity.csv: columns not used: Shoe" in told
    assert any(line.startswith("export: no file of OpportunityFieldHistory, Task, Event") for line in told)
    assert not any("(0 rows)" in line for line in told)
