"""A 10 M-activity export to canonical tables: time and memory of a process that does nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.export import write_export
from tests.bench.measure import held, say

ROOT = Path(__file__).parents[2]
MAPPING = ROOT / "configs" / "mappings" / "canonical.yaml"
ACTIVITIES = 10_000_000
pytestmark = [pytest.mark.timeout(1800)]

READ = """
import json, pathlib, resource, sys, time
from configs.load import load_config
from features.sources.base import open_source
sets = ["source.path=" + sys.argv[1], "source.mapping=" + sys.argv[2]]
config = load_config(pathlib.Path("configs/maven.yaml"), sets)
start = time.perf_counter()
tables = open_source(config).read().tables
seconds = time.perf_counter() - start
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, tables.activities.n]))
"""


def test_ten_million_activities(tmp_path: Path) -> None:
    size = write_export(tmp_path, ACTIVITIES)
    run = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path), str(MAPPING)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    seconds, peak, rows = json.loads(run.stdout)
    assert rows == ACTIVITIES
    say(f"{size / 1e9:.2f} GB of CSV, {rows:,} activities: {rows / seconds / 1e3:,.0f} thousand rows a second")
    held("seconds to canonical tables", seconds, "about 60; held at 90, for a busy machine", seconds <= 90)
    held("GB of memory at most", peak / 1e9, "at most 6", peak <= 6e9)
