"""The signals on small companies: every expected value is worked out by hand, in the test or in its docstring."""

from __future__ import annotations

from datetime import date
from math import log, nan

import pytest

from features.known import known_before
from features.periods import fiscal_calendar
from features.record import Record
from features.registry import Feature
from tests.features.test_groups import MEETING, TEAM, closed_deal, expect, logit, one_deal, past, told
from tests.tiny import Row, at, company, features, record

OPEN: Row = {"known_at": "2024-01-10 09:00", "stage": "Qualify", "amount": 100, "close_date": "2024-03-15"}


def changed(*rows: Row) -> list[Row]:
    """A history in which each row repeats what the one before said, but for what it names."""
    state: Row = OPEN
    found = [state]
    for row in rows:
        state = {**state, **row}
        found.append(state)
    return found


def mail(direction: str, at: str, **more: object) -> Row:
    return {"kind": "email", "direction": direction, "occurred_at": at, **more}


def past_features(as_of: str, *episodes: list[Row], deal: Row | None = None, **more: list[Row]) -> dict[str, float]:
    """Features of the open deal NOW of `past`: created on 1 February in Demo, R1's, 100 dollars."""
    return features(record(past(*episodes, deal=deal, **more)), "NOW", as_of)


# --- the deal itself -------------------------------------------------------------------------------------------------


def test_a_slip_is_a_push_across_the_end_of_the_period() -> None:
    rows = changed(
        {"known_at": "2024-01-11", "close_date": "2024-03-31"},  # a push, still in the quarter
        {"known_at": "2024-01-12", "close_date": "2024-04-01"},  # a slip
        {"known_at": "2024-01-13", "close_date": "2024-06-30"},  # a push within the next quarter
        {"known_at": "2024-01-14", "close_date": "2024-03-20"},  # pulled in again
        {"known_at": "2024-01-15", "close_date": "2024-08-01"},  # two quarters on: one slip
    )
    expect(told(rows, "2024-01-12"), slips=0, pushes=1)
    expect(told(rows, "2024-01-13"), slips=1, pushes=2)
    expect(told(rows, "2024-02-01"), slips=2, pushes=4, pull_ins=1)


def test_skipped_stages_are_those_jumped_over_on_the_way_up() -> None:
    rows = changed(
        {"known_at": "2024-01-11", "stage": "Propose"},  # over Demo
        {"known_at": "2024-01-12", "stage": "Qualify"},  # back over Demo skips nothing
        {"known_at": "2024-01-13", "stage": "Demo"},
        {"known_at": "2024-01-14", "stage": "Propose"},
    )
    expect(told(rows, "2024-01-12"), stages_skipped=1, stage_regressions=0)
    expect(told(rows, "2024-01-20"), stages_skipped=1, stage_regressions=1)


def test_the_last_step_of_the_amount() -> None:
    rows = changed(
        {"known_at": "2024-01-11", "amount": 120},
        {"known_at": "2024-01-12", "amount": None},
        {"known_at": "2024-01-13", "amount": 90},  # from 120, over the gap
        {"known_at": "2024-01-14"},
    )
    expect(told(rows, "2024-01-11"), amount_last_step=nan)
    expect(told(rows, "2024-01-12"), amount_last_step=0.182322)  # log(1.2), in millionths
    expect(told(rows, "2024-01-20"), amount_last_step=-0.287682, amount_cuts=1, amount_changes=2)


def test_the_call_is_raised_and_lowered_once_a_change_however_far() -> None:
    calls = ("pipeline", "commit", "best_case", None, "commit", "omitted")
    rows = changed(*({"known_at": f"2024-01-1{i}", "forecast_category": call} for i, call in enumerate(calls, 1)))
    expect(told(rows, "2024-01-13"), category_raised=1, category_lowered=0, days_since_category_change=1)
    expect(told(rows, "2024-01-16"), category_raised=2, category_lowered=1)
    expect(told(rows, "2024-01-20"), category_raised=2, category_lowered=2, category_rank=0)


def test_the_crms_own_probability() -> None:
    rows = changed({"known_at": "2024-01-11", "probability": 0.25}, {"known_at": "2024-01-12", "probability": None})
    expect(told(rows, "2024-01-12"), crm_probability=0.25)
    expect(told(rows, "2024-01-20"), crm_probability=nan)


def test_an_admins_bulk_edit_is_not_the_reps() -> None:
    rows = changed({"known_at": "2024-01-12", "edited_by": "R"}, {"known_at": "2024-01-20", "edited_by": "ADMIN"})
    expect(told(rows, "2024-01-25"), days_since_rep_edit=13)


def test_where_the_owner_is_not_known_no_strangers_edit_is_the_reps() -> None:
    rows = changed({"known_at": "2024-01-20", "edited_by": "ADMIN", "owner_id": None})
    expect(told(rows, "2024-01-25"), days_since_rep_edit=14.625)


# --- the clock -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("holidays", "left", "placeholders"),
    [((), 2, ("2024-03-29", "2024-03-30", "2024-03-31")), ((date(2024, 3, 29),), 1, ("2024-03-28", "2024-03-31"))],
)
def test_holidays_are_no_working_days(holidays: tuple[date, ...], left: int, placeholders: tuple[str, ...]) -> None:
    """28 March 2024 is a Thursday, the 29th is Good Friday, and the quarter ends on Sunday."""
    calendar = fiscal_calendar("quarter", 1, "UTC", holidays=holidays)
    days = ("2024-03-27", "2024-03-28", "2024-03-29", "2024-03-30", "2024-03-31")
    for day in days:
        rows = [{**OPEN, "close_date": day}]
        got = features(record(one_deal(rows), calendar=calendar), "D", "2024-03-28")
        placeholder = day in placeholders or day > placeholders[0]
        expect(got, workdays_left=left, close_date_at_period_end=float(placeholder))


# --- what our side does ----------------------------------------------------------------------------------------------


def test_what_we_owe_the_buyer() -> None:
    """Answers take 48 hours and, to the later of two mails, 24."""
    acts = [
        mail("inbound", "2024-02-01"),
        mail("outbound", "2024-02-03"),
        mail("inbound", "2024-02-10"),
        mail("inbound", "2024-02-11"),
        mail("outbound", "2024-02-12"),
        mail("outbound", "2024-02-13"),
        mail("inbound", "2024-02-20"),
        {**MEETING, "occurred_at": "2024-02-22"},
    ]
    expect(told([OPEN], "2024-02-01", activities=acts), owed_days=0, answer_hours=nan)
    expect(told([OPEN], "2024-02-03", activities=acts), owed_days=2, answer_hours=nan)
    expect(told([OPEN], "2024-02-04", activities=acts), owed_days=0, answer_hours=48)
    expect(told([OPEN], "2024-02-19", activities=acts), owed_days=0, answer_hours=36)
    expect(told([OPEN], "2024-02-22", activities=acts), owed_days=2, answer_hours=36)
    expect(told([OPEN], "2024-02-25", activities=acts), owed_days=0, answer_hours=36)  # they met


def test_a_cancelled_call_of_ours_never_took_place() -> None:
    """An unanswered one did: we tried."""
    acts = [
        mail("inbound", "2024-02-01"),
        {"kind": "call", "direction": "outbound", "outcome": "cancelled", "occurred_at": "2024-02-02"},
    ]
    expect(
        told([OPEN], "2024-02-05", activities=acts),
        owed_days=4,
        outbound_30d=0,
        calls_out_30d=0,
        outbound_fading_7d=0,
        days_since_outbound=nan,
        connect_rate_90d=nan,
    )
    tried = [acts[0], {**acts[1], "outcome": "no_answer"}]
    expect(told([OPEN], "2024-02-05", activities=tried), owed_days=0, calls_out_30d=1, connect_rate_90d=0)


def test_dials_connects_and_meetings() -> None:
    dial: Row = {"kind": "call", "direction": "outbound"}
    acts = [
        {**dial, "outcome": "connected", "occurred_at": "2024-01-11"},
        {**dial, "outcome": "no_answer", "occurred_at": "2024-04-01"},
        {**dial, "outcome": "no_answer", "occurred_at": "2024-04-02"},
        {**dial, "outcome": "connected", "occurred_at": "2024-04-03"},
        {**MEETING, "outcome": "held", "occurred_at": "2024-04-05"},
    ]
    got = told([OPEN], "2024-04-20", activities=acts)
    expect(got, connect_rate_90d=1 / 3, meetings_per_connect=1 / 2, calls_out_30d=3)


BOOKED: Row = {**MEETING, "known_at": "2024-01-15", "occurred_at": "2024-01-25", "outcome": "planned"}
SECOND: Row = {**MEETING, "known_at": "2024-01-16", "occurred_at": "2024-01-28", "outcome": "planned"}


def test_days_to_the_meeting_booked_last() -> None:
    expect(told([OPEN], "2024-01-20", activities=[BOOKED, SECOND]), meetings_ahead=2, days_to_meeting=8)
    expect(told([OPEN], "2024-01-29", activities=[BOOKED, SECOND]), meetings_ahead=0, days_to_meeting=nan)


def test_days_to_a_meeting_that_was_called_off_are_not_told() -> None:
    """One meeting is left, but not the one booked last; booked anew it stands again."""
    off = {**SECOND, "known_at": "2024-01-18", "outcome": "cancelled"}
    acts = [BOOKED, SECOND, off]
    expect(told([OPEN], "2024-01-18", activities=acts), meetings_ahead=2, days_to_meeting=10, meetings_cancelled=0)
    expect(told([OPEN], "2024-01-20", activities=acts), meetings_ahead=1, days_to_meeting=nan, meetings_cancelled=1)
    anew = {**SECOND, "known_at": "2024-01-19"}
    expect(told([OPEN], "2024-01-20", activities=[*acts, anew]), meetings_ahead=2, days_to_meeting=8)


def test_a_meeting_called_off_that_was_never_booked_leaves_none_ahead() -> None:
    off = {**BOOKED, "outcome": "cancelled"}
    expect(told([OPEN], "2024-01-20", activities=[off]), meetings_ahead=0, days_to_meeting=nan, meetings_cancelled=1)


# --- what the buyer does ---------------------------------------------------------------------------------------------


def test_replies_and_whether_they_slow_down() -> None:
    """24 hours and 6: 15 on average, 6 in the last 30 days; the trend adds an hour to both."""
    acts = [
        mail("outbound", "2024-01-12"),
        mail("inbound", "2024-01-13"),
        mail("inbound", "2024-01-14"),  # no reply to anything
        mail("outbound", "2024-01-31"),
        mail("outbound", "2024-02-01"),
        mail("inbound", "2024-02-01 06:00"),
    ]
    expect(told([OPEN], "2024-01-20", activities=acts), reply_hours=24, reply_trend=0)
    expect(told([OPEN], "2024-02-25", activities=acts), reply_hours=15, reply_trend=log(7 / 16))
    expect(told([OPEN], "2024-03-25", activities=acts), reply_hours=15, reply_trend=nan)


@pytest.mark.parametrize("order", [1, -1])
def test_mails_logged_in_one_second_go_by_when_they_were_sent(order: int) -> None:
    """A sync at night logs the question and the answer of the day together, in any order."""
    acts = [
        mail("outbound", "2024-02-01 09:00", known_at="2024-02-02"),
        mail("inbound", "2024-02-01 11:00", known_at="2024-02-02"),
    ][::order]
    expect(told([OPEN], "2024-02-03", activities=acts), reply_hours=2, answer_hours=nan)


def test_the_silence_is_set_beside_the_usual_gap() -> None:
    """The won deal's buyer acted every 4 days. 12 days without a word since the creation are 3 such gaps."""
    acts: list[Row] = [{"deal_id": "D1", **mail("inbound", f"2024-01-{day}")} for day in ("04", "08", "12")]
    won = closed_deal("D1", "R1", "Won", "2024-01-20")
    expect(past_features("2024-02-13", won, activities=acts), silence_surprise=3)
    own: list[Row] = [{"deal_id": "NOW", **mail("inbound", f"2024-02-{day}")} for day in ("03", "09")]
    # Its own one gap of 6 days, and 3 of 4 days: 18 / 4 = 4.5.
    expect(past_features("2024-02-13", won, activities=[*acts, *own]), silence_surprise=4 / 4.5)
    expect(past_features("2024-01-20", won, activities=acts), silence_surprise=nan)  # not created yet
    expect(past_features("2024-02-13", activities=own), silence_surprise=4 / ((6 + 3 * 30) / 4))  # nothing won yet


# --- people ----------------------------------------------------------------------------------------------------------


def test_somebody_whose_role_changes_has_not_joined_again() -> None:
    people: list[Row] = [
        {"contact_id": "C1", "known_at": "2024-01-11", "seniority": "manager"},
        {"contact_id": "C1", "known_at": "2024-03-01", "seniority": "director"},
        {"contact_id": "C2", "known_at": "2024-03-05"},
    ]
    expect(told([OPEN], "2024-01-20", contacts=people), contacts_new_30d=1, contacts_known=1)
    expect(told([OPEN], "2024-03-02", contacts=people), contacts_new_30d=0, contacts_known=1)
    expect(told([OPEN], "2024-03-10", contacts=people), contacts_new_30d=1, contacts_known=2)


def test_a_senior_is_one_from_when_the_crm_had_it() -> None:
    people: list[Row] = [
        {"contact_id": "C1", "known_at": "2024-01-11", "seniority": "Manager"},
        {"contact_id": "C1", "known_at": "2024-02-01", "seniority": "VP"},
    ]
    acts = [mail("inbound", f"2024-{day}", contact_id="C1") for day in ("01-20", "02-01", "02-05")]
    expect(told([OPEN], "2024-01-25", contacts=people, activities=acts), seniority_reached=1, senior_active_90d=0)
    expect(told([OPEN], "2024-02-10", contacts=people, activities=acts), seniority_reached=3, senior_active_90d=1)
    expect(told([OPEN], "2024-06-01", contacts=people, activities=acts), seniority_reached=3, senior_active_90d=0)


def test_steps_of_the_process() -> None:
    people: list[Row] = [
        {"contact_id": "C1", "known_at": "2024-01-11", "role": "user"},
        {"contact_id": "C2", "known_at": "2024-01-20", "role": "Economic Buyer"},
    ]
    acts: list[Row] = [
        {**MEETING, "occurred_at": "2024-01-15"},
        {"kind": "contract", "direction": "outbound", "occurred_at": "2024-01-25"},
    ]
    rows = changed({"known_at": "2024-01-28", "next_step_set": 1, "amount": 0})
    steps = [
        (day, told(rows, day, contacts=people, activities=acts))
        for day in ("2024-01-11", "2024-01-16", "2024-01-21", "2024-01-26", "2024-01-29")
    ]
    # amount; met; second contact and a decision maker; offer out; next step, but the amount is gone
    assert [got["process_steps"] for _, got in steps] == [1, 2, 4, 5, 5]
    assert [got["decision_maker"] for _, got in steps] == [0, 0, 1, 1, 1]


# --- beside the past -------------------------------------------------------------------------------------------------


def stay(deal: str, at: str, stage: str, **more: object) -> Row:
    return {"deal_id": deal, "known_at": at, "stage": stage, "owner_id": "R1", **more}


def test_time_in_the_stage_and_time_still_needed() -> None:
    """Won deals were in Demo for 10 and 2 + 4 days, and closed 10 and 8 days after they first entered it."""
    first = [stay("D1", "2024-01-02", "Qualify"), stay("D1", "2024-01-06", "Demo"), stay("D1", "2024-01-16", "Won")]
    second = [
        stay("D2", "2024-01-02", "Qualify"),
        stay("D2", "2024-01-04", "Demo"),
        stay("D2", "2024-01-06", "Qualify"),
        stay("D2", "2024-01-08", "Demo"),
        stay("D2", "2024-01-12", "Won"),
    ]
    lost = [stay("D3", "2024-01-02", "Demo"), stay("D3", "2024-01-30", "Lost")]
    early = past_features("2024-02-05", first, second, lost)  # 4 days in Demo, 56 left
    expect(early, stage_time_vs_won=log(5 / 9), time_left_vs_won=log(57 / (9 - 4 + 1)))
    late = past_features("2024-02-25", first, second, lost)  # 24 days in Demo, 36 left
    expect(late, stage_time_vs_won=log(25 / 9), time_left_vs_won=log(37))
    expect(past_features("2024-02-05", lost), stage_time_vs_won=0, time_left_vs_won=0)


def test_the_team_and_the_account() -> None:
    """3 closed, 2 won; the account won on 20 January, and has NOW and D5 open until D5 is lost."""
    other = closed_deal("D5", "R3", "Lost", "2024-03-10")
    tables = past(
        closed_deal("D1", "R1", "Won", "2024-01-20"),
        closed_deal("D2", "R2", "Won", "2024-01-22"),
        closed_deal("D3", "R3", "Lost", "2024-01-24"),
        other,
        reps=TEAM,
    )
    made = record(tables)
    base = 3 / 7
    got = features(made, "NOW", "2024-02-25")
    expect(got, team_lift=logit((2 + 20 * base) / 22) - logit(base), days_since_account_win=36, account_open_deals=1)


def test_open_deals_come_and_go() -> None:
    """R1 hands D2 over, D3 closes and comes back, D4 is merged into it, D5 is deleted."""
    rows = [
        stay("D1", "2024-01-02", "Qualify"),
        stay("D2", "2024-01-02", "Qualify"),
        stay("D2", "2024-01-10", "Qualify", owner_id="R2"),
        stay("D3", "2024-01-03", "Demo"),
        stay("D3", "2024-01-12", "Lost"),
        stay("D3", "2024-01-14", "Demo"),
        stay("D4", "2024-01-04", "Demo"),
        stay("D4", "2024-01-16", "Demo", merged_into="D3"),
        stay("D5", "2024-01-04", "Demo"),
        stay("D5", "2024-01-18", "Demo", is_deleted=1),
    ]
    names = ("D1", "D2", "D3", "D4", "D5")
    deals: list[Row] = [{"deal_id": n, "created_at": "2024-01-01", "account_id": "A"} for n in names]
    made = record(company(deals=deals, deal_history=rows))
    days = ("2024-01-03", "2024-01-05", "2024-01-11", "2024-01-13", "2024-01-15", "2024-01-17", "2024-01-19")
    got = [features(made, "D1", day) for day in days]
    assert [one["rep_open_deals"] for one in got] == [2, 5, 4, 3, 4, 3, 2]
    assert [one["account_open_deals"] for one in got] == [2, 5, 5, 4, 5, 4, 3]
    assert [one["rep_tenure_days"] for one in got] == [1, 3, 9, 11, 13, 15, 17]
    assert features(made, "D1", "2024-12-01")["rep_tenure_days"] == 182
    assert features(made, "D2", "2024-01-12")["rep_tenure_days"] == 2


def looked_at(*episodes: list[Row]) -> Record:
    """Deals that are as old as their first row."""
    deals = [{"deal_id": rows[0]["deal_id"], "created_at": rows[0]["known_at"]} for rows in episodes]
    return record(company(deals=deals, deal_history=[row for rows in episodes for row in rows]))


def test_surplus_is_wins_beside_peers_of_the_same_looks() -> None:
    """Both deals are open at the 3 looks of the quarter, one of two is won: R1 has 3 wins where 1.5 are expected.

    NOW is looked at once, in a stage that nobody won from.
    """
    old: Row = {"stage": "Qualify", "forecast_category": "commit", "known_at": "2023-12-20"}
    ours = [{"deal_id": "D1", "owner_id": "R1", **old}, stay("D1", "2024-03-31", "Won")]
    theirs = [{"deal_id": "D2", "owner_id": "R2", **old}, stay("D2", "2024-03-31", "Lost", owner_id="R2")]
    made = looked_at(
        ours, theirs, [stay("NOW", "2024-02-01", "Demo")], [stay("OTHER", "2024-04-01", "Demo", owner_id="R2")]
    )
    expect(features(made, "NOW", "2024-03-31 23:59"), rep_surplus=0)
    expect(features(made, "NOW", "2024-04-01"), rep_surplus=log(8 / 6.5))
    expect(features(made, "OTHER", "2024-04-02"), rep_surplus=log(5 / 6.5))


def test_how_long_dead_deals_are_kept() -> None:
    """R1's loss took 22 days, R2's 39."""
    got = past_features(
        "2024-02-25", closed_deal("D3", "R1", "Lost", "2024-01-24"), closed_deal("D4", "R2", "Lost", "2024-02-10")
    )
    expect(got, rep_loss_cycle=(22 + 20 * 30.5) / 21 - 30.5, rep_cycle=0)


def test_how_often_a_rep_reaches_out_and_edits() -> None:
    """R1's deal took 18 days (0.6 months): 3 mails, 2 edits beside an admin's. R2's took 39: none, and 1 edit."""
    first, end = closed_deal("D1", "R1", "Won", "2024-01-20")
    more: list[Row] = [
        {**first, "known_at": "2024-01-05", "amount": 120, "edited_by": "R1"},
        {**first, "known_at": "2024-01-06", "amount": 130, "edited_by": "ADMIN"},
    ]
    mails: list[Row] = [{"deal_id": "D1", **mail("outbound", f"2024-01-0{day}")} for day in (3, 4, 5)]
    mails.append({"deal_id": "D1", **mail("outbound", "2024-02-01")})  # after the close
    other = closed_deal("D4", "R2", "Lost", "2024-02-10")
    got = past_features("2024-02-25", [first, *more, end], other, activities=mails)
    out, edits = 3 / 1.9, 3 / 1.9
    expect(got, rep_outbound=(3 + 20 * out) / 20.6 - out, rep_edits=(2 + 20 * edits) / 20.6 - edits)


def test_what_a_close_wrote_is_no_call_of_the_next_episode() -> None:
    """Lost as `omitted`, re-opened, won: it was never omitted while it was open."""
    lost = closed_deal("D1", "R1", "Lost", "2024-01-20", forecast_category="omitted")
    again = [{**lost[0], "known_at": "2024-01-25"}, {**lost[1], "known_at": "2024-01-30", "stage": "Won"}]
    closes = record(past([*lost, *again])).reference.closes.columns
    assert closes["categories"].tolist() == [1 << 3, 1 << 3]


# --- quotas and calls ------------------------------------------------------------------------------------------------

WON_IN_JANUARY = closed_deal("D1", "R1", "Won", "2024-01-20", amount=80)


def test_attainment_with_quotas_of_months_in_a_fiscal_quarter() -> None:
    """100 for January and 150 for February, each known as its month begins; one of March is told in April: too late."""
    quotas: list[Row] = [
        {"rep_id": "R1", "period_start": "2024-01-01", "amount": 100},
        {"rep_id": "R1", "period_start": "2024-02-01", "amount": 150},
        {"rep_id": "R1", "period_start": "2024-03-01", "amount": 150, "known_at": "2024-04-20"},
        {"rep_id": "R2", "period_start": "2024-01-01", "amount": 60},
    ]
    made = record(
        past(WON_IN_JANUARY, closed_deal("D2", "R2", "Won", "2024-01-22", amount=40), quotas=quotas, reps=TEAM)
    )
    expect(features(made, "NOW", "2024-02-01"), rep_attainment=nan, team_attainment=nan)  # nobody owns it yet
    expect(features(made, "NOW", "2024-02-02"), rep_attainment=80 / 250, team_attainment=120 / 310)
    expect(features(made, "NOW", "2024-03-30"), rep_attainment=80 / 250, team_attainment=120 / 310)
    expect(features(made, "NOW", "2024-04-25"), rep_attainment=nan, team_attainment=nan)


QUOTA: list[Row] = [{"rep_id": "R1", "period_start": "2024-01-01", "amount": 200}]


def commit(at: str, amount: float, **more: object) -> Row:
    told = {"rep_id": "R1", "submitted_at": at, "period_start": "2024-01-01", "category": "commit", "amount": amount}
    return {**told, **more}


def test_the_call_is_the_last_commit_of_the_period() -> None:
    calls = [
        commit("2023-12-20", 500),  # before the period
        commit("2024-01-10", 80),
        commit("2024-02-10", 120),
        commit("2024-02-11", 300, category="best_case"),
        commit("2024-02-12", 400, period_start="2024-04-01"),  # of the next period
        commit("2024-02-13", 900, rep_id="R2"),
    ]
    for day, expected in (("2024-02-10", 0.4), ("2024-02-20", 0.6), ("2024-04-02", nan)):
        expect(past_features(day, calls=calls, quotas=QUOTA), rep_call_vs_quota=expected)
    expect(past_features("2024-02-20", calls=calls), rep_call_vs_quota=nan)
    expect(past_features("2024-02-20", calls=calls[:1], quotas=QUOTA), rep_call_vs_quota=nan)


@pytest.mark.parametrize("order", [1, -1])
def test_calls_of_months_add_up_as_their_quotas_do(order: int) -> None:
    calls = [
        commit("2024-02-05", 60),
        commit("2024-02-05", 70, period_start="2024-02-01"),
        commit("2024-02-12", 50, period_start="2024-02-01"),
    ][::order]
    expect(past_features("2024-02-06", calls=calls, quotas=QUOTA), rep_call_vs_quota=130 / 200)
    expect(past_features("2024-02-20", calls=calls, quotas=QUOTA), rep_call_vs_quota=110 / 200)


def test_a_call_is_judged_when_its_period_is_over_by_its_first_weeks() -> None:
    """100 called on 20 January, 80 won; what is called after the first 27.3 days of 91 is not judged."""
    calls = [commit("2024-01-10", 40), commit("2024-01-20", 100), commit("2024-01-29", 500)]
    hit = (
        closed_deal("D8", "R8", "Won", "2024-01-20", amount=80),
        closed_deal("D9", "R9", "Won", "2024-01-20", amount=80),
    )
    calls += [commit("2024-01-20", 80, rep_id=rep) for rep in ("R8", "R9")]  # the company called what came
    expect(past_features("2024-03-31 23:59", WON_IN_JANUARY, calls=calls), rep_call_miss=0)
    expect(past_features("2024-04-01", WON_IN_JANUARY, *hit, calls=calls), rep_call_miss=-0.223144 / 5)  # log(0.8)
    expect(past_features("2024-04-01", *hit, calls=calls), rep_call_miss=-2 / 5)  # nothing won: no worse than that


def test_a_bad_quarter_of_all_is_no_miss_of_anybody() -> None:
    calls = [commit("2024-01-20", 100, rep_id=rep) for rep in ("R1", "R8", "R9")]
    expect(past_features("2024-04-01", calls=calls), rep_call_miss=0)


def test_a_call_that_was_taken_back_is_not_judged() -> None:
    calls = [commit("2024-01-10", 100), commit("2024-01-20", 0)]
    expect(past_features("2024-04-01", WON_IN_JANUARY, calls=calls), rep_call_miss=0)


# --- merged and told -------------------------------------------------------------------------------------------------


def test_a_merged_deal_is_no_close() -> None:
    gone = closed_deal("D2", "R1", "Qualify", "2024-01-20", merged_into="D1")
    deleted = {**gone[1], "known_at": "2024-01-20 00:01", "is_deleted": 1}
    made = record(past(WON_IN_JANUARY, [*gone, deleted]))
    assert made.reference.closes.columns["won"].tolist() == [1]


def test_a_merged_deal_is_no_peer_in_the_period_of_its_merger() -> None:
    """Lost, D2 is looked at 3 times in the quarter; merged, never: nobody can tell what would have come of it."""
    gone = [stay("D2", "2023-12-20", "Demo"), stay("D2", "2024-03-20", "Demo", merged_into="D1")]
    lost = [stay("D2", "2023-12-20", "Demo"), stay("D2", "2024-03-20", "Lost")]
    looks = [looked_at(rows).reference.events["surplus"].before(at("2024-04-02")) for rows in (gone, lost)]
    assert [len(found) for found in looks] == [0, 3]


def test_the_history_of_a_deal_is_not_known_before_the_deal() -> None:
    """D1 was entered on 1 February, with a win of January: R1 and the account have it from then on."""
    tables = company(
        deals=[
            {"deal_id": "D1", "created_at": "2024-01-02", "known_at": "2024-02-01", "account_id": "A"},
            {"deal_id": "NOW", "created_at": "2024-01-02", "account_id": "A"},
        ],
        deal_history=[*closed_deal("D1", "R1", "Won", "2024-01-20"), stay("NOW", "2024-01-02", "Demo")],
    )
    made = record(tables)
    expect(features(made, "NOW", "2024-02-01"), account_wins=0, rep_lift=0, rep_open_deals=1)
    expect(features(made, "NOW", "2024-02-02"), account_wins=1, days_since_account_win=1, rep_open_deals=1)
    cut = record(known_before(tables, at("2024-02-01")))
    assert features(made, "NOW", "2024-02-01") == pytest.approx(features(cut, "NOW", "2024-02-01"), nan_ok=True)


def test_money_is_told_as_it_is() -> None:
    """log_amount is log(1 + amount), so that 0 has one."""
    said = Feature("log_amount", "log money", "{value}", style=",.0f", exp=True)
    assert [said.sentence(log(1 + amount), nan) for amount in (0, 100, 1_000_000)] == ["0", "100", "1,000,000"]
