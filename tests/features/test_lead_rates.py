"""Rates of leads: a value that was not told is missing, one that nobody has seen yet is ordinary."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from configs.load import mapping_of
from features.asof import Requests
from features.build import build_features, plan_features
from features.record import Record, build_record
from features.registry import Context
from features.schema import schema_of
from features.sources.base import open_source
from features.tables import CrmTables
from models.base import Float
from tests.lead_world import lead_config, write_leads
from training.prepare import calendar_of


def lifts(record: Record, requests: Requests, context: Context) -> Float:
    plan = plan_features(context, ("lead", "lead_rates"), ())
    return build_features(record, requests, plan).column("source_lift")


def test_missing_is_missing_and_unheard_is_ordinary(tmp_path: Path) -> None:
    write_leads(tmp_path, n=400)
    config = lead_config(tmp_path)
    ingest = open_source(config).read()
    schema = schema_of(ingest.tables, mapping_of(config), config.target)
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
