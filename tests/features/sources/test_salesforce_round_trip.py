"""The simulated company by way of Salesforce: the same tables as from its canonical files, but for what is listed here.

What differs, and why (`docs/simulated-company.md`):

- `deal_history.seq` numbers the rows of a second or of a deal: only the order counts. `assumed`, `currency` and
  `is_deleted` are told by the one shape only; `assumed` names owner and next step where they never changed.
- `occurred_at` of Tasks is the end of the day, or the entry where that is earlier; of an opening it is `known_at`.
- `minutes` of a planned meeting are not read: the Event's duration may have been changed when it was held.
- A meeting has one contact, its plan's; an opening has its mail's.
- Planned meetings that ended without a follow-up have a `cancelled` row.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from configs.load import load_config
from features.ingest import Ingest
from features.sources.base import open_source
from features.sources.company import Company, CompanySettings, simulate, write
from features.sources.company_salesforce import salesforce_frames, write_salesforce
from features.tables import Coded, CrmTables

ROOT = Path(__file__).parents[3]
CONFIGS = {"canonical": ROOT / "configs" / "demo.yaml", "salesforce": ROOT / "configs" / "salesforce.yaml"}
SETTINGS = CompanySettings(seed=5, periods=4, wins_per_period=40, burn_in_periods=2)
BY_ONE_SHAPE = ["seq", "assumed", "currency", "is_deleted", "merged_into"]
TASKS = ("call", "content", "contract", "web")
FACT = ["deal_id", "kind", "direction", "outcome", "known_at"]


@cache
def company() -> Company:
    """The company without its leads."""
    whole = simulate(SETTINGS)
    return Company({name: frame for name, frame in whole.export.items() if "lead" not in name}, whole.truth)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("round-trip")


@pytest.fixture(scope="module")
def ingests(folder: Path) -> dict[str, Ingest]:
    """What is read from each shape."""
    write(company(), folder / "canonical")
    write_salesforce(company(), folder / "salesforce", SETTINGS.time_zone)
    made = {}
    for shape, config in CONFIGS.items():
        paths = [f"source.path={folder / shape / 'export'}", f"state_dir={folder / 'state'}"]
        made[shape] = open_source(load_config(config, paths)).read()
    return made


def frames(tables: CrmTables) -> dict[str, pd.DataFrame]:
    """The tables with words as texts; whole numbers and missing ones as they are."""
    made = {}
    for name, table in tables.by_name().items():
        columns = {}
        for column, data in table.columns.items():
            if isinstance(data, Coded):
                words = np.array([*data.values, ""], dtype=object)
                columns[column] = words[data.codes]
            else:
                columns[column] = data
        made[name] = pd.DataFrame(columns)
    return made


@pytest.fixture(scope="module")
def pair(ingests: dict[str, Ingest]) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """The tables read from the canonical files and from the Salesforce export."""
    return frames(ingests["canonical"].tables), frames(ingests["salesforce"].tables)


Pair = tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]


def assert_equal(one: pd.DataFrame, other: pd.DataFrame, by: list[str]) -> None:
    """Equal but for the order of rows and columns."""
    assert len(one) == len(other)
    assert set(one.columns) == set(other.columns)
    sort = {"by": by, "ignore_index": True, "kind": "stable"}
    pd.testing.assert_frame_equal(one.sort_values(**sort), other.sort_values(**sort)[list(one.columns)])


@pytest.mark.parametrize(
    ("table", "by"),
    [
        ("deals", ["deal_id"]),
        ("contacts", ["deal_id", "contact_id"]),
        ("accounts", ["account_id"]),
        ("reps", ["rep_id"]),
        ("quotas", ["rep_id", "period_start"]),
        ("calls", ["rep_id", "submitted_at", "category"]),
        ("leads", ["lead_id"]),
    ],
)
def test_lists_come_back(pair: Pair, table: str, by: list[str]) -> None:
    assert_equal(pair[0][table], pair[1][table], by)


def test_the_history_comes_back(pair: Pair) -> None:
    logs = []
    for tables in pair:
        log = tables["deal_history"].sort_values(["deal_id", "known_at", "seq"], ignore_index=True)
        logs.append(log.drop(columns=BY_ONE_SHAPE).assign(turn=log.groupby("deal_id").cumcount()))
    assert_equal(*logs, ["deal_id", "turn"])


def test_only_what_never_changed_is_assumed(pair: Pair) -> None:
    log = pair[1]["deal_history"]
    said = log.groupby("deal_id")["assumed"].agg(
        lambda texts: {word for text in texts for word in text.split(",")} - {""}
    )
    own, step = (pair[0]["deal_history"].groupby("deal_id")[c].nunique() > 1 for c in ("owner_id", "next_step_set"))
    for deal, words in said.items():
        assert words == {c for c, moved in (("owner_id", own), ("next_step_set", step)) if not moved[deal]}, deal


def dropped(acts: pd.DataFrame, back: pd.DataFrame) -> pd.DataFrame:
    """Rows of `back` that are more than `acts` has of their kind, by the facts alone."""
    turn = [frame.assign(turn=frame.groupby(FACT).cumcount()) for frame in (acts, back)]
    both = turn[1].merge(turn[0][[*FACT, "turn"]], how="left", indicator=True)
    return back[(both["_merge"] == "left_only").to_numpy()]


def test_activities_come_back_and_only_dropped_plans_are_added(pair: Pair) -> None:
    acts, back = pair[0]["activities"], pair[1]["activities"]
    added = dropped(acts, back)
    assert dropped(back, acts).empty
    assert set(added["outcome"]) == {"cancelled"}
    kinds = acts[acts["kind"] == "meeting"].groupby("outcome").size()
    assert 0 < len(added) < kinds["planned"] - kinds["cancelled"]
    assert len(back) == len(acts) + len(added)


def test_times_of_activities_come_back_as_far_as_salesforce_tells(pair: Pair) -> None:
    acts, back = pair[0]["activities"], pair[1]["activities"]
    back = back.drop(dropped(acts, back).index)
    acts = acts.assign(expected=acts["occurred_at"])
    local = pd.to_datetime(acts["occurred_at"], unit="us", utc=True).dt.tz_convert(ZoneInfo(SETTINGS.time_zone))
    end = (local.dt.normalize() + pd.DateOffset(days=1)).dt.tz_convert("UTC").dt.as_unit("us").astype(np.int64)
    task = acts["kind"].isin(TASKS)
    acts["expected"] = acts["expected"].mask(task, np.minimum(end - 1, acts["known_at"]))
    acts["expected"] = acts["expected"].mask(acts["outcome"] == "opened", acts["known_at"])
    acts["minutes"] = acts["minutes"].mask(acts["outcome"] == "planned")
    columns = [*FACT, "expected", "minutes"]
    back = back.rename(columns={"occurred_at": "expected"})
    # A cancelled meeting's is the start of its plan, also where the company says when it was called off.
    told = acts[acts["outcome"].isin(["planned", "cancelled"])]
    starts = set(zip(told["deal_id"], told["expected"], strict=True))
    off = back[back["outcome"] == "cancelled"]
    assert set(zip(off["deal_id"], off["expected"], strict=True)) <= starts
    acts, back = (frame[frame["outcome"] != "cancelled"] for frame in (acts, back))
    assert_equal(acts[columns], back[columns], columns)


def test_contacts_of_activities_come_back_where_a_record_has_one_fact(pair: Pair) -> None:
    kept = []
    for frame in (pair[0]["activities"], pair[1]["activities"]):
        single = frame["kind"].ne("meeting") & frame["outcome"].ne("opened") | frame["outcome"].eq("planned")
        kept.append(frame[single][[*FACT, "contact_id"]])
    assert_equal(*kept, [*FACT, "contact_id"])


def test_nothing_is_refused_but_the_names_of_owners(ingests: dict[str, Ingest]) -> None:
    moves = salesforce_frames(company(), SETTINGS.time_zone)["OpportunityFieldHistory"]["Field"].eq("Owner").sum() // 2
    refused = {report.table: report.rows_refused for report in ingests["salesforce"].report.tables}
    assert refused == {name: moves if name == "OpportunityFieldHistory" else 0 for name in refused}
    assert set(refused) >= {"Opportunity", "OpportunityHistory", "Task", "Event", "EmailMessage"}
