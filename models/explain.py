"""Reasons: exact contributions of the shipped model in log-odds, told in plain sentences beside what is usual.

``baseline + the reasons + other = the log-odds of the served probability``. Tree terms are LightGBM's own exact SHAP
values (the shap library is the test oracle), offset terms are those of the ridge; both are scaled by the calibration's
slope. A reason says what goes with a score, never what causes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from configs.subject import DEALS, LEADS, Subject
from features.build import FeatureMatrix
from features.registry import Plan
from models.base import Bool, Float, Int, sigmoid
from models.close import CloseModel
from models.linear import TABLE
from models.profile import Profile

SHOWN = 3  # reasons that raise, and as many that lower
FLOOR = 0.02  # log-odds that move no probability by more than half a point, which the score rounds off: to `other`
ALIKE = {
    DEALS: "deals in this stage with this much time were won",
    LEADS: "leads with this status at this age converted",
}
"""Those that the table of rates takes a row for; a served sentence stays as it is, see `serving.replay`."""
WORDS = ((0.6, "much"), (0.2, "clearly"), (0.0, "slightly"))
EXACT = 1e-6  # log-odds by which what is told may miss what was served


@dataclass(frozen=True)
class Reason:
    """One term. log_odds: signed contribution. value, usual: None where not known or not of one feature."""

    factor: str
    log_odds: float
    value: float | None
    usual: float | None
    sentence: str


@dataclass(frozen=True)
class Terms:
    """What n log-odds are made of. base + the columns of phi = the log-odds; so do base + the columns of strength.

    names: columns of phi, float64[n, k]: the table of rates and the features. factors: columns of strength,
    float64[n, f]: features that say much the same, added up. members: the columns of phi of each factor.
    """

    names: tuple[str, ...]
    phi: Float
    base: Float
    factors: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    strength: Float


def terms_of(model: CloseModel, plan: Plan, matrix: FeatureMatrix) -> Terms:
    """Return the terms of every row of a matrix."""
    names, phi, base = model.contributions(matrix)
    members = tuple(plan.factors.values())
    strength = np.stack([added(phi, which) for which in members], axis=1)
    return Terms(names, phi, base, tuple(plan.factors), members, strength)


def added(columns: Float, which: Sequence[int]) -> Float:
    """Add columns up one by one, float64[n]: NumPy's own sum takes another order for one row than for many."""
    running = columns[:, which].cumsum(axis=1)
    return running[:, -1] + 0.0 if len(which) else np.zeros(len(columns))  # a sum of zeros has no sign


def explain(model: CloseModel, plan: Plan, profile: Profile, matrix: FeatureMatrix) -> list[list[Reason]]:
    """Return for each row: the baseline, up to 3 raising and 3 lowering factors (strongest first), and `other`."""
    terms = terms_of(model, plan, matrix)
    strength, leads, place = terms.strength.tolist(), _leads(terms).tolist(), _shown(terms.strength)
    rest = added(np.where(_marked(place, len(terms.factors)), 0.0, terms.strength), range(len(terms.factors))).tolist()
    told = Telling(plan, profile, model, matrix)
    chance = sigmoid(terms.base).tolist()
    out = []
    for i, (base, chosen) in enumerate(zip(terms.base.tolist(), place.tolist(), strict=True)):
        said = f"a {told.subject.one} with nothing unusual about it stands at {chance[i]:.0%}"
        reasons = [Reason("baseline", base, None, None, said)]
        for k in chosen:
            if k >= 0:
                reasons.append(told.reason(i, terms.factors[k], terms.names[leads[i][k]], strength[i][k]))
        reasons.append(Reason("other", rest[i], None, None, f"everything else together{goes_with(rest[i])}"))
        out.append(reasons)
    return out


def off_by(reasons: Sequence[Reason], log_odds: float) -> float:
    """Return by how much the reasons of a score miss its log-odds; more than `EXACT` is a fault of ours."""
    return abs(sum(reason.log_odds for reason in reasons) - log_odds)


def _leads(terms: Terms) -> Int:
    """Return the column of phi that says most in each factor's own direction: its sentence speaks for the factor."""
    leads = np.empty(terms.strength.shape, dtype=np.int64)
    way = np.where(terms.strength > 0, 1.0, -1.0)
    for k, members in enumerate(terms.members):
        most = (terms.phi[:, members] * way[:, k : k + 1]).argmax(axis=1)
        leads[:, k] = np.array(members)[most]
    return leads


def _shown(strength: Float) -> Int:
    """Return the factors that are told, int64[n, 6]: raising ones, then lowering ones, strongest first; -1: none."""
    ways = np.stack([strength, -strength], axis=1)
    order = (-ways).argsort(axis=2, kind="stable")[:, :, :SHOWN]
    told = np.where(np.take_along_axis(ways, order, axis=2) >= FLOOR, order, -1)
    return told.reshape(len(told), 2 * order.shape[2])


def _marked(place: Int, count: int) -> Bool:
    """Return bool[n, count]: the factors among those told."""
    marked = np.zeros((len(place), count + 1), dtype=bool)
    np.put_along_axis(marked, place, True, axis=1)  # -1 marks the spare last column
    return marked[:, :count]


class Telling:
    """Makes the sentences of the rows of one matrix."""

    def __init__(self, plan: Plan, profile: Profile, model: CloseModel, matrix: FeatureMatrix) -> None:
        self.subject = Subject.of(plan.context.schema.target)
        self._features, self._rate, self._model, self._matrix = plan.features, profile.rate, model, matrix
        self._usual = profile.usual(matrix)

    @cached_property
    def _rates(self) -> Float:
        """What the table of rates says of each row, float64[n]; looked up where a sentence speaks of it."""
        return self._model.table.predict(self._matrix)

    def reason(self, row: int, factor: str, lead: str, strength: float) -> Reason:
        """Tell one factor of one row by its leading column."""
        value, usual, said = self.sentence(row, lead)
        return Reason(factor, strength, known(value), known(usual), said + goes_with(strength))

    def sentence(self, row: int, name: str) -> tuple[float, float, str]:
        """Return the value of a column of phi, the usual value and the sentence of both; NaN where not known."""
        if name == TABLE:
            rate = float(self._rates[row])
            won = f"{ALIKE[self.subject]} {rate:.0%} of the time"
            return rate, self._rate, f"{won}; all {self.subject.many} {self._rate:.0%}"
        j = self._matrix.names.index(name)
        value, usual = float(self._matrix.values[row, j]), float(self._usual[row, j])
        return value, usual, self._features[j].sentence(value, usual)

    def value(self, name: str, value: float) -> str:
        """Return a value of a column of phi as its sentence shows it."""
        if name == TABLE:
            return f"{value:.0%}"
        return self._features[self._matrix.names.index(name)].told(value)


def known(value: float) -> float | None:
    """Return a value, None for NaN."""
    return value if value == value else None


def goes_with(strength: float) -> str:
    """Return the words for a contribution; never causal."""
    if abs(strength) < FLOOR:
        return ": makes no difference to the score"
    word = next(word for least, word in WORDS if abs(strength) >= least)
    return f": goes with a {word} {'higher' if strength > 0 else 'lower'} score"
