"""The records of the bench: taken up where they are, and pooled by the formulas that their names say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.planted import CLOSE, OUT, covered, ece, gap_closed, lower, nearer, pooled, ratio, records


def record(seed: int, close: float, rows: int = 100) -> dict[str, object]:
    scores = {"auc": 0.7, "ratio": 1.1, "slope": 1.0, "bins": [[rows // 2, 0.1, 0.2], [rows // 2, 0.5, 0.4]]}
    told = {CLOSE: close, "stage_time_left": 0.4, "oracle": 0.2}
    return {
        "world": "W1",
        "seed": seed,
        "rows": rows,
        "won_rows": 30.0,
        "wins": 30,
        "models": {name: scores | {"log_loss": value} for name, value in told.items()},
        "close_date": {"rows": 10, "ours": 50.0, "theirs": 100.0, "inside": 8},
    }


def test_seeds_on_disk_are_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OUT, str(tmp_path))
    kept = [record(0, 0.3), record(1, 0.35)]
    lines = [json.dumps(one) for one in kept]
    (tmp_path / "worlds.jsonl").write_text("\n".join([*lines, lines[0][:40]]) + "\n")  # the last one was cut off
    assert records("W1", (0, 1)) == kept


def test_pooled_figures() -> None:
    some = [record(0, 0.3), record(1, 0.36, rows=300)]
    close = (0.3 * 100 + 0.36 * 300) / 400
    assert lower("stage_time_left")(some) == pytest.approx(1 - close / 0.4)
    assert gap_closed(CLOSE)(some) == pytest.approx((0.4 - close) / 0.2)
    assert ratio(some) == pytest.approx(1.1)
    assert ece(some) == pytest.approx(0.1)
    assert nearer(some) == 0.5
    assert covered(some) == 0.8
    found = pooled(some, gap_closed(CLOSE))
    assert found.low < found.value < found.high
