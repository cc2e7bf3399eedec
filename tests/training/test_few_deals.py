"""Train, promote and score with few closed deals or none, through the commands: every company gets scores."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from configs.errors import GateRefused, TooLittleDataError
from configs.load import load_config
from configs.schema import Config
from features.periods import parse_as_of
from features.sources.base import open_source
from forecastle import app
from models.store import bundle_folder
from serving.batch import score_file
from tests.companies import DEMO
from tests.few import few
from training.cuts import ground_at
from training.gates import COLD, COLD_INSTEAD
from training.prepare import prepare
from training.promote_command import promote
from training.reproduce import reproduce
from training.train_command import train
from training.tune_command import tuning_cut

pytestmark = pytest.mark.timeout(180)
TIMES = ("p_won", "p_lost", "p_open", "close_date_p50", "slip_risk")
CONSTANT = "cold start: log loss gained over constant, nats a row"
OVER = "2023-06-20"
YOUNG, OLD = ("2023-02-01", OVER), ("2022-04-01", OVER)  # no period that can be tested, and two of them


@dataclass(frozen=True)
class Company:
    """What became of one: its config, what `train` told, its card and the scores of its open deals."""

    overrides: tuple[str, ...]
    config: Config
    told: dict[str, Any]
    card: dict[str, Any]
    scores: list[dict[str, str]]

    def gates(self) -> dict[str, dict[str, Any]]:
        return {verdict["gate"]: verdict for verdict in self.told["report"]["verdicts"]}

    def filled(self, column: str) -> bool:
        (held,) = {row[column] != "" for row in self.scores}
        return held


def company(folder: Path, won: int, lost: int, since: str, until: str, reason: str | None = None) -> Company:
    overrides = few(folder, won, lost, 30, since, until)
    config = load_config(DEMO, list(overrides))
    told = train(config, None)
    promote(config, force=reason is not None, reason=reason)
    out = folder / "scores.csv"
    score_file(config, [parse_as_of(until, config.time_zone)], out, "live", False, lambda _: None)
    with out.open(newline="", encoding="utf-8") as file:
        scores = list(csv.DictReader(file))
    candidate = bundle_folder(config.state_dir, "candidate")
    card = json.loads(candidate.with_name(f"{candidate.name}.card.json").read_text())
    return Company(overrides, config, told, card, scores)


def sane(found: Company) -> None:
    """Every open deal has a probability, and they are not one number for all; no head says half of what it should."""
    p = np.array([float(row["p_won_in_period"]) for row in found.scores])
    assert len(p) == 30
    assert ((p > 0) & (p < 0.96)).all()
    assert p.std() > 0.01
    assert len({found.filled(column) for column in ("p_won", "p_lost", "p_open", "close_date_p50")}) == 1
    notes = " ".join([*found.card["notes"], *found.told["report"]["notes"]])
    assert ("no close dates, p_won, p_lost, p_open: no timing model: " in notes) != found.filled("p_won")
    assert ("no amount_expected: no amount model: " in notes) != found.filled("amount_expected")
    assert {row["rung"] for row in found.scores} == {found.told["rung"]} == {found.card["rung"]["name"]}
    assert "times what the scores add up to" in found.card["rung"]["level"]


def backtested(found: Company, out: Path) -> tuple[int, str]:
    arguments = [word for each in found.overrides for word in ("--set", each)]
    done = CliRunner().invoke(app, ["backtest", str(DEMO), *arguments, "--out", str(out)])
    return done.exit_code, f"{done.stderr}{done.exception!r}"


@pytest.mark.parametrize(
    ("won", "lost", "times", "heads", "why"),
    [
        (0, 0, ("2023-02-01", "2023-03-15"), (), "no test fold"),
        (0, 0, OLD, (), "nothing to tell apart"),
        (0, 20, OLD, (), "nothing to tell apart"),
        (5, 15, YOUNG, ("amount_expected",), "no test fold"),
        (12, 48, YOUNG, ("p_won", "amount_expected"), "no test fold"),
    ],
)
def test_where_nothing_can_be_tested(
    won: int, lost: int, times: tuple[str, str], heads: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    found = company(tmp_path, won, lost, *times)
    sane(found)
    assert tuple(name for name in ("p_won", "amount_expected") if found.filled(name)) == heads
    assert found.told["rung"] == "table"
    gates = found.gates()
    assert why in gates[COLD]["note"]
    assert CONSTANT not in gates
    assert found.told["gates_passed"] is True
    assert found.card["metrics"] == []
    assert "nobody can say how right it is" in found.card["rung"]["doubt"]
    code, said = backtested(found, tmp_path / "report")
    assert code == 4
    assert why in said
    assert "Traceback" not in said
    assert not (tmp_path / "report" / "backtest.json").exists()


def test_a_head_without_periods_gets_scores_too(tmp_path: Path) -> None:
    """Its one fold would train on nothing: no row of a year's window was told before the cut."""
    more = ("target=eventual", "snapshots={ages: [1d, 7d, 28d]}")
    config = load_config(DEMO, [*few(tmp_path, 15, 45, 30, *OLD), *more])
    with pytest.raises(TooLittleDataError, match="no test fold"):
        tuning_cut(config, open_source(config).read(), None)
    told = train(config, None)
    assert told["rung"] == "table"
    (cold,) = [verdict for verdict in told["report"]["verdicts"] if verdict["gate"] == COLD]
    assert "expected rows told before the cut, and deals begun after it" in cold["note"]
    promote(config)
    out = tmp_path / "scores.csv"
    score_file(config, [parse_as_of(OVER, config.time_zone)], out, "live", False, lambda _: None)
    with out.open(newline="", encoding="utf-8") as file:
        scores = list(csv.DictReader(file))
    p = np.array([float(row["p_eventual"]) for row in scores])
    assert len(p) == 30
    assert ((p > 0) & (p < 0.96)).all()
    assert p.std() > 0.01
    assert all(row["p_won"] for row in scores)


@pytest.mark.parametrize(("won", "lost", "timed"), [(5, 15, False), (15, 45, True)])
def test_the_table_must_be_no_worse_than_the_constant(won: int, lost: int, timed: bool, tmp_path: Path) -> None:
    found = company(tmp_path, won, lost, *OLD)
    sane(found)
    assert found.filled("p_won") == timed
    assert found.told["rung"] == "table"
    gates = found.gates()
    assert COLD not in gates
    assert gates[CONSTANT]["passed"]
    assert not [name for name in gates if "stage_time_left" in name or "calibration" in name]
    assert [row["model"] for row in found.card["metrics"]][:2] == ["close", "constant"]
    code, said = backtested(found, tmp_path / "report")
    assert code == 0, said
    report = json.loads((tmp_path / "report" / "backtest.json").read_text())[0]
    assert sum("; rung table; wins may come out at" in note for note in report["notes"]) == 2


def test_the_ridge_has_all_gates_and_no_cold_model_takes_its_place(tmp_path: Path) -> None:
    found = company(tmp_path, 60, 140, *OLD, reason="a small company")
    sane(found)
    assert found.told["rung"] == "ridge"
    assert all(found.filled(name) for name in ("p_won", "amount_expected"))
    gates = found.gates()
    assert {"calibration slope", "log loss gained over stage_time_left, nats a row"} <= gates.keys()
    assert not {COLD, CONSTANT} & gates.keys()
    early = train(found.config, parse_as_of("2022-06-01", found.config.time_zone))
    assert early["rung"] == "table"
    (verdict,) = [each for each in early["report"]["verdicts"] if each["gate"] == COLD_INSTEAD]
    assert (verdict["value"], verdict["passed"]) == (1.0, False)
    with pytest.raises(GateRefused, match="the live model on ridge"):
        promote(found.config)


def test_untested_the_table_ships_however_many_deals_have_closed(tmp_path: Path) -> None:
    """The ridge of 80 deals and more has settings that only a later period can choose; here there is none."""
    found = company(tmp_path, 30, 100, "2022-10-01", "2023-03-25")
    sane(found)
    prepared = prepare(found.config, open_source(found.config).read())
    assert ground_at(prepared, prepared.until).rung == "ridge"
    assert found.told["rung"] == "table"
    assert reproduce(found.config.state_dir, found.told["run_name"])["identical"] is True
