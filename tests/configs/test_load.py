"""The loader: YAML 1.2 words, overrides, paths, the hash, and no other error than ConfigError whatever the text."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from configs.base import format_duration, parse_duration
from configs.document import MAX_DEPTH, MAX_NODES, dotted, read_document
from configs.errors import ConfigError, Fault
from configs.load import CANONICAL_MAPPING, config_hash, load_config, load_mapping, mapping_of, trace_config
from configs.mapping import FilesMapping
from configs.mapping import Leads as MappedLeads
from configs.schema import Config
from configs.vocab import FeatureGroup, Grid

GOOD = """\
name: good
time_zone: Europe/Amsterdam
target: eventual
period: {kind: month}
source:
  kind: files
  path: data
  mapping: maps/m.yaml
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def values(tmp_path: Path, text: str) -> dict[str, Any]:
    """Return what the YAML reader makes of a text."""
    path = tmp_path / "text.yaml"
    path.write_text(text, encoding="utf-8")
    document = read_document(path, "config")
    assert document.faults == []
    return document.data


def config_or_faults(path: Path, sets: list[str]) -> Config | tuple[Fault, ...]:
    """Return a config, or the faults that it was refused for."""
    try:
        return load_config(path, sets)
    except ConfigError as error:
        return error.faults


def one_fault(path: Path, *sets: str) -> str:
    """Return the only fault of a config with overrides, as text."""
    with pytest.raises(ConfigError) as caught:
        load_config(path, sets)
    (fault,) = caught.value.faults
    return str(fault)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("off", "off"),
        ("NO", "NO"),
        ("1e-3", 0.001),
        ("-1.5E+2", -150.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("012", 12),
        ("-7", -7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2024-01-31", "2024-01-31"),
        ("02-01", "02-01"),
        ("~", None),
        ("", None),
        ("null", None),
        ("'12'", "12"),
        ('"true"', "true"),
        ("=", "="),
        ("<<", "<<"),
        ("[a, 1, {b: c}]", ["a", 1, {"b": "c"}]),
    ],
)
def test_yaml_words(tmp_path: Path, written: str, value: object) -> None:
    found = values(tmp_path, f"key: {written}\n")["key"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_text_and_aliases_are_copies(tmp_path: Path) -> None:
    assert values(tmp_path, "2024: a\ntrue: b\nx: &x {y: 1}\nz: *x\n") == {
        "2024": "a",
        "true": "b",
        "x": {"y": 1},
        "z": {"y": 1},
    }


def test_a_byte_order_mark_is_no_fault(good: Path) -> None:
    good.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_config(good).name == "good"


def test_types_of_the_schema(good: Path) -> None:
    config = load_config(
        good,
        [
            "period={kind: quarter, fiscal_year_start: 02-01, table: [2024-01-29, 2024-04-29]}",
            "snapshots.ages=[29min, 1d]",
            "backtest.test_from=2012-01-31T18:58:00+01:00",
            "model.learning_rate=1e-2",
            "features.groups=[deal, clock]",
            "model.lambda_l2=3",
        ],
    )
    assert config.period.anchor == (2, 1)
    assert config.period.table == (date(2024, 1, 29), date(2024, 4, 29))
    assert config.snapshots.ages == (timedelta(minutes=29), timedelta(days=1))
    assert config.snapshots.grid is Grid.AGES
    assert config.backtest.test_from == datetime(2012, 1, 31, 17, 58, tzinfo=UTC)
    assert config.model.learning_rate == 0.01
    assert config.features.groups == (FeatureGroup.DEAL, FeatureGroup.CLOCK)
    assert isinstance(config.model.lambda_l2, float)


def test_a_config_cannot_be_changed(good: Path) -> None:
    config = load_config(good)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 8  # type: ignore[misc]


def test_mapping_is_relative_to_the_config_or_to_where_set_is_typed(good: Path) -> None:
    assert load_config(good).source.mapping == good.parent / "maps" / "m.yaml"
    assert load_config(good, ["source.mapping=here.yaml"]).source.mapping == Path("here.yaml")
    assert load_config(good, ["source.mapping=/a/b.yaml"]).source.mapping == Path("/a/b.yaml")
    assert load_config(good).source.path == Path("data")


def test_overrides_apply_in_order_and_make_sections(good: Path) -> None:
    config = load_config(good, ["model.seeds=3", "model.seeds=4", "source.path=data/x=y", "source={kind: simulated}"])
    assert config.model.seeds == 4
    assert (config.source.kind, config.source.path) == ("simulated", None)


def test_an_override_mends_a_fault_of_the_file(good: Path) -> None:
    good.write_text(GOOD.replace("eventual", "eventualy"), encoding="utf-8")
    assert load_config(good, ["target=eventual"]).target == "eventual"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("num_leaves=3", "num_leaves: unknown key 'num_leaves'; did you mean 'model.num_leaves'?"),
        ("model.num_leafs=3", "model.num_leafs: unknown key 'num_leafs'; did you mean 'num_leaves'?"),
        ("model.seeds.x=1", "model.seeds: keys with values; expected a whole number, at least 1, at most 50"),
        ("snapshots.ages.0=1h", "snapshots.ages: keys with values; expected a list"),
        ("model=3", "model: the number 3; expected keys with values"),
        ("model.seeds=", "model.seeds: nothing; expected a whole number, at least 1, at most 50; give a value"),
        (
            "model.seeds='3'",
            "model.seeds: the text '3'; expected a whole number, at least 1, at most 50; remove the quo",
        ),
        ("foo", "not an override; expected a.b=value; write --set model.seeds=3"),
        ("=3", "not an override"),
        ("a..b=3", "not an override"),
        ("name=[a", "name: not YAML: a bracket or quote that is never closed; quote the value: --set 'name=\"...\"'"),
        ("name=2024", "name: the number 2024; expected text; put it in quotes"),
        (
            "source.kind=filez",
            "source.kind: the text 'filez'; expected one of files, event_log, simulated, salesforce, hubspot; did",
        ),
        ("seed={a: 1, a: 2}", "seed.a: this key again"),
        ("seed=1.0", "seed: the number 1.0; expected a whole number"),
        ("seed=" + "9" * 5000, "seed: "),
    ],
)
def test_faults_of_an_override_point_to_it(good: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(good, [text])
    assert str(caught.value.faults[0]).startswith(f"--set {text[:80]}: {says}")


def test_file_and_override_faults_come_together(good: Path) -> None:
    good.write_text(GOOD + "seeed: 1\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(good, ["model.seeds=0"])
    assert [fault.where for fault in caught.value.faults] == [f"{good}:9:1", "--set model.seeds=0"]


def test_no_file(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").touch()
    path = tmp_path / "none.yaml"
    assert one_fault(path) == f"{path}: there is no such config file; check the path; here is other.yaml"
    assert "here is no YAML file" in one_fault(tmp_path / "no" / "none.yaml")


def test_a_folder(tmp_path: Path) -> None:
    assert one_fault(tmp_path) == f"{tmp_path}: this is a folder; name a config file in it: no YAML file"


def test_a_file_that_may_not_be_read(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert one_fault(good) == f"{good}: the file cannot be read: Permission denied; check its permissions"


def test_a_file_that_is_no_config_is_not_printed_whole(good: Path) -> None:
    good.write_text("secret-" * 20 + ": 1\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(good)
    assert "secret-" * 12 not in str(caught.value)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 5, 5000])
def test_nesting_has_an_end(good: Path, depth: int) -> None:
    with pytest.raises(ConfigError, match="nested"):
        load_config(good, ["seed=" + "[" * depth + "]" * depth])


def test_aliases_of_aliases_have_an_end(good: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    good.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(good)
    assert any(f"over {MAX_NODES} values" in str(fault) for fault in caught.value.faults)


def test_origins(good: Path) -> None:
    traced = trace_config(good, ["model.seeds=3"])
    assert traced.origins["name",] == f"{good}:1:7"
    assert traced.origins["period", "kind"] == f"{good}:4:16"
    assert traced.origins["model", "seeds"] == "--set model.seeds=3"
    assert ("seed",) not in traced.origins


def test_hash_follows_what_changes_a_model(good: Path) -> None:
    plain = config_hash(load_config(good))
    assert len(plain) == 64
    same = [
        "name=other",
        "state_dir=/s",
        "source.path=/d",
        "source.mapping=/m.yaml",
        "serving.port=1",
        "gates.min_gain=1",
    ]
    assert config_hash(load_config(good, same)) == plain
    for text in (
        "seed=8",
        "time_zone=UTC",
        "model.seeds=4",
        "features.drop=[x]",
        "snapshots.ages=[1d]",
        "period.kind=quarter",
    ):
        assert config_hash(load_config(good, [text])) != plain


def test_hash_covers_the_mapping(good: Path) -> None:
    config, mapping = load_config(good), load_mapping(CANONICAL_MAPPING, "files")
    stages = mapping.stages.model_copy(update={"won": ("Signed",)})
    hashes = {config_hash(config, m) for m in (None, mapping, mapping.model_copy(update={"stages": stages}))}
    assert len(hashes) == 3


def test_a_simulated_source_has_the_canonical_mapping(good: Path) -> None:
    config = load_config(good, ["source={kind: simulated}"])
    assert mapping_of(config) == load_mapping(CANONICAL_MAPPING, "files")
    assert isinstance(mapping_of(config), FilesMapping)


@given(st.integers(1, 10**8), st.sampled_from(["s", "min", "h", "d", "w"]))
def test_durations_come_back(count: int, unit: str) -> None:
    span = parse_duration(f"{count}{unit}")
    assert parse_duration(format_duration(span)) == span


def test_dotted() -> None:
    assert dotted(("a", 0, "b")) == "a[0].b"
    assert dotted(()) == ""
    assert len(dotted(("x" * 500,))) == 80


_PIECES = st.sampled_from(
    [*GOOD.splitlines(keepends=True), "  ", "- ", "a: ", "&x ", "*x", "!!int ", "[", "}", "'", "\t", "---\n"]
)


@given(st.one_of(st.text(max_size=80), st.lists(_PIECES, max_size=14).map("".join)), st.text(max_size=20))
def test_any_text_gives_a_config_or_config_error(
    tmp_path_factory: pytest.TempPathFactory, text: str, value: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for sets in ([], [f"name={value}"], [value]):
        found = config_or_faults(path, sets)
        assert found
        assert isinstance(found, Config) or all(fault.where and fault.got for fault in found)


@pytest.mark.parametrize("override", ["leads.within_days=30", "leads.weekly_capacity=5", "leads.grades.a=0.5"])
def test_what_is_asked_of_leads_is_asked_of_no_deals(good: Path, override: str) -> None:
    """Nothing would heed it, and whoever wrote it would not know."""
    with pytest.raises(ConfigError, match=r"leads: given with target eventual; expected only with target converted"):
        load_config(good, [override])
    load_config(good, ["target=converted", override])
    load_config(good, ["leads.within_days=90"])


@pytest.mark.parametrize("name", ["known_at", "source", "type"])
def test_an_attribute_of_leads_has_a_name_of_its_own(name: str) -> None:
    with pytest.raises(ValidationError, match=f"'{name}', which a lead has already"):
        MappedLeads.model_validate({"attributes": {name: {"kind": "category"}}})
    assert MappedLeads.model_validate({"attributes": {"industry": {"kind": "category"}}}).attributes


def test_a_lead_has_as_much_time_to_be_won_as_to_convert(good: Path) -> None:
    """P(won) is P(converts) x P(won | converts): a shorter window of wins would multiply what does not belong."""
    with pytest.raises(ConfigError, match=r"won_within_days: 89 days, fewer than leads.within_days \(90\)"):
        load_config(good, ["target=converted", "leads.won_within_days=89"])
    load_config(good, ["target=converted", "leads.won_within_days=90"])


@pytest.mark.parametrize("override", ["training.horizon_days=90", "training.eligibility=resolved"])
def test_leads_have_a_window_of_their_own(good: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=r"leads\.within_days"):
        load_config(good, ["target=converted", override])
    assert load_config(good, ["target=converted"]).training.horizon_days is None
