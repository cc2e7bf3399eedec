"""Gates: a model that says more passes, one that says the same or cannot be judged does not."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from configs.learning import Gates, Range, SegmentGates
from models.base import Float, sigmoid
from models.baselines import STAGE_TIME
from training.backtest import CLOSE, compare, skill
from training.backtest import Tested as Rows
from training.clustered import Estimate, level, mean, slope
from training.evaluate import DealBootstrap, Interval, scores
from training.gates import COLD, Verdict, cold_start, judge, passed, reported, verdict_table, within
from training.segments import Segment

DRAWS = 200


def world(signal: float, n: int = 3000, seed: int = 1) -> tuple[Float, dict[str, Float]]:
    """Outcomes, the baseline that knows part of the truth, and a close model that knows `signal` of the rest."""
    rng = np.random.default_rng(seed)
    common, rest = rng.normal(size=(2, n))
    y = (rng.random(n) < sigmoid(common + rest - 1)).astype(np.float64)
    p = {CLOSE: sigmoid(common + signal * rest - 1), STAGE_TIME: sigmoid(0.9 * common - 0.85)}
    return y, p


def judged(y: Float, p: dict[str, Float]) -> Rows:
    """Test rows of one fold, three to a deal."""
    n = len(y)
    row = np.arange(n)
    return Rows((), row, y, row // 3, row * 1_000_000, np.zeros(n, dtype=np.int64), p, ())


def verdicts(gates: Gates, y: Float, p: dict[str, Float], draws: int = DRAWS) -> list[Verdict]:
    tested = judged(y, p)
    return judge(gates, compare(tested, draws, 7), y, p, tested.deal, draws, 7)


def test_a_model_that_says_more_passes() -> None:
    y, p = world(1.0)
    found = verdicts(Gates(), y, p)
    assert [verdict.passed for verdict in found] == [True] * 5
    assert passed(found)
    assert found[0].value > 0.02
    assert found[1].value > 0.99


def test_a_model_that_is_the_baseline_does_not() -> None:
    y, p = world(1.0)
    found = verdicts(Gates(), y, p | {CLOSE: p[STAGE_TIME]})
    assert [verdict.passed for verdict in found[:3]] == [False, False, False]
    assert not passed(found)


def test_a_worse_model_does_not() -> None:
    y, p = world(1.0)
    assert not passed(verdicts(Gates(), y, {CLOSE: p[STAGE_TIME], STAGE_TIME: p[CLOSE]}))


def test_a_gain_in_the_level_alone_does_not_pass() -> None:
    """The same ranking at the right level wins log loss by following a drift; its AUC is no higher."""
    y, p = world(1.0)
    drifted = {CLOSE: p[STAGE_TIME], STAGE_TIME: sigmoid(np.log(p[STAGE_TIME] / (1 - p[STAGE_TIME])) + 1.0)}
    found = verdicts(Gates(), y, drifted)
    assert [verdict.passed for verdict in found[:3]] == [True, True, False]


def test_a_gain_by_luck_does_not_pass() -> None:
    """Forty rows, a hair of signal: the point estimate may be above 0, but the draws are not sure."""
    y, p = world(0.05, n=40, seed=4)
    found = verdicts(Gates(confidence=0.99), y, p)
    assert not passed(found)


def test_min_gain_must_be_exceeded() -> None:
    y, p = world(1.0)
    gain = verdicts(Gates(), y, p)[0].value
    assert not passed(verdicts(Gates(min_gain=gain + 0.01), y, p))
    assert not verdicts(Gates(min_gain=gain), y, p)[0].passed  # strictly more


@pytest.mark.parametrize(("confidence", "draws"), [(0.0, DRAWS), (0.9, 0)])
def test_without_draws_or_confidence_the_point_estimate_decides_alone(confidence: float, draws: int) -> None:
    y, p = world(1.0)
    found = verdicts(Gates(confidence=confidence), y, p, draws)
    assert [verdict.gate for verdict in found[1:]] == ["calibration slope", "sum p / sum y"]
    assert passed(found)


def test_a_figure_that_is_not_a_number_never_passes() -> None:
    assert not passed([Verdict("gate", float("nan"), 0.0, True)])
    assert not passed([Verdict("gate", None, 0.0, True)])
    assert passed([reported("a figure to know", None), reported("another", float("nan"))])
    y, p = world(1.0)
    everything_lost = verdicts(Gates(), np.zeros_like(y), p)
    assert not passed(everything_lost)  # no AUC without a win


def test_a_gate_names_a_model_of_the_table() -> None:
    y, p = world(1.0)
    table = compare(judged(y, p), DRAWS, 7)
    assert [row.name for row in table] == [CLOSE, STAGE_TIME]
    assert table[0].gain is None
    assert isinstance(table[1].gain, Interval)
    loss = {name: scores(y, q, np.arange(len(y))).log_loss for name, q in p.items()}
    assert skill(table) == pytest.approx(1 - loss[CLOSE] / loss[STAGE_TIME], rel=1e-12)
    assert table[1].gain.value == pytest.approx(loss[STAGE_TIME] - loss[CLOSE], rel=1e-9)


def test_a_model_clearly_worse_than_another_baseline_does_not() -> None:
    y, p = world(0.5)
    found = verdicts(Gates(calibration_slope=Range(min=0.1, max=5)), y, p | {"ridge": world(1.0)[1][CLOSE]})
    assert not passed(found)
    assert [verdict.gate for verdict in found if not verdict.passed] == ["share of bootstrap draws no worse than ridge"]
    assert passed(verdicts(Gates(), y, p | {"ridge": p[CLOSE]}))  # where no tree helped the model is the ridge


# --- calibration -----------------------------------------------------------------------------------------------------


def by_gate(found: list[Verdict], gate: str) -> Verdict:
    return next(verdict for verdict in found if verdict.gate == gate)


def logit(p: Float) -> Float:
    return np.log(p / (1 - p))


@pytest.mark.parametrize(("factor", "good"), [(1.0, True), (2.0, False), (0.5, False)])
def test_log_odds_that_are_too_wide_or_too_narrow_are_refused(factor: float, good: bool) -> None:
    y, p = world(1.0)
    found = verdicts(Gates(), y, p | {CLOSE: sigmoid(factor * logit(p[CLOSE]))})
    told = by_gate(found, "calibration slope")
    assert told.passed is good
    assert told.value == pytest.approx(1 / factor, rel=0.12)  # the right slope of log-odds that were scaled
    assert (told.rule, told.threshold, told.upper) == ("within", 0.8, 1.25)


@pytest.mark.parametrize(("shift", "good"), [(0.0, True), (0.9, False), (-0.9, False)])
def test_a_wrong_level_is_refused(shift: float, good: bool) -> None:
    y, p = world(1.0)
    found = verdicts(Gates(), y, p | {CLOSE: sigmoid(logit(p[CLOSE]) + shift)})
    assert by_gate(found, "sum p / sum y").passed is good


def test_a_figure_that_is_not_clearly_outside_a_range_passes() -> None:
    allowed = Range(min=0.8, max=1.25)
    assert within("level", Estimate(1.4, 0.1, 1.2, 1.6), allowed).passed
    assert not within("level", Estimate(1.4, 0.05, 1.3, 1.5), allowed).passed
    assert not within("level", Estimate(0.5, 0.1, 0.3, 0.7), allowed).passed
    assert not within("level", Estimate(float("nan"), float("nan"), float("nan"), float("nan")), allowed).passed


def test_the_clustered_intervals_agree_with_draws_of_deals() -> None:
    """Whole deals are drawn again and the figures computed anew: the formulas must say the same, within 15 %."""
    rng = np.random.default_rng(3)
    deals, n = 400, 2400
    deal = np.repeat(np.arange(deals), n // deals)
    shared = np.repeat(rng.normal(size=deals), n // deals)  # rows of a deal go together
    x = rng.normal(size=n) + shared
    y = (rng.random(deals)[deal] < sigmoid(shared)).astype(np.float64)
    p = sigmoid(0.7 * x)
    draws = DealBootstrap.of(deal, 400, 1).draws
    drawn = [np.repeat(counts, n // deals) for counts in draws]
    values = p - y

    def again(weights: np.ndarray) -> tuple[float, float, float]:
        take = np.repeat(np.arange(n), weights)
        some = np.arange(len(take))
        return (
            float(values[take].mean()),
            level(y[take], p[take], some).value,
            slope(y[take], p[take], some).value,
        )

    spread = np.std([again(weights) for weights in drawn], axis=0)
    told = (mean(values, deal), level(y, p, deal), slope(y, p, deal))
    assert np.allclose([each.error for each in told], spread, rtol=0.15)
    assert all(each.low < each.value < each.high for each in told)
    assert again(np.ones(n, dtype=np.int64)) == pytest.approx([each.value for each in told])


def test_what_cannot_be_told_is_unknown() -> None:
    flat = np.full(6, 0.5)
    deal = np.arange(6)
    assert np.isnan(slope(np.ones(6), np.linspace(0.1, 0.9, 6), deal).value)
    assert np.isnan(slope(np.array([0.0, 1, 0, 1, 0, 1]), flat, deal).value)
    assert np.isnan(level(np.zeros(6), flat, deal).value)


def test_classes_that_are_apart_have_no_slope() -> None:
    y = np.repeat([0.0, 1.0], 50)
    assert np.isnan(slope(y, np.linspace(0.1, 0.9, 100), np.arange(100)).value)


# --- segments --------------------------------------------------------------------------------------------------------


def in_segments(gates: Gates, y: Float, p: dict[str, Float], mask: np.ndarray) -> list[Verdict]:
    tested = judged(y, p)
    segment = Segment("region north", mask, len(np.unique(tested.deal[mask])))
    found = judge(gates, compare(tested, 50, 7), y, p, tested.deal, 50, 7, segments=[segment])
    return [verdict for verdict in found if verdict.segment]


def test_a_segment_in_which_the_model_is_wrong_is_refused_by_name() -> None:
    y, p = world(1.0)
    north = np.arange(len(y)) < 900
    assert passed(in_segments(Gates(), y, p, north))
    astray = np.where(north, sigmoid(-logit(p[CLOSE])), p[CLOSE])
    found = in_segments(Gates(), y, p | {CLOSE: astray}, north)
    assert [verdict.passed for verdict in found if "log loss" in verdict.gate] == [False]
    assert found[0].gate.startswith("region north: ")
    high = np.where(north, sigmoid(logit(p[CLOSE]) + 3), p[CLOSE])
    assert not by_gate(in_segments(Gates(), y, p | {CLOSE: high}, north), "region north: sum p / sum y").passed


def test_a_segment_is_not_refused_for_what_may_be_luck() -> None:
    """Forty rows in which a model that says nothing more is a little worse: that is what noise does."""
    y, p = world(1.0)
    few = np.arange(len(y)) < 40
    rng = np.random.default_rng(5)
    close = sigmoid(logit(p[STAGE_TIME]) + 0.2 * rng.normal(size=len(y)))
    found = in_segments(Gates(segments=SegmentGates(confidence=0.99)), y, p | {CLOSE: close}, few)
    loss = next(verdict for verdict in found if "log loss" in verdict.gate)
    assert loss.passed
    assert loss.rule == "not_below"


# --- cold start and words --------------------------------------------------------------------------------------------


def test_the_table_rung_must_be_no_worse_than_the_constant() -> None:
    y, p = world(1.0)
    constant = {"constant": np.full(len(y), y.mean())}

    def cold(close: Float) -> list[Verdict]:
        both = {CLOSE: close, STAGE_TIME: p[STAGE_TIME], **constant}
        tested = judged(y, both)
        return judge(Gates(), compare(tested, 0, 7), y, both, tested.deal, 0, 7, rung="table", extra=[reported("x", 1)])

    found = cold(p[STAGE_TIME])  # it is that very table, which no rung could beat
    assert [verdict.gate for verdict in found] == ["cold start: log loss gained over constant, nats a row", "x"]
    assert passed(found)
    assert passed(cold(constant["constant"]))
    assert not passed(cold(sigmoid(-logit(p[STAGE_TIME]))))


def test_where_there_is_nothing_to_judge_on_the_verdict_says_so() -> None:
    assert passed([cold_start()])
    assert COLD in cold_start().line()
    assert "no period of the record can be tested" in cold_start().line()


def test_verdicts_are_readable_and_survive_json() -> None:
    y, p = world(1.0)
    found = [*verdicts(Gates(), y, p), reported("rank correlation", 0.5, "of 12 factors")]
    assert [Verdict.of(json.loads(json.dumps(asdict(verdict)))) for verdict in found] == found
    assert Verdict.of({"gate": "a", "value": 1.0, "threshold": 0.5, "passed": True}).rule == "above"  # of older reports
    lines = verdict_table(found).splitlines()
    assert lines[0].startswith("passed    log loss gained over stage_time_left, nats a row: +0.")
    assert lines[0].endswith("must exceed 0")
    assert lines[3].endswith("must lie within 0.8 and 1.25")
    assert lines[-1] == "reported  rank correlation: +0.5000 (of 12 factors)"
    assert Verdict("a gate", 0.1, 0.5, False).line() == "FAILED    a gate: +0.1000, must exceed 0.5"
