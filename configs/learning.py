"""The sections of a config that say how models are fitted, tested and held against gates; see `configs.schema`."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, Field, PlainSerializer, model_validator

from configs.base import Distinct, Strict, redacted, refuse
from configs.vocab import Ablation, AuditAction, Baseline, Calibrate, Eligibility, JudgedRows, Offset, StudyStorage


class Model(Strict):
    """The close model: an offset, then small LightGBM trees on top of it, averaged over seeds."""

    seeds: int = Field(default=5, ge=1, le=50, description="number of boosters that are averaged")
    offset: Offset = Field(default=Offset.RIDGE, description="what the trees start from: ridge, or the stage table")
    ridge_penalty: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="L2 penalty of the logistic offset on standardised inputs, in rows; null: chosen on later periods",
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
    tuned: Path | None = Field(
        default=None,
        description="file that `forecastle tune` wrote, relative to the working directory; its settings of the trees "
        "are averaged in place of num_leaves to path_smooth here; its content is part of the config's hash",
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

    test_periods: int = Field(
        default=4,
        ge=1,
        le=40,
        description="last closed periods that are tested, one fold each; of leads, cuts by when they came in",
    )
    test_from: AwareDatetime | None = Field(
        default=None,
        description="targets eventual and converted only: one fixed cut instead; train on what was known before it, "
        "test on deals or leads created after it; a timestamp with its offset, such as 2012-01-31T17:58:00Z",
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


class Range(Strict):
    """A lowest and a highest value, both allowed."""

    min: float = Field(ge=0, le=1000, description="lowest value")
    max: float = Field(ge=0, le=1000, description="highest value")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.min >= self.max:
            refuse("not_ascending", got=f"min {self.min:g}, max {self.max:g}", expected="min below max", field="max")
        return self


class SegmentGates(Strict):
    """What must hold in each part of the deals that is large enough: a stage, a value of a declared dimension."""

    min_deals: int = Field(
        default=100, ge=20, le=1_000_000, description="tested deals a segment must have to be looked at"
    )
    level: Range = Field(
        default=Range(min=0.5, max=2.0),
        description="sum p / sum y of a segment; refused where its whole interval lies outside",
    )
    confidence: float = Field(
        default=0.99,
        ge=0.5,
        lt=1,
        description="how sure it must be that `beat` is better in a segment for the model to be refused, 0.5-1",
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
    not_worse_than_live: float | None = Field(
        default=0.002,
        ge=0,
        le=1,
        description="log loss it may lose on the same backtest against the settings of the live model, fitted at the "
        "same cuts, in nats a row; null: no comparison",
    )
    calibration_slope: Range = Field(
        default=Range(min=0.8, max=1.25),
        description="slope of the outcome on the log-odds, 1 is right; refused where its whole interval lies outside",
    )
    calibration_level: Range = Field(
        default=Range(min=0.75, max=1.33),
        description="sum p / sum y, 1 is right; refused where its whole interval lies outside; wider than the slope's, "
        "since the deals of a period share its shock, which no interval over deals counts",
    )
    segments: SegmentGates | None = Field(
        default_factory=SegmentGates, description="what must hold in each segment; null: not looked at"
    )
    max_latency_ms: float = Field(
        default=25.0, gt=0, le=60_000, description="CPU time of one explained prediction, in milliseconds, at most"
    )


_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg", "http", "https")


def _tracking_url(url: str) -> str:
    if urlsplit(url).scheme not in _SCHEMES:
        refuse(
            "bad_tracking_uri",
            got=f"{redacted(url)!r} is no URL of a tracking store",
            expected=f"one that begins with {', '.join(f'{scheme}://' for scheme in _SCHEMES)}",
            remedy="write postgresql+psycopg://USER@HOST/DATABASE or http://HOST:PORT, or null for SQLite in state_dir",
        )
    return url


TrackingUrl = Annotated[str, AfterValidator(_tracking_url), PlainSerializer(redacted, return_type=str)]
"""Where MLflow keeps its runs. Written out anywhere, its password is ``***``."""


class Tracking(Strict):
    """Where runs are logged. Training never waits for it: what cannot be logged now is logged by a later command."""

    uri: TrackingUrl | None = Field(
        default=None,
        repr=False,
        description="tracking store: a database (postgresql+psycopg://USER@HOST/DATABASE) or an MLflow server "
        "(https://HOST); null: SQLite in state_dir; a password may come from the URL or from the environment "
        "(PGPASSWORD, MLFLOW_TRACKING_PASSWORD) and is never written down",
    )
    artifacts: str | None = Field(
        default=None,
        min_length=1,
        description="where a new experiment keeps its artifacts, such as s3://BUCKET/PATH; null: in state_dir for a "
        "database, the server's own place for a server",
    )


class Card(Strict):
    """What the model card says that no run can know."""

    contact: str | None = Field(default=None, min_length=1, description="whom to ask about the model")
    intended_use: str | None = Field(default=None, min_length=1, description="a sentence on what it is used for here")


class Tuning(Strict):
    """How `forecastle tune` looks for better settings of the trees."""

    trials: int = Field(
        default=40, ge=1, le=10_000, description="settings tried, over all runs of the command; the first is the config"
    )
    periods: int = Field(
        default=3, ge=1, le=20, description="periods that settings are chosen on; one more, the newest, confirms"
    )
    rows: JudgedRows = Field(
        default=JudgedRows.EVERY,
        description="rows of those periods that settings are judged on. new: of deals that did not train, from a week "
        "after the start on; every: as a backtest has them",
    )
    keep: int = Field(default=5, ge=1, le=20, description="best settings that are averaged")
    min_gain: float = Field(
        default=0.0, ge=0, le=1, description="log loss to gain over the default to be used, nats a row; strictly more"
    )
    confidence: float = Field(
        default=0.9,
        ge=0,
        lt=1,
        description="share of the bootstrap draws of deals that must show more gain than min_gain; 0: the point "
        "estimate alone",
    )
    storage: StudyStorage = Field(
        default=StudyStorage.SQLITE, description="what keeps the trials: sqlite, or journal (a file that only grows)"
    )


class LeakAudit(Strict):
    """When a field is taken to know the outcome, and what is done about it; see docs/leaks.md."""

    action: AuditAction = Field(
        default=AuditAction.DROP,
        description="what training does with a quarantined attribute or account field. drop: no feature of it is "
        "built, and the run says so; refuse: it is built, and the gate fails",
    )
    max_auc: float = Field(
        default=0.95,
        gt=0.5,
        le=1,
        description="AUC, won against lost, that a field alone may reach days_ahead before the close, or as a constant",
    )
    days_ahead: int = Field(
        default=28, ge=1, le=3650, description="how long before the close the AUC of a field is judged, in days"
    )
    trust: Annotated[tuple[str, ...], Distinct] = Field(
        default=(),
        description="fields and features that somebody looked at and found sound: their findings are told and "
        "quarantine nothing",
    )
