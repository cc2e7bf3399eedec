"""Feature groups on hand-made deals: every expected value is worked out by hand."""

from __future__ import annotations

from math import log, log1p, nan

import numpy as np
import pytest

from features.periods import fiscal_calendar
from features.registry import Schema
from features.tables import CrmTables
from tests.tiny import Row, asked, company, features, record

# A deal's life: up two stages, back one; amount raised, then cut; close date pushed, pulled in, cleared, set again.
LIFE: list[Row] = [
    {
        "known_at": "2024-01-10 09:00",
        "stage": "Qualify",
        "amount": 100,
        "close_date": "2024-03-15",
        "forecast_category": "pipeline",
        "next_step_set": 0,
    },
    {
        "known_at": "2024-01-20 09:00",
        "stage": "Demo",
        "amount": 120,
        "close_date": "2024-03-25",
        "forecast_category": "best_case",
        "next_step_set": 1,
    },
    {
        "known_at": "2024-01-30 09:00",
        "stage": "Demo",
        "amount": 90,
        "close_date": "2024-03-20",
        "forecast_category": "best_case",
        "next_step_set": 1,
    },
    {"known_at": "2024-02-05 09:00", "stage": "Propose", "amount": 90, "forecast_category": "commit"},
    {
        "known_at": "2024-02-09 09:00",
        "stage": "Propose",
        "amount": 90,
        "close_date": "2024-04-05",
        "forecast_category": "commit",
    },
    {
        "known_at": "2024-02-20 09:00",
        "stage": "Demo",
        "amount": 90,
        "close_date": "2024-04-05",
        "forecast_category": "commit",
        "next_step_set": 1,
    },
]
# What the CRM writes with the outcome in hand: another amount, close date and category.
WON: Row = {
    "known_at": "2024-03-01 09:00",
    "stage": "Won",
    "amount": 80,
    "close_date": "2024-03-01",
    "forecast_category": "closed",
}
CHANGES = (
    "amount_changes",
    "amount_cuts",
    "category_raised",
    "category_lowered",
    "slips",
    "stages_skipped",
    "pushes",
    "pull_ins",
    "net_push_days",
    "stage_regressions",
)


def one_deal(history: list[Row], **more: list[Row]) -> CrmTables:
    rows = [{"deal_id": "D", "owner_id": "R", **row} for row in history]
    extra = {name: [{"deal_id": "D", **row} for row in listed] for name, listed in more.items()}
    return company(deals=[{"deal_id": "D", "created_at": "2024-01-10 09:00"}], deal_history=rows, **extra)


def told(history: list[Row], as_of: str, **more: list[Row]) -> dict[str, float]:
    return features(record(one_deal(history, **more)), "D", as_of)


def expect(got: dict[str, float], **expected: float) -> None:
    different = {
        name: (got[name], value)
        for name, value in expected.items()
        if got[name] != pytest.approx(value, rel=1e-12, abs=1e-12, nan_ok=True)
    }
    assert not different, f"(got, expected): {different}"


# --- deal and velocity -----------------------------------------------------------------------------------------------


def test_deal_as_it_stands() -> None:
    expect(
        told(LIFE, "2024-02-25"),
        stage_rank=1,
        log_amount=log1p(90),
        amount_vs_first=log1p(90) - log1p(100),
        amount_changes=2,
        amount_cuts=1,
        category_rank=3,
        category_raised=2,
        category_lowered=0,
        next_step_set=1,
    )


def test_velocity() -> None:
    # The deal is 45.625 days old and the 30-day window begins on 26 January.
    expect(
        told(LIFE, "2024-02-25"),
        days_in_stage=4.625,
        stages_per_30d=1 / (45.625 / 30),
        stages_gained_30d=0,  # one up, one back
        stage_regressions=1,
        pull_ins=1,
        stages_skipped=0,
        slips=1,
        days_since_rep_edit=4.625,
    )


def test_a_push_is_a_later_close_date_and_a_pull_in_an_earlier_one() -> None:
    before = told(LIFE, "2024-01-25")
    expect(before, pushes=1, pushes_30d=1, pull_ins=0, net_push_days=10, days_since_push=4.625)
    after = told(LIFE, "2024-02-01")
    expect(after, pushes=1, pushes_30d=1, pull_ins=1, net_push_days=5, days_since_push=11.625)
    expect(told(LIFE[:1], "2024-02-01"), pushes=0, pull_ins=0, net_push_days=0, days_since_push=nan)


def test_a_cleared_close_date_is_neither_push_nor_pull_in() -> None:
    cleared = told(LIFE, "2024-02-07")
    expect(cleared, pushes=1, pull_ins=1, net_push_days=5, days_to_close_date=nan, close_date_in_period=nan)


def test_a_close_date_set_again_moves_on_from_the_last_one() -> None:
    """From 20 March, cleared, to 5 April is a push of 16 days; the date stands 21 days from where it began."""
    expect(told(LIFE, "2024-02-25"), pushes=2, net_push_days=21, days_since_push=15.625)


def test_a_closing_row_changes_nothing_but_the_outcome() -> None:
    open_, closed = told(LIFE, "2024-03-01 09:00"), told([*LIFE, WON], "2024-03-02")
    expect(closed, **{name: open_[name] for name in CHANGES})
    made = record(one_deal([*LIFE, WON]))
    assert made.is_open(asked(made, ("D", "2024-03-01 09:00"), ("D", "2024-03-01 09:01"))).tolist() == [True, False]


def test_known_at_the_as_of_is_not_yet_known() -> None:
    assert told(LIFE, "2024-01-20 09:00")["stage_rank"] == 0
    assert told(LIFE, "2024-01-20 09:01")["stage_rank"] == 1


def test_a_reopened_deal_goes_on_where_it_stood() -> None:
    """What the closing row overwrote is not compared with: the re-opened row restores it and changes nothing."""
    again = {**LIFE[-1], "known_at": "2024-03-10 09:00"}
    open_, reopened = told(LIFE, "2024-03-01"), told([*LIFE, WON, again], "2024-03-11")
    expect(reopened, **{name: open_[name] for name in CHANGES}, stage_rank=1, category_rank=3)
    made = record(one_deal([*LIFE, WON, again]))
    assert made.is_open(asked(made, ("D", "2024-03-05"), ("D", "2024-03-11"))).tolist() == [False, True]


def test_ties_go_by_seq() -> None:
    same = [{**LIFE[0]}, {**LIFE[1], "known_at": LIFE[0]["known_at"]}]
    expect(told(same, "2024-01-11"), stage_rank=1, pushes=1, stages_gained_30d=1)


# --- clock -----------------------------------------------------------------------------------------------------------


def test_clock() -> None:
    expect(
        told(LIFE, "2024-02-25"),
        days_left=36,
        period_share=55 / 91,
        days_open=45.625,
        days_to_close_date=40,
        close_date_past_period=5,
        close_date_in_period=0,
    )
    expect(told(LIFE, "2024-02-01"), days_to_close_date=48, close_date_past_period=-11, close_date_in_period=1)


def test_a_close_date_on_the_last_day_of_the_period_is_in_it() -> None:
    last = [{**LIFE[0], "close_date": "2024-03-31"}]
    expect(told(last, "2024-02-01"), close_date_past_period=0, close_date_in_period=1)
    first = [{**LIFE[0], "close_date": "2024-04-01"}]
    expect(told(first, "2024-02-01"), close_date_past_period=1, close_date_in_period=0)


def test_days_to_the_close_date_count_from_the_local_day() -> None:
    """At 03:00 UTC on 1 March it is still 29 February in New York, and the quarter has begun at 05:00 UTC."""
    made = record(one_deal(LIFE), calendar=fiscal_calendar("quarter", 1, "America/New_York"))
    expect(features(made, "D", "2024-03-01 03:00"), days_to_close_date=36, days_left=31 + 1 / 24)
    expect(features(made, "D", "2024-03-01 05:00"), days_to_close_date=35, days_left=31 - 1 / 24)


# --- activity and engagement -----------------------------------------------------------------------------------------

MEETING: Row = {"kind": "meeting", "direction": "mutual", "contact_id": "C1"}


def test_a_planned_meeting_is_ahead_until_its_time_and_never_held() -> None:
    planned = {**MEETING, "known_at": "2024-01-15", "occurred_at": "2024-01-25", "outcome": "planned"}
    expect(told(LIFE, "2024-01-20", activities=[planned]), meetings_ahead=1, meetings_held=0, buyer_total=0)
    expect(told(LIFE, "2024-01-26", activities=[planned]), meetings_ahead=0, meetings_held=0, buyer_total=0)


def test_a_row_about_the_future_is_planned_whatever_its_outcome_says() -> None:
    ahead = {**MEETING, "known_at": "2024-01-15", "occurred_at": "2024-01-25", "outcome": "held"}
    expect(told(LIFE, "2024-01-20", activities=[ahead]), meetings_ahead=1, meetings_held=0, buyer_share_90d=nan)


def test_a_meeting_held() -> None:
    held = {**MEETING, "known_at": "2024-01-25 12:00", "occurred_at": "2024-01-25", "outcome": "held"}
    expect(
        told(LIFE, "2024-02-04", activities=[held]),
        meetings_held=1,
        meetings_held_30d=1,
        meetings_ahead=0,
        buyer_total=1,
        buyer_30d=1,
        days_since_buyer=10,  # since it happened
        buyer_fading_7d=2 ** -(9.5 / 7),  # since it became known
        contacts_active_30d=1,
        buyer_share_90d=1,
    )


def test_a_cancelled_meeting_is_neither_ahead_nor_held() -> None:
    planned = {**MEETING, "known_at": "2024-01-15", "occurred_at": "2024-01-25", "outcome": "planned"}
    cancelled = {**planned, "known_at": "2024-01-18", "outcome": "cancelled"}
    before, after = (told(LIFE, day, activities=[planned, cancelled]) for day in ("2024-01-17", "2024-01-20"))
    expect(before, meetings_ahead=1, meetings_cancelled=0)
    expect(after, meetings_ahead=0, meetings_cancelled=1, meetings_held=0, buyer_total=0, days_to_meeting=nan)


def test_late_logging_is_seen_when_logged_and_dated_when_it_happened() -> None:
    late = {"kind": "email", "direction": "inbound", "occurred_at": "2024-01-12", "known_at": "2024-01-30"}
    expect(told(LIFE, "2024-01-30", activities=[late]), buyer_total=0, days_since_buyer=nan, buyer_30d=0)
    expect(told(LIFE, "2024-01-31", activities=[late]), buyer_total=1, days_since_buyer=19, buyer_30d=1)


def test_a_back_dated_row_does_not_hide_a_newer_one() -> None:
    rows = [
        {"kind": "email", "direction": "inbound", "occurred_at": "2024-01-20", "known_at": "2024-01-20"},
        {"kind": "email", "direction": "inbound", "occurred_at": "2024-01-12", "known_at": "2024-01-25"},
    ]
    expect(told(LIFE, "2024-01-30", activities=rows), days_since_buyer=10, buyer_total=2)


def test_our_side_and_the_buyer_are_told_apart() -> None:
    rows = [
        {"kind": "email", "direction": "outbound", "occurred_at": "2024-02-20"},
        {"kind": "call", "direction": "outbound", "outcome": "no_answer", "occurred_at": "2024-02-21"},
        {"kind": "call", "direction": "outbound", "outcome": "connected", "occurred_at": "2024-02-22"},
        {"kind": "email", "direction": "inbound", "occurred_at": "2024-01-30", "contact_id": "C1"},
        {"kind": "content", "direction": "inbound", "occurred_at": "2024-02-24", "contact_id": "C2"},
    ]
    expect(
        told(LIFE, "2024-02-25", activities=rows),
        outbound_30d=3,
        calls_out_30d=2,
        days_since_outbound=3,
        buyer_total=3,
        buyer_trend=2 / 3,
        buyer_share_90d=3 / 4,  # the unanswered call never took place
        connect_rate_90d=1 / 2,
        content_30d=1,
        days_since_buyer=1,
        contacts_active_30d=2,
    )


def test_people_are_counted_once_and_only_once_known() -> None:
    people = [
        {"contact_id": "C1", "known_at": "2024-01-10"},
        {"contact_id": "C1", "known_at": "2024-01-15"},
        {"contact_id": "C2", "known_at": "2024-02-01"},
    ]
    assert told(LIFE, "2024-01-20", contacts=people)["contacts_known"] == 1
    assert told(LIFE, "2024-02-02", contacts=people)["contacts_known"] == 2


# --- a deal with little behind it ------------------------------------------------------------------------------------


def test_a_deal_without_history_is_open_and_mostly_unknown() -> None:
    made = record(one_deal([]))
    got = features(made, "D", "2024-02-25")
    assert made.is_open(asked(made, ("D", "2024-02-25"), ("D", "2024-01-10 09:00"))).tolist() == [True, False]
    expect(got, stage_rank=nan, log_amount=nan, category_rank=nan, days_in_stage=nan, days_since_rep_edit=nan)
    expect(got, pushes=0, owner_changes=0, buyer_total=0, days_open=45.625, days_since_buyer=nan, rep_lift=0)


def test_a_deal_an_hour_old() -> None:
    """A rate over less than a week counts as over a week."""
    quick = [LIFE[0], {**LIFE[1], "known_at": "2024-01-10 09:30"}]
    got = told(quick, "2024-01-10 10:00")
    expect(got, days_open=1 / 24, days_in_stage=0.5 / 24, stages_per_30d=1 / (7 / 30), stages_gained_30d=1, pushes=1)


# --- history: what closed deals say ----------------------------------------------------------------------------------


def closed_deal(name: str, owner: str, outcome: str, closed: str, account: str = "A", **last: object) -> list[Row]:
    first = {"deal_id": name, "known_at": "2024-01-02", "stage": "Qualify", "owner_id": owner, "amount": 100}
    end = {**first, "known_at": closed, "stage": outcome, "forecast_category": "closed", **last}
    return [{**first, "forecast_category": "commit", "close_date": "2024-02-01"}, end]


def past(*episodes: list[Row], deal: Row | None = None, **more: list[Row]) -> CrmTables:
    """Closed deals, and an open deal NOW created on 1 February in stage Demo."""
    history = [row for rows in episodes for row in rows]
    now = {"deal_id": "NOW", "known_at": "2024-02-01", "stage": "Demo", "owner_id": "R1", "amount": 100} | (deal or {})
    names = dict.fromkeys(row["deal_id"] for row in history)
    deals = [{"deal_id": name, "created_at": "2024-01-02", "account_id": f"A-{name}"} for name in names]
    deals.append({"deal_id": "NOW", "created_at": "2024-02-01", "account_id": "A-D1"})
    return company(deals=deals, deal_history=[*history, now], **more)


def logit(p: float) -> float:
    return log(p / (1 - p))


FOUR = (
    closed_deal("D1", "R1", "Won", "2024-01-20"),
    closed_deal("D2", "R1", "Won", "2024-01-22"),
    closed_deal("D3", "R1", "Lost", "2024-01-24"),
    closed_deal("D4", "R2", "Lost", "2024-02-10"),
)
TEAM: list[Row] = [{"rep_id": "R1", "team": "T"}, {"rep_id": "R2", "team": "T"}]


def test_rates_are_shrunken_along_rep_team_company() -> None:
    """4 closed, 2 won: company (2 + 1) / (4 + 4); team (2 + 20 base) / 24; R1 (2 + 20 team) / 23; account 1 of 1."""
    got = features(record(past(*FOUR, reps=TEAM)), "NOW", "2024-02-25")
    base = 3 / 8
    team = (2 + 20 * base) / 24
    rep = (2 + 20 * team) / 23
    account = (1 + 5 * base) / 6
    expect(got, rep_lift=logit(rep) - logit(base), account_lift=logit(account) - logit(base), account_wins=1)


def test_a_close_counts_from_when_it_is_known() -> None:
    """On 10 February 00:00 the fourth deal's loss is not known yet: 3 closed, 2 won, all R1's and the team's."""
    got = features(record(past(*FOUR, reps=TEAM)), "NOW", "2024-02-10")
    base = 3 / 7
    rep = (2 + 20 * (2 + 20 * base) / 23) / 23
    expect(got, rep_lift=logit(rep) - logit(base))


def test_without_a_team_a_rep_is_shrunken_towards_the_company() -> None:
    got = features(record(past(*FOUR)), "NOW", "2024-02-25")
    base = 3 / 8
    expect(got, rep_lift=logit((2 + 20 * base) / 23) - logit(base))


@pytest.mark.parametrize("owner", [None, "NEW"])
def test_an_unknown_or_new_rep_stands_at_the_parent(owner: str | None) -> None:
    got = features(record(past(*FOUR, reps=TEAM, deal={"owner_id": owner})), "NOW", "2024-02-25")
    expect(got, rep_lift=0, rep_stage_lift=0, rep_category_lift=0)


def test_the_owner_written_at_the_close_is_not_credited() -> None:
    """R2 takes the deal over on the winning row itself: the win is R1's."""
    taken = closed_deal("D1", "R1", "Won", "2024-01-20", owner_id="R2")
    made = record(past(taken))
    base = 2 / 5
    assert made.reference.vocabulary.values["rep"][made.reference.closes.columns["rep"][0]] == "R1"
    expect(features(made, "NOW", "2024-02-25"), rep_lift=logit((1 + 20 * base) / 21) - logit(base))
    other = features(record(past(taken, deal={"owner_id": "R2"})), "NOW", "2024-02-25")
    expect(other, rep_lift=0)


def test_a_reopened_deal_is_a_second_episode() -> None:
    lost = closed_deal("D1", "R1", "Lost", "2024-01-20")
    again = [{**lost[0], "known_at": "2024-01-25"}, {**lost[1], "known_at": "2024-02-05", "stage": "Won"}]
    made = record(past([*lost, *again]))
    assert made.reference.closes.columns["won"].tolist() == [0, 1]
    base = 2 / 6
    expect(features(made, "NOW", "2024-02-25"), rep_lift=logit((1 + 20 * base) / 22) - logit(base), account_wins=1)


def test_rows_after_a_close_are_no_second_close() -> None:
    won = closed_deal("D1", "R1", "Won", "2024-01-20")
    edited = {**won[1], "known_at": "2024-01-25", "amount": 70}
    assert len(record(past([*won, edited])).reference.closes) == 1


def test_a_deleted_deal_counts_as_lost() -> None:
    gone = closed_deal("D1", "R1", "Qualify", "2024-01-20", is_deleted=1)
    closes = record(past(gone)).reference.closes.columns
    assert closes["won"].tolist() == [0]


def test_stage_and_category_rates_are_over_deals_that_passed_through() -> None:
    """R1 lost one of its two deals that were called commit; only the win was ever in Demo."""
    demo = {"deal_id": "D1", "known_at": "2024-01-10", "stage": "Demo", "owner_id": "R1", "forecast_category": "commit"}
    first, end = closed_deal("D1", "R1", "Won", "2024-01-20")
    made = record(past([first, demo, end], FOUR[2], deal={"forecast_category": "commit"}))
    base = 2 / 6
    in_demo = (1 + 20 * base) / 21
    called = (1 + 20 * base) / 22
    expect(
        features(made, "NOW", "2024-02-25"),
        rep_stage_lift=logit((1 + 20 * in_demo) / 21) - logit(in_demo),
        rep_category_lift=logit((1 + 20 * called) / 22) - logit(called),
    )


def test_a_close_passed_through_what_stood_before_it() -> None:
    """Called commit in Qualify; `closed` on the closing row was written with the outcome in hand."""
    closes = record(past(FOUR[0])).reference.closes.columns
    assert closes["categories"].tolist() == [1 << 3]
    assert record(past(FOUR[0])).reference.events["visits"].columns["stage"].tolist() == [0]


def test_habits_are_a_reps_own_above_the_companys() -> None:
    """R1's win took 18 days and R2's 38: the company's mean is 28, R1's shrunken one (18 + 20 x 28) / 21."""
    made = record(past(closed_deal("D1", "R1", "Won", "2024-01-20"), closed_deal("D2", "R2", "Won", "2024-02-09")))
    got = features(made, "NOW", "2024-02-25")
    share = (19 / 91 + 39 / 91) / 2
    expect(got, rep_cycle=(18 + 20 * 28) / 21 - 28, rep_pushes=0)
    assert got["rep_close_share"] == pytest.approx((19 / 91 + 20 * share) / 21 - share, abs=1e-6)


def test_logging_delay_is_a_habit_too() -> None:
    """R1 logs its one mail 2 days late; the company's 2 mails are 1 day late on average."""
    mails = [
        {
            "deal_id": "D1",
            "kind": "email",
            "direction": "outbound",
            "occurred_at": "2024-01-05",
            "known_at": "2024-01-07",
        },
        {"deal_id": "D2", "kind": "email", "direction": "outbound", "occurred_at": "2024-01-05"},
    ]
    made = record(
        past(
            closed_deal("D1", "R1", "Won", "2024-01-20"), closed_deal("D2", "R2", "Won", "2024-01-20"), activities=mails
        )
    )
    expect(features(made, "NOW", "2024-02-25"), rep_log_delay=(2 + 20 * 1) / 21 - 1)


def test_the_amount_is_set_beside_won_deals() -> None:
    """Log amounts of closes are kept in millionths."""
    made = record(past(closed_deal("D1", "R1", "Won", "2024-01-20", amount=80), FOUR[2], deal={"amount": 160}))
    assert features(made, "NOW", "2024-02-25")["amount_vs_won"] == pytest.approx(log(2), abs=2e-6)


def test_the_amount_written_at_the_close_is_the_price() -> None:
    closes = record(one_deal([*LIFE, WON])).reference.closes.columns
    assert closes["log_amount_ppm"].tolist() == [int(log(80) * 1e6)]
    assert closes["pushes"].tolist() == [2]


def test_before_the_first_close_nothing_is_claimed() -> None:
    got = features(record(past(*FOUR, reps=TEAM)), "NOW", "2024-01-15")
    lifts = [got[name] for name in ("rep_lift", "account_lift", "rep_stage_lift", "rep_category_lift")]
    np.testing.assert_allclose(lifts, 0, atol=1e-12)


def test_dimensions_and_numbers_of_the_schema() -> None:
    schema = Schema("in_period", ("segment", "industry"), ("size_m2",))
    tables = company(
        deals=[
            {"deal_id": "D1", "created_at": "2024-01-02", "account_id": "A1", "segment": "big", "size_m2": 5.0},
            {"deal_id": "D2", "created_at": "2024-01-02", "account_id": "A2", "segment": "small", "size_m2": None},
            {"deal_id": "NOW", "created_at": "2024-02-01", "account_id": "A1", "segment": "small", "size_m2": 7.0},
        ],
        deal_history=[*closed_deal("D1", "R1", "Won", "2024-01-20"), *closed_deal("D2", "R1", "Lost", "2024-01-21")],
        accounts=[{"account_id": "A1", "industry": "steel"}, {"account_id": "A2", "industry": "food"}],
    )
    got = features(record(tables, schema), "NOW", "2024-02-25", schema)
    base = 2 / 6
    expect(
        got,
        attr_size_m2=7,
        segment_lift=logit(20 * base / 21) - logit(base),
        industry_lift=logit((1 + 20 * base) / 21) - logit(base),
    )
    before = features(record(tables, schema), "NOW", "2024-01-31", schema)
    expect(before, attr_size_m2=nan, segment_lift=0, days_open=nan)  # the deal is not known yet
