"""Rates of leads: a value that was not told is missing, one that nobody has seen yet is ordinary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from configs.load import mapping_of
from features.asof import Requests
from features.build import build_features, plan_features
from features.record import Record, build_record
from features.registry import Context, Schema
from features.schema import schema_of, words_of
from features.sources.base import open_source
from features.tables import Coded, CrmTables
from models.base import Float
from tests.lead_world import lead_config, write_leads
from training.prepare import calendar_of


def lifts(record: Record, requests: Requests, context: Context) -> Float:
    plan = plan_features(context, ("lead", "lead_rates"), ())
    return build_features(record, requests, plan).column("source_lift")


def test_every_value_has_a_column_of_its_own_name() -> None:
    found = words_of("source", ["a b", "a-b", "A_B", "+", "source_is_x"], ["source_is_a_b_0", "source_is_source_is_x"])
    assert [word.value for word in found] == ["a b", "a-b", "A_B", "+", "source_is_x"]
    names = [word.column for word in found]
    assert names[:3] == ["source_is_a_b", "source_is_a_b_1", "source_is_a_b_2"]
    assert len({*names, "source_is_a_b_0", "source_is_source_is_x"}) == 7


def test_missing_is_missing_and_unheard_is_ordinary(tmp_path: Path) -> None:
    write_leads(tmp_path, n=400)
    config = lead_config(tmp_path)
    ingest = open_source(config).read()
    schema = replace(schema_of(ingest.tables, mapping_of(config), config.target), rated=("source",))
    whole = build_record(ingest.tables, ingest.stages, calendar_of(config), schema)
    source = ingest.tables.deals.coded("source")
    words = [*source.strings()]
    words[0], words[1] = None, "a new campaign"
    deals = ingest.tables.deals.replace({"source": type(source).of(words)})
    tables = CrmTables.of(ingest.tables.by_name() | {"deals": deals})
    record = build_record(tables, ingest.stages, calendar_of(config), schema, whole.reference)
    end = int(ingest.tables.deals.ints("known_at").max()) + 1
    asked = Requests(np.arange(3), np.full(3, end))
    told = lifts(record, asked, Context(schema, 20.0))
    assert np.isnan(told[0])
    assert told[1] == 0.0
    assert told[2] == lifts(whole, asked, Context(schema, 20.0))[2] != 0.0


def test_values_that_many_leads_have_get_columns_of_plain_names(tmp_path: Path) -> None:
    """The others do not, and only then a rate of the dimension is told."""
    write_leads(tmp_path, n=400)
    config = lead_config(tmp_path)
    tables = open_source(config).read().tables

    def schema(words: list[str | None]) -> Schema:
        deals = tables.deals.replace({"source": Coded.of(words)})
        return schema_of(CrmTables.of(tables.by_name() | {"deals": deals}), mapping_of(config), config.target)

    n = tables.deals.n
    many = schema([("Web / DE", "web-de", "<b>", None)[k % 4] for k in range(n)])
    named = [(word.column, word.value) for word in many.words if word.dimension == "source"]
    assert named == [("source_is_b", "<b>"), ("source_is_web_de", "Web / DE"), ("source_is_web_de_2", "web-de")]
    assert "source" not in many.rated
    few = schema([f"value {k}" for k in range(n)])
    assert not [word for word in few.words if word.dimension == "source"]
    assert "source" in few.rated
