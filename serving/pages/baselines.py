"""What the accuracy page calls the forecasts that ours is held against, and in which order they stand."""

from __future__ import annotations

from collections.abc import Mapping

OURS = "model"
COMMIT, STAGE_TIME = "commit", "stage_time_left"
OF_BOOKINGS: Mapping[str, str] = {
    OURS: "Our forecast",
    COMMIT: "Reps' commit",
    "commit_corrected": "Reps' commit, corrected for their past",
    "stage_time_left+arrivals": "Stage × time left, and usual new deals",
    STAGE_TIME: "Stage × time left",
    "stage_rate+arrivals": "Stage, and usual new deals",
    "stage_rate": "Stage",
    "category_time_left+arrivals": "Category × time left, and usual new deals",
    "category_time_left": "Category × time left",
    "crm_probability": "CRM probability",
    "pickup": "Booked so far, and the usual rest",
    "linearity": "Booked so far, by its usual share",
    "coverage": "Pipeline by its usual yield",
    "last_year": "Same period last year",
    "smoothing": "Trend of past totals",
}
OF_DEALS: Mapping[str, str] = {
    "close": "Our score",
    "ridge": "Ridge logistic",
    STAGE_TIME: "Stage × time left",
    "category_time_left": "Category × time left",
    "stage_rate": "Stage",
    "crm_probability": "CRM probability",
    "constant": "The same for every deal",
}


def in_order(names: Mapping[str, str], told: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return (name, what it is called) of those that are told, the known ones first and in their order."""
    known = [name for name in names if name in told]
    return [(name, names.get(name, name)) for name in (*known, *(name for name in told if name not in names))]
