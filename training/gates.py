"""Gates: what a model must show before it may be promoted. Each is a value, a threshold and a verdict; all are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from configs.learning import Gates
from models.base import Float, Int
from training.backtest import CLOSE, Comparison
from training.evaluate import DealBootstrap, row_loss

EVEN = 1e-9  # log loss; a model that is the baseline itself is no worse than it


@dataclass(frozen=True)
class Verdict:
    """One gate: passed where `value` lies above `threshold`. Units are told in `gate`."""

    gate: str
    value: float
    threshold: float
    passed: bool


def judge(
    gates: Gates, table: list[Comparison], y: Float, p: dict[str, Float], deal: Int, draws: int, seed: int
) -> list[Verdict]:
    """Hold the close model's test rows against the gates of the config."""
    beaten = next(row for row in table if row.name == gates.beat)
    if beaten.gain is None:
        raise ValueError("the gate can't compare the close model with itself")
    gain = beaten.gain.value
    verdicts = [
        Verdict(f"log loss gained over {gates.beat}, nats a row", gain, gates.min_gain, gain > gates.min_gain),
    ]
    if gates.confidence and draws:
        bootstrap = DealBootstrap.of(deal, draws, seed)
        extra = row_loss(y, p[gates.beat]) - row_loss(y, p[CLOSE]) - gates.min_gain
        # Log loss can be won by following a drift of the overall rate; a model worth promoting also ranks better.
        ranks = bootstrap.auc_gain(y, p[CLOSE], p[gates.beat])
        shares = {"that gain": bootstrap.mean(extra).above, "a higher AUC": ranks.above}
        verdicts += [
            Verdict(
                f"share of bootstrap draws with {what} over {gates.beat}",
                share,
                gates.confidence,
                share > gates.confidence,
            )
            for what, share in shares.items()
        ]
        for row in table:
            if row.gain is not None and row.name != gates.beat and not row.reference:
                # A model need not beat every baseline clearly, but none may be clearly better.
                even = row_loss(y, p[row.name]) - row_loss(y, p[CLOSE]) + EVEN
                gate = f"share of bootstrap draws no worse than {row.name}"
                share = bootstrap.mean(even).above
                verdicts.append(Verdict(gate, share, 1 - gates.confidence, share > 1 - gates.confidence))
    return verdicts


def passed(verdicts: list[Verdict]) -> bool:
    """Whether every gate passed; a figure that is not a number never passes."""
    return all(verdict.passed and not np.isnan(verdict.value) for verdict in verdicts)
