"""Exports as JSON of the CRM API: the same record as CSV gives, and hostile or broken text refused with its place."""

import gzip
import json
from pathlib import Path

import pytest

from configs.errors import DataError, SchemaError, UnreadableFileError
from features.sources.hubspot import pages
from tests.hs import acts, contact, done, history, page, read, record, said, t, why
from tests.sf import rows

LIFE = [("lead", t("01-02")), ("marketingqualifiedlead", t("01-05")), ("opportunity", t("01-20"))]
TOLD = {"lifecyclestage": [{"value": v, "timestamp": at, "sourceType": "CRM_UI"} for v, at in reversed(LIFE)]}
MAIL = done("9", "1;2", t("01-06"), hs_email_direction="EMAIL")


def test_json_and_csv_say_the_same(tmp_path: Path) -> None:
    contacts = [contact("1", industry="RETAIL", hs_email_optout=""), contact("2", hs_email_optout="true")]
    log = [said("1", at, value) for value, at in LIFE]
    plain = read(tmp_path / "csv", contacts=contacts, contacts_property_history=log, emails=[MAIL])
    records = [record(contacts[0], TOLD), record(contacts[1], {})]
    forms = {
        "page": page(*records),
        "pages": page(records[0]) + page(records[1]),  # put together with cat
        "lines": "".join(json.dumps(one) + "\n" for one in records),
        "list": json.dumps(records, indent=1),
    }
    for name, text in forms.items():
        ingest = read(tmp_path / name, contacts=text, emails=page(record(MAIL)))
        for table in ("leads", "lead_history", "lead_activities"):
            one, other = getattr(ingest.tables, table), getattr(plain.tables, table)
            columns = [column for column in one.columns if column != "seq"]
            assert rows(one, *columns) == rows(other, *columns), (name, table)
        assert ingest.report["contacts_property_history"].rows_in == 3


def test_gzipped_lines_and_what_only_the_record_says(tmp_path: Path) -> None:
    bare = {"id": "1", "properties": {"hs_analytics_source": None}, "createdAt": t("01-02"), "archived": False}
    gone = {"id": "2", "properties": {}, "createdAt": t("01-02"), "archived": True, "archivedAt": t("01-09")}
    numbers = '{"id": 3, "properties": {"numemployees": 12}, "createdAt": 1704186000000, "propertiesWithHistory": {}}'
    text = "\n".join([json.dumps({**bare, "propertiesWithHistory": TOLD}), json.dumps(gone), numbers])
    (tmp_path / "contacts.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    ingest = read(tmp_path)
    assert rows(ingest.tables.leads, "lead_id", "created_at", "size") == [
        ("1", "01-02 09:00:00", None),
        ("3", "01-02 09:00:00", "12"),
    ]
    assert [event for _, event in history(ingest, "1")] == ["new", "mql", "converted"]
    assert ingest.report["contacts (exported)"].refused[0].places == ("contacts.jsonl.gz:record 2",)


def test_a_record_with_more_contacts_than_its_page_lists_is_noticed(tmp_path: Path) -> None:
    mail = record(MAIL)
    mail["associations"]["contacts"]["paging"] = {"next": {"after": "2"}}
    ingest = read(tmp_path, contacts=page(record(contact("1"), TOLD)), emails=page(mail))
    assert any("more contacts than their page lists" in notice.message for notice in ingest.report.notices)
    assert [row[0] for row in acts(ingest)] == ["1"]


GOOD = json.dumps(record(contact("1"), TOLD))
BROKEN = {
    "an error page": ('{"status": "error", "message": "rate limit"}', "contacts.json:record 1", "neither a page nor"),
    "cut off": (GOOD + "\n" + GOOD[:-9], "contacts.json:2", "no JSON"),
    "a name twice": ('{"id": "1", "id": "2", "properties": {}}', "contacts.json:1", "a name twice"),
    "not a number": ('{"id": "1", "properties": {"amount": NaN}}', "contacts.json:1", "NaN for a number"),
    "deep": ("[" * 200_000, "contacts.json:1", "too deeply"),
    "nested": ('{"id": "1", "properties": {"x": {"y": 1}}}', "contacts.json:record 1", "'x' holds no plain value"),
    "a nul": ('{"id": "1\\u0000", "properties": {}}', "contacts.json:record 1", "holds NUL"),
    "half a character": ('{"id": "1", "properties": {"x": "\\ud800"}}', "contacts.json:record 1", "half a character"),
    "half a name": ('{"id": "1", "properties": {"\\ud800": "x"}}', "contacts.json:record 1", "half a character"),
    "a history that is no list": (
        '{"id": "1", "properties": {}, "propertiesWithHistory": {"lifecyclestage": "lead"}}',
        "contacts.json:record 1",
        "no list of values",
    ),
    "empty": (" \n", "contacts.json", "the file is empty"),
    "a huge cell": (
        json.dumps({"id": "1", "properties": {"industry": "x" * 1_000_001}}),
        "contacts.json:record 1",
        "in one cell",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_json_is_refused_with_its_place(name: str, tmp_path: Path) -> None:
    text, place, got = BROKEN[name]
    with pytest.raises(UnreadableFileError) as caught:
        read(tmp_path, contacts=text)
    (fault,) = caught.value.faults
    assert fault.where == place
    assert got in str(caught.value)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_PROPERTIES", 3)
    with pytest.raises(UnreadableFileError, match="more than 3 properties"):
        read(tmp_path / "wide", contacts=GOOD)
    monkeypatch.setattr(pages, "MAX_BYTES", 100)
    for suffix, pack in (("json", bytes), ("json.gz", gzip.compress)):
        folder = tmp_path / suffix
        folder.mkdir()
        (folder / f"contacts.{suffix}").write_bytes(pack(GOOD.encode()))
        with pytest.raises(UnreadableFileError, match="more than 100 bytes"):
            read(folder)


def test_history_in_two_places_is_a_fault(tmp_path: Path) -> None:
    read(tmp_path, contacts=GOOD)
    (tmp_path / "contacts_property_history.csv").write_text("contactId,property,value,timestamp\n")
    with pytest.raises(SchemaError, match="and in a file of its own"):
        read(tmp_path)


def test_json_without_history_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "contacts.json").write_text(json.dumps(record(contact("1"))))
    with pytest.raises(DataError, match="propertiesWithHistory in the JSON of contacts"):
        read(tmp_path)


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    nasty = ["=cmd|' /C calc'!A0", "<script>alert(1)</script>", "'; DROP TABLE leads; --", "\u202egnp.exe", "a;b,c\nd"]
    records = [record(contact(str(n), company=text, industry=text), TOLD) for n, text in enumerate(nasty)]
    told = {"lifecyclestage": [{"value": text, "timestamp": t("01-03")} for text in nasty]}
    ingest = read(tmp_path, contacts=page(*records, record(contact("9"), told)))
    assert sorted(map(str, ingest.tables.leads.coded("name").strings()[:-1])) == sorted(nasty)
    assert ingest.report.noticed("unknown_stage") == len(nasty)
    assert sum(why(ingest, "contacts_property_history").values()) == len(nasty)


def test_a_contact_twice_is_a_fault_unless_it_says_the_same(tmp_path: Path) -> None:
    twice = read(tmp_path, contacts=GOOD + GOOD)
    assert why(twice, "contacts (exported)") == {"a repeated row": 1}
    other = json.dumps(record(contact("1", industry="METAL"), TOLD))
    with pytest.raises(SchemaError, match="hs_object_id '1' again, with other values"):
        read(tmp_path, contacts=GOOD + other)
