"""Reasons: exact contributions of the shipped model in log-odds, told in plain sentences beside what is usual.

``baseline + the reasons + other = the log-odds of the served probability``. Tree terms are LightGBM's own exact SHAP
values (the shap library is the test oracle), offset terms are those of the ridge; both are scaled by the calibration's
slope. A reason says what goes with a score, never what causes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.build import FeatureMatrix
from features.registry import Plan
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
    names, phi, base = model.contributions(matrix)
    told = _Told(plan, profile.rate, model.table.predict(matrix), matrix, profile.usual(matrix))
    groups = _groups(names, plan)
    strength = np.stack([_added(phi, members) for members in groups.values()], axis=1)
    factors = list(groups)
    out = []
    for i in range(len(phi)):
        chosen = _chosen(strength[i])
        reasons = [_baseline(float(base[i]))]
        for k in chosen:
            lead = _lead(phi[i], groups[factors[k]], float(strength[i, k]))
            reasons.append(told.reason(i, factors[k], names[lead], float(strength[i, k])))
        rest = float(phi[i].sum() - strength[i, chosen].sum())
        reasons.append(Reason("other", rest, None, None, f"everything else together{goes_with(rest)}"))
        out.append(reasons)
    return out


def _added(phi: Float, members: list[int]) -> Float:
    """Add columns up one by one: NumPy's own sum takes another order for one row than for many."""
    total = np.zeros(len(phi))
    for j in members:
        total += phi[:, j]
    return total


def _groups(names: tuple[str, ...], plan: Plan) -> dict[str, list[int]]:
    """Return the columns of each factor. Features that say much the same share one."""
    factor = {feature.name: feature.factor or feature.name for feature in plan.features}
    groups: dict[str, list[int]] = {}
    for j, name in enumerate(names):
        groups.setdefault(factor.get(name, name), []).append(j)
    return groups


def _lead(phi: Float, members: list[int], strength: float) -> int:
    """Return the member that says most in the factor's own direction: its sentence speaks for the factor."""
    return max(members, key=lambda j: float(phi[j]) if strength > 0 else -float(phi[j]))


def _chosen(strength: Float) -> list[int]:
    order = np.argsort(-np.abs(strength), kind="stable")
    strong = [int(k) for k in order if abs(strength[k]) >= FLOOR]
    return [k for k in strong if strength[k] > 0][:SHOWN] + [k for k in strong if strength[k] < 0][:SHOWN]


@dataclass(frozen=True)
class _Told:
    """What sentences are made of, for the rows of one matrix."""

    plan: Plan
    rate: float
    rates: Float
    matrix: FeatureMatrix
    usual: Float

    def reason(self, row: int, factor: str, lead: str, strength: float) -> Reason:
        """Tell one factor of one row by its leading column."""
        if lead == TABLE:
            rate = float(self.rates[row])
            said = f"deals in this stage with this much time were won {rate:.0%} of the time; all deals {self.rate:.0%}"
            return Reason(factor, strength, rate, self.rate, said + goes_with(strength))
        j = self.matrix.names.index(lead)
        value, usual = self.matrix.values[row, j], self.usual[row, j]
        said = self.plan.features[j].sentence(value, usual) + goes_with(strength)
        return Reason(factor, strength, _known(value), _known(usual), said)


def _baseline(base: float) -> Reason:
    chance = float(sigmoid(np.array([base]))[0])
    return Reason("baseline", base, None, None, f"a deal with nothing unusual about it stands at {chance:.0%}")


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def goes_with(strength: float) -> str:
    """Return the words for a contribution; never causal."""
    if abs(strength) < FLOOR:
        return ": makes no difference to the score"
    word = next(word for least, word in WORDS if abs(strength) >= least)
    return f": goes with a {word} {'higher' if strength > 0 else 'lower'} score"
