"""An office that has seen a period end, and the report that its model was published with, made by hand."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from serving.papers import REPORT
from tests.served import World
from tests.service.test_bridge import bundles_of
from tests.stored import DAY, Office, cut_export, few_deals, office_in

WEEKS = (1, 4)
STARTS = (date(2024, 7, 1), date(2024, 10, 1), date(2025, 1, 1))
CAME = (100_000.0, 200_000.0, 400_000.0)
SAID = {"model": (1.1, 0.8, 1.3), "commit": (1.5, 1.4, 0.9), "stage_time_left": (2.0, 0.7, 1.0)}
"""What was said of each period in week 4, as shares of what came; of week 1 twice as far off."""


def figure(value: float) -> dict[str, float]:
    return {"value": value, "low": value / 2, "high": value * 2, "above": 1.0, "below": 0.0}


def bookings() -> dict[str, Any]:
    """What `training.bookings_told` leaves in a report."""
    ends = [date(2024, 9, 30), date(2024, 12, 31), date(2025, 3, 31)]
    periods, misses = [], []
    for k, (start, end, came) in enumerate(zip(STARTS, ends, CAME, strict=True)):
        looks = []
        for week in WEEKS:
            share = {name: 1 + (said[k] - 1) * (2 if week == 1 else 1) for name, said in SAID.items()}
            middle = came * share.pop("model")
            if week == 1:
                del share["commit"]  # nobody calls in the first
            said = {name: came * each for name, each in share.items()}
            band = {"p10": middle * 0.8, "p50": middle, "p90": middle * 1.2}
            looks.append({"week": week, "booked": 0.0, "mean": middle, "said": said} | band)
        days = {"period_start": start.isoformat(), "period_end": end.isoformat()}
        periods.append(days | {"came": came, "weeks": looks})
    for name, said in SAID.items():
        for week in (0, *WEEKS):
            if name == "commit" and week == 1:
                continue
            off = sum(abs(each - 1) * came for each, came in zip(said, CAME, strict=True)) / sum(CAME)
            about = {"name": name, "week": week, "periods": len(STARTS)}
            figures = {"error": figure(off * (2 if week == 1 else 1)), "bias": figure(0.1), "in_band": figure(0.4)}
            misses.append(about | figures | {"floor": 0.06 if week else None})
    return {"periods": periods, "misses": misses}


def report() -> dict[str, Any]:
    """A report as `train` writes it, as far as the page reads it."""
    scores = {"rows": 900, "deals": 120, "log_loss": 0.25, "brier": 0.07}
    week = {"name": "week 4", "rows": 80, "deals": 60, "wins": 9, "log_loss": 0.24, "baseline_log_loss": 0.29}
    return {
        "table": [
            {"name": "close", "scores": scores, "gain": None, "reference": False},
            {
                "name": "stage_time_left",
                "scores": scores | {"log_loss": 0.31},
                "gain": figure(0.06),
                "reference": False,
            },
            {"name": "close, one seed", "scores": scores, "gain": figure(0.0), "reference": True},
        ],
        "slices": [],
        "bins": [
            {"rows": 450, "said": 0.08, "came": figure(0.09)},
            {"rows": 450, "said": 0.42, "came": figure(0.4)},
        ],
        "headline": {"rows": 900, "deals": 120, "first": "2024-07-01", "last": "2025-03-31"},
        "parts": [
            {
                "key": "week",
                "slices": [
                    week | {"brier_skill": figure(0.12)},
                    week | {"name": "week 14", "deals": 4, "brier_skill": figure(0.5)},
                ],
            }
        ],
        "floor": {"log_loss": 0.213},
        "bookings": bookings(),
    }


def publish_report(office: Office, told: dict[str, Any] | None = None) -> None:
    """Leave a report beside the live bundle, as `promote` does."""
    sha = office.world.bundle.sha
    paper = {"bundle_sha256": sha, "trained_as_of": "2025-04-01T04:00:00Z", "report": told or report()}
    (office.config.state_dir / "bundles" / f"{sha}{REPORT}").write_text(json.dumps(paper))


def past_office(world: World, folder: Path) -> Office:
    """A store that was refreshed in two weeks of a quarter and once after its end."""
    made = office_in(world, folder, cut_export(world, folder / "export", few_deals(world, 40)))
    bundles_of(made)
    publish_report(made)
    after = round(datetime(2025, 7, 7, 4, tzinfo=UTC).timestamp() * 1e6)
    for at in (world.as_of, world.as_of + 7 * DAY, after):
        made.now = at
        made.refresh()
    return made
