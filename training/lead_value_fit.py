"""The fit of what leads are worth at a cut: P(won | converted), P(won) told directly, and E[amount | won].

All on the rows of the close head. A row trains a head of wins only when the whole window of a win ended before the cut,
however early its deal closed. Leads that turned into a deal which the record lacks train neither.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.asof import Requests
from models.amount import CENTS, has_amount
from models.base import Bool, Examples, Float, Int
from models.close import CloseModel, CloseSettings, fit_close
from models.ladder import rung_of
from models.leads import Choice, LeadAmount, LeadHeads, squeezed, standardised
from training.cuts import close_settings, told_of
from training.labels import NEVER, WonLabels, lead_amounts, won_of
from training.prepare import Prepared
from training.splits import INNER_SHARES, before_embargo, inner_created_folds

FEWEST = 5  # leads that were won, and that were not, below which a head tells nothing
FIT = "fit"  # factor of the columns that say what kind of company a lead is
PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0)  # of the ridge of amounts, in leads


def won_labels(prepared: Prepared) -> WonLabels:
    """Return what came of the deals of every example's lead. Raises ValueError where the rows are not of leads."""
    if prepared.became is None:
        raise ValueError("only leads turn into deals")
    asked = Requests(prepared.examples.deal, prepared.examples.as_of)
    return won_of(prepared.became, asked, prepared.config.leads.won_within_days)


def fit_leads(prepared: Prepared, cut: int, choice: Choice, embargo_days: int = 0) -> tuple[LeadHeads | None, str]:
    """Return (the heads, which of them there are not, and why): what was told before `cut` trains.

    None where neither way can tell P(won). embargo_days: rows of so many last days before the cut are left out.
    """
    told, examples = won_labels(prepared), prepared.examples
    early = before_embargo(examples.as_of, cut, embargo_days)
    opportunity, of_converted = _head(prepared, told, early & (examples.y > 0) & told.linked, cut)
    direct, of_all = _head(prepared, told, early, cut)
    lacking = [f"P(won | converted): {of_converted}"] if opportunity is None else []
    lacking += [f"P(won) told directly: {of_all}"] if direct is None else []
    if opportunity is None and direct is None:
        return None, "; ".join(lacking)
    amount = fit_lead_amount(prepared, cut)
    lacking += ["E[amount | won]: too few leads won with an amount"] if amount is None else []
    days = prepared.config.leads.won_within_days
    return LeadHeads(days, opportunity, direct, amount, choice.ships, choice.why), "; ".join(lacking)


def _head(prepared: Prepared, told: WonLabels, chosen: Bool, cut: int) -> tuple[CloseModel | None, str]:
    """Fit P(won in time) on some of the rows; (None, why) where too few leads are told."""
    mask = chosen & (told.end <= cut) & (told.end != NEVER)
    every = replace(prepared.examples, y=told.y, label_end=told.end)
    rows = every.take(mask)
    won, lost = told_of(rows)
    if min(won, lost) < FEWEST:
        return None, f"{won} leads won and {lost} not within a window that is over, expected {FEWEST} of each at least"
    inner = inner_created_folds(rows, prepared.created[mask])
    return fit_close(rows, prepared.frame, _settings(prepared), inner, rung=rung_of(won, lost))[0], ""


def _settings(prepared: Prepared) -> CloseSettings:
    """Return the config's settings without signs: what makes a lead convert need not make its deal be won."""
    config = prepared.config
    return close_settings(config.model, (0,) * len(prepared.plan.names), config.seed)


def fit_lead_amount(prepared: Prepared, cut: int) -> LeadAmount | None:
    """Fit E[amount | won] on leads whose deal was won before `cut`, each with the same weight; None where too few."""
    if prepared.became is None:
        return None
    rows = prepared.examples
    cents = lead_amounts(prepared.became, rows.deal, cut)
    known = np.flatnonzero(has_amount(cents) & (rows.as_of < cut))  # a deal may have been won before its lead came in
    names = tuple(feature.name for feature in prepared.plan.features if feature.factor == FIT)
    return fit_amounts(rows.take(known), cents[known] / CENTS, prepared.created[known], names)


def fit_amounts(rows: Examples, amount: Float, created: Int, names: tuple[str, ...]) -> LeadAmount | None:
    """Fit a ridge of these columns on the log of the amounts (currency, above 0); None below `FEWEST` leads.

    The columns stay only where leads that came in later say that they tell more than nothing, by more than a standard
    error; how strongly they are held back is chosen on the same.
    """
    if len(np.unique(rows.deal)) < FEWEST:
        return None
    x, y, weight = squeezed(rows.matrix, names), np.log(amount), _weights(rows.deal)
    penalty = _penalty(rows, x, y, created) if names else np.inf
    model = _ridge(names if np.isfinite(penalty) else (), x, y, weight, penalty)
    return replace(model, least=float(amount.min()), most=float(amount.max()))


def _weights(deal: Int) -> Float:
    """Return 1 / the number of rows of each row's lead."""
    _, place, counts = np.unique(deal, return_inverse=True, return_counts=True)
    return 1.0 / counts[place]


def _ridge(names: tuple[str, ...], x: Float, y: Float, weight: Float, penalty: float) -> LeadAmount:
    """Solve a weighted ridge; without names the mean alone."""
    leads = weight.sum()
    level = float((weight * y).sum() / leads)
    if not names:
        spread = float((weight * (y - level) ** 2).sum() / max(leads - 1, 1.0))
        none = np.zeros(0)
        return LeadAmount((), level, none, none, none, spread, 0.0, np.inf)
    known = ~np.isnan(x)
    mass = np.maximum((weight[:, None] * known).sum(axis=0), 1e-12)
    mean = (weight[:, None] * np.where(known, x, 0.0)).sum(axis=0) / mass
    scale: Float = np.sqrt((weight[:, None] * np.where(known, x - mean, 0.0) ** 2).sum(axis=0) / mass)
    scale = np.where(scale > 1e-9, scale, 1.0)
    z = standardised(x, mean, scale)
    gram = (z * weight[:, None]).T @ z
    at = np.linalg.solve(gram + penalty * np.eye(len(names)), (z * weight[:, None]).T @ (y - level))
    freedom = float(np.trace(np.linalg.solve(gram + penalty * np.eye(len(names)), gram)))
    left = y - level - z @ at
    spread = float((weight * left**2).sum() / max(leads - 1 - freedom, 1.0))
    weights: Float = np.asarray(at, dtype=np.float64)
    return LeadAmount(names, level, mean, scale, weights, spread, 0.0, np.inf)


def _penalty(rows: Examples, x: Float, y: Float, created: Int) -> float:
    """Return the penalty that serves later leads best, infinity where no column helps them clearly."""
    with_columns: list[Float] = []
    without: list[Float] = []
    for cut in np.quantile(created, INNER_SHARES[:-1]):
        old, new = created < cut, created >= cut
        if min(len(np.unique(rows.deal[side])) for side in (old, new)) < FEWEST:
            continue
        weight = _weights(rows.deal[old])
        names = tuple(str(j) for j in range(x.shape[1]))
        fits = [_ridge(names, x[old], y[old], weight, penalty) for penalty in PENALTIES]
        told = [fit.level + standardised(x[new], fit.mean, fit.scale) @ fit.weights for fit in fits]
        with_columns.append(np.stack([_by_lead((y[new] - each) ** 2, rows.deal[new]) for each in told]))
        without.append(_by_lead((y[new] - fits[0].level) ** 2, rows.deal[new]))
    if not without:
        return np.inf
    losses, usual = np.concatenate(with_columns, axis=1), np.concatenate(without)
    best = int(np.argmin(losses.mean(axis=1)))
    gain = usual - losses[best]
    return PENALTIES[best] if gain.mean() > gain.std() / np.sqrt(len(gain)) else float("inf")


def _by_lead(loss: Float, deal: Int) -> Float:
    """Return the mean loss of each lead."""
    _, place, counts = np.unique(deal, return_inverse=True, return_counts=True)
    return np.bincount(place, weights=loss) / counts
