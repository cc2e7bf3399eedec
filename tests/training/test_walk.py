"""A walk that is killed goes on where it stood, to the same bits; what is damaged or another's is not believed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from json import dumps, loads
from pathlib import Path

import numpy as np
import pytest

from configs.schema import Config
from features.periods import DAY
from features.sources.base import open_source
from models.calibrate import Affine
from models.close import FitNotes
from models.ladder import Doubt
from models.rounds import Trust
from tests.companies import ROOT, demo_config
from training.backtest import Keep, folds_of, run_backtest
from training.backtest import Tested as Rows
from training.prepare import Prepared, prepare
from training.walk import ARRAYS, FOLDER, MODEL, TOLD, Piece, Walk, key_of, revived

LIGHT = (
    "features.groups=[deal, clock]",
    "model.seeds=1",
    "model.max_rounds=10",
    "model.num_threads=1",
    "backtest.test_periods=3",
)
STOPPED = """
import sys, time
from pathlib import Path
from features.sources.base import open_source
from tests.companies import demo_config
from tests.training.test_walk import LIGHT, walked
from training.prepare import prepare

def say(text):
    print(text, flush=True)
    if text.startswith("fold 3"):
        time.sleep(600)

config = demo_config(Path(sys.argv[1]), *LIGHT)
walked(prepare(config, open_source(config).read()), Path(sys.argv[2]), say)
"""


def walked(prepared: Prepared, out: Path, said: Callable[[str], None] = lambda _: None, data: str = "d") -> Rows:
    return run_backtest(prepared, said, keep=Keep(Walk.under(out, said), data))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return demo_config(tmp_path_factory.mktemp("state"), *LIGHT)


@pytest.fixture(scope="module")
def prepared(config: Config) -> Prepared:
    return prepare(config, open_source(config).read())


@pytest.fixture(scope="module")
def bare(prepared: Prepared) -> Rows:
    return run_backtest(prepared)


def same(prepared: Prepared, left: Rows, right: Rows) -> bool:
    """Whether two walks agree to the last bit, the newest model's own answers included."""
    matrix = prepared.examples.matrix
    assert left.newest is not None
    assert right.newest is not None
    return (
        left.p.keys() == right.p.keys()
        and all(left.p[name].tobytes() == right.p[name].tobytes() for name in left.p)
        and left.rows.tobytes() == right.rows.tobytes()
        and left.notes == right.notes
        and left.newest.contributions(matrix)[1].tobytes() == right.newest.contributions(matrix)[1].tobytes()
    )


def fold_folders(out: Path) -> list[Path]:
    return sorted((out / FOLDER).iterdir(), key=lambda path: path.stat().st_mtime_ns)


def test_a_killed_walk_goes_on_where_it_stood(config: Config, prepared: Prepared, bare: Rows, tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(config.state_dir), str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    try:
        for line in child.stdout:
            if line.startswith("fold 3"):
                break
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    assert child.returncode == -signal.SIGKILL
    assert len(fold_folders(tmp_path)) == 2
    said: list[str] = []
    resumed = walked(prepared, tmp_path, said.append)
    assert [("taken up" in line) for line in said if line.startswith("fold")] == [True, True, False]
    assert same(prepared, resumed, bare)
    said.clear()
    again = walked(prepared, tmp_path, said.append)
    assert sum("taken up" in line for line in said) == 3
    assert same(prepared, again, bare)


@pytest.fixture(scope="module")
def kept(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("kept")
    walked(prepared, out)
    return out


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


DAMAGE: dict[str, Callable[[Path], None]] = {
    "columns cut off": lambda fold: cut_off(fold / ARRAYS),
    "columns altered": lambda fold: flip(fold / ARRAYS),
    "notes altered": lambda fold: (fold / TOLD).write_text(
        (fold / TOLD).read_text().replace('"rounds": ', '"rounds": 1')
    ),
    "notes empty": lambda fold: (fold / TOLD).write_text(""),
    "notes of another kind": lambda fold: (fold / TOLD).write_text("[]"),
    "no columns": lambda fold: (fold / ARRAYS).unlink(),
    "model altered": lambda fold: flip(fold / MODEL / "close.json"),
    "no model": lambda fold: (fold / MODEL / "manifest.json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_fold_is_computed_again_and_said(
    damage: str, prepared: Prepared, bare: Rows, kept: Path, tmp_path: Path
) -> None:
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    newest = next(path for path in fold_folders(tmp_path) if (path / MODEL).exists())
    DAMAGE[damage](newest)
    said: list[str] = []
    assert same(prepared, walked(prepared, tmp_path, said.append), bare)
    assert [line for line in said if "computed again" in line and newest.name in line]
    said.clear()
    walked(prepared, tmp_path, said.append)
    assert sum("taken up" in line for line in said) == 3  # mended


def test_other_data_config_or_columns_find_nothing(prepared: Prepared, kept: Path) -> None:
    def taken(what: Prepared, data: str = "d", keep: bool = True) -> int:
        said: list[str] = []
        run_backtest(what, said.append, baselines={}, keep=Keep(Walk.under(kept, said.append), data, keep))
        return sum("taken up" in line for line in said)

    assert taken(prepared) == 0  # the kept folds have baselines
    assert taken(prepared) == 3
    assert taken(prepared, data="other") == 0
    other = prepared.config.model_copy(update={"seed": 8})
    assert taken(replace(prepared, config=other)) == 0
    assert taken(prepared, keep=False) == 0


def test_what_a_walk_has_no_use_for_is_removed(tmp_path: Path) -> None:
    walk = Walk.under(tmp_path, lambda _: None)
    piece = Piece({"a": np.arange(3.0)}, {"n": 1})
    walk.put("used", piece)
    walk.put("stale", piece)
    (tmp_path / FOLDER / ".half-abc").mkdir()
    found = walk.take("used")
    assert found is not None
    assert found.arrays["a"].tolist() == [0, 1, 2]
    assert walk.take("absent") is None
    walk.prune()
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["used"]
    Walk.under(tmp_path / "nothing", lambda _: None).prune()


def test_a_key_names_all_of_its_parts() -> None:
    keys = {key_of({"cut": 1}, ["a"]), key_of({"cut": 2}, ["a"]), key_of({"cut": 1}, ["b"]), key_of({"cut": 1}, [])}
    assert len(keys) == 4
    assert key_of({"cut": 1}, ["a"]) in keys


def test_notes_survive() -> None:
    trust = (Trust(300, 1 / 3), Trust(12, 0.85))
    notes = FitNotes(12, (0.1, 1 / 3), (0.2, 2 / 3), Affine(0.1, 1.05), trust, "trees", Doubt(2 / 3, 1.5, "wins"), 30.0)
    for each in (notes, replace(notes, doubt=None)):
        assert revived(FitNotes, loads(dumps(asdict(each)))) == each


def test_an_embargo_leaves_out_the_last_rows_and_nothing_else(prepared: Prepared) -> None:
    backtest = prepared.config.backtest.model_copy(update={"embargo_days": 14})
    held = replace(prepared, config=prepared.config.model_copy(update={"backtest": backtest}))
    as_of = prepared.examples.as_of
    for with_all, without in zip(folds_of(prepared), folds_of(held), strict=True):
        late = (as_of >= with_all.cut - 14 * DAY) & (as_of < with_all.cut)
        assert (with_all.train & late).any()
        assert np.array_equal(without.train, with_all.train & ~late)
        assert np.array_equal(without.test, with_all.test)
    tested = run_backtest(held, baselines={})
    assert tested.p["close"].tobytes() != run_backtest(prepared, baselines={}).p["close"].tobytes()


def test_no_label_window_crosses_a_cut(prepared: Prepared) -> None:
    for fold in folds_of(prepared):
        assert prepared.examples.label_end[fold.train].max() <= fold.cut
        assert prepared.examples.as_of[fold.test].min() >= fold.cut
