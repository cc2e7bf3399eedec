"""Reasons: exact contributions of the shipped model in log-odds, told in plain sentences beside what is usual.

``baseline + the reasons + other = the log-odds of the served probability``. Tree terms are LightGBM's own exact SHAP
values (the shap library is the test oracle), offset terms are those of the ridge; both are scaled by the calibration's
slope. A reason says what goes with a score, never what causes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.build import FeatureMatrix
from features.registry import Feature, Plan
from models.base import Float, sigmoid
from models.close import CloseModel
from models.linear import TABLE
from models.profile import Profile

SHOWN = 3  # reasons that raise, and as many that lower
FLOOR = 0.02  # log-odds below which a factor is noise and goes to `other`
WORDS = ((0.6, "much"), (0.2, "clearly"), (0.0, "slightly"))


@dataclass(frozen=True)
class Reason:
    """One term. log_odds: signed contribution. value, usual: None where not known or not of one feature."""

    factor: str
    log_odds: float
    value: float | None
    usual: float | None
    sentence: str


def explain(model: CloseModel, plan: Plan, profile: Profile, matrix: FeatureMatrix) -> list[list[Reason]]:
    """Return for each row: the baseline, up to 3 raising and 3 lowering factors (strongest first), and `other`."""
    factors, phi, base = model.contributions(matrix)
    usual = profile.usual(matrix)
    rates = model.table.predict(matrix)
    features = {feature.name: feature for feature in plan.features}
    place = {name: j for j, name in enumerate(matrix.names)}
    out = []
    for i in range(len(phi)):
        chosen = _chosen(phi[i])
        reasons = [_baseline(float(base[i]))]
        for j in chosen:
            name, strength = factors[j], float(phi[i, j])
            if name == TABLE:
                reasons.append(_table_reason(strength, float(rates[i]), profile.rate))
            else:
                k = place[name]
                reasons.append(_feature_reason(features[name], strength, matrix.values[i, k], usual[i, k]))
        rest = float(phi[i].sum() - phi[i, chosen].sum())
        reasons.append(Reason("other", rest, None, None, f"everything else together{goes_with(rest)}"))
        out.append(reasons)
    return out


def _chosen(phi: Float) -> list[int]:
    order = np.argsort(-np.abs(phi), kind="stable")
    strong = [int(j) for j in order if abs(phi[j]) >= FLOOR]
    return [j for j in strong if phi[j] > 0][:SHOWN] + [j for j in strong if phi[j] < 0][:SHOWN]


def _baseline(base: float) -> Reason:
    chance = float(sigmoid(np.array([base]))[0])
    return Reason("baseline", base, None, None, f"a deal with nothing unusual about it stands at {chance:.0%}")


def _table_reason(strength: float, rate: float, usual: float) -> Reason:
    said = f"deals in this stage with this much time were won {rate:.0%} of the time; all open deals {usual:.0%}"
    return Reason(TABLE, strength, rate, usual, said + goes_with(strength))


def _feature_reason(feature: Feature, strength: float, value: float, usual: float) -> Reason:
    said = feature.sentence(value, usual) + goes_with(strength)
    return Reason(feature.name, strength, _known(value), _known(usual), said)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def goes_with(strength: float) -> str:
    """Return the words for a contribution; never causal."""
    if abs(strength) < FLOOR:
        return ": makes no difference to the score"
    word = next(word for least, word in WORDS if abs(strength) >= least)
    return f": goes with a {word} {'higher' if strength > 0 else 'lower'} score"
