"""What a CRM itself says of a deal as of each row: the side table of the baselines, which no other model sees."""

from __future__ import annotations

import numpy as np

from features.asof import Requests
from features.build import FeatureMatrix
from features.columns import number
from features.periods import DAY
from features.record import Record
from features.reference import MILLION
from models.baselines import CATEGORY, FACTS, PAST_PERIOD, PROBABILITY


def facts_of(record: Record, asked: Requests) -> FeatureMatrix:
    """Return the columns `FACTS` for every request, float64[n, 6], as known strictly before its as-of."""
    view = record.view(asked)
    history, calendar = view.of("history"), record.calendar
    period = calendar.index(view.as_of)
    columns = {
        PROBABILITY: number(history.last("probability_ppm")) / MILLION,
        CATEGORY: number(history.last("category")),
        PAST_PERIOD: number(history.last("close_date")) - (calendar.days[period + 1] - 1),
        "stage_rank": number(history.last("stage")),
        "days_left": (calendar.starts[period + 1] - view.as_of) / DAY,
        "days_open": view.days_since_created(),
    }
    return FeatureMatrix(FACTS, np.column_stack([columns[name] for name in FACTS]))
