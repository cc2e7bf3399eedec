"""Gates: a model that says more passes, one that says the same or cannot be judged does not."""

from __future__ import annotations

import numpy as np
import pytest

from configs.learning import Gates
from models.base import Float, sigmoid
from models.baselines import STAGE_TIME
from training.backtest import CLOSE, compare, skill
from training.backtest import Tested as Rows
from training.evaluate import Interval, scores
from training.gates import Verdict, judge, passed

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
    assert [verdict.passed for verdict in found] == [True, True, True]
    assert passed(found)
    assert found[0].value > 0.02
    assert found[1].value > 0.99


def test_a_model_that_is_the_baseline_does_not() -> None:
    y, p = world(1.0)
    found = verdicts(Gates(), y, p | {CLOSE: p[STAGE_TIME]})
    assert [verdict.passed for verdict in found] == [False, False, False]
    assert not passed(found)


def test_a_worse_model_does_not() -> None:
    y, p = world(1.0)
    assert not passed(verdicts(Gates(), y, {CLOSE: p[STAGE_TIME], STAGE_TIME: p[CLOSE]}))


def test_a_gain_in_the_level_alone_does_not_pass() -> None:
    """The same ranking at the right level wins log loss by following a drift; its AUC is no higher."""
    y, p = world(1.0)
    drifted = {CLOSE: p[STAGE_TIME], STAGE_TIME: sigmoid(np.log(p[STAGE_TIME] / (1 - p[STAGE_TIME])) + 1.0)}
    found = verdicts(Gates(), y, drifted)
    assert [verdict.passed for verdict in found] == [True, True, False]


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
    assert len(found) == 1
    assert passed(found)


def test_a_figure_that_is_not_a_number_never_passes() -> None:
    assert not passed([Verdict("gate", float("nan"), 0.0, True)])
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
    found = verdicts(Gates(), y, p | {"ridge": world(1.0)[1][CLOSE]})
    assert not passed(found)
    assert [verdict.gate for verdict in found if not verdict.passed] == ["share of bootstrap draws no worse than ridge"]
    assert passed(verdicts(Gates(), y, p | {"ridge": p[CLOSE]}))  # where no tree helped the model is the ridge
