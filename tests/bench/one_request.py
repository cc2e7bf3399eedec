"""One deal with 200 events, as the endpoint sees it: its own record, the company's reference facts, every group."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from features.asof import Requests
from features.build import FeatureMatrix, build_features
from features.periods import DAY
from features.record import Record
from tests.bench.synthetic import company, plan, record_of

COMPANY = 5_000  # deals behind the reference facts


def one_deal() -> tuple[Callable[[], Record], Callable[[Record], FeatureMatrix]]:
    """Return what builds the deal's record, and what asks every feature of it."""
    reference = record_of(company(COMPANY)).reference
    tables = company(1, history=20, activities=170, contacts=10)
    requests = Requests(np.zeros(1, dtype=np.int64), tables.deals.ints("created_at") + 120 * DAY)
    wanted = plan()
    return (lambda: record_of(tables, reference)), (lambda record: build_features(record, requests, wanted))
