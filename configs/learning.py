"""The sections of a config that say how models are fitted, tested and held against gates; see `configs.schema`."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from configs.base import Distinct, Strict
from configs.vocab import Ablation, Baseline, Calibrate, Eligibility, Offset


class Model(Strict):
    """The close model: an offset, then small LightGBM trees on top of it, averaged over seeds."""

    seeds: int = Field(default=5, ge=1, le=50, description="number of boosters that are averaged")
    offset: Offset = Field(default=Offset.RIDGE, description="what the trees start from: ridge, or the stage table")
    ridge_penalty: float = Field(
        default=1.0, gt=0, le=1e6, description="L2 penalty of the logistic offset on standardised inputs, in rows"
    )
    num_leaves: int = Field(default=8, ge=2, le=1024, description="leaves a tree")
    min_data_in_leaf: int = Field(default=200, ge=1, le=1_000_000, description="rows a leaf must hold")
    learning_rate: float = Field(default=0.03, gt=0, le=1, description="shrinkage of each tree, 0-1")
    max_rounds: int = Field(default=600, ge=1, le=20_000, description="trees at most; fewer when later data say so")
    feature_fraction: float = Field(default=0.6, gt=0, le=1, description="share of the features each tree may use, 0-1")
    bagging_fraction: float = Field(default=0.8, gt=0, le=1, description="share of the rows each tree sees, 0-1")
    lambda_l2: float = Field(default=2.0, ge=0, le=1e6, description="L2 penalty on leaf values")
    path_smooth: float = Field(default=10.0, ge=0, le=1e6, description="pull of a leaf towards its parent, in rows")
    num_threads: int = Field(default=2, ge=1, le=256, description="threads of training; part of what is reproducible")
    calibrate: Calibrate = Field(
        default=Calibrate.AUTO, description="auto: affine in log-odds, only where it wins on later periods; or none"
    )


class Timing(Strict):
    """The timing model: when deals close, and how."""

    enabled: bool = Field(default=True, description="whether it is fitted; without it there are no close dates")
    seeds: int = Field(default=2, ge=1, le=50, description="number of boosters that are averaged, of each of two heads")
    max_pairs: int = Field(
        default=60_000,
        ge=1_000,
        le=100_000_000,
        description="(row, horizon) pairs it learns from at most; drawn by seed",
    )


class Training(Strict):
    """Which rows may train."""

    eligibility: Eligibility = Field(
        default=Eligibility.HORIZON,
        description="horizon: rows whose whole label window ended before the cut; resolved: deals closed before it",
    )
    horizon_days: int | None = Field(
        default=None,
        ge=1,
        le=3650,
        description="label window of target eventual in days, when the rows must be horizon-complete; "
        "without it the config's own horizon_days",
    )


class Backtest(Strict):
    """How the model is judged on what came later."""

    test_periods: int = Field(default=4, ge=1, le=40, description="last closed periods that are tested, one fold each")
    test_from: AwareDatetime | None = Field(
        default=None,
        description="target eventual only: one fixed cut instead; train on what was known before it, test on deals "
        "created after it; a timestamp with its offset, such as 2012-01-31T17:58:00Z",
    )
    embargo_days: int = Field(
        default=0,
        ge=0,
        le=366,
        description="rows of so many last days before a cut that do not train; 0, as in production: no label window "
        "crosses the cut anyway",
    )
    bootstrap: int = Field(default=500, ge=0, le=100_000, description="draws of deals for the intervals; 0: none")
    ablations: Annotated[tuple[Ablation, ...], Distinct] = Field(
        default=(Ablation.REP_ID,),
        description="fits for comparison, never shipped. rep_id: one seed with the raw rep id; rep_id_only: the id in "
        "place of the facts about the rep; groups: a whole backtest without each group; `--ablate` asks for all",
    )


class Gates(Strict):
    """What a model must show before it is promoted."""

    beat: Baseline = Field(default=Baseline.STAGE_TIME_LEFT, description="the baseline it must beat on log loss")
    min_gain: float = Field(
        default=0.0, ge=0, le=1, description="log loss it must gain over that baseline, in nats a row; strictly more"
    )
    confidence: float = Field(
        default=0.9,
        ge=0,
        lt=1,
        description="share of the bootstrap draws of deals that must show more gain than min_gain, and share that must "
        "show a higher AUC; none of the other baselines may be better in that share; 0: the point estimate alone",
    )
