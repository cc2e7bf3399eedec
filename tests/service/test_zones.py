"""A company's quarter begins at its own midnight, wherever it is: the last instant before belongs to the one before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from features.periods import fiscal_calendar
from tests.served import World, posted
from tests.service.conftest import Serve

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland", "America/Santiago")
STARTS = (date(2024, 10, 1), date(2025, 1, 1), date(2025, 4, 1), date(2025, 7, 1))


@pytest.mark.parametrize("zone", ZONES)
def test_a_deal_falls_in_the_quarter_of_the_companys_own_clock(serve: Serve, world: World, zone: str) -> None:
    """One microsecond apart, asked in UTC and in the zone's own offset."""
    bundle = replace(
        world.bundle,
        about=replace(world.bundle.about, time_zone=zone),
        calendar=fiscal_calendar("quarter", 1, zone),
    )
    served = serve(loaded=replace(world.loaded, bundle=bundle))
    for start, after in pairwise(STARTS):
        edge = datetime(start.year, start.month, start.day, tzinfo=ZoneInfo(zone))
        before = (edge.astimezone(UTC) - timedelta(microseconds=1)).astimezone(ZoneInfo(zone))
        for moment, end in ((before, start), (edge, after)):
            for as_of in (moment.isoformat(), moment.astimezone(UTC).isoformat()):
                answer = served.score(posted(body(world, as_of))).json()
                (result,) = answer["results"]
                assert result["ok"], answer
                assert (result["period_end"], as_of) == ((end - timedelta(days=1)).isoformat(), as_of)


def test_the_zones_edges_are_apart(world: World) -> None:
    """Else the test above could pass with one zone for all."""
    edges = {fiscal_calendar("quarter", 1, zone).starts.tobytes() for zone in ZONES}
    assert len(edges) == len(ZONES)


def body(world: World, as_of: str) -> dict[str, object]:
    change = {"known_at": "2024-06-03T09:00:00Z", "stage": world.bundle.about.stages.order[0], "amount": 12_000}
    deal = {"deal_id": "D1", "created_at": "2024-06-03T09:00:00Z", "history": [change]}
    return {"as_of": as_of, "in_sample": True, "explain": False, "deals": [deal]}
