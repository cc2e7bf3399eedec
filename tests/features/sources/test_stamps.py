"""Times read by the million must be those that are read one by one, and so must what can't be read."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from features.parsing import EPOCH_MS, parse_times
from features.settle import read_coded
from features.sources import reading
from features.sources.frames import read_cells, text_cells
from features.sources.reading import read_frame
from features.sources.stamps import iso_times, quick_times
from features.tables import NAT, TABLES

ZONES = [ZoneInfo(name) for name in ("UTC", "America/New_York", "Australia/Lord_Howe")]
PLAIN = ["2024-03-31T17:05:00Z", "2024-03-31 17:05:00.123456+05:45", "1900-12-31T23:59:59-0800", "2024-11-03T01:30:00"]
DOUBTFUL = [
    "2024-03-31T17:05:00.1234567Z", "2024-03-31T17:05:00.Z", "2024-03-31t17:05:00Z", "2024-03-31T17:05:00z",
    "2024-03-31T17:05:60Z", "2024-03-31T24:00:00Z", "2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "2024-04-31T00:00Z",
    "1850-01-01T00:00:00Z", "2150-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2024-03-31",
    "2024-03-31T17:05", "2024-03-31T17:05Z", "2024-03-31T17Z", "20240331T170500Z", "2024-W13-7T17:05:00Z", "31.03.2024",
    "2024-03-31T17:05:00+24:00", "2024-03-31T17:05:00+23:59", "2024-03-31T17:05:00+05", "2024-03-31T17:05:00 Z",
    "2024-03-31T17:05:00+05:30:15", "2024-03-31T17:05:00,5Z", "2024-13-01T00:00:00Z", "2024-00-01T00:00:00Z",
    "2024-03-10T02:30:00", "2024-11-03T01:30:00.999999", "٢٠٢٤-03-31T17:05:00Z", "2024-03-31T17:05:00Z\n", "never", "",
    "2024-03-31T17:05:00\u00a0Z", " 2024-03-31T17:05:00Z", "2024-03-31T17:05:00ZZ", "2024-03-31T17:05:00-00:00",
]  # fmt: skip


def digits(width: int, top: int) -> st.SearchStrategy[str]:
    return st.integers(0, top).map(lambda n: f"{n:0{width}d}")


@st.composite
def stamps(draw: st.DrawFn) -> str:
    """What looks like a time: mostly right, with any part out of range, of another width or missing."""
    year = draw(st.one_of(st.integers(1895, 2105).map(str), st.sampled_from(["0000", "0001", "9999", "24"])))
    date = f"{year}-{draw(digits(2, 13))}-{draw(digits(2, 32))}"
    clock = f"{draw(digits(2, 24))}:{draw(digits(2, 60))}:{draw(digits(2, 61))}"
    point = draw(st.one_of(st.just(""), st.text("0123456789", max_size=9).map(lambda d: f".{d}")))
    signed = st.tuples(st.sampled_from("+-"), digits(2, 24), st.sampled_from([":", ""]), digits(2, 61)).map("".join)
    zone = draw(st.one_of(st.sampled_from(["Z", "", "z", "+00"]), signed))
    return f"{date}{draw(st.sampled_from(['T', ' ', 't', '_', '']))}{clock}{point}{zone}"


@given(st.lists(st.one_of(stamps(), st.sampled_from([*PLAIN, *DOUBTFUL])), max_size=12), st.sampled_from(ZONES))
@example([*PLAIN, *DOUBTFUL], ZONES[1])
def test_quick_times_are_the_slow_ones(texts: list[str], zone: ZoneInfo) -> None:
    quick, done = quick_times(pa.array([*texts, None], pa.string()), zone)
    assert done[-1]
    assert quick[-1] == NAT
    slow = parse_times(texts, zone)
    assert not slow.bad[done[:-1]].any(), "what can't be read is never taken"
    assert quick[:-1][done[:-1]].tolist() == np.asarray(slow.values)[done[:-1]].tolist()


@pytest.mark.parametrize("text", PLAIN)
def test_plain_times_are_quick(text: str) -> None:
    assert quick_times(pa.array([text]), ZONES[1])[1].all()


@given(
    st.lists(st.one_of(st.none(), stamps(), st.sampled_from([*PLAIN, *DOUBTFUL])), max_size=12), st.sampled_from(ZONES)
)
def test_a_column_reads_the_same_as_text_and_coded(cells: list[str | None], zone: ZoneInfo) -> None:
    """Values, faults and what a fault says, whichever way the cells come."""
    column = TABLES["activities"].column("known_at")
    array = pa.array(cells, pa.string())
    data, bad, got = read_cells(column, array, zone, None, {}, "here")
    coded = text_cells(array, "here")
    slow, wrong = read_coded(column, coded, zone, None)
    assert np.array_equal(data, slow)
    assert np.array_equal(bad, wrong)
    assert [got(row) for row in range(len(cells))] == [repr(coded.decode(row)) for row in range(len(cells))]


def long_file(folder: Path, body: list[str]) -> Path:
    file = folder / "long.csv"
    file.write_bytes("\n".join(["id,word", *body, ""]).encode())
    return file


def test_milliseconds_since_1970_are_the_same_instant_by_either_way() -> None:
    texts = ["1704448800000", "17044488001", "99999999999999"]
    told = parse_times(texts, ZONES[0], EPOCH_MS)
    assert told.values.tolist() == [int(text) * 1000 for text in texts]
    written = iso_times(pa.array(texts))
    assert written[0].as_py() == "2024-01-05T10:00:00.000Z"
    assert parse_times(written.to_pylist(), ZONES[1]).values.tolist() == told.values.tolist()
    mixed = pa.array(["2024-01-05", None, "1704448800", "1704448800000"])
    assert iso_times(mixed).to_pylist() == ["2024-01-05", None, "1704448800", "2024-01-05T10:00:00.000Z"]
    assert iso_times(mixed.dictionary_encode()).to_pylist() == iso_times(mixed).to_pylist()
    assert iso_times(pa.array([1_704_448_800_000, None])).to_pylist() == ["2024-01-05T10:00:00.000Z", None]


def test_a_long_file_codes_what_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_SAMPLE", 10)
    frame = read_frame(long_file(tmp_path, [f"{row},{'ab'[row % 2]}" for row in range(40)]), "long.csv")
    assert pa.types.is_string(frame.columns["id"].type)
    assert pa.types.is_dictionary(frame.columns["word"].type)
    assert [frame.place(row) for row in (0, 39)] == ["long.csv:2", "long.csv:41"]


@pytest.mark.parametrize("block", [1 << 28, 64])
def test_places_and_words_are_the_same_in_any_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """Blank lines, line breaks within quotes, words beyond ASCII; a file in many blocks is the file in one."""
    monkeypatch.setattr(reading, "_BLOCK", block)
    body = ["1,Grün", "", '2,"two\nlines"', "3,ütopia", ",", '4,"a ""b"""', *[f"{row},x" for row in range(5, 30)]]
    frame = read_frame(long_file(tmp_path, body), "long.csv")
    assert text_cells(frame.columns["word"], "").strings()[:5] == ["Grün", "two\nlines", "ütopia", 'a "b"', "x"]
    assert [frame.place(row) for row in range(5)] == [f"long.csv:{line}" for line in (2, 4, 6, 8, 9)]
    assert frame.n + frame.blank == 31


def test_a_byte_that_is_no_text_is_told_with_its_line_in_any_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_BLOCK", 8)
    file = tmp_path / "bad.csv"
    file.write_bytes("id,word\n1,grün\n2,blau\n3,".encode() + b"\xfc\n4,x\n")
    with pytest.raises(reading.UnreadableFileError, match=r"bad.csv:4.*0xfc"):
        read_frame(file, "bad.csv")
