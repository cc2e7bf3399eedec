"""The simulated company's leads as Salesforce keeps them: Lead, LeadHistory, Campaign, CampaignMember, and what was done.

A mail to or from a lead is an EmailMessage whose Task names the lead: an EmailMessage itself relates to no person. What a
lead did in a campaign is told by its CampaignMember. As a conversion hands all that was done about the lead to the contact
that it becomes, so it is here: Tasks and Events name leads that did not convert alone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.sources.company_salesforce_activity import event_frame, mail_frame, task_frame
from features.sources.company_salesforce_forms import coded, dates, flags, numbered, same, times, worded

STATUS_NAMES = {
    "new": "Open - Not Contacted",
    "worked": "Working - Contacted",
    "mql": "Marketing Qualified",
    "sql": "Sales Qualified",
    "converted": "Closed - Converted",
    "disqualified": "Closed - Not Converted",
}
CAMPAIGN_NAME = "Newsletter of "
Frames = dict[str, pd.DataFrame]


def with_leads(frames: Frames, export: Frames, time_zone: str, until: pd.Timestamp) -> Frames:
    """The objects of deals with those of leads: new ones beside, Tasks, Events and mails after the deals' own.

    `until`: the last instant that the export knows of.
    """
    leads, history, acts = export["leads"], export["lead_history"], export["lead_activities"]
    campaign = acts["kind"] == "campaign"
    doings = acts[~campaign].reset_index(drop=True).rename(columns={"lead_id": "deal_id"})
    doings["contact_id"] = pd.Series(np.nan, doings.index, "str")
    ended = history[history["event"] == "converted"].set_index("lead_id")["known_at"]
    contacts = _contacts(ended)
    handed = dict(zip(ended.index.astype("str"), contacts["Id"], strict=True))
    tasks, mails = _of_person(task_frame(doings, time_zone), handed), mail_frame(doings)
    mail_tasks = _of_person(_mail_tasks(mails, time_zone), handed)
    first = len(frames["Task"]) + len(tasks)
    mail_tasks["Id"] = numbered("00T", first + len(mail_tasks))[first:]
    mails = mails.assign(ActivityId=mail_tasks["Id"], RelatedToId=np.nan)
    events = _of_person(event_frame(doings, ended, until), handed)
    campaigns, members = _campaigns(acts[campaign], time_zone)
    members["ContactId"] = members["LeadId"].astype("str").map(handed)
    return {
        **frames,
        "Task": pd.concat([_after(frames["Task"], tasks, "00T"), mail_tasks], ignore_index=True),
        "Event": _after(frames["Event"], events, "00U"),
        "EmailMessage": _after(frames["EmailMessage"], mails, "02s"),
        "Contact": pd.concat([frames["Contact"], contacts], ignore_index=True),
        "Lead": _leads(leads, history, time_zone).assign(
            ConvertedContactId=leads["lead_id"].astype("str").map(handed)
        ),
        "LeadHistory": _lead_history(history),
        "Campaign": campaigns,
        "CampaignMember": members,
    }


def _after(before: pd.DataFrame, rows: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """The rows after the ones that are there, with ids that go on from theirs."""
    told = numbered(prefix, len(before) + len(rows))[len(before) :]
    return pd.concat([before, rows.assign(Id=told)], ignore_index=True)


def _of_person(rows: pd.DataFrame, handed: dict[str, str]) -> pd.DataFrame:
    """Tasks or Events of leads, which are where deals would be, as those of a person: the lead, or what it became."""
    lead = rows["WhatId"].astype("str")
    return rows.assign(WhoId=lead.map(handed).fillna(lead), WhatId=np.nan)


def _contacts(ended: pd.Series) -> pd.DataFrame:
    """The contact that each converted lead became, at the instant of the conversion; nobody has put it to an account."""
    born = ended.reset_index(drop=True)
    none = pd.Series(np.nan, born.index, "str")
    return pd.DataFrame(
        {
            "Id": numbered("003", len(born)),
            "AccountId": none,
            "CreatedDate": times(born),
            "Title": none,
            "Seniority__c": none,
            "IsDeleted": same("false", len(born)),
            "MasterRecordId": none,
        }
    )


def _mail_tasks(mails: pd.DataFrame, time_zone: str) -> pd.DataFrame:
    """The Task that goes with each mail, and names the lead."""
    sent = pd.to_datetime(mails["MessageDate"], utc=True).dt.tz_convert(time_zone).dt.tz_localize(None).dt.normalize()
    n, none = len(mails), pd.Series(np.nan, mails.index, "str")
    empty = ("AccountId", "OwnerId", "CallType", "CallDisposition", "CallDurationInSeconds")
    told = {
        "WhatId": mails["RelatedToId"],
        "CreatedDate": mails["CreatedDate"],
        "CompletedDateTime": mails["CreatedDate"],
        "ActivityDate": dates(sent),
        "Status": same("Completed", n),
        "IsClosed": same("true", n),
        "TaskSubtype": same("Email", n),
        "Type": same("Email", n),
        "LastModifiedDate": mails["CreatedDate"],
        "IsDeleted": same("false", n),
    }
    return pd.DataFrame({**told, **dict.fromkeys(empty, none)})


def _leads(leads: pd.DataFrame, history: pd.DataFrame, time_zone: str) -> pd.DataFrame:
    """One row per lead as it stands at the end. When it was converted Salesforce keeps as a day."""
    rows = history.sort_values(["known_at", "seq"], kind="stable")
    last = rows.drop_duplicates("lead_id", keep="last").set_index("lead_id").reindex(leads["lead_id"].astype("str"))
    last = last.set_axis(leads.index)
    converted = last["event"] == "converted"
    day = last["known_at"].where(converted).dt.tz_convert(time_zone).dt.tz_localize(None).dt.normalize()
    return pd.DataFrame(
        {
            "Id": leads["lead_id"],
            "CreatedDate": times(leads["created_at"]),
            "Company": leads["name"],
            "LeadSource": leads["source"],
            "Industry": leads["industry"],
            "Size__c": leads["size"],
            "Region__c": leads["region"],
            "Visits_Before__c": leads["visits_before"].astype("str"),
            "Status": worded(last["event"].astype("str").fillna("new"), STATUS_NAMES),
            "HasOptedOutOfEmail": flags(leads["opted_out"]),
            "IsConverted": flags(converted),
            "ConvertedDate": dates(day),
            "ConvertedOpportunityId": last["deal_id"],
            "MasterRecordId": pd.Series(np.nan, leads.index, "str"),
            "IsDeleted": same("false", len(leads)),
            "LastModifiedDate": times(last["known_at"].fillna(leads["created_at"])),
        }
    )


def _lead_history(history: pd.DataFrame) -> pd.DataFrame:
    """The changes of Status, each with the one before."""
    rows = history.sort_values(["lead_id", "seq"], kind="stable")
    before = rows.groupby("lead_id", observed=True)["event"].shift(1).astype("str").fillna("new")
    rows = rows.assign(before=before).loc[history.index]
    return pd.DataFrame(
        {
            "Id": numbered("017", len(rows)),
            "LeadId": rows["lead_id"],
            "CreatedDate": times(rows["known_at"]),
            "Field": same("Status", len(rows)),
            "OldValue": worded(rows["before"], STATUS_NAMES),
            "NewValue": worded(rows["event"], STATUS_NAMES),
            "IsDeleted": same("false", len(rows)),
        }
    )


def _campaigns(acts: pd.DataFrame, time_zone: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Campaigns, one for each day on which leads were put into one, and their members; an answer belongs to the last."""
    day = acts["occurred_at"].dt.tz_convert(time_zone).dt.tz_localize(None).dt.normalize()
    sent = acts["direction"] == "outbound"
    put = acts[sent].assign(day=day[sent], at=acts["occurred_at"][sent], row=np.arange(int(sent.sum())))
    answers = acts[~sent].assign(at=acts["occurred_at"][~sent], answered=acts["known_at"][~sent])
    paired = pd.merge_asof(
        answers[["lead_id", "at", "answered"]].sort_values("at", kind="stable"),
        put[["lead_id", "at", "row"]].sort_values("at", kind="stable"),
        on="at",
        by="lead_id",
    )
    answered = pd.Series(paired["answered"].to_numpy(), paired["row"].to_numpy()).reindex(put["row"])
    put = put.assign(answered=answered.to_numpy()).reset_index(drop=True)
    put["answered"] = pd.to_datetime(put["answered"], utc=True)
    days = put["day"].drop_duplicates().sort_values(ignore_index=True)
    named = dict(zip(days, numbered("701", len(days)), strict=True))
    opened = put.groupby("day")["known_at"].min().reindex(days).set_axis(days.index)
    campaigns = pd.DataFrame(
        {
            "Id": days.map(named),
            "Name": CAMPAIGN_NAME + days.dt.strftime("%Y-%m-%d"),
            "Type": same("Email", len(days)),
            "StartDate": dates(days),
            "CreatedDate": times(opened),
            "IsDeleted": same("false", len(days)),
        }
    )
    return campaigns, _members(put, put["day"].map(named), time_zone)


def _members(put: pd.DataFrame, campaign: pd.Series, time_zone: str) -> pd.DataFrame:
    """Who was put into which campaign. When somebody first answered Salesforce keeps as a day."""
    has = put["answered"].notna()
    day = put["answered"].dt.tz_convert(time_zone).dt.tz_localize(None).dt.normalize()
    return pd.DataFrame(
        {
            "Id": numbered("00v", len(put)),
            "CampaignId": campaign,
            "LeadId": put["lead_id"],
            "ContactId": pd.Series(np.nan, put.index, "str"),
            "CreatedDate": times(put["known_at"]),
            "FirstRespondedDate": dates(day),
            "HasResponded": flags(has),
            "Status": coded(has.to_numpy().astype(np.int64), ["Sent", "Responded"]),
            "LastModifiedDate": times(put["answered"].fillna(put["known_at"])),
            "IsDeleted": same("false", len(put)),
        }
    )
