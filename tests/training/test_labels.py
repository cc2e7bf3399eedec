"""Labels: the windows are half-open, told when they end, and a re-opened deal is judged by its next close."""

from __future__ import annotations

import numpy as np

from configs.vocab import Eligibility, Target
from features.periods import DAY
from features.record import Record
from features.tables import NAT
from tests.tiny import Row, asked, at, company, record
from training.labels import NEVER, Labels, amounts_won, horizon, in_period, labels_of, outcomes, resolved


def deal(name: str, *rows: tuple[str, str]) -> list[Row]:
    """A deal's history: (known_at, stage)."""
    return [{"deal_id": name, "known_at": known_at, "stage": stage} for known_at, stage in rows]


def world(*deals: list[Row]) -> Record:
    listed = [{"deal_id": rows[0]["deal_id"], "created_at": "2024-01-05"} for rows in deals]
    return record(company(deals=listed, deal_history=[row for rows in deals for row in rows]))


EDGE = "2024-04-01"
MADE = world(
    deal("BEFORE", ("2024-01-05", "Qualify"), ("2024-03-31 23:59", "Won")),
    deal("AT", ("2024-01-05", "Qualify"), (EDGE, "Won")),
    deal("LOST", ("2024-01-05", "Qualify"), ("2024-02-01", "Lost")),
    deal("OPEN", ("2024-01-05", "Qualify")),
    deal("AGAIN", ("2024-01-05", "Qualify"), ("2024-02-01", "Lost"), ("2024-02-20", "Demo"), ("2024-03-10", "Won")),
)


def period_labels(*requests: tuple[str, str]) -> Labels:
    rows = asked(MADE, *requests)
    return in_period(MADE, rows, outcomes(MADE, rows))


def test_in_period_is_half_open_at_the_end_of_the_period() -> None:
    """Won a minute before the end is in; won at the end's own instant belongs to the next period."""
    day = "2024-03-25"
    labels = period_labels(("BEFORE", day), ("AT", day), ("LOST", "2024-01-15"), ("OPEN", day))
    assert labels.y.tolist() == [1, 0, 0, 0]
    assert labels.end.tolist() == [at(EDGE)] * 4


def test_a_win_at_the_as_of_itself_is_still_to_come() -> None:
    """`known_at < as_of` is strict, so a deal won at the as-of is open at it, and won within its window."""
    rows = asked(MADE, ("AT", EDGE))
    assert MADE.is_open(rows).tolist() == [True]
    assert period_labels(("AT", EDGE)).y.tolist() == [1]


def test_a_row_just_after_a_close_is_judged_by_the_next_one() -> None:
    labels = period_labels(("AGAIN", "2024-01-15"), ("AGAIN", "2024-02-01 00:01"), ("AGAIN", "2024-03-01"))
    assert labels.y.tolist() == [0, 1, 1]


def test_outcomes_are_the_first_close_from_the_as_of_on() -> None:
    rows = asked(
        MADE, ("AGAIN", "2024-01-15"), ("AGAIN", "2024-02-01"), ("AGAIN", "2024-03-11"), ("OPEN", "2024-02-01")
    )
    found = outcomes(MADE, rows)
    assert found.closed_at.tolist() == [at("2024-02-01"), at("2024-02-01"), NAT, NAT]
    assert found.won.tolist() == [False, False, False, False]


def test_the_last_deals_close_is_not_the_next_deals() -> None:
    """Rows of deals lie one behind another: an open deal must not find its neighbour's close."""
    made = world(deal("A", ("2024-01-05", "Qualify")), deal("B", ("2024-01-05", "Qualify"), ("2024-02-01", "Won")))
    assert outcomes(made, asked(made, ("A", "2024-01-15"))).closed_at.tolist() == [NAT]


def test_resolved_is_told_just_after_the_close_and_never_while_open() -> None:
    rows = asked(MADE, ("BEFORE", "2024-01-15"), ("LOST", "2024-01-15"), ("OPEN", "2024-01-15"))
    labels = resolved(outcomes(MADE, rows))
    assert labels.y.tolist() == [1, 0, 0]
    # A row may train at a cut if end <= cut; a close known at the cut itself is not known before it.
    assert labels.end.tolist() == [at("2024-03-31 23:59") + 1, at("2024-02-01") + 1, NEVER]


def test_horizon_waits_for_the_whole_window() -> None:
    """30 days from 15 January end on 14 February, whether the deal closed early, later or not at all."""
    rows = asked(MADE, ("LOST", "2024-01-15"), ("BEFORE", "2024-01-15"), ("OPEN", "2024-01-15"))
    labels = horizon(rows, outcomes(MADE, rows), 30)
    assert labels.y.tolist() == [0, 0, 0]
    assert labels.end.tolist() == [at("2024-02-14")] * 3


def test_horizon_is_half_open_too() -> None:
    rows = asked(MADE, ("AT", "2024-03-02"), ("AT", "2024-03-02 00:01"))
    assert horizon(rows, outcomes(MADE, rows), 30).y.tolist() == [0, 1]
    assert (horizon(rows, outcomes(MADE, rows), 30).end - rows.as_of).tolist() == [30 * DAY] * 2


def test_labels_of_a_config() -> None:
    rows = asked(MADE, ("BEFORE", "2024-01-15"))
    found = outcomes(MADE, rows)
    period = labels_of(Target.IN_PERIOD, Eligibility.HORIZON, 30, MADE, rows, found)
    whole = labels_of(Target.EVENTUAL, Eligibility.HORIZON, 30, MADE, rows, found)
    early = labels_of(Target.EVENTUAL, Eligibility.RESOLVED, 30, MADE, rows, found)
    assert [int(labels.end[0]) for labels in (period, whole, early)] == [
        at(EDGE),
        at("2024-02-14"),
        at("2024-03-31 23:59") + 1,
    ]
    assert [float(labels.y[0]) for labels in (period, whole, early)] == [1, 0, 1]


def test_no_history_at_all() -> None:
    made = record(company(deals=[{"deal_id": "D", "created_at": "2024-01-05"}]))
    found = outcomes(made, asked(made, ("D", "2024-02-01")))
    assert found.closed_at.tolist() == [NAT]
    assert np.array_equal(found.won, [False])


def test_a_deal_merged_within_its_window_is_not_told() -> None:
    """It goes on as another deal: neither won nor lost, and what would have come of it nobody knows.

    A window that was over before the merger is told as ever: the deal was not won in it.
    """
    rows = [
        *deal("GONE", ("2024-01-05", "Qualify"), ("2024-04-10", "Demo")),
        *deal("INTO", ("2024-01-05", "Qualify"), ("2024-04-20", "Won")),
    ]
    rows[1]["merged_into"] = "INTO"
    listed: list[Row] = [{"deal_id": name, "created_at": "2024-01-05"} for name in ("GONE", "INTO")]
    made = record(company(deals=listed, deal_history=rows))
    requests = asked(made, ("GONE", "2024-03-15"), ("GONE", "2024-04-02"), ("INTO", "2024-04-02"))
    found = outcomes(made, requests)
    assert found.merged.tolist() == [True, True, False]
    assert found.won.tolist() == [False, False, True]

    def ends(target: Target, eligibility: Eligibility) -> list[int]:
        return labels_of(target, eligibility, 20, made, requests, found).end.tolist()

    assert ends(Target.IN_PERIOD, Eligibility.HORIZON) == [at("2024-04-01"), NEVER, at("2024-07-01")]
    assert ends(Target.EVENTUAL, Eligibility.HORIZON) == [at("2024-04-04"), NEVER, at("2024-04-22")]
    assert ends(Target.EVENTUAL, Eligibility.RESOLVED) == [NEVER, NEVER, at("2024-04-20") + 1]
    assert made.is_open(asked(made, ("GONE", "2024-04-10"), ("GONE", "2024-04-11"))).tolist() == [True, False]


def test_the_amount_is_the_one_on_the_winning_row() -> None:
    """Not what was told before or edited after; none where the next close is a loss, or the winning row has none."""
    rows = [
        {"known_at": "2024-01-05", "stage": "Demo", "amount": 10},
        {"known_at": "2024-02-01", "stage": "Won", "amount": 12.34},
        {"known_at": "2024-02-02", "stage": "Won", "amount": 99},
        {"known_at": "2024-03-01", "stage": "Demo", "amount": 20},
        {"known_at": "2024-04-01", "stage": "Lost", "amount": 0},
        {"known_at": "2024-04-02", "stage": "Demo"},
        {"known_at": "2024-05-01", "stage": "Won"},
    ]
    made = record(
        company(
            deals=[{"deal_id": "A", "created_at": "2024-01-05"}], deal_history=[{"deal_id": "A", **row} for row in rows]
        )
    )
    days = ("2024-01-10", "2024-02-01", "2024-03-02", "2024-04-03", "2024-06-01")
    cents, won_at = amounts_won(made, asked(made, *(("A", day) for day in days)))
    assert cents.tolist() == [1234, 1234, NAT, NAT, NAT]
    assert won_at.tolist() == [at("2024-02-01"), at("2024-02-01"), NAT, at("2024-05-01"), NAT]
