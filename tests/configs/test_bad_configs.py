"""One bad file a fault: each must be answered with its place, its path and the remedy, and with nothing else."""

from pathlib import Path

import pytest

from configs.errors import ConfigError, Fault
from configs.load import load_config, load_mapping

BAD = Path(__file__).parent.parent / "bad_configs"

# file without "wrong_" -> for each fault: its place after the file name, code, path, and a part of its text
EXPECTED: dict[str, list[tuple[str, str, str, str]]] = {
    "ages_order": [(":8:19", "not_ascending", "snapshots.ages", "expected ascending ages")],
    "ages_with_weekly_grid": [(":9:9", "contradiction", "snapshots.grid", "remove ages, or set grid: ages")],
    "boolean_word": [(":8:7", "wrong_type", "seed", "the text 'yes'; expected a whole number, at least 0")],
    "colon": [(":1:10", "bad_yaml", "", "put a text that holds ': ' in quotes")],
    "control_character": [(":8:8", "bad_yaml", "", "the control character #x00; remove it")],
    "date": [(":6:23", "wrong_type", "period.table[1]", "the text '2024-13-01'; expected a date such as 2024-03-31")],
    "duplicate_key": [
        (":9:19", "duplicate_key", "model.seeds", "first given at line 9; remove one of the two"),
        (":10:1", "duplicate_key", "seed", "first given at line 8; remove one of the two"),
    ],
    "duration": [
        (":11:7", "bad_duration", "snapshots.ages[1]", "'1 day' is not a duration"),
        (":12:7", "bad_duration", "snapshots.ages[2]", "write it like 29min, 6h, 3d or 2w"),
    ],
    "empty": [("", "empty_file", "", "the config file is empty; add its keys")],
    "encoding": [("", "not_utf8", "", "(line 8) is not UTF-8; save the file as UTF-8")],
    "event_log_mapping_direction": [
        (":1:1", "missing", "timestamp", "add timestamp: ..."),
        (":5:48", "not_allowed", "activities[0].direction", "expected one of inbound, outbound, mutual"),
        (":6:5", "missing", "activities[1].direction", "add direction: ..."),
        (":6:27", "not_allowed", "activities[1].kind", "did you mean 'contract'?"),
        (":6:38", "unknown_key", "activities[1].directoin", "did you mean 'direction'?"),
    ],
    "eventual_only": [(":9:14", "contradiction", "backtest.test_from", "or set target: eventual")],
    "everything": [
        (":2:1", "duplicate_key", "name", "first given at line 1"),
        (":3:12", "unknown_time_zone", "time_zone", "no time zone is called 'Mars'"),
        (":4:9", "not_allowed", "target", "did you mean 'eventual'?"),
        (":7:3", "unknown_key", "period.length", "expected one of kind, fiscal_year_start, table"),
        (":8:1", "missing", "source.path", "add path: ..."),
        (":8:1", "missing", "source.mapping", "add mapping: ..."),
        (":10:3", "unknown_key", "source.pth", "did you mean 'path'?"),
        (":12:10", "wrong_type", "model.seeds", "the text 'three'; expected a whole number, at least 1, at most 50"),
    ],
    "fiscal_start": [(":6:22", "bad_fiscal_start", "period.fiscal_year_start", "write 2 or 02-01")],
    "indentation": [(":8:8", "bad_yaml", "", "check the indentation")],
    "key_of_another_kind": [(":9:3", "unknown_key", "source.simulate", "it goes with kind: simulated")],
    "key_of_another_section": [(":8:1", "unknown_key", "num_leaves", "did you mean 'model.num_leaves'?")],
    "mapping_category_twice": [(":4:11", "repeated", "categories.commit", "expected each word under one")],
    "mapping_column_name": [(":3:3", "bad_name", "attributes.Deal Size", "expected lower-case letters")],
    "mapping_date_format_unused": [
        (":6:28", "unused", "tables.deals[0].date_format.start", "expected a source column named under columns")
    ],
    "mapping_file_outside": [(":4:13", "outside", "tables.deals[0].file", "expected a file in or below source.path")],
    "mapping_stage_twice": [(":3:8", "repeated", "stages.won", "Won in two lists; expected each stage in one")],
    "mapping_table": [(":3:3", "unknown_key", "tables.deal", "did you mean 'deals'?")],
    "missing_keys": [
        (":1:1", "missing", "time_zone", "add time_zone: ..."),
        (":1:1", "missing", "target", "add target: ..."),
        (":2:1", "missing", "period.kind", "add kind: ..."),
        (":3:1", "missing", "source.path", "add path: ..."),
        (":3:1", "missing", "source.mapping", "add mapping: ..."),
    ],
    "missing_source_kind": [(":6:1", "missing", "source.kind", "add kind: ...")],
    "name": [(":1:7", "bad_format", "name", "the text 'bad name'; expected name of the config")],
    "not_a_number": [
        (":9:14", "wrong_type", "model.lambda_l2", "the number inf; expected a finite number, at least 0")
    ],
    "open_to_the_network": [(":9:9", "open_to_the_network", "serving.host", "set serving.api_keys_file")],
    "period_table": [(":6:10", "not_ascending", "period.table", "2024-04-29 after 2024-04-29")],
    "range": [
        (":9:18", "out_of_range", "model.learning_rate", "1.5; expected above 0, at most 1"),
        (":10:10", "out_of_range", "model.seeds", "0; expected at least 1, at most 50"),
        (":12:9", "out_of_range", "serving.port", "70000; expected at least 1, at most 65535"),
    ],
    "recursive_alias": [(":8:11", "recursive", "features.drop[0]", "an alias to what it is part of")],
    "repeated_group": [(":9:11", "repeated", "features.groups", "deal more than once")],
    "source_kind": [(":7:9", "not_allowed", "source.kind", "did you mean 'event_log'?")],
    "syntax": [(":9:11", "bad_yaml", "", "a bracket or quote that is never closed; close it")],
    "tab": [(":7:1", "tab", "", "indent with spaces")],
    "tag": [(":8:7", "bad_tag", "seed", "expected a plain value; remove it")],
    "time_zone": [(":2:12", "unknown_time_zone", "time_zone", "did you mean 'Europe/Amsterdam'?")],
    "timestamp_without_offset": [(":9:14", "wrong_type", "backtest.test_from", "such as 2024-03-31T17:00:00Z")],
    "top_is_a_list": [(":1:1", "wrong_type", "", "holds a list; expected keys with values")],
    "two_documents": [(":8:1", "bad_yaml", "", "keep one document a file")],
    "type_empty_section": [(":8:7", "wrong_type", "model", "nothing; expected keys with values")],
    "type_list_is_a_word": [(":9:11", "wrong_type", "features.groups", "write it as a list: [deal]")],
    "type_name_is_a_number": [(":1:7", "wrong_type", "name", "the number 2024; expected text; put it in quotes")],
    "type_number_in_quotes": [(":8:7", "wrong_type", "seed", "remove the quotes")],
    "type_section_is_a_list": [(":9:3", "wrong_type", "features", "a list; expected keys with values")],
    "unknown_key": [(":9:3", "unknown_key", "model.num_leafs", "did you mean 'num_leaves'?")],
    "unknown_section": [(":8:1", "unknown_key", "quux", "expected one of name, seed, time_zone")],
    "vocabulary": [
        (":3:9", "not_allowed", "target", "did you mean 'in_period'?"),
        (":5:9", "not_allowed", "period.kind", "did you mean 'quarter'?"),
        (":8:27", "not_allowed", "features.groups[1]", "did you mean 'clock'?"),
    ],
}


def read(path: Path) -> None:
    """Read a file with the schema that its name says it is for."""
    if "mapping" in path.name:
        load_mapping(path, "event_log" if "event_log" in path.name else "files")
    else:
        load_config(path)


def refused(path: Path) -> tuple[Fault, ...]:
    """Return the faults of a bad file."""
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert caught.value.exit_code == 2
    return caught.value.faults


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_fault_with_place_and_remedy(name: str) -> None:
    path = BAD / f"wrong_{name}.yaml"
    faults = refused(path)
    assert [(fault.where, fault.code, fault.path) for fault in faults] == [
        (f"{path}{place}", code, dotted) for place, code, dotted, _ in EXPECTED[name]
    ]
    for fault, (*_, text) in zip(faults, EXPECTED[name], strict=True):
        assert text in str(fault)


def test_every_bad_file_is_expected() -> None:
    assert {path.stem.removeprefix("wrong_") for path in BAD.iterdir()} == set(EXPECTED)


def test_one_fault_is_one_line() -> None:
    path = BAD / "wrong_unknown_key.yaml"
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}:9:3: model.num_leafs: unknown key 'num_leafs'; did you mean 'num_leaves'?"
