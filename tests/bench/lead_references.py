"""What a lead score is held against on a flat set: models that see its raw columns, fitted on the rows that ours is.

Logistic regression as scikit-learn has it: one-hot categories of which rare values go together and a missing value is
one of its own, numbers standardised, missing ones at the median with a flag. LightGBM with its defaults. The frequency
naive Bayes of `references`, numbers in tenths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import lightgbm
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from models.base import Bool, Float
from models.baselines import RIDGE
from tests.bench.lead_sets import LeadSet
from tests.bench.measure import say
from tests.bench.references import fit_frequencies
from training.backtest import CLOSE, Tested, folds_of, run_backtest
from training.evaluate import DealBootstrap, Interval, auc, calibration_error, row_loss
from training.prepare import Prepared
from training.ranking import TOP, Ranked, gain_of, ranked

LR, LGBM, BAYES = "logistic regression", "LightGBM", "naive Bayes"
RARE, TENTHS, SEED = 20, 10, 7
DRAWS = 1000
NONE = "not told"


@dataclass(frozen=True)
class Beside:
    """Test rows of a set. p: float64[n] of ours, the ridge inside it and the references, by name; notes of our fit."""

    tested: Tested
    y: Float
    p: dict[str, Float]
    boot: DealBootstrap

    def loss_gain(self, over: str) -> Interval:
        """By how much log loss a lead ours is better, with its 95 % interval over leads."""
        return self.boot.mean(row_loss(self.y, self.p[over]) - row_loss(self.y, self.p[CLOSE]))

    def auc_gain(self, over: str) -> Interval:
        """By how much AUC ours is better."""
        return self.boot.auc_gain(self.y, self.p[CLOSE], self.p[over])


def beside(told: LeadSet, prepared: Prepared) -> Beside:
    """Run our backtest of one fold and fit the references on its training rows."""
    tested = run_backtest(prepared)
    (fold,) = folds_of(prepared)
    ids = np.array(prepared.record.deal_ids.strings())[prepared.examples.deal]
    raw = told.table.loc[ids]
    p = {name: tested.p[name] for name in (CLOSE, RIDGE)}
    for name, fit in REFERENCES.items():
        p[name] = fit(raw, prepared.examples.y, fold.train, tested.rows)
    return Beside(tested, tested.y, p, DealBootstrap.of(tested.deal, DRAWS, SEED))


def tell(name: str, found: Beside) -> None:
    """Print every model's figures, and what ours gains over each with its paired interval."""
    y = found.y
    notes = found.tested.notes[0]
    say(
        f"\n{name}: {len(y):,} tested leads, {y.mean():.1%} converted; rung {notes.rung}, {notes.rounds} trees a seed, "
        f"share {max((each.share for each in notes.trust), default=0.0):.2f}, penalty {notes.penalty:g}"
    )
    for model, p in found.p.items():
        top = ranked(y, p)
        precision = float(top.precision(TOP)[0])
        say(
            f"        {model:20} AUC {auc(y, p):.4f}  log loss {row_loss(y, p).mean():.4f}  PR-AUC "
            f"{float(top.pr_auc()[0]):.4f}  top tenth {precision:.3f}, lift {precision / y.mean():.2f}  "
            f"sum p / sum y {p.sum() / y.sum():.3f}  ECE {calibration_error(y, p):.3f}"
        )
    for model in found.p:
        if model != CLOSE:
            ranks = gain_of(Ranked.pr_auc, y, found.p[CLOSE], found.p[model], found.boot)
            say(
                f"        over {model:20} AUC {_text(found.auc_gain(model))}  log loss {_text(found.loss_gain(model))} "
                f" PR-AUC {_text(ranks)}"
            )


def _text(gain: Interval) -> str:
    return f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"


def _logistic(raw: pd.DataFrame, y: Float, train: Bool, test: np.ndarray) -> Float:
    numbers, categories = _kinds(raw)
    model = make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
            (OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=RARE), categories),
        ),
        LogisticRegression(max_iter=2000),
    )
    filled = raw.assign(**{name: raw[name].fillna(NONE) for name in categories})
    return _p(model.fit(filled[train], y[train]).predict_proba(filled.iloc[test]))


def _lightgbm(raw: pd.DataFrame, y: Float, train: Bool, test: np.ndarray) -> Float:
    coded = raw.assign(**{name: raw[name].astype("category") for name in _kinds(raw)[1]})
    model = lightgbm.LGBMClassifier(verbose=-1, num_threads=1, deterministic=True, random_state=SEED)
    return _p(model.fit(coded[train], y[train]).predict_proba(coded.iloc[test]))


def _bayes(raw: pd.DataFrame, y: Float, train: Bool, test: np.ndarray) -> Float:
    codes = []
    for name in raw:
        column = raw[name]
        if pd.api.types.is_numeric_dtype(column):
            edges = np.unique(np.nanquantile(column[train], np.linspace(0, 1, TENTHS + 1)[1:-1]))
            codes.append(np.where(column.isna(), -1, np.searchsorted(edges, column, side="right")))
        else:
            codes.append(pd.factorize(column)[0])
    values = np.column_stack(codes).astype(np.int64)
    return fit_frequencies(values[train], y[train] > 0).predict(values[test])


def _kinds(raw: pd.DataFrame) -> tuple[list[str], list[str]]:
    numbers = [str(name) for name in raw if pd.api.types.is_numeric_dtype(raw[name])]
    return numbers, [str(name) for name in raw if name not in numbers]


def _p(both: np.ndarray) -> Float:
    return np.asarray(both[:, 1], dtype=np.float64)


Reference = Callable[[pd.DataFrame, Float, Bool, np.ndarray], Float]
REFERENCES: dict[str, Reference] = {LR: _logistic, LGBM: _lightgbm, BAYES: _bayes}
"""Each is fitted on the training rows (bool[n]) of raw columns and outcomes, and asked of the test rows (int64[m])."""
