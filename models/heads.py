"""All heads of a model asked at once: the close head, and from its probability the outlook; the amount beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.build import FeatureMatrix
from features.told import Told
from models.amount import AmountModel
from models.base import Bool, Float, sigmoid
from models.close import CloseModel
from models.ladder import TABLE_RUNG
from models.leads import LeadHeads, LeadValue
from models.timing import Outlook, TimingModel


@dataclass(frozen=True)
class Prediction:
    """What the heads say of n rows. log_odds, p: float64[n], of the close head. blind: bool[n], rows whose stage is not
    known, which its table of rates answers. outlook, amount (float64[n], currency): None where that head is absent, or
    was not asked.
    """

    log_odds: Float
    p: Float
    blind: Bool
    outlook: Outlook | None
    amount: Float | None
    leads: LeadValue | None = None

    def take(self, rows: slice) -> Prediction:
        """Return some of the rows."""
        outlook = None if self.outlook is None else self.outlook.take(rows)
        amount = None if self.amount is None else self.amount[rows]
        leads = None if self.leads is None else self.leads.take(rows)
        return Prediction(self.log_odds[rows], self.p[rows], self.blind[rows], outlook, amount, leads)


@dataclass(frozen=True)
class Heads:
    """The heads of one model. timing, amount: None where the data had too little for them, of leads, or in an older
    bundle. leads: what a lead is worth; None for deals and where the data had too little.

    horizon_days: that p_won, p_lost and p_open hold at.
    """

    close: CloseModel
    timing: TimingModel | None
    amount: AmountModel | None
    horizon_days: int
    leads: LeadHeads | None = None

    def predict(self, matrix: FeatureMatrix, told: Told | None) -> Prediction:
        """Return what every head says of each row; the same bits for one row and many.

        told: None where the features are all that is known; then the close head alone is asked.
        """
        log_odds = self.close.logit(matrix)
        p = sigmoid(log_odds)
        outlook = amount = None
        if told is not None and self.timing is not None:
            outlook = self.timing.outlook(matrix, p, told.period_days, told.close_days, self.horizon_days)
        if told is not None and self.amount is not None:
            amount = self.amount.predict(matrix, told)
        leads = None if self.leads is None else self.leads.told(matrix, p)
        return Prediction(log_odds, p, self.close.blind(matrix), outlook, amount, leads)

    def names(self) -> list[str]:
        """Return which heads there are."""
        return ["close", *(name for name in ("timing", "amount", "leads") if getattr(self, name) is not None)]

    def rungs(self, blind: Bool) -> list[str]:
        """Return which rung of the cold-start ladder answers each row: "table", "ridge" or "trees"."""
        return np.where(blind, TABLE_RUNG, self.close.rung).tolist()  # type: ignore[no-any-return]
