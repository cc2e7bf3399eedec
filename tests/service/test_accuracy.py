"""How right the service was: what was said in the weeks of a period that is over, against what came."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from serving.answers import iso
from serving.auth import create_key, keys_file
from serving.live_accuracy import FEWEST, Said, bins_told, scores_told, weeks_told
from serving.papers import CARD, REPORT, paper
from serving.principal import Rights, Scope
from serving.store.said import LEDGER_OUTCOMES, first_of_weeks
from serving.store.tables import DEALS, OUTCOMES
from tests.service.test_bridge import bundles_of, told
from tests.stored import DAY, Office, service

pytestmark = pytest.mark.timeout(120)


def said(deals: int, weeks: int = 2) -> Said:
    """Some scores, each deal once a week."""
    rng = np.random.default_rng(7)
    deal, week = np.tile(np.arange(deals), weeks), np.repeat(np.arange(1, weeks + 1), deals)
    p = rng.uniform(0.05, 0.95, deals * weeks)
    return Said(week, deal, p, (rng.uniform(size=deals)[deal] < p).astype(np.float64))


def test_figures_are_those_of_plain_loops() -> None:
    one = said(40)
    found = scores_told(one)
    assert found is not None
    pairs = list(zip(one.p, one.y, strict=True))
    assert found["log_loss"]["value"] == pytest.approx(sum(-np.log(p if y else 1 - p) for p, y in pairs) / 80)
    assert found["brier"]["value"] == pytest.approx(sum((p - y) ** 2 for p, y in pairs) / 80)
    assert (found["rows"], found["deals"], found["came"]) == (80, 40, sum(y for _, y in pairs))
    by_deal = [sum((p - y) ** 2 - found["brier"]["value"] for p, y in (pairs[k], pairs[40 + k])) for k in range(40)]
    half = 1.959963984540054 * np.sqrt(sum(d * d for d in by_deal)) / 80
    assert found["brier"]["high"] - found["brier"]["value"] == pytest.approx(half)
    assert [week["rows"] for week in weeks_told(one)] == [40, 40]
    bins = bins_told(one)
    assert all(part["deals"] >= FEWEST for part in bins)
    assert [part["said"] for part in bins] == sorted(part["said"] for part in bins)
    assert sum(part["rows"] for part in bins) == 80


def test_few_deals_are_not_told() -> None:
    assert scores_told(said(FEWEST - 1, 9)) is None
    assert weeks_told(said(FEWEST - 1)) == bins_told(said(FEWEST - 1)) == []


def test_a_deal_counts_by_the_first_refresh_of_a_week() -> None:
    assert first_of_weeks([DAY, 2 * DAY, 8 * DAY, 30 * DAY], 0) == {1: DAY, 2: 8 * DAY, 5: 30 * DAY}


def instant(month: int, day: int, hour: int = 0) -> int:
    """UTC microseconds."""
    return round(datetime(2025, month, day, hour, tzinfo=UTC).timestamp() * 1e6)


def test_a_period_that_is_over_is_told_beside_what_came(either: Office, few: list[str]) -> None:
    looks = [either.now + days * DAY for days in range(3)]
    weeks = looks[:2]  # a Monday, and a Tuesday, on which this period's weeks begin
    for either.now in looks:
        either.refresh()
    either.now = instant(6, 2)
    told(either, few[0], stage="Closed Won", amount="1234.5")
    either.now = instant(7, 7)
    either.refresh()
    with service(either) as served:
        got = served.get("/v1/accuracy").json()
        assert (got["period_start"], got["periods"]) == ("2025-04-01", ["2025-04-01"])
        assert served.get("/v1/accuracy", period="2025-07-01").json()["period_start"] is None
        rows, closes = judged(either)
        team = next(row.team for row in rows)
        rights = Rights(frozenset({Scope.READ}), frozenset({team}))
        key = create_key(keys_file(either.config), "team", datetime(2025, 1, 1, tzinfo=UTC), rights=rights)
        own = served.client.get("/v1/accuracy", headers={"Authorization": f"Bearer {key}"}).json()
    counted = [row for row in rows if row.as_of in weeks]
    assert (got["live"]["rows"], got["live"]["came"]) == (len(counted), sum(row.came_true or 0 for row in counted))
    assert got["live"]["came"] >= len(weeks)
    assert got["live"]["said"] == pytest.approx(sum(row.p for row in counted))
    assert [row["as_of"] for row in got["bookings"]] == [iso(at) for at in weeks]
    won = [row for row in closes if row.outcome == "won" and instant(4, 1, 4) <= row.closed_at < instant(7, 1, 4)]
    assert {row["booked_in_the_end"] for row in got["bookings"]} == {sum(row.amount_cents or 0 for row in won) / 100}
    mine = [row for row in counted if row.team == team]
    assert own["live"] is None if len({row.deal_id for row in mine}) < FEWEST else own["live"]["rows"] == len(mine)
    assert {row["node"] for row in own["bookings"]} == {team}
    assert own["backtest"] is None


def judged(office: Office) -> tuple[list[Any], list[Any]]:
    """Every score with what came of it, and every close, each with the deal's team."""
    with office.store() as store, store.engine.begin() as connection:
        tables = (LEDGER_OUTCOMES, OUTCOMES)
        rows, closes = (
            list(connection.execute(select(table, DEALS.c.team).join(DEALS, DEALS.c.deal_id == table.c.deal_id)).all())
            for table in tables
        )
    return rows, closes


def test_papers_are_of_the_model_that_serves(office: Office) -> None:
    bundles, sha = bundles_of(office), office.world.bundle.sha
    with service(office) as served:
        assert served.get("/v1/model").json()["card"] is None
        for text in ("", "{", "[]", '{"model": {"bundle_sha256": "another"}}'):
            (bundles.root / f"{sha}{CARD}").write_text(text)
            assert paper(office.config.state_dir, sha, CARD) is None
        (bundles.root / f"{sha}{CARD}").write_text(f'{{"model": {{"bundle_sha256": "{sha}"}}}}')
        report = '{"table": [], "slices": [], "bins": [{"rows": 3}]}'
        (bundles.root / f"{sha}{REPORT}").write_text(f'{{"bundle_sha256": "{sha}", "report": {report}}}')
        assert served.get("/v1/model").json()["card"] == {"model": {"bundle_sha256": sha}}
        assert served.get("/v1/accuracy").json()["backtest"]["bins"] == [{"rows": 3}]
