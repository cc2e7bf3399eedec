"""Plain records give the tables that a file of the same cells gives; a deal with a fault fails alone."""

import csv
import json
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.mapping import FilesMapping
from configs.vocab import AttributeKind
from features.inline import Inline, tables_from_records
from features.sources.files import FilesFolder
from features.stages import StageMap
from features.tables import TABLES, Coded, CrmTables

ROOT = Path(__file__).parents[2]
ZONE = ZoneInfo("America/New_York")
STAGES = StageMap(("Qualify", "Propose"), ("Won",), ("Lost",))
ATTRIBUTES = {"segment": AttributeKind.CATEGORY, "seats": AttributeKind.NUMBER}
Deal = dict[str, Any]


def deal(i: int, **more: Any) -> Deal:
    return {
        "deal_id": f"D{i}",
        "account_id": f"A{i % 3}",
        "created_at": "2024-01-02T09:00:00Z",
        "attributes": {"segment": "smb", "seats": 10 + i},
        "history": [
            {"known_at": "2024-01-02T09:00:00Z", "stage": "Qualify", "amount": 1000.105, "close_date": "2024-03-31"},
            {"known_at": "2024-02-02T09:00:00Z", "stage": "Propose", "amount": 8.345, "forecast_category": "Best Case"},
        ],
        "activities": [{"occurred_at": "2024-01-05T10:00:00Z", "kind": "Email", "direction": "outbound"}],
        "contacts": [{"contact_id": "C1", "known_at": "2024-01-02", "role": "user"}],
    } | more


def encode(deals: list[Deal], **more: Any) -> Inline:
    return tables_from_records(deals, ZONE, STAGES, attributes=ATTRIBUTES, **more)


def cell(value: object) -> str:
    """A value as a file would hold it, by another road than the encoder's."""
    if value is None:
        return ""
    if isinstance(value, str | int | Decimal) and not isinstance(value, bool):
        return str(value)
    return str(value.isoformat()) if isinstance(value, date) else json.dumps(value)


def as_files(deals: list[Deal], folder: Path, suffix: str = "") -> CrmTables:
    rows: dict[str, list[Deal]] = {"deals": [{**d, **d["attributes"]} for d in deals]}
    for name, table in (("history", "deal_history"), ("activities", "activities"), ("contacts", "contacts")):
        rows[table] = [{"deal_id": d["deal_id"], **row} for d in deals for row in d[name]]
    for table, records in rows.items():
        names = [*TABLES[table].names, *(ATTRIBUTES if table == "deals" else ())]
        with (folder / f"{table}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows([cell(record.get(name)) for name in names] for record in records)
    mapping = {"stages": STAGES.to_json(), "attributes": {n: {"kind": kind.value} for n, kind in ATTRIBUTES.items()}}
    return FilesFolder(folder, FilesMapping.model_validate(mapping), ZONE).read().tables


def assert_same(one: CrmTables, other: CrmTables) -> None:
    for name, table in one.by_name().items():
        assert [*table.columns] == [*other[name].columns]
        for column, data in table.columns.items():
            against = other[name][column]
            if isinstance(data, Coded):
                assert isinstance(against, Coded)
                assert (data.values, data.codes.tolist()) == (against.values, against.codes.tolist()), column
            else:
                assert not isinstance(against, Coded)
                assert (data.dtype, data.tobytes()) == (against.dtype, against.tobytes()), f"{name}.{column}"


# Within a year: what is far in the future is a matter of a whole export, which a request is not.
moments = st.one_of(
    st.datetimes(datetime(2020, 1, 1), datetime(2020, 12, 31)),
    st.datetimes(datetime(2020, 1, 1), datetime(2020, 12, 31), timezones=st.just(UTC)),
    st.dates(date(2020, 1, 1), date(2020, 12, 31)),
    st.datetimes(datetime(2020, 1, 1), datetime(2020, 12, 31)).map(lambda moment: moment.isoformat(" ")),
)
amounts = st.one_of(
    st.none(),
    st.integers(0, 10**10),
    st.floats(0, 1e9, allow_nan=False),
    st.decimals(0, 10**9, places=3),
    st.decimals(0, 10**6, places=4).map(str),
)
texts = st.none() | st.sampled_from(["x", " y ", "", "a,b", 'q"q', "line\nbreak", "ünï"])
histories = st.fixed_dictionaries(
    {
        "known_at": moments,
        "stage": st.sampled_from(["Qualify", " Propose "]),
        "amount": amounts,
        "close_date": st.none() | st.dates(date(2020, 1, 1), date(2025, 1, 1)),
        "forecast_category": st.sampled_from([None, "Commit", "best_case", "BEST CASE"]),
        "owner_id": texts,
        "next_step_set": st.none() | st.booleans(),
        "probability": st.none() | st.floats(0, 1, allow_nan=False),
    }
)
activities = st.fixed_dictionaries(
    {
        "occurred_at": moments,
        "known_at": st.none() | moments,
        "kind": st.sampled_from(["email", "Call", " MEETING"]),
        "direction": st.sampled_from([None, "inbound", "Mutual"]),
        "outcome": st.sampled_from([None, "No Show", "planned"]),
        "minutes": st.none() | st.integers(0, 90) | st.floats(0, 90, allow_nan=False),
    }
)


@given(
    st.lists(
        st.tuples(
            moments,
            texts,
            st.none() | st.floats(-1e6, 1e6, allow_nan=False),
            st.lists(histories, max_size=4),
            st.lists(activities, max_size=4),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_same_tables_as_from_files(tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[Any, ...]]) -> None:
    deals = [
        deal(i, created_at=at, account_id=account, history=history, activities=done, contacts=[])
        | {"attributes": {"segment": account, "seats": seats}}
        for i, (at, account, seats, history, done) in enumerate(drawn)
    ]
    got = encode(deals)
    assert got.faults == {}
    assert_same(got.tables, as_files(deals, tmp_path_factory.mktemp("export")))


days = st.sampled_from([date(2020, 3, 8), date(2020, 7, 1), date(2020, 11, 1)])  # 23, 24 and 25 hours long


@given(
    days,
    st.none() | days,
    st.lists(
        st.tuples(st.timedeltas(timedelta(0), timedelta(hours=47)), st.sampled_from(["Qualify", "Won"])),
        min_size=1,
        max_size=3,
    ),
)
def test_a_bare_creation_is_bounded_alike(
    tmp_path_factory: pytest.TempPathFactory,
    day: date,
    known: date | None,
    rows: list[tuple[timedelta, str]],
) -> None:
    midnight = datetime.combine(day, time())
    history = [{"known_at": midnight + after, "stage": stage} for after, stage in rows]
    deals = [deal(1, created_at=day, known_at=known, history=history, activities=[], contacts=[])]
    got = encode(deals)
    assert got.faults == {}
    assert_same(got.tables, as_files(deals, tmp_path_factory.mktemp("export")))
    first = min(got.tables.deal_history.ints("known_at").tolist())
    assert got.tables.deals.ints("created_at")[0] <= max(first, got.tables.deals.ints("known_at")[0])
    same_day = min(after for after, _ in rows) < timedelta(hours=23)
    assert ("created_same_day" in got.notices.get(0, ())) >= same_day
    if same_day:
        assert got.tables.deals.ints("created_at").tolist() == [first]


def test_json_and_python_values_agree() -> None:
    said = deal(1, history=[{"known_at": "2024-02-03", "stage": "Won", "amount": "12.50", "next_step_set": "true"}])
    meant = deal(
        1, history=[{"known_at": date(2024, 2, 3), "stage": "Won", "amount": Decimal("12.5"), "next_step_set": True}]
    )
    assert_same(encode([said]).tables, encode([meant]).tables)


def test_a_deal_alone_and_in_a_batch() -> None:
    alone = encode([deal(2)]).tables
    batch = encode([deal(1), deal(2), deal(3)]).tables
    assert batch.deals.n == 3
    assert (
        batch.deal_history.ints("amount")[2:4].tolist() == alone.deal_history.ints("amount").tolist() == [100010, 834]
    )
    assert batch.deals.floats("seats")[1] == alone.deals.floats("seats")[0] == 12.0


def test_faults_stay_with_their_deal() -> None:
    bad = deal(7, created_at="soon")
    bad["history"][1] |= {"stage": "Propsoe", "amount": float("nan")}
    got = encode([deal(1), bad, deal(2, created_at="2025-01-01", history=[{"known_at": "2024-05-01", "stage": "Won"}])])
    assert got.tables.deals.coded("deal_id").strings() == ["D1"]
    assert got.tables.deal_history.n == 2
    assert got.tables.deals.coded("deal_id").values == ("D1",)
    assert {i: [(f.code, f.where) for f in faults] for i, faults in got.faults.items()} == {
        1: [
            ("wrong_type", "/deals/1 (deal 'D7')"),
            ("wrong_type", "/deals/1/history/1 (deal 'D7')"),
            ("unknown_stage", "/deals/1/history/1 (deal 'D7')"),
        ],
        2: [("closed_before_created", "/deals/2/history/0 (deal 'D2')")],
    }
    assert "did you mean 'Propose'?" in str(got.faults[1][2])


def test_missing_and_repeated_ids() -> None:
    got = encode([deal(1), deal(1), deal(2, deal_id=None)])
    assert {i: [f.code for f in faults] for i, faults in got.faults.items()} == {
        1: ["duplicate_key", "duplicate_key"],  # the deal, and the history row that came with it
        2: ["missing_value"],
    }
    assert got.tables.deal_history.n == 2


def test_unknown_stages_may_be_kept() -> None:
    odd = deal(1)
    odd["history"][1]["stage"] = "Limbo"
    assert [fault.code for fault in encode([odd]).faults[0]] == ["unknown_stage"]
    got = encode([odd, deal(2, history=[])], keep_unknown_stages=True)
    assert got.tables.deal_history.coded("stage").strings() == ["Qualify", None]
    assert got.notices == {0: ("unknown_stage",), 1: ("no_history",)}


def test_shared_records() -> None:
    got = encode(
        [deal(0)], accounts=[{"account_id": "A0", "industry": "retail"}], reps=[{"rep_id": "R1", "hired": "x"}]
    )
    assert got.tables.accounts.coded("industry").strings() == ["retail"]
    assert [(f.where, f.path) for f in got.faults[-1]] == [("/reps/0", "reps.hired")]


def test_shapes_are_refused() -> None:
    for wrong in ({"history": "x"}, {"attributes": [1]}):
        with pytest.raises(TypeError, match="expected a"):
            encode([deal(1, **wrong)])


def test_no_deals() -> None:
    assert encode([]).tables.deals.n == 0


def test_serving_needs_no_pandas() -> None:
    code = "import sys, features.inline; print([m for m in ('pandas', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
