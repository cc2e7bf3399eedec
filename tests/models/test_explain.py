"""Reasons: they add up to the served log-odds, are few, name the right things, and agree with the shap library."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.build import plan_features
from features.registry import Context, Feature, Plan, Schema
from models.base import Examples, Frame, sigmoid
from models.calibrate import Affine
from models.close import CloseModel, CloseSettings, InnerFold, fit_close
from models.explain import EXACT, FLOOR, SHOWN, Reason, explain, goes_with, off_by
from models.linear import TABLE
from models.profile import FEWEST, Profile, profile_of
from models.trees import TreeSettings
from tests.models.planted import NAMES, STAGES, matrix, planted

PLAN = Plan(
    Context(Schema("in_period"), 20.0),
    (),
    (
        Feature("stage_rank", "rank", "in stage {value}", missing="stage not known", factor=TABLE),
        Feature("days_left", "days", "{value} days left", factor=TABLE),
        Feature("meetings", "meetings", "{value} meetings, usually {usual}", missing="not recorded", sign=1),
        Feature("silence", "days", "{value} silent days, usually {usual}", unknown="never heard of", sign=-1),
        Feature("noise", "none", "noise {value}", style=".1f"),
    ),
)


@pytest.fixture(scope="module")
def fitted() -> tuple[CloseModel, Profile, Examples]:
    rows, _ = planted(6000, gaps=0.1)
    trees = TreeSettings(8, 30, 0.1, 0.6, 0.8, 2.0, 10.0, 1, (0, 0, 1, -1, 0))
    settings = CloseSettings((trees,), "ridge", "none", 150, (7, 8))
    row = np.arange(len(rows))
    model, _ = fit_close(rows, Frame("in_period", STAGES), settings, [InnerFold(row < 3000, row >= 3000)])
    assert model.trees is not None
    model = replace(model, calibration=Affine(0.1, 0.9))
    return model, profile_of(rows.matrix, rows.y, STAGES), rows


def some(rows: Examples, blind: int = 20) -> np.ndarray:
    values = rows.matrix.values[:400].copy()
    values[:blind, 0] = np.nan
    return values


def test_reasons_add_up_to_the_served_log_odds(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    model, profile, rows = fitted
    asked = matrix(some(rows))
    told = explain(model, PLAN, profile, asked)
    totals = [sum(reason.log_odds for reason in reasons) for reasons in told]
    np.testing.assert_allclose(totals, model.logit(asked), atol=1e-6)
    p = model.predict(asked)
    np.testing.assert_allclose(totals, np.log(p / (1 - p)), atol=1e-6)


def test_a_few_reasons_each_way_strongest_first(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    model, profile, rows = fitted
    for reasons in explain(model, PLAN, profile, matrix(some(rows))):
        assert [reasons[0].factor, reasons[-1].factor] == ["baseline", "other"]
        up = [reason.log_odds for reason in reasons[1:-1] if reason.log_odds > 0]
        down = [-reason.log_odds for reason in reasons[1:-1] if reason.log_odds < 0]
        for way in (up, down):
            assert len(way) <= SHOWN
            assert way == sorted(way, reverse=True)
            assert all(strength >= FLOOR for strength in way)
        names = [reason.factor for reason in reasons]
        assert len(set(names)) == len(names)


def test_other_is_weaker_than_what_is_shown(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    """Four factors: a fourth of the same direction goes to `other` though strong, but never before a stronger one."""
    model, profile, rows = fitted
    for reasons in explain(model, PLAN, profile, matrix(some(rows, blind=0))):
        shown = [abs(reason.log_odds) for reason in reasons[1:-1]]
        assert len(shown) >= SHOWN or abs(reasons[-1].log_odds) < FLOOR * (4 - len(shown))
        assert abs(reasons[-1].log_odds) <= min(shown) + FLOOR


def test_features_that_say_the_same_are_told_as_one(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    """Stage, time left and the table share a factor: its strength is their sum."""
    model, profile, rows = fitted
    asked = matrix(some(rows, blind=0))
    names, phi, _ = model.contributions(asked)
    together = phi[:, [names.index(name) for name in (TABLE, "stage_rank", "days_left")]].sum(axis=1)
    shown = 0
    for i, reasons in enumerate(explain(model, PLAN, profile, asked)):
        assert not {"stage_rank", "days_left"} & {reason.factor for reason in reasons}
        for reason in reasons:
            if reason.factor == TABLE:
                shown += 1
                assert reason.log_odds == pytest.approx(together[i], abs=1e-12)
    assert shown > 300


def test_features_are_told_by_eight_to_ten_factors() -> None:
    """Of every group; a company's own numbers, where it declares any, are one more."""
    for target in ("in_period", "eventual"):
        plan = plan_features(Context(Schema(target, ("type", "source", "industry")), 20.0))
        assert 8 <= len({feature.factor for feature in plan.features} | {TABLE}) <= 10
        assert all(feature.factor for feature in plan.features)
        own = plan_features(Context(Schema(target, ("type",), ("seats", "price")), 20.0))
        assert {f.factor for f in own.features} - {f.factor for f in plan.features} == {"attributes"}


def test_one_row_is_told_as_among_many(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    model, profile, rows = fitted
    values = some(rows)[:40]
    many = explain(model, PLAN, profile, matrix(values))
    assert [explain(model, PLAN, profile, matrix(values[i : i + 1]))[0] for i in range(len(values))] == many


def test_a_shown_factor_could_be_seen_in_the_score() -> None:
    """The floor is half a point at even odds, where a log-odds moves the probability most."""
    moved = float(sigmoid(np.array([FLOOR / 2]))[0] - sigmoid(np.array([-FLOOR / 2]))[0])
    assert moved == pytest.approx(0.005, abs=1e-6)


def test_reasons_that_miss_are_measured(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    model, profile, rows = fitted
    asked = matrix(some(rows))
    told = explain(model, PLAN, profile, asked)
    log_odds = model.logit(asked).tolist()
    assert max(off_by(reasons, odds) for reasons, odds in zip(told, log_odds, strict=True)) <= EXACT
    assert off_by(told[0], log_odds[0] + 0.5) == pytest.approx(0.5)
    assert off_by(told[0][:-2], log_odds[0]) > EXACT


def test_the_planted_reasons_are_found(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    model, profile, _ = fitted
    (reasons,) = explain(model, PLAN, profile, matrix(np.array([[1.0, 40.0, 0.0, 30.0, 0.0]])))
    told = {reason.factor: reason for reason in reasons}
    usual = profile.medians[1]
    assert told["silence"].log_odds < -0.6
    assert told["silence"].sentence == (f"30 silent days, usually {usual[3]:.0f}: goes with a much lower score")
    assert (told["silence"].value, told["silence"].usual) == (30.0, usual[3])
    assert told["meetings"].log_odds < -0.2


def test_a_missing_value_is_told_as_unknown(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    model, profile, _ = fitted
    nan = np.nan
    asked = matrix(np.array([[2.0, 40.0, nan, nan, 0.0], [2.0, 40.0, nan, nan, 0.0]]))
    told: dict[str, Reason] = {reason.factor: reason for reason in explain(model, PLAN, profile, asked)[1]}
    sentences = {"meetings": "meetings: not known (not recorded)", "silence": "never heard of"}
    for factor in {"meetings", "silence"} & set(told):
        assert told[factor].sentence.startswith(sentences[factor])
        assert told[factor].value is None


def test_a_blind_row_is_told_by_the_table_alone(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    model, profile, _ = fitted
    (reasons,) = explain(model, PLAN, profile, matrix(np.array([[np.nan, 3.0, 3.0, 1.0, 0.0]])))
    assert [reason.factor for reason in reasons] == ["baseline", TABLE, "other"]
    assert sigmoid(np.array([reasons[0].log_odds]))[0] == pytest.approx(model.table.overall, rel=1e-12)
    assert "were won" in reasons[1].sentence


def test_sentences_claim_no_cause(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    model, profile, rows = fitted
    for reasons in explain(model, PLAN, profile, matrix(some(rows))):
        for reason in reasons:
            assert not any(word in reason.sentence for word in ("because", "cause", "due to", "leads to", "%d"))


@pytest.mark.parametrize(
    ("strength", "words"),
    [
        (0.6, "a much higher"),
        (0.59, "a clearly higher"),
        (-0.2, "a clearly lower"),
        (-0.19, "a slightly lower"),
        (0.02, "a slightly higher"),
        (0.019, "no difference"),
    ],
)
def test_strength_in_words(strength: float, words: str) -> None:
    assert words in goes_with(strength)


def test_what_is_usual_is_the_median_of_the_stage_where_enough_was_seen() -> None:
    values = np.zeros((100, 5))
    values[:60, 0], values[60 : 60 + FEWEST - 1, 0], values[89:, 0] = 0, 1, np.nan
    values[:, 2] = np.arange(100)
    profile = profile_of(matrix(values), np.zeros(100), STAGES)
    asked = matrix(np.array([[0.0, 0, 0, 0, 0], [1.0, 0, 0, 0, 0], [np.nan, 0, 0, 0, 0], [7.0, 0, 0, 0, 0]]))
    assert profile.usual(asked)[:, 2].tolist() == [29.5, 49.5, 49.5, 49.5]


def test_a_column_without_values_has_no_usual() -> None:
    values = np.zeros((50, 5))
    values[:, 3] = np.nan
    profile = profile_of(matrix(values), np.zeros(50), STAGES)
    assert np.isnan(profile.usual(matrix(values))[:, 3]).all()


def test_contributions_of_the_trees_are_those_of_the_shap_library(
    fitted: tuple[CloseModel, Profile, Examples],
) -> None:
    pytest.importorskip("training.plotting", reason="the report's libraries are not here")  # keeps shap's out of home
    shap = pytest.importorskip("shap", reason="shap has no build here")
    model, _, rows = fitted
    assert model.trees is not None
    asked = matrix(some(rows))
    oracle = shap.TreeExplainer(model.trees.booster)(asked.values)
    ours = model.trees.contributions(asked)
    np.testing.assert_allclose(ours[:, :-1], oracle.values, atol=1e-6)
    np.testing.assert_allclose(ours[:, -1], oracle.base_values, atol=1e-6)
    assert model.names == NAMES
