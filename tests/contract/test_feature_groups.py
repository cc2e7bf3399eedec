"""What every registered feature group owes: the columns it declares, told in words, and nothing that hangs on an id."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from configs.load import mapping_of
from configs.schema import Config
from configs.vocab import LEAD_GROUPS
from features.asof import Requests
from features.build import GROUP_MODULES, load_groups
from features.record import Record, build_record
from features.registry import GROUPS, Columns, Context, Feature, Schema, group_features
from features.schema import schema_of
from features.sources.base import open_source
from features.stages import StageMap
from features.tables import TABLES, Coded, CrmTables, Table
from tests.companies import demo_config
from tests.lead_world import lead_config, write_leads
from training.prepare import calendar_of
from training.snapshots import weekly

load_groups()
TARGETS = ("in_period", "eventual", "converted")
SHRINK = 20.0
REQUESTS = 400


@dataclass(frozen=True)
class Company:
    """A small simulated company and some requests of it, by deal id."""

    tables: CrmTables
    stages: StageMap
    schema: Schema
    make: Callable[[CrmTables], Record]
    deals: tuple[str, ...]
    as_of: np.ndarray

    def columns(self, group: str, tables: CrmTables) -> Columns:
        """The group's columns over these tables."""
        made = self.make(tables)
        code = {deal: i for i, deal in enumerate(made.deal_ids.strings())}
        asked = Requests(np.array([code[deal] for deal in self.deals], dtype=np.int64), self.as_of)
        return GROUPS[group].compute(made.view(asked), Context(self.schema, SHRINK))


@pytest.fixture(scope="module")
def deals(tmp_path_factory: pytest.TempPathFactory) -> Company:
    return company_of(demo_config(tmp_path_factory.mktemp("state")))


@pytest.fixture(scope="module")
def leads(tmp_path_factory: pytest.TempPathFactory) -> Company:
    folder = tmp_path_factory.mktemp("leads")
    write_leads(folder, 400)
    return company_of(lead_config(folder))


@pytest.fixture
def company(group: str, request: pytest.FixtureRequest) -> Company:
    """Of deals, or of leads in their shape for the groups of leads."""
    found: Company = request.getfixturevalue("leads" if group in LEAD_GROUPS else "deals")
    return found


def company_of(config: Config) -> Company:
    ingest = open_source(config).read()
    schema = schema_of(ingest.tables, mapping_of(config), config.target)

    def make(tables: CrmTables) -> Record:
        return build_record(tables, ingest.stages, calendar_of(config), schema)

    made = make(ingest.tables)
    grid = weekly(made, int(made.deals.known_at.max()))
    some = grid.take(np.random.default_rng(5).choice(len(grid), REQUESTS, replace=False))
    deals = tuple(str(made.deal_ids.decode(int(deal))) for deal in some.deal)
    return Company(ingest.tables, ingest.stages, schema, make, deals, some.as_of)


def schemas() -> list[Schema]:
    more = [Schema(target, ("type", "source", "industry"), ("seats",)) for target in TARGETS]
    return [Schema(target) for target in TARGETS] + more


def every_feature() -> list[tuple[str, Feature]]:
    schema = Schema("in_period", ("type", "industry"), ("seats",))
    return [(name, feature) for name, group in GROUPS.items() for feature in group.specs(schema)]


def label(value: object) -> str:
    return value.name if isinstance(value, Feature) else str(value)


@pytest.mark.parametrize("group", GROUP_MODULES)
def test_columns_are_those_declared(company: Company, group: str) -> None:
    columns = company.columns(group, company.tables)
    assert list(columns) == [feature.name for feature in GROUPS[group].specs(company.schema)]
    for name, values in columns.items():
        assert values.shape == (REQUESTS,), name
        assert values.dtype == np.float64, name
        assert not np.isinf(values).any(), name


@pytest.mark.parametrize("group", GROUP_MODULES)
def test_a_feature_that_is_never_missing_never_is(company: Company, group: str) -> None:
    columns = company.columns(group, company.tables)
    for feature in GROUPS[group].specs(company.schema):
        if feature.missing == "never":
            assert not np.isnan(columns[feature.name]).any(), feature.name


def test_every_module_registers_its_group() -> None:
    assert set(GROUP_MODULES) == set(GROUPS)


@pytest.mark.parametrize("schema", schemas(), ids=lambda s: f"{s.target}-{len(s.dimensions)}")
def test_names_are_unique_across_groups(schema: Schema) -> None:
    listed = group_features(GROUP_MODULES, Context(schema, SHRINK))
    names = [feature.name for features in listed.values() for feature in features]
    assert names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("group", "feature"), every_feature(), ids=label)
def test_a_feature_says_what_it_is(group: str, feature: Feature) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", feature.name)
    assert feature.unit
    assert feature.missing
    assert feature.source.strip(), "say whose definition it is: OWN, a CRM's object, an article, a paper"
    assert feature.sign in (-1, 0, 1)
    assert feature.targets
    assert set(feature.targets) <= set(TARGETS)
    assert not feature.unknown or feature.missing != "never"


@pytest.mark.parametrize(("group", "feature"), every_feature(), ids=label)
def test_a_feature_can_be_told(group: str, feature: Feature) -> None:
    """With a value, with no usual one, and with nothing known; never with a placeholder or `nan` left in."""
    assert "{value}" in feature.says or feature.unknown
    for value in (0.0, 1.0, -2.5, 1234.5, np.nan):
        for usual in (0.5, np.nan):
            said = feature.sentence(value, usual)
            assert said
            assert "nan" not in said.split()
            assert "{" not in said
            assert "because" not in said
    assert feature.sentence(3.0, 1.0) != feature.sentence(np.nan, 1.0)


@pytest.mark.parametrize("group", GROUP_MODULES)
def test_no_column_depends_on_ids(company: Company, group: str) -> None:
    """Deals, accounts, reps, managers, teams and contacts under other names, in another order: the same bits."""
    named_anew = anonymised(company.tables)
    other = replace(company, deals=tuple(anew(deal) for deal in company.deals))
    before, after = company.columns(group, company.tables), other.columns(group, named_anew)
    for name, values in before.items():
        assert values.tobytes() == after[name].tobytes(), name


@pytest.mark.parametrize("group", GROUP_MODULES)
def test_display_names_are_no_features(company: Company, group: str) -> None:
    tables = company.tables
    renamed = {
        name: getattr(tables, name).replace({"name": Coded.of(["same"] * getattr(tables, name).n)})
        for name in ("deals", "accounts", "reps")
    }
    before, after = company.columns(group, tables), company.columns(group, replace(tables, **renamed))
    assert all(values.tobytes() == after[name].tobytes() for name, values in before.items())


def anew(text: str) -> str:
    """Another name that sorts elsewhere."""
    return text[::-1] + "~"


def anonymised(tables: CrmTables) -> CrmTables:
    return CrmTables.of({name: _anonymised(table) for name, table in tables.by_name().items()})


def _anonymised(table: Table) -> Table:
    columns = {column.name for column in TABLES[table.name].columns if column.kind == "id"}
    if table.name == "reps":
        columns |= {"team", "territory"}
    renamed = {
        name: Coded.of([None if text is None else anew(text) for text in table.coded(name).strings()])
        for name in columns
    }
    return table.replace(renamed)


def test_the_renaming_renames(deals: Company) -> None:
    before, after = deals.tables.reps.coded("rep_id"), anonymised(deals.tables).reps.coded("rep_id")
    assert not set(before.values) & set(after.values)
    assert [anew(str(text)) for text in before.strings()] == after.strings()
