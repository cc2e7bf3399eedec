"""What the CRM itself says of a deal as of an instant, beside the features: amount, close date, segments, period's end.

No model learns from these as columns. Timing measures its curves against the two ends; amount starts from the amount,
and from the segments where there is none. Training, fits and serving all read them here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from features.asof import AsOfView, Requests
from features.columns import days_between
from features.periods import EPOCH, day_number, each, local_midnight
from features.record import Record
from features.reference import Reference
from features.tables import NAT, Coded

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]
Float = NDArray[np.float64]
FIRST_DAY, LAST_DAY = day_number(date(1000, 1, 1)), day_number(date(9999, 12, 30))
"""Close dates outside are taken for these: what ends a day must be an instant of some year that has four digits."""


@dataclass(frozen=True)
class Told:
    """As-of facts of n requests.

    amount_cents: int64[n], the amount, NAT where there is none. close_days: float64[n], days of 86,400 s to the end of
    the close date (local), NaN without one, 0 or less where it has passed. period_days: float64[n], days to the end of
    the fiscal period. segments: dimension -> the deal's word, such as its type; missing where it is not known.
    """

    amount_cents: Int
    close_days: Float
    period_days: Float
    segments: Mapping[str, Coded]

    def __len__(self) -> int:
        return len(self.amount_cents)

    def take(self, rows: Int | Bool | slice) -> Told:
        """Return some of the rows."""
        segments = {name: column.take(rows) for name, column in self.segments.items()}
        return Told(self.amount_cents[rows], self.close_days[rows], self.period_days[rows], segments)


def told_at(record: Record, requests: Requests) -> Told:
    """Return what is told at each request; raises ConfigError where an as-of lies outside the fiscal calendar."""
    return told_in(record.view(requests), record.reference)


def told_in(view: AsOfView, reference: Reference) -> Told:
    """Return what is told at each request of a view, as `told_at` does; reference: the record's."""
    history, words = view.of("history"), reference.vocabulary.values
    segments = {
        name: Coded(np.maximum(view.fixed(name), -1).astype(np.int32), words[name]) for name in reference.dimensions
    }
    end = view.calendar.starts[view.period() + 1]
    closes = _day_ends(history.last("close_date"), view.calendar.zone)
    return Told(history.last("amount"), days_between(view.as_of, closes), days_between(view.as_of, end), segments)


def _day_ends(days: Int, zone: str) -> Int:
    """Return the instant at which each local day ends, NAT where it is missing; one conversion per distinct day."""
    name = ZoneInfo(zone)

    def end(day: int) -> int:
        return local_midnight(EPOCH + timedelta(days=min(max(day, FIRST_DAY), LAST_DAY) + 1), name)

    return each(days, lambda day: NAT if day == NAT else end(day))
