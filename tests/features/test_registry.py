"""The registry: a feature tells itself, a plan fixes what columns mean, and mistakes are refused."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import numpy as np
import pytest

from configs.errors import ConfigError
from features.asof import AsOfView
from features.build import ALWAYS, GROUP_MODULES, build_features, plan_features
from features.registry import GROUPS, Columns, Context, Feature, Schema, feature_group
from tests.tiny import asked, company, record

CONTEXT = Context(Schema("in_period"), 20.0)


def test_sentence_formats_value_and_usual() -> None:
    feature = Feature("a_b", "days", "{value} days; usually {usual}", style=".1f")
    assert feature.sentence(2.25, 3.0) == "2.2 days; usually 3.0"
    assert feature.sentence(2.0, nan) == "2.0 days; usually not known"


def test_a_missing_value_has_a_sentence_of_its_own() -> None:
    plain = Feature("days_since_push", "days", "{value}", missing="never pushed")
    assert plain.sentence(nan, 1.0) == "days since push: not known (never pushed)"
    assert replace(plain, unknown="never moved out").sentence(nan, 1.0) == "never moved out"


def test_columns_stand_in_the_order_of_the_groups() -> None:
    plan = plan_features(CONTEXT, ("clock", "deal"))
    assert plan.groups == ("deal", "clock")
    assert plan.names[0] == "stage_rank"
    assert plan.names[-1] == "close_date_at_period_end"


def test_dropped_features_are_gone() -> None:
    plan = plan_features(CONTEXT, drop=("pushes",))
    assert "pushes" not in plan.names
    assert len(plan.names) == len(plan_features(CONTEXT).names) - 1


def test_an_eventual_head_has_no_period() -> None:
    names = plan_features(Context(Schema("eventual"), 20.0)).names
    assert not {"days_left", "period_share", "close_date_in_period", "rep_close_share"} & set(names)


@pytest.mark.parametrize(
    ("groups", "drop", "says"),
    [
        (("deal", "clocks"), (), "unknown feature group 'clocks'"),
        (GROUP_MODULES, ("pushs",), "'pushs'"),
        (("deal", "clock"), ("pushes",), "'pushes'"),
        (("deal",), (), "'days_left'"),
        (GROUP_MODULES, ("stage_rank",), "'stage_rank'"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(groups: tuple[str, ...], drop: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        plan_features(CONTEXT, groups, drop)


@pytest.mark.parametrize("numbers", [("days_open",), ("seats", "seats_log")])
def test_an_attribute_with_the_name_of_a_feature_is_refused(numbers: tuple[str, ...]) -> None:
    """One would be told as the other."""
    with pytest.raises(ConfigError, match=f"two features are called '{numbers[-1]}'.*give it another one"):
        plan_features(Context(Schema("converted", (), numbers), 20.0), ("lead",))


@pytest.mark.parametrize("target", ALWAYS)
def test_what_the_table_is_made_of_is_always_there(target: str) -> None:
    groups = ("lead",) if target == "converted" else ("deal", "clock")
    plan = plan_features(Context(Schema(target), 20.0), groups)
    assert set(ALWAYS[target]) <= set(plan.names)


def test_the_fingerprint_changes_with_whatever_gives_columns_meaning() -> None:
    plain = plan_features(CONTEXT)
    others = [
        plan_features(Context(Schema("in_period"), 21.0)),
        plan_features(Context(Schema("in_period", ("type",)), 20.0)),
        plan_features(Context(Schema("eventual"), 20.0)),
        plan_features(CONTEXT, ("deal", "clock")),
        plan_features(CONTEXT, drop=("pushes",)),
        replace(plain, features=(replace(plain.features[0], says="told otherwise"), *plain.features[1:])),
    ]
    prints = [plan.fingerprint() for plan in (plain, *others)]
    assert len(set(prints)) == len(prints)
    assert plan_features(CONTEXT).fingerprint() == plain.fingerprint()


def test_a_feature_without_a_source_has_that_of_its_group() -> None:
    own = Feature("a", "days", "{value}", source="a paper")

    def specs(schema: Schema) -> tuple[Feature, ...]:
        return (own, replace(own, name=f"b_{schema.target}", source=""))

    feature_group("again", specs, source="an article")(lambda view, context: {})
    found = GROUPS.pop("again").specs(Schema("eventual"))
    assert [(f.name, f.source) for f in found] == [("a", "a paper"), ("b_eventual", "an article")]


def test_the_fingerprint_does_not_change_with_whose_definition_it_is() -> None:
    plain = plan_features(CONTEXT)
    cited = replace(plain, features=tuple(replace(f, source="somebody") for f in plain.features))
    assert cited.fingerprint() == plain.fingerprint()


def test_members_are_the_features_by_group() -> None:
    plan = plan_features(CONTEXT, ("clock", "deal"), drop=("amount_cuts",))
    assert list(plan.members()) == ["deal", "clock"]
    assert sum(plan.members().values(), ()) == plan.names
    assert "amount_cuts" not in plan.members()["deal"]


def test_only_some_features() -> None:
    plan = plan_features(CONTEXT).only(("days_left", "stage_rank"))
    assert plan.names == ("stage_rank", "days_left")


def test_a_group_name_can_be_taken_once() -> None:
    def elsewhere(view: AsOfView, context: Context) -> Columns:
        return {}

    plan_features(CONTEXT)  # loads the groups
    with pytest.raises(ValueError, match="registered twice"):
        feature_group("deal", ())(elsewhere)


def test_a_group_that_gives_other_columns_than_it_declares_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_features(CONTEXT)
    made = record(company(deals=[{"deal_id": "D", "created_at": "2024-01-10"}]))
    forgetful = replace(GROUPS["deal"], compute=lambda view, context: {"stage_rank": np.zeros(len(view))})
    monkeypatch.setitem(GROUPS, "deal", forgetful)
    with pytest.raises(ValueError, match=r"group 'deal' gave .*log_amount"):
        build_features(made, asked(made, ("D", "2024-02-01")), plan)


def test_no_requests_no_rows() -> None:
    made = record(company(deals=[{"deal_id": "D", "created_at": "2024-01-10"}]))
    plan = plan_features(CONTEXT)
    matrix = build_features(made, asked(made, ("D", "2024-02-01")).take(slice(0, 0)), plan)
    assert matrix.values.shape == (0, len(plan.names))
