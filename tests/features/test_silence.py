"""How old the silences of won deals were: against a plain walk over their rows, known at the close and no earlier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from features.known import known_before
from features.record import Record
from features.reference import AGES
from features.registry import Schema
from features.silence import EDGES, pace, shares_at_age
from tests.tiny import asked, at, company, record

DAY = 86_400_000_000
MAIL = {"kind": "email", "direction": "inbound"}
STAGES = (("2024-01-03", "Qualify"), ("2024-02-20", "Demo"))


def deal(
    name: str, closed: str, outcome: str, mails: tuple[str, ...], kind: str = "new"
) -> dict[str, list[dict[str, Any]]]:
    rows = (*STAGES, (closed, outcome))
    return {
        "deals": [{"deal_id": name, "account_id": "A", "created_at": "2024-01-03", "type": kind}],
        "deal_history": [{"deal_id": name, "known_at": day, "stage": stage} for day, stage in rows],
        "activities": [{**MAIL, "deal_id": name, "occurred_at": day} for day in mails],
    }


DEALS = (
    deal("W", "2024-04-01", "Won", ("2024-01-10", "2024-01-20")),  # a Monday: that day is looked at, and the last
    deal("V", "2024-03-20", "Won", ("2024-02-01",), "old"),
    deal("L", "2024-03-01", "Lost", ()),
    deal("O", "2024-12-01", "Demo", ("2024-01-05", "2024-01-06", "2024-03-10")),
)


def tables() -> Any:
    return company(**{name: [row for one in DEALS for row in one[name]] for name in DEALS[0]})


@pytest.fixture(scope="module")
def made() -> Record:
    return record(tables())


def expected(name: str, closed: str, mails: tuple[str, ...], usual: float) -> dict[str, list[float]]:
    """Usual gaps of silence at every Monday by stage, by a walk over the days."""
    found: dict[str, list[float]] = {}
    begun, end = at("2024-01-03"), at(closed)
    for monday in range(at("2024-01-01"), end + 1, 7 * DAY):
        if monday <= begun:
            continue
        said = [at(day) for day in mails if at(day) < monday]
        silent = (monday - (max(said) if said else begun)) / DAY
        span = (max(said) - min(said)) / DAY if len(said) > 1 else 0.0
        gap = (span + 3 * usual) / (max(len(said) - 1, 0) + 3)
        stage = [stage for day, stage in STAGES if at(day) < monday][-1]
        found.setdefault(stage, []).append(silent / gap)
    return found


def test_every_monday_of_a_won_deal_is_looked_at(made: Record) -> None:
    said = made.reference.events["silences"].columns
    assert said["known_at"].tolist() == [at("2024-03-20")] * 2 + [at("2024-04-01")] * 2  # no lost and no open deal
    walks = [expected("V", "2024-03-20", ("2024-02-01",), 30.0)]
    walks.append(expected("W", "2024-04-01", ("2024-01-10", "2024-01-20"), 30.0))
    listed = [walk[stage] for walk in walks for stage in ("Qualify", "Demo")]
    assert said["stage"].tolist() == [0, 1, 0, 1]
    assert said["looks"].tolist() == [len(gaps) for gaps in listed]
    for k, edge in enumerate(EDGES.tolist()):
        assert said[f"old_{k}"].tolist() == [sum(gap >= edge for gap in gaps) for gaps in listed]
    assert said["old_0"].sum() > 0


def test_what_a_deal_adds_is_known_after_its_close(made: Record) -> None:
    view = made.view(asked(made, ("O", "2024-03-20"), ("O", "2024-03-20 00:01"), ("O", "2024-05-01")))
    shares = shares_at_age(view)
    assert shares.shape == (AGES, 3)
    assert np.isnan(shares[:, 0]).all()
    assert (np.diff(shares[:, 1:], axis=0) <= 0).all()
    said = made.reference.events["silences"].columns
    parent = said["old_0"].sum() / said["looks"].sum()
    own, weeks = said["old_0"][[1, 3]].sum(), said["looks"][[1, 3]].sum()
    assert shares[0, 2] == pytest.approx((own + 200 * parent) / (weeks + 200))


@pytest.mark.parametrize(("kind", "own"), [("new", 10), ("old", 40), ("other", None)])
def test_a_deals_pace_is_held_to_its_kind(kind: str, own: int | None) -> None:
    """Won deals of one kind say something every 10 days, those of the other every 40; a third kind is as all are."""
    slow = deal("X", "2024-03-20", "Won", ("2024-01-10", "2024-02-19"), "old")
    mine = deal("Y", "2024-12-01", "Demo", ("2024-01-05", "2024-01-06", "2024-03-10"), kind)
    rows = company(**{name: [row for one in (*DEALS, slow, mine) for row in one[name]] for name in DEALS[0]})
    made = record(rows, Schema("in_period", ("type",)))
    now = pace(made.view(asked(made, ("Y", "2024-05-01"))))
    usual = 25.0 if own is None else (own + 20 * 25.0) / (1 + 20)
    assert now.usual == pytest.approx([usual])
    assert now.silent == pytest.approx([(at("2024-05-01") - at("2024-03-10")) / DAY])
    span = (at("2024-03-10") - at("2024-01-05")) / DAY
    assert now.gap == pytest.approx([(span + 3 * usual) / (2 + 3)])


def test_events_before_a_cut_are_those_of_the_cut_record(made: Record) -> None:
    for day in ("2024-03-20", "2024-03-21", "2024-04-01", "2024-04-02"):
        cut = record(known_before(tables(), at(day)))
        left, right = (of.reference.events["silences"].before(at(day)).columns for of in (made, cut))
        assert {name: column.tolist() for name, column in left.items()} == {
            name: column.tolist() for name, column in right.items()
        }
