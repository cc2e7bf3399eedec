"""The canonical tables: encodings, parsing of texts, words, checks and stage maps."""

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import ConfigError
from configs.vocab import Target
from features.checks import check_tables, show_time
from features.parsing import cents, fold_name, parse, parse_times
from features.settle import Dictionary, compact, settle, translated
from features.stages import LOST, OPEN, UNKNOWN, WON, StageMap
from features.tables import NAT, TABLES, Coded, CrmTables, Table, is_missing, missing_column, required_tables

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
STAGES = StageMap(("Qualify", "Propose"), ("Won",), ("Lost",))
HOUR = 3_600_000_000


def at(text: str) -> int:
    """Exact microseconds of an ISO text with an offset, by another road than the parser's."""
    moment = datetime.fromisoformat(text)
    return round(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond


def one(text: str, zone: ZoneInfo = AMSTERDAM, date_format: str | None = None) -> int:
    parsed = parse_times([text], zone, date_format)
    assert not parsed.bad.any()
    return int(parsed.values[0])


# The declared tables


def test_declared_tables_are_consistent() -> None:
    assert [*TABLES] == [
        "deals",
        "deal_history",
        "activities",
        "contacts",
        "accounts",
        "reps",
        "quotas",
        "calls",
        "leads",
        "lead_history",
        "lead_activities",
    ]
    for spec in TABLES.values():
        assert set(spec.key) <= set(spec.names)
        assert len(set(spec.names)) == len(spec.names)
    assert required_tables(Target.IN_PERIOD) == required_tables(Target.EVENTUAL) == ("deals", "deal_history")
    assert required_tables(Target.CONVERTED) == ("leads",)
    with pytest.raises(KeyError, match="declares no column 'colour'"):
        TABLES["deals"].column("colour")


def test_absent_columns_are_there_and_missing() -> None:
    table = Table.of("deal_history", {"deal_id": Coded.of(["D1", "D2"])})
    assert set(table.columns) == set(TABLES["deal_history"].names)
    assert all(is_missing(table[name]).all() for name in table.columns if name != "deal_id")
    assert table.has("deal_id")
    assert not table.has("amount")
    assert not table.has("colour")


def test_wrong_encodings_are_refused() -> None:
    ids = Coded.of(["D1"])
    for columns, words in (
        ({"deal_id": ids, "created_at": np.zeros(1)}, "encoded as float64, expected int64"),
        ({"deal_id": np.zeros(1, dtype=np.int64)}, "expected coded"),
        ({"deal_id": ids, "created_at": np.zeros(2, dtype=np.int64)}, "2 values, expected 1"),
        ({"deal_id": ids, "colour": np.zeros(1, dtype=np.int64)}, "expected coded or float64"),
    ):
        with pytest.raises(ValueError, match=words):
            Table.of("deals", columns)


def test_typed_access_refuses_other_kinds() -> None:
    table = Table.of("deals", {"deal_id": Coded.of(["D1"])})
    assert table.ints("created_at").tolist() == [NAT]
    for wrong in (lambda: table.ints("deal_id"), lambda: table.floats("created_at"), lambda: table.coded("created_at")):
        with pytest.raises(TypeError):
            wrong()


def test_tables_by_name() -> None:
    tables = CrmTables.of({"reps": Table.of("reps", {"rep_id": Coded.of(["R1"])})})
    assert [*tables.by_name()] == [*TABLES]
    assert tables["reps"].n == 1
    assert tables["deals"].n == 0
    with pytest.raises(KeyError, match="no table 'by_name'"):
        tables["by_name"]
    with pytest.raises(TypeError):
        CrmTables.of({"nothing of ours": tables.deals})


@given(st.lists(st.none() | st.sampled_from(["a", "b", "", "ß", "B"])))
def test_coded_keeps_every_text(texts: list[str | None]) -> None:
    coded = Coded.of(texts)
    assert coded.strings() == texts
    assert [coded.decode(i) for i in range(len(coded))] == texts
    assert coded.values == tuple(sorted(set(texts) - {None}))  # type: ignore[type-var]
    backwards = Coded.of(texts[::-1])
    assert (backwards.values, backwards.codes[::-1].tolist()) == (coded.values, coded.codes.tolist())


@given(st.lists(st.none() | st.sampled_from("abcd")), st.permutations("abcde"))
def test_codes_in_another_vocabulary(texts: list[str | None], vocabulary: list[str]) -> None:
    vocabulary = vocabulary[:3]
    expected = [vocabulary.index(text) if text in vocabulary else -1 for text in texts]
    assert Coded.of(texts).codes_in(vocabulary).tolist() == expected


@given(st.lists(st.none() | st.sampled_from(["a", "A", "b", "c"])), st.lists(st.integers(0, 9)))
def test_translated_and_taken(texts: list[str | None], picks: list[int]) -> None:
    coded = Coded.of(texts)
    assert translated(coded, str.upper).strings() == [text.upper() if text else None for text in texts]
    idx = np.array([pick for pick in picks if pick < len(texts)], dtype=np.int64)
    assert coded.take(idx).strings() == [texts[i] for i in idx.tolist()]
    table = compact(Table.of("reps", {"rep_id": coded}).take(idx))
    assert table.coded("rep_id").values == tuple(sorted({texts[i] for i in idx.tolist()} - {None}))  # type: ignore[type-var]


def test_take_by_mask_and_position() -> None:
    table = Table.of("quotas", {"rep_id": Coded.of(["a", "b", "c"]), "amount": np.array([1, 2, 3])})
    assert table.take(np.array([True, False, True])).ints("amount").tolist() == [1, 3]
    assert table.take(np.array([2, 2])).coded("rep_id").strings() == ["c", "c"]
    assert table.take(np.array([True, False, True])).n == 2
    assert missing_column("float", 2).dtype == np.float64  # type: ignore[union-attr]


# Times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-06-01T10:00:00Z", "2024-06-01T10:00:00+00:00"),
        ("2024-06-01T10:00:00+02:00", "2024-06-01T08:00:00+00:00"),
        ("2024-06-01 10:00", "2024-06-01T08:00:00+00:00"),  # naive: wall clock, summer
        ("2024-01-01 10:00", "2024-01-01T09:00:00+00:00"),  # winter
        ("2024-03-31 02:30", "2024-03-31T01:30:00+00:00"),  # never was: read as before the jump, 03:30 summer time
        ("2024-10-27 02:30", "2024-10-27T01:30:00+00:00"),  # twice: the later, winter time
        ("2024-10-27 01:59:59", "2024-10-26T23:59:59+00:00"),
        ("2024-10-27 03:00", "2024-10-27T02:00:00+00:00"),
        ("2024-06-01", "2024-06-01T21:59:59.999999+00:00"),  # known at the end of its day
        ("20240601", "2024-06-01T21:59:59.999999+00:00"),
        ("2024-03-30", "2024-03-30T22:59:59.999999+00:00"),
        ("2024-03-31", "2024-03-31T21:59:59.999999+00:00"),  # a day of 23 hours
    ],
)
def test_times(text: str, expected: str) -> None:
    assert one(text) == at(expected)


def test_time_where_the_clocks_jump_over_midnight() -> None:
    assert one("2018-11-03", ZoneInfo("America/Sao_Paulo")) == at("2018-11-04T02:59:59.999999+00:00")


def test_microseconds_are_kept_and_finer_digits_cut() -> None:
    assert one("2024-06-01T10:00:00.123456Z") % 1_000_000 == 123_456
    assert one("2024-06-01T10:00:00.1234569Z") % 1_000_000 == 123_456


@pytest.mark.parametrize(
    "text", ["03/01/2024", "2024-02-30", "2024-13-01T00:00:00Z", "yesterday", "1704448800", "2024"]
)
def test_unreadable_times(text: str) -> None:
    parsed = parse_times([text, "2024-06-01"], AMSTERDAM)
    assert parsed.bad.tolist() == [True, False]
    assert parsed.values[0] == NAT


def test_date_format() -> None:
    assert one("03/01/2024", AMSTERDAM, "%d/%m/%Y") == at("2024-01-03T22:59:59.999999+00:00")
    assert one("03/01/2024 10:30", AMSTERDAM, "%d/%m/%Y %H:%M") == at("2024-01-03T09:30:00+00:00")
    assert one("03/01/2024 10:30 +0000", AMSTERDAM, "%d/%m/%Y %H:%M %z") == at("2024-01-03T10:30:00+00:00")
    assert parse("date", ["3/1/2024"], AMSTERDAM, "%m/%d/%Y").values[0] == (date(2024, 3, 1) - date(1970, 1, 1)).days


zones = st.sampled_from([AMSTERDAM, ZoneInfo("America/New_York"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("UTC")])


@given(st.lists(st.datetimes(datetime(1995, 1, 1), datetime(2035, 1, 1)), min_size=1), zones)
def test_wall_clock_is_the_later_reading(moments: list[datetime], zone: ZoneInfo) -> None:
    parsed = parse_times([moment.isoformat() for moment in moments], zone).values
    for moment, got in zip(moments, parsed.tolist(), strict=True):
        readings = [moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
        assert got == (max(readings) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def test_dates() -> None:
    parsed = parse(
        "date", ["2024-03-31", "2024-03-31 00:00:00", "2024-03-31T00:00:00Z", "2024-03-31T10:00:00Z"], AMSTERDAM
    )
    assert parsed.bad.tolist() == [False, False, False, True]
    assert set(parsed.values[:3].tolist()) == {(date(2024, 3, 31) - date(1970, 1, 1)).days}


# Numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1234.5", 123450),
        ("-0.01", -1),
        ("0.005", 0),  # half to even
        ("0.015", 2),
        ("8.345", 834),
        ("1e3", 100000),
        ("1E+06", 100000000),
        (".5", 50),
        ("5.", 500),
        ("+7", 700),
        ("90071992547409.93", 9007199254740993),  # beyond what a float holds
        ("1,234.50", None),
        ("€5", None),
        ("nan", None),
        ("Infinity", None),
        ("1_000", None),
        ("٣", None),
        ("1e99", None),
        ("", None),
    ],
)
def test_cents(text: str, expected: int | None) -> None:
    assert cents(text) == expected


@given(st.decimals(-(10**12), 10**12, places=4))
def test_cents_are_exact(amount: Decimal) -> None:
    assert cents(str(amount)) == int((amount * 100).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def test_numbers_and_truth_values() -> None:
    assert parse("int", ["3", "3.0", "3.5", "x"], AMSTERDAM).values.tolist() == [3, 3, NAT, NAT]
    assert parse("bool", ["TRUE", "no", "1", "0.0", "2"], AMSTERDAM).values.tolist() == [1, 0, 1, 0, NAT]
    floats = parse("float", ["1.5", "-2e1", "inf", "nan", "0x1", "1e999", "4e-103"], AMSTERDAM)
    assert floats.bad.tolist() == [False, False, True, True, True, True, False]
    assert floats.values[:2].tolist() == [1.5, -20.0]


# Words and defaults


def test_words_are_translated() -> None:
    dictionary = Dictionary(categories={"upside": "best_case"}, kinds={"gespräch": "call"})
    assert dictionary.translate("deal_history", "forecast_category", "Best Case") == "best_case"
    assert dictionary.translate("deal_history", "forecast_category", "UPSIDE") == "best_case"
    assert dictionary.translate("calls", "category", "Best-Case") == "best_case"
    assert dictionary.translate("activities", "kind", "Gespräch") == "call"
    assert dictionary.translate("activities", "kind", "Fax") == "Fax"  # left for the checks to name
    assert dictionary.translate("activities", "direction", "Inbound") == "inbound"
    assert dictionary.translate("activities", "outcome", "No Show") == "no_show"
    assert fold_name("  Best   Case ") == "best_case"


def test_defaults() -> None:
    moments = np.array([5, 6], dtype=np.int64)
    deals = settle(Table.of("deals", {"created_at": moments, "known_at": np.array([NAT, 9])}), Dictionary())
    assert deals.ints("known_at").tolist() == [5, 9]
    activities = settle(Table.of("activities", {"occurred_at": moments}), Dictionary())
    assert activities.ints("known_at").tolist() == [5, 6]
    history = settle(Table.of("deal_history", {"known_at": moments[::-1]}), Dictionary())
    assert history.ints("seq").tolist() == [0, 1]


# Stages


def test_stage_map() -> None:
    values = ("Won", "Propose", "Lost", "Else", "Qualify")
    assert STAGES.outcomes(values).tolist() == [WON, OPEN, LOST, UNKNOWN, OPEN]
    assert STAGES.ranks(values).tolist() == [2, 1, -1, -1, 0]
    assert StageMap.from_json(STAGES.to_json()) == STAGES


@pytest.mark.parametrize(
    ("order", "won", "lost"), [(("A", "A"), ("W",), ()), (("A",), ("A",), ()), ((), ("W",), ()), (("A",), (), ())]
)
def test_contradicting_stage_maps(order: tuple[str, ...], won: tuple[str, ...], lost: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        StageMap(order, won, lost)


# Checks


def codes(tables: CrmTables) -> dict[str, list[int]]:
    return {found.code: found.rows.tolist() for found in check_tables(tables, STAGES)}


def record(**history: object) -> CrmTables:
    """Two deals created at day 20,000; D1 has two rows of history a day apart, unless told otherwise."""
    start = 20_000 * 24 * HOUR
    moments = np.array([start, start], dtype=np.int64)
    deals = Table.of("deals", {"deal_id": Coded.of(["D1", "D2"]), "created_at": moments, "known_at": moments})
    columns = {
        "deal_id": Coded.of(["D1", "D1"]),
        "known_at": np.array([start, start + 24 * HOUR]),
        "seq": np.array([0, 1]),
        "stage": Coded.of(["Qualify", "Won"]),
    }
    return CrmTables.of({"deals": deals, "deal_history": Table.of("deal_history", columns | history)})  # type: ignore[arg-type]


def test_checks_of_a_sound_record() -> None:
    assert codes(record()) == {"no_history": [1]}


def test_checks_name_their_rows() -> None:
    start = 20_000 * 24 * HOUR
    assert codes(record(stage=Coded.of(["Qualify", "won"])))["unknown_stage"] == [1]
    assert codes(record(stage=Coded.of([None, "Won"])))["missing_value"] == [0]
    assert codes(record(deal_id=Coded.of(["D1", "D7"])))["unknown_deal"] == [1]
    assert codes(record(known_at=np.array([start, start - 1])))["closed_before_created"] == [1]
    assert codes(record(known_at=np.array([start - 1, start])))["history_before_created"] == [0]
    assert codes(record(stage=Coded.of(["Won", "Qualify"])))["no_open_row"] == [0]
    assert codes(record(known_at=np.array([start] * 2), seq=np.array([3, 3])))["duplicate_key"] == [1]
    assert codes(record(amount=np.array([-1, 10**15])))["negative_amount"] == [0]
    assert codes(record(amount=np.array([-1, 10**15])))["absurd_amount"] == [1]
    assert codes(record(close_date=np.array([-1, 10**9])))["absurd_time"] == [0, 1]
    assert codes(record(probability=np.array([0.5, 50.0])))["probability_range"] == [1]
    assert codes(record(forecast_category=Coded.of(["commit", "sure"])))["unknown_forecast_category"] == [1]


def test_an_outcome_before_the_event_is_noticed_unless_planned_or_called_off() -> None:
    base = record()
    moments = np.array([20_001 * 24 * HOUR] * 5)
    columns = {
        "deal_id": Coded.of(["D1"] * 5),
        "occurred_at": moments,
        "known_at": moments - 1,
        "kind": Coded.of(["meeting"] * 5),
        "outcome": Coded.of(["planned", "held", None, "cancelled", "no_show"]),
    }
    tables = CrmTables.of(base.by_name() | {"activities": Table.of("activities", columns)})
    assert codes(tables)["known_before_it_happened"] == [1]


def test_show_time() -> None:
    assert show_time(0) == "1970-01-01T00:00:00Z"
    assert show_time(2**62) == f"{2**62} microseconds"
