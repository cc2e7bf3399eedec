"""The heads that follow P(a lead converts): whether its deal is won, what it is worth then, and so what the lead is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from features.build import FeatureMatrix
from models.base import Float
from models.close import CloseModel


@dataclass(frozen=True)
class LeadValue:
    """float64[n] each, NaN where it can't be told. p_won: P(its deal is won in time). amount: E[amount | won], in
    currency. value: their product.
    """

    p_won: Float
    amount: Float
    value: Float


@dataclass(frozen=True)
class LeadHeads:
    """opportunity: P(its deal is won in time | it converts). direct: the same without the condition, told directly.

    amount: E[amount | won]. ships: which of the two p_won is from. None: the data had too little for that head.
    """

    opportunity: CloseModel | None
    direct: CloseModel | None
    amount: float | None
    ships: Literal["product", "direct"]

    def told(self, matrix: FeatureMatrix, p_convert: Float) -> LeadValue:
        """Return what leads may be worth. p_convert: float64[n], of the rows of the matrix."""
        head = self.opportunity if self.ships == "product" else self.direct
        p_won = np.full(len(p_convert), np.nan) if head is None else head.predict(matrix)
        if self.ships == "product":
            p_won = p_won * p_convert
        amount = np.full(len(p_won), np.nan if self.amount is None else self.amount)
        return LeadValue(p_won, amount, p_won * amount)
