"""The simulated company in the shape of a Salesforce export: one CSV file an object, API names, Salesforce's own forms.

Made from the canonical export alone; the truth is not looked at. Histories are written as Salesforce keeps them:
OpportunityHistory for stage, amount, close date, probability and category, field history for owner and next step, and a
current row that the close has overwritten. `docs/simulated-company.md` lists what is approximated.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from configs.errors import UsageError
from features.sources.company import Company, write_truth
from features.sources.company_calendar import Bools, Ints
from features.sources.company_salesforce_activity import event_frame, mail_frame, task_frame
from features.sources.company_salesforce_forms import (
    coded,
    dates,
    decimals,
    flags,
    numbered,
    same,
    times,
    worded,
    write_object,
)
from features.sources.company_salesforce_leads import with_leads

CURRENCY = "USD"
CATEGORY_NAMES = {
    "pipeline": "Pipeline",
    "best_case": "Best Case",
    "commit": "Commit",
    "omitted": "Omitted",
    "closed": "Closed",
}
HISTORY_CATEGORIES = {**CATEGORY_NAMES, "best_case": "BestCase", "commit": "Forecast"}
NEXT_STEPS = (
    "Send the agenda for the next meeting",
    "Call back after the internal review",
    "Agree on dates, then confirm in writing",
    'Share the "next phase" outline',
    "Follow up on open questions",
)
TITLES = {
    "c_level": "Chief Officer",
    "vp": "Vice President",
    "director": "Director",
    "manager": "Manager",
    "staff": "Specialist",
}
TOLD_BY_HISTORY = ("stage", "amount", "close_date", "forecast_category", "probability")
OF_LEADS = frozenset({"leads", "lead_history", "lead_activities"})
TABLES = OF_LEADS | {"deals", "deal_history", "activities", "contacts", "accounts", "reps", "quotas", "calls"}


def salesforce_frames(company: Company, time_zone: str) -> dict[str, pd.DataFrame]:
    """Frames by object name, every value a text in Salesforce's form; a missing value is NaN.

    `time_zone`: IANA name, where a Task's ActivityDate and a period's first instant are told. Deterministic: equal
    companies give equal frames. Raises UsageError for a table or an activity that has no form here.
    """
    export = company.export
    if unknown := sorted(set(export) - TABLES):
        raise UsageError.at(
            "simulated company", f"tables {', '.join(unknown)}", expected="tables with a Salesforce form"
        )
    log = _by_deal(export["deal_history"])
    acts, until = export["activities"], _last_fact(export)
    frames = {
        "Opportunity": _opportunities(export["deals"], log),
        "OpportunityHistory": _history(log),
        "OpportunityFieldHistory": _field_history(log, export["reps"]),
        "Task": task_frame(acts, time_zone),
        "Event": event_frame(acts, _closes(export["deal_history"]), until),
        "EmailMessage": mail_frame(acts),
        "OpportunityContactRole": _roles(export["contacts"]),
        "Contact": _contacts(export["contacts"], export["deals"]),
        "Account": _accounts(export["accounts"]),
        "User": _users(export["reps"], export["deals"]),
        "ForecastingQuota": _quotas(export["quotas"], time_zone),
        "Period": _periods(export["quotas"], export["calls"]),
        "ForecastCall": _calls(export["calls"]),
    }
    return with_leads(frames, export, time_zone, until) if set(export) >= OF_LEADS else frames


def write_salesforce(company: Company, out: Path, time_zone: str) -> dict[str, int]:
    """Write `out/export/<Object>.csv` and the truth to `out/truth`; existing files are replaced. Gives rows by object.

    `time_zone`: the company's own, see `salesforce_frames`.
    """
    frames = salesforce_frames(company, time_zone)
    (out / "export").mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        write_object(frame, out / "export" / f"{name}.csv")
    write_truth(company, out)
    return {name: len(frame) for name, frame in frames.items()}


def _codes(column: pd.Series) -> Ints:
    """Values as numbers, equal where the values are; a missing one is -1."""
    return np.asarray(pd.factorize(column)[0], np.int64)


def _last_fact(export: dict[str, pd.DataFrame]) -> pd.Timestamp:
    """The last instant at which the export came to know anything."""
    known = [export[name]["known_at"].max() for name in ("deal_history", "activities", "contacts")]
    latest: pd.Timestamp = max(t for t in [*known, export["calls"]["submitted_at"].max()] if not pd.isna(t))
    return latest


def _closes(history: pd.DataFrame) -> pd.Series:
    """First instant in category `closed`, by deal id; deals that never close are not in it."""
    closed = history[history["forecast_category"] == "closed"].sort_values("known_at", kind="stable")
    return closed.drop_duplicates("deal_id").set_index("deal_id")["known_at"]


def _by_deal(history: pd.DataFrame) -> pd.DataFrame:
    """The history ordered by deal and seq, with what the objects need to know of each row.

    Added: `place` (rank in time, then deal and seq: the order of ids), `first` and `last` (of its deal), `shared` (its
    second holds another row of the deal), `moved` (the state of OpportunityHistory differs from the row before),
    `owner_moved`, `step_moved`, and `step`: the text of the next step, NaN where there is none.
    """
    rows = history.assign(deal=_codes(history["deal_id"]))
    rows = rows.sort_values(["known_at", "deal", "seq"], kind="stable", ignore_index=True)
    rows["place"] = np.arange(len(rows))
    rows = rows.sort_values(["deal", "seq"], kind="stable", ignore_index=True)
    deal, at = rows["deal"].to_numpy(), _codes(rows["known_at"])
    rows["first"] = ~_like_before(deal)
    rows["last"] = np.append(rows["first"].to_numpy()[1:], True)
    twin = _like_before(deal) & _like_before(at)
    rows["shared"] = twin | np.append(twin[1:], False)
    inner = ~rows["first"].to_numpy()
    rows["moved"] = inner & np.any([~_like_before(_codes(rows[name])) for name in TOLD_BY_HISTORY], axis=0)
    rows["owner_moved"] = inner & ~_like_before(_codes(rows["owner_id"]))
    rows["step_moved"] = inner & ~_like_before(rows["next_step_set"].to_numpy())
    turn = (deal + rows["step_moved"].groupby(rows["deal"]).cumsum().to_numpy()) % len(NEXT_STEPS)
    step = coded(np.where(rows["next_step_set"], turn, -1), NEXT_STEPS)
    return rows.assign(step=pd.Series(step, index=rows.index))


def _like_before(values: Ints | Bools) -> Bools:
    """Whether each value equals the one before it; the first does not."""
    return np.append(False, values[1:] == values[:-1])


def _percent(column: pd.Series) -> pd.Series:
    """Probabilities of 0-1 as Salesforce's 0-100."""
    return worded(column, {p: f"{round(100 * p, 6):.10g}" for p in column.dropna().unique().tolist()})


def _saved_by(rows: pd.DataFrame) -> pd.Series:
    """Who saved each row; missing where the company does not tell."""
    return rows["edited_by"] if "edited_by" in rows else pd.Series(np.nan, rows.index, "str")


def _opportunities(deals: pd.DataFrame, log: pd.DataFrame) -> pd.DataFrame:
    """One row per deal as it stands at the end: what the last save, mostly the close, has left in it."""
    now = log[log["last"]].set_index("deal_id").reindex(deals["deal_id"].astype("str")).reset_index(drop=True)
    changed = times(now["known_at"])
    return pd.DataFrame(
        {
            "Id": deals["deal_id"],
            "AccountId": deals["account_id"],
            "CreatedDate": times(deals["created_at"]),
            "Name": deals["name"],
            "Type": deals["type"],
            "LeadSource": deals["source"],
            "RecordTypeId": pd.Series(np.nan, deals.index, "str"),  # one process: the company has no record types
            "StageName": now["stage"],
            "Amount": decimals(now["amount"], 2),
            "CloseDate": dates(now["close_date"]),
            "Probability": _percent(now["probability"]),
            "ForecastCategoryName": worded(now["forecast_category"], CATEGORY_NAMES),
            "NextStep": now["step"],
            "OwnerId": now["owner_id"],
            "CurrencyIsoCode": same(CURRENCY, len(deals)),
            "IsDeleted": same("false", len(deals)),
            "LastModifiedDate": changed,
            "SystemModstamp": changed,
        }
    )


def _history(log: pd.DataFrame) -> pd.DataFrame:
    """A row at creation and at each change of stage, amount, close date, probability or category.

    Besides, a row for what no other row would tell: a save that changed nothing, and every save of a shared second,
    which without its own row would melt into the next.
    """
    before = {name: log[name].shift(1).mask(log["first"]) for name in ("amount", "close_date")}
    told = log["first"] | log["moved"] | log["shared"] | ~(log["owner_moved"] | log["step_moved"])
    rows = log[told].sort_values("place")
    return pd.DataFrame(
        {
            "Id": numbered("008", len(rows)),
            "OpportunityId": rows["deal_id"],
            "CreatedDate": times(rows["known_at"]),
            "CreatedById": _saved_by(rows),
            "StageName": rows["stage"],
            "Amount": decimals(rows["amount"], 2),
            "CloseDate": dates(rows["close_date"]),
            "Probability": _percent(rows["probability"]),
            "ForecastCategory": worded(rows["forecast_category"], HISTORY_CATEGORIES),
            "PrevAmount": decimals(before["amount"].loc[rows.index], 2),
            "PrevCloseDate": dates(before["close_date"].loc[rows.index]),
            "IsDeleted": same("false", len(rows)),
        }
    )


def _field_history(log: pd.DataFrame, reps: pd.DataFrame) -> pd.DataFrame:
    """Changes of owner (a row of names and a row of ids, as Salesforce writes them) and of the next step."""
    names = dict(zip(reps["rep_id"].astype("str"), reps["name"].astype("str"), strict=True))
    owner, step = log["owner_id"].astype("str"), log["step"].astype("str")
    name = owner.map(names)
    parts = []
    for turn, (field, moved, value) in enumerate(
        (("Owner", "owner_moved", name), ("Owner", "owner_moved", owner), ("NextStep", "step_moved", step))
    ):
        at = np.flatnonzero(log[moved])
        part = log.iloc[at][["deal_id", "known_at", "place"]]
        old, new = value.iloc[at - 1].to_numpy(), value.iloc[at].to_numpy()
        parts.append(part.assign(by=_saved_by(log).iloc[at], turn=turn, Field=field, old=old, new=new))
    rows = pd.concat(parts).sort_values(["place", "turn"], ignore_index=True)
    return pd.DataFrame(
        {
            "Id": numbered("017", len(rows)),
            "OpportunityId": rows["deal_id"],
            "CreatedDate": times(rows["known_at"]),
            "CreatedById": rows["by"],
            "Field": rows["Field"],
            "OldValue": rows["old"].astype("str"),
            "NewValue": rows["new"].astype("str"),
        }
    )


def _roles(contacts: pd.DataFrame) -> pd.DataFrame:
    """People on deals. The first of a deal is its primary contact."""
    return pd.DataFrame(
        {
            "Id": numbered("00K", len(contacts)),
            "OpportunityId": contacts["deal_id"],
            "ContactId": contacts["contact_id"],
            "CreatedDate": times(contacts["known_at"]),
            "Role": contacts["role"],
            "IsPrimary": flags(~contacts["deal_id"].duplicated()),
            "IsDeleted": same("false", len(contacts)),
        }
    )


def _contacts(contacts: pd.DataFrame, deals: pd.DataFrame) -> pd.DataFrame:
    """The people themselves, each at the account of the deal."""
    account = dict(zip(deals["deal_id"].astype("str"), deals["account_id"].astype("str"), strict=True))
    rows = contacts.drop_duplicates("contact_id")
    return pd.DataFrame(
        {
            "Id": rows["contact_id"],
            "AccountId": rows["deal_id"].astype("str").map(account),
            "CreatedDate": times(rows["known_at"]),
            "Title": worded(rows["seniority"], TITLES),
            "Seniority__c": rows["seniority"],
            "IsDeleted": same("false", len(rows)),
            "MasterRecordId": pd.Series(np.nan, rows.index, "str"),
        }
    )


def _accounts(accounts: pd.DataFrame) -> pd.DataFrame:
    """The market."""
    return pd.DataFrame(
        {
            "Id": accounts["account_id"],
            "Name": accounts["name"],
            "Industry": accounts["industry"],
            "Size__c": accounts["size"],
            "Region__c": accounts["region"],
            "IsDeleted": same("false", len(accounts)),
            "MasterRecordId": pd.Series(np.nan, accounts.index, "str"),
        }
    )


def _users(reps: pd.DataFrame, deals: pd.DataFrame) -> pd.DataFrame:
    """Everybody who can own a deal. The user record is as old as the hiring, else as the company's first deal."""
    made = reps["hired"].dt.tz_localize("UTC").fillna(deals["created_at"].min())
    return pd.DataFrame(
        {
            "Id": reps["rep_id"],
            "Name": reps["name"],
            "ManagerId": reps["manager_id"],
            "UserRoleId": pd.Series(np.nan, reps.index, "str"),
            "Department": reps["team"],
            "Territory__c": reps["territory"],
            "Hired__c": dates(reps["hired"]),
            "Left__c": dates(reps["left"]),
            "IsActive": flags(reps["left"].isna()),
            "CreatedDate": times(made),
        }
    )


def _period_ids(starts: pd.Series) -> pd.Series:
    """The id of the period that begins on each day."""
    return pd.Series("026" + starts.dt.strftime("%Y%m%d").str.zfill(12))


def _periods(quotas: pd.DataFrame, calls: pd.DataFrame) -> pd.DataFrame:
    """The quarters that quotas and calls are for."""
    starts = pd.concat([quotas["period_start"], calls["period_start"]]).drop_duplicates().sort_values(ignore_index=True)
    return pd.DataFrame(
        {
            "Id": _period_ids(starts),
            "StartDate": dates(starts),
            "EndDate": dates(starts + pd.DateOffset(months=3) - pd.Timedelta(days=1)),
            "Type": same("Quarter", len(starts)),
        }
    )


def _quotas(quotas: pd.DataFrame, time_zone: str) -> pd.DataFrame:
    """A quota a rep and quarter, entered at the quarter's first instant unless the company says when."""
    begin = quotas["period_start"].dt.tz_localize(time_zone).dt.tz_convert("UTC")
    made = quotas["known_at"].fillna(begin) if "known_at" in quotas else begin
    return pd.DataFrame(
        {
            "Id": numbered("0J9", len(quotas)),
            "QuotaOwnerId": quotas["rep_id"],
            "QuotaAmount": decimals(quotas["amount"], 2),
            "StartDate": dates(quotas["period_start"]),
            "PeriodId": _period_ids(quotas["period_start"]),
            "CreatedDate": times(made),
            "CurrencyIsoCode": same(CURRENCY, len(quotas)),
        }
    )


def _calls(calls: pd.DataFrame) -> pd.DataFrame:
    """The reps' forecast calls."""
    return pd.DataFrame(
        {
            "Id": numbered("a0F", len(calls)),
            "OwnerId": calls["rep_id"],
            "SubmittedAt": times(calls["submitted_at"]),
            "QuarterStart": dates(calls["period_start"]),
            "ForecastCategoryName": worded(calls["category"], CATEGORY_NAMES),
            "Amount": decimals(calls["amount"], 2),
        }
    )
