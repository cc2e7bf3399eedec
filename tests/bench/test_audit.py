"""The leak audit on 20 clean companies, at most 1 false alarm in all; and its CPU time beside that of preparing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from configs.load import load_config
from features.sources.base import open_source
from tests.companies import DEMO
from training.audit import audit
from training.audit_rules import Audit, Mark
from training.prepare import prepare

SEEDS = range(101, 121)
pytestmark = [pytest.mark.timeout(3600)]


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def audited(state: Path, seed: int, wins: int) -> tuple[Audit, float, float]:
    """Return the audit of a simulated company, and the CPU seconds of preparing and of auditing it."""
    overrides = [f"source.simulate.seed={seed}", f"source.simulate.wins_per_period={wins}", f"state_dir={state}"]
    config = load_config(DEMO, overrides)
    ingest = open_source(config).read()
    begun = time.process_time()
    prepared = prepare(config, ingest)
    middle = time.process_time()
    return audit(prepared, ingest), middle - begun, time.process_time() - middle


def test_clean_companies_raise_no_alarm(tmp_path: Path) -> None:
    alarms, warnings, looked = [], 0, 0
    for seed in SEEDS:
        found = audited(tmp_path, seed, 30)[0]
        alarms += [f"{seed}: {f.field} {f.rules}" for f in found.quarantined]
        warnings += sum(f.mark == Mark.WARNING for f in found.findings)
        looked += len(found.findings)
    met = len(alarms) <= 1
    say(
        f"{'met   ' if met else 'MISSED'}  {len(SEEDS)} clean companies, {looked:,} fields: {len(alarms)} false alarms "
        f"(target at most 1 in all), {warnings} warnings"
    )
    assert met, alarms


def test_time_of_a_company_of_300_wins(tmp_path: Path) -> None:
    found, preparing, auditing = audited(tmp_path, 7, 300)
    ratio = auditing / preparing
    deals = f"{found.facts['won']} won, {found.facts['lost']} lost"
    say(f"{deals}: audit {auditing:.1f} s of CPU, prepare {preparing:.1f} s")
    say(f"{'met   ' if ratio <= 3 else 'MISSED'}  audit / prepare: {ratio:.2f} (target at most 3)")
    assert found.quarantined == ()
    assert ratio <= 3
