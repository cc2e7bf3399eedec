"""What is planted in the simulated company is there, at its strength, and its truth agrees with the export."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from configs.errors import UsageError
from features.sources.company import Company, CompanySettings, _planted_quarter, simulate, write
from features.sources.company_reps import PeopleParams

ZONE = "America/New_York"
WORLD = CompanySettings(
    seed=5,
    periods=10,
    wins_per_period=120,
    people=PeopleParams(turnover_per_year=0.30, under_caller_share=0.25, over_caller_share=0.25),
)
FACTOR = {"honest": 0, "under": -1, "over": 1}


@cache
def world() -> Company:
    """One company with many planted reps, for all tests that only look."""
    return simulate(WORLD)


@cache
def table(name: str) -> pd.DataFrame:
    """A table of the export or the truth, words as plain text; do not change it."""
    both = world().export | world().truth
    words = {c: "str" for c in both[name].columns if isinstance(both[name][c].dtype, pd.CategoricalDtype)}
    return both[name].astype(words)


def week_of(instants: pd.Series) -> pd.Series:
    local = instants.dt.tz_convert(ZONE).dt.tz_localize(None).dt.normalize()
    return (local - pd.to_timedelta(local.dt.day_of_week, unit="D")).astype("datetime64[s]")


def test_calls_are_the_honest_ones_times_the_strength_in_force() -> None:
    weeks = table("rep_weeks_truth")
    assert set(weeks.calling) == set(FACTOR)
    assert (weeks.call_strength[weeks.calling == "honest"] == 1).all()
    assert set(weeks.call_strength[weeks.calling != "honest"]) == {1.2, 1.35, 1.5}
    factor = weeks.call_strength ** weeks.calling.map(FACTOR)
    for level in ("commit", "best"):
        honest, said = weeks[f"honest_{level}"] - weeks.booked, weeks[f"said_{level}"] - weeks.booked
        assert (abs(said - honest * factor) <= 50 + 50 * factor + 0.01).all()  # both are in steps of 100
        for (_, strength), group in weeks[honest > 0].groupby(["calling", "call_strength"]):
            sums = said[group.index].sum() / honest[group.index].sum()
            assert sums == pytest.approx(strength ** FACTOR[group.calling.iloc[0]], rel=0.02)


def test_the_truth_of_the_calls_is_what_the_export_holds() -> None:
    calls = table("calls").assign(week_start=lambda t: week_of(t.submitted_at))
    wide = calls.pivot(index=["rep_id", "week_start"], columns="category", values="amount")
    weeks = table("rep_weeks_truth").set_index(["rep_id", "week_start"])
    assert weeks.index.is_unique
    assert set(weeks.index) == set(wide.index)
    both = weeks.join(wide)
    assert (both.said_commit == both.commit).all()
    assert (both.said_best == both.best_case).all()
    assert (both.said_best >= both.said_commit).all()
    assert (both.said_commit >= both.booked.round(-2)).all()


def test_planted_reps_begin_and_cease_within_their_weeks() -> None:
    reps, weeks = table("reps_truth").set_index("rep_id"), table("rep_weeks_truth")
    planted = reps[reps.calling != "honest"]
    assert planted.calling_from.notna().any()
    assert planted.calling_to.notna().any()
    assert (planted.calling_from.isna() & planted.calling_to.isna()).any()
    began, ceases = weeks.rep_id.map(reps.calling_from), weeks.rep_id.map(reps.calling_to)
    inside = ~(weeks.week_start < began) & ~(weeks.week_start >= ceases)
    assert (weeks.calling == weeks.rep_id.map(reps.calling).where(inside, "honest")).all()


def test_deal_truth_agrees_with_the_record_at_the_call() -> None:
    truth = table("calls_truth")
    at = truth.week_start.dt.tz_localize(ZONE).dt.tz_convert("UTC") + pd.Timedelta(hours=8, minutes=30)
    asked = truth.assign(at=at.astype("datetime64[s, UTC]")).sort_values("at")
    history = table("deal_history")
    got = pd.merge_asof(asked, history, left_on="at", right_on="known_at", by="deal_id")
    assert (got.recorded_category == got.forecast_category).all()
    assert (got.recorded_close_date == got.close_date).all()
    empty = table("vacancies_truth").left_rep_id
    assert (got.rep_id == got.owner_id).all()
    assert not truth.duplicated(["deal_id", "week_start"]).any()
    assert set(truth.calling[truth.rep_id.isin(empty)]) <= set(FACTOR)


def test_under_callers_hold_deals_back_and_over_callers_put_them_in() -> None:
    truth = table("calls_truth")
    rank = {"omitted": 0, "pipeline": 1, "best_case": 2, "commit": 3}
    lift = truth.recorded_category.map(rank) - truth.honest_category.map(rank)
    shift = (truth.recorded_close_date - truth.honest_close_date).dt.days
    under, over = truth.calling == "under", truth.calling == "over"
    honest_commit, honest_later = (
        truth.honest_category == "commit",
        truth.honest_category.isin(["pipeline", "best_case"]),
    )
    assert (lift[under & honest_commit] < 0).mean() > 0.2
    assert (lift[over & honest_later] > 0).mean() > 0.05
    assert (lift[under] > 0).mean() < 0.01 > (lift[over] < 0).mean()
    assert shift[under].mean() > 0.5
    assert shift[over].mean() < -2
    # A successor may inherit a mark, no more: nearly all rows are of planted reps.
    assert (truth.calling == "honest").mean() < 0.05


def test_without_planted_reps_the_record_is_the_honest_one() -> None:
    none = replace(WORLD, periods=2, wins_per_period=40, people=PeopleParams(under_caller_share=0, over_caller_share=0))
    truth = simulate(none).truth
    assert not len(truth["calls_truth"])
    assert (truth["rep_weeks_truth"].honest_commit == truth["rep_weeks_truth"].said_commit).all()


def test_a_territory_change_is_one_bulk_edit_of_a_manager() -> None:
    changes, history = table("territory_changes_truth"), table("deal_history").sort_values(["deal_id", "seq"])
    assert changes.week_start.nunique() == WORLD.people.territory_changes
    history = history.assign(before=history.groupby("deal_id").owner_id.shift())
    account = table("deals").set_index("deal_id").account_id
    managers = set(table("reps").manager_id) - {"nan"}
    for week, change in changes.groupby("week_start"):
        to = change.set_index("account_id").to_rep_id
        rows = history[(week_of(history.known_at) == week) & (history.before != history.owner_id)]
        rows = rows[rows.before.notna() & rows.deal_id.map(account).isin(to.index)]
        bulk = rows[rows.known_at == rows.known_at.mode()[0]]
        assert len(bulk) > 5
        assert (bulk.owner_id == bulk.deal_id.map(account).map(to)).all()
        assert bulk.edited_by.nunique() == 1
        assert set(bulk.edited_by) <= managers
        assert len(bulk) <= change.deals_moved.sum()
        # Deals that are created later for these accounts go to the new owner at once.
        made = history[(history.seq == 0) & (week_of(history.known_at) >= week)]
        made = made[made.deal_id.map(account).isin(to.index)]
        made = made[week_of(made.known_at) < week + pd.Timedelta(days=28)]
        assert (made.owner_id == made.deal_id.map(account).map(to)).mean() > 0.8


def test_empty_seats_lie_still_until_a_manager_hands_them_over() -> None:
    gaps, history = table("vacancies_truth"), table("deal_history").sort_values(["deal_id", "seq"])
    left = table("reps").set_index("rep_id").left
    week, outbound = week_of(history.known_at), table("activities").query("direction == 'outbound'")
    managers = set(table("reps").manager_id) - {"nan"}
    owner = history.groupby("deal_id").owner_id.shift()
    assert len(gaps) > 5
    assert gaps.came_rep_id.ne("nan").any()
    handed = 0
    for gap in gaps.itertuples():
        end = gap.empty_to if pd.notna(gap.empty_to) else pd.Timestamp("2100-01-01")
        assert gap.empty_from == left[gap.left_rep_id] + pd.Timedelta(days=3)
        inside = (week >= gap.empty_from) & (week < end)
        edits = history[inside & (history.owner_id == gap.left_rep_id)]
        assert set(edits.edited_by) <= managers  # only closes
        assert edits.stage.isin(["Closed Won", "Closed Lost", "Verbal"]).all()
        batch = history[(owner == gap.left_rep_id) & (history.owner_id == gap.came_rep_id)]
        assert batch.known_at.nunique() <= 1  # in one second
        assert set(batch.edited_by) <= managers
        assert (week[batch.index] == gap.empty_to).all()
        handed += len(batch)
        days = (week_of(outbound.occurred_at) >= gap.empty_from) & (week_of(outbound.occurred_at) < end)
        assert not (days & outbound.deal_id.isin(batch.deal_id)).any()
    assert handed > 20
    calls = table("rep_weeks_truth").merge(gaps, left_on="rep_id", right_on="left_rep_id")
    assert (calls.week_start < calls.empty_from).all()


def test_rows_are_saved_by_their_owner_save_for_bulk_changes_and_empty_seats() -> None:
    history = table("deal_history")
    assert set(history.edited_by) <= set(table("reps").rep_id)
    other = history.edited_by != history.owner_id
    assert 0 < other.mean() < 0.05
    assert (history.seq[other] > 0).all()


def test_the_shock_quarter_lowers_the_hazard_of_wins_by_its_size() -> None:
    planted, none = (
        simulate(CompanySettings(seed=4, periods=6, wins_per_period=60, shock_quarter=number)) for number in (4, None)
    )
    quarters = planted.truth["quarters_truth"]
    assert quarters.planted_shock.tolist() == [k == 4 + 3 for k in range(10)]
    change = quarters.shock_logit - none.truth["quarters_truth"].shock_logit
    assert change.to_numpy() == pytest.approx(np.where(quarters.planted_shock, -0.30, 0.0))
    # Up to the quarter both are the same world; in its first full week the hazard is what differs.
    start = quarters.quarter_start[quarters.planted_shock].iloc[0]
    weeks = [c.truth["deal_weeks"] for c in (planted, none)]
    first = weeks[0].week_start[weeks[0].week_start >= start].min()
    before, after = (w[w.week_start < start - pd.Timedelta(days=7)] for w in weeks)
    assert before.reset_index(drop=True).equals(after.reset_index(drop=True))
    shocked, calm = (w[w.week_start == first].set_index("deal_id") for w in weeks)
    both = shocked.merge(calm, left_index=True, right_index=True, suffixes=("_s", "_c"))
    both = both[(both.readiness_s == both.readiness_c) & (both.win_hazard_c.between(1e-4, 0.01))]
    assert len(both) > 50
    assert (both.win_hazard_s / both.win_hazard_c).median() == pytest.approx(np.exp(-0.30), abs=0.02)


def test_the_drawn_shock_quarter_is_in_the_second_half() -> None:
    drawn = [_planted_quarter(np.random.default_rng(seed), CompanySettings(periods=6)) for seed in range(30)]
    assert set(drawn) == {4 + 3, 4 + 4}  # four quarters of burn-in
    for periods in (1, 2):
        assert _planted_quarter(np.random.default_rng(0), CompanySettings(periods=periods)) == 4 + periods // 2
    assert world().truth["quarters_truth"].planted_shock.sum() == 1
    with pytest.raises(UsageError):
        CompanySettings(shock_quarter=13)


def test_reps_differ_in_habits() -> None:
    reps, history = table("reps_truth").set_index("rep_id"), table("deal_history").sort_values(["deal_id", "seq"])
    rows = history[~history.stage.str.startswith("Closed")]
    steps = rows.groupby("owner_id").next_step_set.mean()
    assert np.corrcoef(steps, reps.next_step_habit.reindex(steps.index))[0, 1] > 0.7
    friday = rows[rows.known_at.dt.tz_convert(ZONE).dt.day_name() == "Friday"].groupby("owner_id").size()
    share = (friday / rows.groupby("owner_id").size()).fillna(0)
    others = reps.index[reps.edit_weekday != 4].intersection(share.index)
    assert np.corrcoef(share[others], reps.batch_habit[others])[0, 1] > 0.6
    mails = table("activities").query("kind == 'email'").sort_values("occurred_at")
    came, went = mails[mails.direction == "inbound"], mails[mails.direction == "outbound"]
    pairs = pd.merge_asof(
        came[["deal_id", "occurred_at"]],
        went[["deal_id", "occurred_at"]].assign(reply=went.occurred_at),
        on="occurred_at",
        by="deal_id",
        direction="forward",
    )
    owner = rows.drop_duplicates("deal_id").set_index("deal_id").owner_id
    hours = (pairs.reply - pairs.occurred_at).dt.total_seconds().div(3600).groupby(pairs.deal_id.map(owner)).median()
    assert np.corrcoef(np.log(hours), np.log(reps.reply_hours.reindex(hours.index)))[0, 1] > 0.5


def test_padded_amounts_are_cut_and_rushed_discounts_are_deeper() -> None:
    reps, history = table("reps_truth").set_index("rep_id"), table("deal_history").sort_values(["deal_id", "seq"])
    first = history.dropna(subset=["amount"]).drop_duplicates("deal_id").set_index("deal_id")
    close = history[history.stage == "Closed Won"].drop_duplicates("deal_id").set_index("deal_id")
    fall = np.log(close.amount / first.amount.reindex(close.index))
    padding = first.owner_id.reindex(close.index).map(reps.padding)
    assert fall[padding > 0.1].median() < fall[padding == 0].median() - 0.05
    left = close.close_date.dt.to_period("Q").dt.end_time.dt.normalize() - close.close_date
    late, eager = left.dt.days < 7, close.owner_id.map(reps.discount_habit) > 1.3
    rushed = fall + padding
    assert rushed[late & eager].mean() < rushed[~late & eager].mean() - 0.02


def test_no_file_of_the_truth_reads_like_one_of_the_export(tmp_path: Path) -> None:
    write(world(), tmp_path)
    names = {path.stem for path in (tmp_path / "truth").glob("*.csv")}
    assert {name for name in names if not name.endswith("_truth")} == {"deal_weeks"}
    assert not names & set(world().export)
    text = (tmp_path / "truth" / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}.csv`" in text for name in names)
