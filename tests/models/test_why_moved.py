"""Why a score moved: terms that add up to the change, the clock told apart from the stage, facts in plain words."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from features.between import Between, Change
from features.registry import Context, Feature, Plan, Schema
from features.tables import NAT
from models.base import Examples, Float, Frame
from models.calibrate import Affine
from models.close import CloseModel, CloseSettings, InnerFold, fit_close
from models.explain import FLOOR, explain
from models.linear import TABLE
from models.moved_facts import ACTS, facts_of
from models.profile import Profile, profile_of
from models.trees import TreeSettings
from models.why_moved import BASELINE, OTHER, STAGE, TIME, Move, went, why_moved
from tests.models.planted import STAGES, matrix, planted

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
JUNE, SEPTEMBER = date(2024, 6, 30), date(2024, 9, 30)
SAME = (JUNE, JUNE)


@pytest.fixture(scope="module", params=["ridge", "table"])
def fitted(request: pytest.FixtureRequest) -> tuple[CloseModel, Profile, Examples]:
    rows, _ = planted(4000, gaps=0.1)
    trees = TreeSettings(8, 30, 0.1, 0.6, 0.8, 2.0, 10.0, 1, (0, 0, 1, -1, 0))
    settings = CloseSettings((trees,), request.param, "none", 60, (7, 8))
    row = np.arange(len(rows))
    model, _ = fit_close(rows, Frame("in_period", STAGES), settings, [InnerFold(row < 2000, row >= 2000)])
    assert model.trees is not None
    return replace(model, calibration=Affine(0.1, 0.9)), profile_of(rows.matrix, rows.y, STAGES), rows


def moves(fitted: tuple[CloseModel, Profile, Examples], before: Float, after: Float, ends=SAME) -> list[list[Move]]:  # type: ignore[no-untyped-def]
    model, profile, _ = fitted
    return why_moved(model, PLAN, profile, matrix(before), matrix(after), [ends] * len(before))


def test_terms_add_up_to_the_change_of_the_log_odds(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    """Rows with gaps, with the stage unknown at one look or at both, and with both calibrated and blind answers."""
    model, _, rows = fitted
    before, after = rows.matrix.values[:300].copy(), rows.matrix.values[300:600].copy()
    before[:20, 0], after[10:30, 0] = np.nan, np.nan
    told = moves(fitted, before, after)
    change = model.logit(matrix(after)) - model.logit(matrix(before))
    np.testing.assert_allclose([sum(move.log_odds for move in each) for each in told], change, atol=1e-6)
    assert np.abs(change).max() > 1
    for each in told:
        shown = [abs(move.log_odds) for move in each[:-1]]
        assert each[-1].factor == OTHER
        assert shown == sorted(shown, reverse=True)
        assert min(shown, default=1.0) >= FLOOR
        assert len({move.factor for move in each}) == len(each)


def test_moves_are_the_differences_of_the_reasons(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    """Factor by factor; the stage and the time that is left are one in reasons and two here."""
    model, profile, _ = fitted
    before, after = np.array([[1.0, 60.0, 0.0, 20.0, 0.5]]), np.array([[2.0, 20.0, 3.0, 1.0, 0.5]])
    (told,) = moves(fitted, before, after)
    by = {move.factor: move.log_odds for move in told}
    looks = [
        {reason.factor: reason.log_odds for reason in explain(model, PLAN, profile, matrix(look))[0]}
        for look in (before, after)
    ]
    assert by[STAGE] + by.get(TIME, 0.0) == pytest.approx(looks[1][TABLE] - looks[0][TABLE], abs=FLOOR)
    shared = set(looks[0]) & set(looks[1]) & set(by) - {OTHER}
    assert shared >= {"meetings", "silence"}
    for factor in shared:
        assert by[factor] == pytest.approx(looks[1][factor] - looks[0][factor], abs=1e-9)


def test_nothing_moved_nothing_told(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    row = np.array([[1.0, 60.0, 0.0, 20.0, 0.5]])
    (told,) = moves(fitted, row, row)
    assert [(move.factor, move.log_odds) for move in told] == [(OTHER, 0.0)]
    assert told[0].sentence == "everything else together: the score stands where it was"


def test_the_clock_is_told_apart_from_the_stage(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    """Where only the clock ran nothing is put down to the stage, and the other way round."""
    base = np.array([[1.0, 60.0, 2.0, 5.0, 0.0]])
    later, advanced = base.copy(), base.copy()
    later[0, 1], advanced[0, 0] = 5.0, 2.0
    model = fitted[0]
    table = model.table.predict(matrix(np.vstack([base, later, advanced])))
    assert len(set(table.tolist())) > 1, "a test that can fail"
    (clock,), (stage,) = moves(fitted, base, later), moves(fitted, base, advanced)
    assert TIME not in {move.factor for move in stage}
    of_stage = next(move for move in stage if move.factor == STAGE)
    assert of_stage.log_odds > 0.2
    by_stage = sum(move.log_odds for move in clock if move.factor == STAGE)
    # SHAP values of the stage may lean on the clock; the table's own move is all of it the clock's.
    names, phi, _ = model.contributions(matrix(np.vstack([base, later])))
    lean = float((phi[1] - phi[0])[names.index("stage_rank")])
    assert by_stage == pytest.approx(lean if abs(lean) >= FLOOR else 0.0, abs=1e-9)


def test_another_period_is_said(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    before = np.array([[1.0, 2.0, 2.0, 5.0, 0.0]])
    after = np.array([[1.0, 88.0, 2.0, 5.0, 0.0]])
    (told,) = moves(fitted, before, after, (JUNE, SEPTEMBER))
    said = next(move for move in told if move.factor == TIME)
    assert said.sentence.startswith(
        "another period: before it was a win by 2024-06-30 that was scored, now one by 2024-09-30; "
    )
    (same,) = moves(fitted, before, before, (JUNE, SEPTEMBER))
    assert [move.factor for move in same] == [TIME, OTHER], "said even where it moves nothing"


def test_values_of_both_looks_stand_in_the_sentence(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    nan = np.nan
    (told,) = moves(fitted, np.array([[1.0, 60.0, nan, 1.0, 0.0]]), np.array([[1.0, 60.0, 4.0, 30.0, 0.0]]))
    by = {move.factor: move for move in told}
    assert by["silence"].sentence.startswith("30 silent days, usually ")
    assert "; before 1: the score went " in by["silence"].sentence
    assert (by["silence"].before, by["silence"].after) == (1.0, 30.0)
    assert "; before not known: the score went " in by["meetings"].sentence
    assert by["meetings"].before is None


def test_a_stage_that_is_lost_moves_the_baseline(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    (told,) = moves(fitted, np.array([[2.0, 60.0, 2.0, 5.0, 0.0]]), np.array([[np.nan, 60.0, 2.0, 5.0, 0.0]]))
    baseline = next(move for move in told if move.factor == BASELINE)
    assert "the stage is known at one of the two looks only" in baseline.sentence


def test_rows_that_do_not_pair_are_refused(fitted: tuple[CloseModel, Profile, Examples]) -> None:
    model, profile, rows = fitted
    two, one = matrix(rows.matrix.values[:2]), matrix(rows.matrix.values[:1])
    with pytest.raises(ValueError, match="expected as many of each"):
        why_moved(model, PLAN, profile, two, one, [SAME, SAME])


@pytest.mark.parametrize(
    ("by", "words"), [(0.7, "went much up"), (-0.3, "went clearly down"), (0.1, "went slightly up"), (0.0, "stands")]
)
def test_words(by: float, words: str) -> None:
    assert words in went(by)
    assert "because" not in went(by)


def test_facts_in_plain_words() -> None:
    days = 19_800  # 18 March 2024
    changes = (
        Change("stage", days, 0, 1),
        Change("stage", days, 1, 0),
        Change("stage", days, NAT, 2),
        Change("close_date", days, days + 30, days + 60),
        Change("close_date", days, days + 60, days + 59),
        Change("close_date", days, NAT, days + 59),
        Change("amount", days, 100_000, 250_050),
        Change("amount", days, NAT, 250_050),
        Change("category", days, 1, 3),
        Change("category", days, NAT, 2),
        Change("owner_word", days, 4, 5),
        Change("owner_word", days, NAT, 5),
        Change("next_step", days, 0, 1),
        Change("next_step", days, 1, 0),
    )
    found = facts_of(Between(changes, {"email_in": 1, "meeting_held": 2}, 3), ("Qualify", "Demo", "Propose"))
    assert [fact.sentence.removeprefix("18 March 2024: ") for fact in found] == [
        "stage from Qualify to Demo",
        "stage from Demo to Qualify, which is back",
        "stage set to Propose",
        "close date moved out by 30 days, to 17 May 2024",
        "close date moved in by 1 day, to 16 May 2024",
        "close date set to 16 May 2024",
        "amount from 1,000 to 2,500",
        "amount set to 2,500",
        "called commit instead of pipeline",
        "first called best case",
        "the deal changed hands",
        "an owner was set",
        "a next step was written down",
        "a next step was taken out",
        "1 mail of the buyer's",
        "2 meetings held",
        "3 people of the buyer's new on the deal",
    ]
    assert [(fact.what, fact.count) for fact in found[-3:]] == [("email_in", 1), ("meeting_held", 2), ("people", 3)]
    assert (found[6].before, found[6].after, found[6].day) == (1000.0, 2500.5, date(2024, 3, 18))


def test_every_kind_of_act_has_words() -> None:
    from features.between import COUNTED

    assert tuple(ACTS) == COUNTED
