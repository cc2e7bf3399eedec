"""The fit of the amount model at a cut: on rows of deals that were won before it, each deal with the same weight."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from features.asof import Requests
from features.build import FeatureMatrix
from features.tables import NAT
from features.told import Told, told_at
from models.amount import CENTS, AmountModel, Usual, has_amount, stage_row
from models.base import Bool, Float, Int
from models.trees import Trees, merge
from training.labels import amounts_won
from training.prepare import Prepared


@dataclass(frozen=True)
class AmountSettings:
    """How an amount model is fitted.

    fewest: won deals below which no tree is grown. prior: won deals that count for "amounts stay as they are" in the
    ratio of sums, and for "totals match already" in the factor. segment_prior: won deals that count for "this word
    says nothing". Others are LightGBM's own; weights are per deal, so a leaf's hessian is about its number of deals.
    """

    fewest: int = 40
    prior: float = 20.0
    factor_prior: float = 50.0
    segment_prior: float = 5.0
    objective: str = "gamma"
    num_leaves: int = 4
    deals_in_leaf: float = 10.0
    learning_rate: float = 0.05
    max_rounds: int = 150
    inner_periods: int = 2
    seeds: int = 3
    num_threads: int = 1


@dataclass(frozen=True)
class WonRows:
    """Rows of deals that were won later, n of each.

    actual: float64[n], amount on the winning row in currency, above 0. won_at: int64[n], UTC microseconds.
    as_of, deal: int64[n]. weight: float64[n], 1 / the number of the deal's rows.
    """

    matrix: FeatureMatrix
    told: Told
    actual: Float
    won_at: Int
    as_of: Int
    deal: Int

    def __len__(self) -> int:
        return len(self.actual)

    @property
    def weight(self) -> Float:
        _, back, count = np.unique(self.deal, return_inverse=True, return_counts=True)
        return 1.0 / count[back]

    @property
    def deals(self) -> int:
        return len(np.unique(self.deal))

    def take(self, rows: Bool) -> WonRows:
        """Return some of the rows."""
        matrix = FeatureMatrix(self.matrix.names, self.matrix.values[rows])
        return WonRows(
            matrix, self.told.take(rows), self.actual[rows], self.won_at[rows], self.as_of[rows], self.deal[rows]
        )


def won_rows(prepared: Prepared) -> WonRows:
    """Return every row whose deal was won later, with an amount above zero on the winning row."""
    examples = prepared.examples
    asked = Requests(examples.deal, examples.as_of)
    cents, won_at = amounts_won(prepared.record, asked)
    rows = np.flatnonzero((won_at != NAT) & has_amount(cents))
    told = told_at(prepared.record, asked.take(rows))
    matrix = FeatureMatrix(examples.matrix.names, examples.matrix.values[rows])
    return WonRows(matrix, told, cents[rows] / CENTS, won_at[rows], examples.as_of[rows], examples.deal[rows])


def fit_usual(rows: WonRows, stage_count: int, prior: float) -> Usual:
    w, y = rows.weight, np.log(rows.actual)
    level = float((w * y).sum() / w.sum())
    total = np.full(len(y), level)
    codes = {name: col for name, col in rows.told.segments.items()}
    stage = stage_row(rows.matrix, stage_count)
    parts = {name: (c.codes.astype(np.int64), len(c.values)) for name, c in codes.items()}
    parts["\0stage"] = (stage, stage_count + 1)
    eff = {name: np.zeros(k + 1) for name, (_, k) in parts.items()}
    for _ in range(20):
        for name, (code, k) in parts.items():
            total -= eff[name][code]
            c = np.where(code < 0, k, code)
            s = np.bincount(c, weights=w * (y - total), minlength=k + 1)
            n = np.bincount(c, weights=w, minlength=k + 1)
            eff[name] = s / (n + prior)
            eff[name][k] = 0 if name != "\0stage" else eff[name][k]
            total += eff[name][code]
    bump = float(np.log((w * rows.actual).sum() / (w * np.exp(total)).sum()))
    segs = {
        name: {v: float(eff[name][i]) for i, v in enumerate(c.values) if eff[name][i]} for name, c in codes.items()
    }
    return Usual(level + bump, eff["\0stage"][: stage_count + 1], segs)


def params(s: AmountSettings, seed: int) -> dict:
    return {
        "objective": s.objective, "num_leaves": s.num_leaves, "min_data_in_leaf": 20,
        "min_sum_hessian_in_leaf": s.deals_in_leaf, "learning_rate": s.learning_rate, "feature_fraction": 0.6,
        "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 2.0, "feature_pre_filter": False, "max_bin": 127,
        "deterministic": True, "force_row_wise": True, "seed": seed, "num_threads": s.num_threads, "verbosity": -1,
    }


def dataset(rows, base, s, ref=None):
    import lightgbm
    cur = rows.told.amount_cents / CENTS
    return lightgbm.Dataset(rows.matrix.values, rows.actual, weight=rows.weight, init_score=np.log(cur) + base,
        feature_name=list(rows.matrix.names), reference=ref,
        params={"max_bin": 127, "feature_pre_filter": False, "verbosity": -1, "num_threads": s.num_threads}, free_raw_data=False)


def base_of(rows: WonRows, s) -> float:
    w, cur = rows.weight, rows.told.amount_cents / CENTS
    a, b = (w * rows.actual).sum(), (w * cur).sum()
    unit = b / w.sum()
    return float(np.log((a + s.prior * unit) / (b + s.prior * unit)))


def dev(w, y, mu):
    return float((w * 2 * (np.log(mu / y) + y / mu - 1)).sum() / w.sum())


def grow(rows, base, s, rounds, seed):
    import lightgbm
    return lightgbm.train(params(s, seed), dataset(rows, base, s), num_boost_round=rounds)


def judge(old, new, s):
    base = base_of(old, s)
    cur, w = new.told.amount_cents / CENTS, new.weight
    best, bestd, bestraw = 0, dev(w, new.actual, cur * np.exp(base)), np.full(len(new), base)
    if old.deals >= s.fewest:
        b = grow(old, base, s, s.max_rounds, 7)
        for k in range(5, s.max_rounds + 1, 5):
            raw = base + b.predict(new.matrix.values, raw_score=True, num_iteration=k)
            d = dev(w, new.actual, cur * np.exp(raw))
            if d < bestd:
                best, bestd, bestraw = k, d, raw
    return best, bestraw


def fit_rows(all_rows: WonRows, cut: int, inner: list[tuple[int, int]], stage_count: int, s: AmountSettings):
    rows = all_rows.take(all_rows.won_at < cut)
    known = rows.take(has_amount(rows.told.amount_cents))
    usual = fit_usual(rows, stage_count, s.segment_prior)
    got = []
    for a, b in inner:
        old = known.take(known.won_at < a)
        new = known.take((known.as_of >= a) & (known.as_of < b))
        if old.deals >= 10 and new.deals >= 5:
            best, raw = judge(old, new, s)
            got.append((best, raw, new))
    rounds = round(1.15 * np.mean([g[0] for g in got])) if got and known.deals >= s.fewest else 0
    base = base_of(known, s)
    n = sum(g[2].deals for g in got)
    factor = 1.0
    if n:
        act = sum((g[2].weight * g[2].actual).sum() for g in got)
        fit = sum((g[2].weight * g[2].told.amount_cents / CENTS * np.exp(g[1])).sum() for g in got)
        factor = float(np.exp(n / (n + s.factor_prior) * np.log(act / fit)))
    trees = None
    if rounds:
        trees = Trees(known.matrix.names, merge([grow(known, base, s, rounds, 7 + k).model_to_string(num_iteration=-1) for k in range(s.seeds)]))
    r = np.log(known.actual / (known.told.amount_cents / CENTS)) if len(known) else np.zeros(1)
    return AmountModel(rows.matrix.names, usual, base, trees, float(np.quantile(r, .005)), float(np.quantile(r, .995)), factor, 1.0), rounds, [g[0] for g in got]
