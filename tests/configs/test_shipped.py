"""The configs and mappings that ship: all good, the schema file current, the mappings complete for their data."""

import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from configs import commands
from configs.errors import ConfigError
from configs.load import load_config, load_mapping, mapping_of, trace_config
from configs.mapping import EventLogMapping, FilesMapping
from configs.render import json_schema, resolved
from configs.schema import Config
from configs.vocab import ActivityKind, Direction, FeatureGroup, ForecastCategory

CONFIGS = Path(__file__).parent.parent.parent / "configs"
SHIPPED = sorted(CONFIGS.glob("*.yaml"))
DATA = Path(os.environ.get("FORECASTLE_DATA", CONFIGS.parent.parent / "shared" / "data"))
needs_data = pytest.mark.skipif(
    "FORECASTLE_DATA" not in os.environ and not DATA.is_dir(), reason="the third-party data are not here"
)


def sections(schema: type[BaseModel]) -> set[type[BaseModel]]:
    """Return every model that a schema refers to, by its JSON Schema's names."""
    found, todo = set(), list(BaseModel.__subclasses__())
    names = {schema.__name__, *schema.model_json_schema().get("$defs", {})}
    while todo:
        model = todo.pop()
        todo += model.__subclasses__()
        if model.__name__ in names and model.__module__.startswith("configs."):
            found.add(model)
    return found


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_config_is_good(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=./schema.json\n")
    assert load_config(path).name == path.stem
    told = commands.check(path)
    assert told.startswith(f"{path}: good. {path.stem} ")
    assert ("4 statuses of leads" in told) == (load_config(path).target == "converted")
    loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    assert set(loaded) <= set(Config.model_fields)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_config_fits_the_json_schema(path: Path) -> None:
    schema = json.loads((CONFIGS / "schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    plain: Any = {key: value for key, value in trace_config(path).config.model_dump(mode="json").items() if value}
    jsonschema.Draft7Validator(schema).validate(plain)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate({**plain, "seeed": 1})


def test_committed_json_schema_is_current() -> None:
    assert (CONFIGS / "schema.json").read_text(encoding="utf-8") == json_schema(), (
        "run `forecastle config schema > configs/schema.json`"
    )


def test_json_schema_is_draft_07() -> None:
    text = json_schema()
    assert json.loads(text)["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert '"$defs"' not in text
    assert "discriminator" not in text


@pytest.mark.parametrize("schema", [Config, FilesMapping, EventLogMapping])
def test_every_field_says_what_it_is(schema: type[BaseModel]) -> None:
    assert len(sections(schema)) > 3
    for model in sections(schema):
        assert model.model_config.get("frozen")
        assert model.model_config.get("extra") == "forbid"
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name} has no description"


def test_every_number_has_a_range() -> None:
    for model in sections(Config):
        for name, field in model.model_fields.items():
            if field.annotation in (int, float):
                assert len(field.metadata) == 2, f"{model.__name__}.{name} needs a lower and an upper bound"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_show_can_be_loaded_again(path: Path, tmp_path: Path) -> None:
    traced = trace_config(path)
    copy = tmp_path / "copy.yaml"
    copy.write_text(resolved(traced), encoding="utf-8")
    assert load_config(copy, [f"source.mapping={traced.config.source.mapping}"]) == traced.config


def test_show_names_every_origin() -> None:
    path = CONFIGS / "bpic2012.yaml"
    lines = commands.show(path, ["model.seeds=3"]).splitlines()
    assert f'name: "bpic2012"                                  # {path}:4:7' in lines
    assert "  seeds: 3                                        # --set model.seeds=3" in lines
    assert "seed: 7                                           # default" in lines
    assert f'  ages: ["29min", "1d", "3d", "7d", "14d", "21d"]  # {path}:14:9' in lines
    assert all("  # " in line for line in lines if not line.endswith(":"))


def test_summary() -> None:
    found = commands.summary(load_config(CONFIGS / "demo.yaml"))
    assert {**found, "config_hash": len(found["config_hash"])} == {
        "name": "demo",
        "config_hash": 64,
        "source": "simulated",
        "target": "in_period",
    }


def test_check_says_which_config_names_the_bad_mapping(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text((CONFIGS / "demo.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "canonical.yaml").write_text("stages: {order: [A], won: [W]}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        commands.check(path)
    head, fault = str(caught.value).split("\n")
    assert head == f"The mapping that {path} names is wrong:"
    assert fault.startswith(f"  {tmp_path}/mappings/canonical.yaml:1:1: stages.lost: 'lost' is missing; ")


def test_schema_command() -> None:
    assert commands.schema() == json_schema()


def test_nothing_heavy_is_imported() -> None:
    code = "import configs.commands, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=CONFIGS.parent, capture_output=True, text=True, check=True)
    assert {"numpy", "pandas", "lightgbm", "bentoml", "mlflow", "typer", "rich"}.isdisjoint(run.stdout.split())


def test_bpic_and_maven_configs() -> None:
    bpic, maven = load_config(CONFIGS / "bpic2012.yaml"), load_config(CONFIGS / "maven.yaml")
    assert str(bpic.backtest.test_from) == "2012-01-31 17:58:00+00:00"
    assert maven.features.groups == (FeatureGroup.DEAL, FeatureGroup.CLOCK, FeatureGroup.HISTORY)
    assert isinstance(mapping_of(bpic), EventLogMapping)
    assert list(mapping_of(maven).attributes) == ["product", "list_price"]


@needs_data
def test_bpic_mapping_covers_every_event() -> None:
    frame = pytest.importorskip("pandas").read_parquet(DATA / "bpic2012" / "events.parquet")
    mapping = load_mapping(CONFIGS / "mappings" / "bpic2012.yaml", "event_log")
    assert isinstance(mapping, EventLogMapping)
    used = (mapping.case_id, mapping.activity, mapping.timestamp, mapping.lifecycle, mapping.resource, mapping.amount)
    assert set(used) <= set(frame.columns)
    events = sorted(set(zip(frame[mapping.activity], frame[mapping.lifecycle], strict=True)))
    assert [event for event in events if not mapping.covers(*event)] == []
    for rule in (*mapping.activities, *mapping.ignore):
        assert any(rule.matches(*event) for event in events), f"{rule.event} names no event"
    assert not any(mapping.ignores(*event) and mapping.activity_of(*event) for event in events)


@needs_data
def test_maven_mapping_names_what_is_there() -> None:
    mapping = load_mapping(CONFIGS / "mappings" / "maven.yaml", "files")
    assert isinstance(mapping, FilesMapping)
    for part in (part for parts in mapping.tables.values() for part in parts):
        with gzip.open(DATA / "maven_crm" / part.file, "rt", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert {*part.columns.values(), *part.require, *part.where, *part.date_format} <= set(rows[0])
        assert "account" not in part.columns.values()  # empty for open deals only: it tells the outcome
        for column, table in part.values.items():
            if column == "list_price":
                assert {row[part.columns[column]] for row in rows} <= set(table)
    stages = mapping.stages
    known = {*stages.order, *stages.won, *stages.lost}
    with gzip.open(DATA / "maven_crm" / "sales_pipeline.csv.gz", "rt", encoding="utf-8") as file:
        assert {row["deal_stage"] for row in csv.DictReader(file)} == known


def test_words_ignore_case_spaces_and_dashes() -> None:
    mapping = load_mapping(CONFIGS / "mappings" / "canonical.yaml", "files")
    for word in ("best_case", "Best Case", "BestCase", " best-case "):
        assert mapping.categories.of(word) is ForecastCategory.BEST_CASE
    assert mapping.categories.of("Upside") is None
    assert mapping.activity_kinds.of("EMAIL") is ActivityKind.EMAIL


def test_the_first_activity_rule_counts() -> None:
    rules = [
        {"event": "W_Call", "lifecycle": ["SCHEDULE"], "kind": "call", "direction": "outbound", "outcome": "planned"},
        {"event": "W_*", "kind": "meeting", "direction": "mutual"},
    ]
    stages = {"order": ["A"], "won": ["W"], "lost": ["L"]}
    mapping = EventLogMapping.model_validate(
        {"stages": stages, "case_id": "c", "activity": "a", "timestamp": "t", "activities": rules}
    )
    planned, done = mapping.activity_of("W_Call", "SCHEDULE"), mapping.activity_of("W_Call", "COMPLETE")
    assert planned is not None
    assert done is not None
    assert (planned.outcome, done.kind, done.direction) == ("planned", ActivityKind.MEETING, Direction.MUTUAL)
    assert mapping.activity_of("w_call", None) is None
    assert mapping.moves_stage("A", None)
    assert mapping.moves_stage("A", "COMPLETE")
    assert not mapping.moves_stage("A", "START")
    assert mapping.covers("L", "COMPLETE")
    assert not mapping.covers("X", None)
