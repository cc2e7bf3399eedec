"""The simulated company's leads: deals untouched, a funnel that adds up, a chance of converting that can be seen."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from features.sources.company import Company, CompanySettings, simulate
from features.sources.company_leads import DEAL_SOURCE, LEAD_SOURCES, Drivers, LeadParams
from features.sources.company_salesforce import salesforce_frames

ZONE = "America/New_York"
SMALL = CompanySettings(seed=3, periods=3, wins_per_period=40, burn_in_periods=2, leads=LeadParams())
END = pd.Timestamp("2023-10-01", tz=ZONE)
OF_LEADS = ("leads", "lead_history", "lead_activities")
DRIVERS = ("fit", "fading_3d", "fading_14d", "idle_days", "speed", "connected", "held")
DEALS_OF_VERSION_2 = {
    "deals": "ea60dc1e8657a518",
    "deal_history": "d5ec67d89fcf590a",
    "activities": "7c624b70b764cb94",
    "calls": "462adaebaf2ab851",
}
DAY = pd.Timedelta("1D")


@cache
def small() -> Company:
    """One small company for all tests that only look."""
    return simulate(SMALL)


@cache
def table(name: str) -> pd.DataFrame:
    """A table of the export or the truth, words as plain text; do not change it."""
    frame = (small().export | small().truth)[name]
    return frame.astype({c: "str" for c in frame.columns if isinstance(frame[c].dtype, pd.CategoricalDtype)})


def digest(frame: pd.DataFrame) -> str:
    return hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()[:16]


@cache
def leads() -> pd.DataFrame:
    """Leads with their truth, and when each was first taken up."""
    history = table("lead_history")
    worked = history[history.event == "worked"].groupby("lead_id").known_at.min()
    both = table("leads").merge(table("leads_truth"), on="lead_id")
    return both.assign(worked_at=both.lead_id.map(worked))


def test_deals_are_what_they_were_before_there_were_leads() -> None:
    assert {name: digest(small().export[name]) for name in DEALS_OF_VERSION_2} == DEALS_OF_VERSION_2


def test_deals_do_not_hang_on_how_leads_are_drawn() -> None:
    few = simulate(replace(SMALL, leads=LeadParams(leads_per_win=2.0)))
    for name, frame in (small().export | small().truth).items():
        if not name.startswith("lead"):
            assert frame.equals((few.export | few.truth)[name]), name
    assert len(few.export["leads"]) == round(2.0 * 40 * 5)


def test_same_seed_gives_the_same_leads_and_another_seed_others() -> None:
    again, other = simulate(SMALL), simulate(replace(SMALL, seed=4))
    for name in (*OF_LEADS, "leads_truth", "lead_ages_truth"):
        whole = small().export | small().truth
        assert whole[name].equals((again.export | again.truth)[name]), name
        assert not whole[name].equals((other.export | other.truth)[name]), name


def test_leads_come_in_order_and_nothing_is_known_before_or_after() -> None:
    created = table("leads").set_index("lead_id").created_at
    assert created.is_monotonic_increasing
    for name in ("lead_history", "lead_activities"):
        rows = table(name)
        assert rows.known_at.is_monotonic_increasing, name
        assert (rows.known_at > rows.lead_id.map(created)).all(), name
        assert (rows.known_at < END).all(), name
    acts = table("lead_activities")
    assert (acts.occurred_at > acts.lead_id.map(created)).all()
    ahead = acts.outcome.isin(["planned", "cancelled"])
    assert (acts.known_at >= acts.occurred_at)[~ahead].all()
    assert ((acts.known_at - acts.occurred_at)[~ahead] > DAY).mean() > 0.01  # logged late


def test_statuses_move_in_their_order_and_end_with_the_conversion() -> None:
    rows = table("lead_history").sort_values(["lead_id", "seq"])
    assert (rows.seq == rows.groupby("lead_id").cumcount()).all()
    assert (rows.groupby("lead_id").known_at.diff().dropna() >= pd.Timedelta(0)).all()
    before = rows.groupby("lead_id").event.shift(1).fillna("new")
    assert set(zip(before, rows.event, strict=True)) <= {
        ("new", "worked"),
        *(("worked", to) for to in ("mql", "disqualified", "converted")),
        *(("mql", to) for to in ("sql", "disqualified", "converted")),
        *(("sql", to) for to in ("disqualified", "converted")),
        ("disqualified", "worked"),
    }
    assert (before == "disqualified").any()  # some are taken up again


def test_the_funnel_adds_up() -> None:
    events, truth = table("lead_history"), leads()
    reached = {event: set(events.lead_id[events.event == event]) for event in events.event.unique()}
    assert reached["sql"] < reached["mql"] < reached["worked"]
    assert reached["converted"] < reached["worked"] < set(truth.lead_id)
    assert reached["converted"] == set(truth.lead_id[truth.converted_at.notna()])
    told = events[events.event == "converted"].set_index("lead_id").known_at
    assert (truth.lead_id.map(told) == truth.converted_at)[truth.converted_at.notna()].all()
    assert set(events.deal_id[events.event != "converted"].dropna()) <= {"nan"}


def test_shares_are_those_of_a_company() -> None:
    rows = leads()
    whole = rows[rows.created_at < END - 100 * DAY]
    worked = whole[whole.worked_at.notna()]
    soon = worked.converted_at < worked.created_at + 90 * DAY
    assert 0.10 < soon.mean() < 0.15
    assert 0.05 < whole.worked_at.isna().mean() < 0.20
    assert 0.02 < rows.opted_out.mean() < 0.06
    assert 8 <= len(rows) / (40 * 5) <= 12


def test_leads_that_nobody_takes_up_never_convert() -> None:
    rows = leads()
    idle = rows[~rows.to_be_worked]
    assert len(idle) > 50
    assert idle.converted_at.isna().all()
    assert idle.worked_at.isna().all()
    ours = table("lead_activities").query("direction != 'inbound' and kind != 'campaign'")
    assert not set(ours.lead_id) & set(idle.lead_id)


def test_opted_out_leads_are_left_alone() -> None:
    rows = leads()
    assert (rows.opted_out == rows.opted_out_at.notna()).all()
    assert rows.converted_at[rows.opted_out].isna().all()
    acts = table("lead_activities")
    out = acts.lead_id.map(rows.set_index("lead_id").opted_out_at)
    after = acts[(acts.occurred_at > out + DAY) & (acts.kind.isin(["web", "email", "call"]))]
    assert not len(after)


def test_a_conversion_is_the_creation_of_its_deal_and_no_deal_is_taken_twice() -> None:
    rows, deals = leads(), table("deals").set_index("deal_id")
    linked = rows[rows.converted_at.notna() & rows.deal_id.isin(deals.index)]
    assert 0.6 < len(linked) / rows.converted_at.notna().sum() < 1.0
    assert linked.deal_id.is_unique
    assert (linked.deal_id.map(deals.created_at) == linked.converted_at).all()
    assert (linked.converted_at - linked.decided_at).between(pd.Timedelta(0), 10 * DAY).all()
    words = ("inbound", "outbound", "partner", "event")
    fed = {source: words[DEAL_SOURCE[k]] for k, source in enumerate(LEAD_SOURCES)}
    assert (linked.deal_id.map(deals.source) == linked.source.map(fed)).all()
    quality = linked.deal_id.map(table("deals_truth").set_index("deal_id").quality)
    assert 0.2 < np.corrcoef(linked.fit, quality)[0, 1] < 0.95


def by_eye(lead: pd.Series, as_of: pd.Timestamp) -> Drivers:
    """What the export alone says of a lead, counted slowly. The fit is taken from the truth."""
    acts, events = table("lead_activities"), table("lead_history")
    acts = acts[(acts.lead_id == lead.lead_id) & (acts.known_at < as_of)]
    events = events[(events.lead_id == lead.lead_id) & (events.known_at < as_of)]
    theirs = acts[(acts.direction == "inbound") & (acts.outcome != "opened")]
    held = (acts.kind == "meeting") & (acts.outcome == "held")
    ours = acts[((acts.direction == "outbound") & (acts.kind != "campaign")) | held]
    ago = (as_of - theirs.known_at) / DAY
    hours = (ours.known_at.min() - lead.created_at) / pd.Timedelta("1h") if len(ours) else np.inf
    answered = (acts.kind == "call") & (acts.direction == "outbound") & (acts.outcome == "connected")
    words = ("new", "worked", "mql", "sql", "converted", "disqualified")
    told = (
        lead.fit,
        (0.5 ** (ago / 3)).sum(),
        (0.5 ** (ago / 14)).sum(),
        (as_of - max([lead.created_at, *theirs.known_at])) / DAY,
        max(1 - np.log1p(hours) / np.log1p(120), 0.0),
        answered.sum(),
        held.sum(),
    )
    status = words.index(events.event.iloc[-1]) if len(events) else 0
    return Drivers(*(np.array([float(value)]) for value in told), np.array([status]))


def test_the_chance_of_deciding_follows_from_the_export_alone() -> None:
    decided = leads()[leads().converted_at.notna()].iloc[::9]
    assert len(decided) > 15
    for _, lead in decided.iterrows():
        midnight = lead.decided_at.tz_convert(ZONE).normalize()
        seen = by_eye(lead, midnight)
        assert seen.hazard(LeadParams())[0] == pytest.approx(lead.decision_hazard, rel=1e-3), lead.lead_id


def test_the_truth_by_age_is_what_the_export_says() -> None:
    ages, known = table("lead_ages_truth"), leads().set_index("lead_id", drop=False)
    assert set(ages.age) == {"1min", "1d", "3d", "7d", "14d", "30d"}
    for _, row in ages.iloc[7::701].iterrows():
        seen = by_eye(known.loc[row.lead_id], row.as_of)
        for name in DRIVERS:
            assert getattr(seen, name)[0] == pytest.approx(row[name], abs=2e-3), (row.lead_id, row.age, name)
        assert seen.hazard(LeadParams())[0] == pytest.approx(row.hazard, rel=1e-2, abs=1e-9)


def test_every_driver_moves_the_chance_its_own_way() -> None:
    base = dict.fromkeys(DRIVERS, np.array([1.0]))

    def chance(status: int = 1, **moved: float) -> float:
        columns = base | {name: np.array([value]) for name, value in moved.items()}
        return float(Drivers(**columns, status=np.array([status])).hazard(LeadParams())[0])

    for name in ("fit", "fading_3d", "fading_14d", "connected", "held"):
        assert chance(**{name: 2.0}) > chance() > chance(**{name: 0.0}), name
    assert chance(speed=1.0) > chance(speed=0.3)
    assert chance(idle_days=20.0) < chance()
    assert chance(3) > chance(2) > chance(1)
    assert chance(0) == chance(4) == chance(5) == 0.0


def test_what_is_planted_shows_in_who_converts() -> None:
    ages, rows = table("lead_ages_truth"), leads().set_index("lead_id")
    seen = ages[(ages.age == "7d") & ages.open & (ages.as_of < END - 90 * DAY)]
    seen = seen[seen.lead_id.map(rows.worked_at).notna()]
    y = (seen.lead_id.map(rows.converted_at) < seen.as_of + 90 * DAY).to_numpy()
    for name in ("fit", "fading_14d", "speed", "hazard"):
        value = seen[name].to_numpy()
        low, high = (y[value <= np.quantile(value, 0.4)], y[value > np.quantile(value, 0.6)])
        assert high.mean() > low.mean() + 0.02, name


# --- in the shape of Salesforce --------------------------------------------------------------------------------------


@cache
def objects() -> dict[str, pd.DataFrame]:
    return {name: frame.astype("str").fillna("") for name, frame in salesforce_frames(small(), ZONE).items()}


def test_salesforce_objects_of_deals_are_untouched_but_for_what_comes_after_them() -> None:
    deals = Company({name: frame for name, frame in small().export.items() if name not in OF_LEADS}, {})
    whole = salesforce_frames(small(), ZONE)
    for name, frame in salesforce_frames(deals, ZONE).items():
        assert whole[name].iloc[: len(frame)].to_csv(index=False) == frame.to_csv(index=False), name
        assert whole[name]["Id"].is_unique, name


def test_salesforce_tells_every_lead_as_it_stands() -> None:
    rows, told = leads(), objects()["Lead"]
    assert (told["Id"] == rows.lead_id).all()
    assert ((told["IsConverted"] == "true") == rows.converted_at.notna()).all()
    day = rows.converted_at.dt.tz_convert(ZONE).dt.strftime("%Y-%m-%d").fillna("")
    assert (told["ConvertedDate"] == day).all()
    assert ((told["HasOptedOutOfEmail"] == "true") == rows.opted_out).all()
    log = objects()["LeadHistory"]
    assert len(log) == len(table("lead_history"))
    assert (log["OldValue"] != log["NewValue"]).all()
    last = log.drop_duplicates("LeadId", keep="last").set_index("LeadId")["NewValue"]
    assert (told["Status"] == told["Id"].map(last).fillna("Open - Not Contacted")).all()


def test_salesforce_tells_every_act_once() -> None:
    acts = table("lead_activities")
    kinds = acts.kind.value_counts()
    deals = Company({name: frame for name, frame in small().export.items() if name not in OF_LEADS}, {})
    before = salesforce_frames(deals, ZONE)
    mails, tasks = (objects()[name].iloc[len(before[name]) :] for name in ("EmailMessage", "Task"))
    assert len(mails) == kinds["email"]
    opened = (mails["FirstOpenedDate"] != "").sum()
    assert len(tasks) == kinds["email"] + kinds["call"] + kinds["content"] + kinds["web"] - opened
    assert (tasks["WhoId"] != "").all()
    assert set(mails["ActivityId"]) == set(tasks["Id"][tasks["TaskSubtype"] == "Email"])
    handed = objects()["Lead"].set_index("Id")["ConvertedContactId"]
    assert set(tasks["WhoId"]) <= set(handed[handed == ""].index) | set(handed)  # a conversion hands them on
    members = objects()["CampaignMember"]
    campaign = acts[acts.kind == "campaign"].direction.value_counts()
    assert not members.duplicated(["CampaignId", "LeadId"]).any()
    assert len(members) == campaign["outbound"]
    assert (members["HasResponded"] == "true").sum() == campaign["inbound"]
    assert set(members["CampaignId"]) == set(objects()["Campaign"]["Id"])
