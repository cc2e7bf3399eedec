"""The side table of the baselines: what the CRM said strictly before the as-of, against values written by hand."""

from __future__ import annotations

import numpy as np

from models.baselines import FACTS
from tests.tiny import asked, company, record
from training.facts import facts_of

STORY = company(
    deals=[{"deal_id": "d", "account_id": "a", "created_at": "2024-01-10"}],
    deal_history=[
        {
            "deal_id": "d",
            "known_at": "2024-01-10",
            "stage": "Qualify",
            "probability": 0.2,
            "forecast_category": "pipeline",
            "close_date": "2024-03-31",
        },
        {
            "deal_id": "d",
            "known_at": "2024-02-01",
            "stage": "Propose",
            "probability": 0.7,
            "forecast_category": "commit",
            "close_date": "2024-04-02",
        },
        {"deal_id": "d", "known_at": "2024-03-01", "stage": "Propose"},
    ],
)


def told(as_of: str) -> dict[str, float]:
    made = record(STORY)
    return dict(zip(FACTS, facts_of(made, asked(made, ("d", as_of))).values[0].tolist(), strict=True))


def test_as_of_each_change() -> None:
    assert told("2024-02-01") == {
        "probability": 0.2,
        "category_rank": 1.0,
        "days_past_period": 0.0,  # the period's last day itself
        "stage_rank": 0.0,
        "days_left": 60.0,
        "days_open": 22.0,
    }
    later = told("2024-02-02")
    assert (later["probability"], later["category_rank"], later["days_past_period"]) == (0.7, 3.0, 2.0)
    assert told("2024-04-01")["days_left"] == 91.0


def test_what_is_not_known_is_missing() -> None:
    before = told("2024-01-10")
    assert np.isnan([before[name] for name in ("probability", "category_rank", "days_past_period", "stage_rank")]).all()
    emptied = told("2024-03-02")
    assert np.isnan([emptied[name] for name in ("probability", "category_rank", "days_past_period")]).all()
