"""Leads of a simulated company: our score beside models that see what was planted, on the same rows.

What was planted is all that the chance of converting hangs on, as known at each age (`lead_ages_truth`). Three models
get these drivers. One is our ladder with what makes a lead fit as it was planted (source, size, industry, the log of
the visits before), so that it has their weights to learn as every model has; one our ladder with the fit already added
up by the true weights, which no record tells; one LightGBM with its defaults on the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd

from configs.load import load_config
from configs.schema import Config, SimulatedSource
from features.build import FeatureMatrix
from features.sources.base import open_source
from features.sources.simulated import TRUTH, generated
from models.base import Examples, Float
from models.close import fit_close
from tests.companies import ROOT
from training.backtest import CLOSE, AtCut, Tested, run_backtest
from training.evaluate import calibration_error
from training.prepare import Prepared, prepare
from training.ranking import SHARES, TOP, ranked

DRIVERS = ("fit", "fading_3d", "fading_14d", "idle_days", "speed", "connected", "held")
LEARNT, SAME, BOOSTED = "ladder on the drivers", "ladder told the weights", "LightGBM told the weights"
SEED = 7
SETTINGS = ("backtest.test_periods=2", "backtest.ablations=[]", "model.seeds=2", "timing.enabled=false")


@dataclass(frozen=True)
class Planted:
    """Figures of one company, by model. caught: share of all conversions among the likeliest `SHARES` of rows, ours."""

    seed: int
    rows: int
    rate: float
    pr_auc: Mapping[str, float]
    top: Mapping[str, float]
    ratio: Mapping[str, float]
    ece: Mapping[str, float]
    caught: tuple[float, ...]

    @property
    def told(self) -> float:
        """PR-AUC of the better model that is told the weights of the fit."""
        return max(self.pr_auc[SAME], self.pr_auc[BOOSTED])


def measure(seed: int, state: Path, *settings: str) -> Planted:
    """Simulate a company and judge our score of its leads beside the models that see the drivers."""
    said = [f"source.simulate.seed={seed}", f"state_dir={state}", *SETTINGS, *settings]
    config = load_config(ROOT / "configs" / "leads.yaml", said)
    prepared = prepare(config, open_source(config).read())
    rows = with_drivers(prepared, truth_of(config))
    parts = with_parts(prepared, rows)
    heads = {
        LEARNT: lambda case: same(parts, case),
        SAME: lambda case: same(rows, case),
        BOOSTED: lambda case: boosted(rows, case),
    }
    return _planted(seed, run_backtest(prepared, extras=heads))


def truth_of(config: Config) -> pd.DataFrame:
    """Return the planted drivers of the config's company, by lead and instant."""
    assert isinstance(config.source, SimulatedSource)
    folder = generated(config.source.simulate, config.time_zone, config.state_dir) / TRUTH
    file = next(folder.glob("lead_ages_truth.*"))
    return pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)


def with_drivers(prepared: Prepared, truth: pd.DataFrame) -> Examples:
    """Return the rows with the drivers in the place of our features; stage and age stay, the table needs them."""
    rows = prepared.examples
    at = pd.to_datetime(truth["as_of"], utc=True, format="ISO8601").to_numpy("datetime64[us]").astype(np.int64)
    told = truth.set_index(pd.MultiIndex.from_arrays([truth["lead_id"].astype(str), at]))
    ids = np.array(prepared.record.deal_ids.strings())[rows.deal]
    mine = told.loc[pd.MultiIndex.from_arrays([ids, rows.as_of])]
    names = ("stage_rank", "days_open", *DRIVERS)
    kept = [rows.matrix.column(name) for name in names[:2]]
    matrix = FeatureMatrix(names, np.column_stack([*kept, mine[list(DRIVERS)].to_numpy(np.float64)]))
    return replace(rows, matrix=matrix)


def with_parts(prepared: Prepared, rows: Examples) -> Examples:
    """Return the rows of drivers with what the fit is made of in its place, as planted: values, and log visits."""
    ours, words = prepared.examples.matrix, [word.column for word in prepared.plan.context.schema.words]
    visits = np.log1p(ours.column("visits_before"))
    kept = [name for name in rows.matrix.names if name != "fit"]
    columns = [*(rows.matrix.column(name) for name in kept), *(ours.column(name) for name in words), visits]
    return replace(rows, matrix=FeatureMatrix((*kept, *words, "visits"), np.column_stack(columns)))


def same(rows: Examples, case: AtCut) -> dict[str, Float]:
    """Return what our own ladder says, fitted on the drivers at the fold's cut."""
    ground = case.ground
    members = tuple(
        replace(each, signs=(0,) * len(rows.matrix.names), categorical=()) for each in ground.settings.members
    )
    settings = replace(ground.settings, members=members)
    model, _ = fit_close(rows.take(ground.mask), case.prepared.frame, settings, ground.inner, rung=ground.rung)
    return {"p": model.predict(rows.take(case.rows).matrix)}


def boosted(rows: Examples, case: AtCut) -> dict[str, Float]:
    """Return what LightGBM with its defaults says of the drivers."""
    train = rows.take(case.ground.mask)
    model = lightgbm.LGBMClassifier(verbose=-1, num_threads=1, deterministic=True, random_state=SEED)
    model.fit(train.matrix.values, train.y)
    return {"p": np.asarray(model.predict_proba(rows.take(case.rows).matrix.values))[:, 1].astype(np.float64)}


def _planted(seed: int, tested: Tested) -> Planted:
    y = tested.y
    p = {CLOSE: tested.p[CLOSE], **{name: tested.extra[f"{name}.p"] for name in (LEARNT, SAME, BOOSTED)}}
    by = {name: ranked(y, told) for name, told in p.items()}
    return Planted(
        seed,
        len(y),
        float(y.mean()),
        {name: float(found.pr_auc()[0]) for name, found in by.items()},
        {name: float(found.precision(TOP)[0]) for name, found in by.items()},
        {name: float(told.sum() / y.sum()) for name, told in p.items()},
        {name: calibration_error(y, told) for name, told in p.items()},
        tuple(float(by[CLOSE].recall(part)[0]) for part in SHARES),
    )
