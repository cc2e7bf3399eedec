"""The file that `forecastle tune` writes and `model.tuned` names: settings of the trees that are averaged, and why."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from configs.base import Strict
from configs.vocab import JudgedRows

MOST_MEMBERS = 20


class Member(Strict):
    """One setting of the trees; names and meaning as in the config's section `model`."""

    num_leaves: int = Field(ge=2, le=1024, description="leaves a tree")
    min_data_in_leaf: int = Field(ge=1, le=1_000_000, description="rows a leaf must hold")
    learning_rate: float = Field(gt=0, le=1, description="shrinkage of each tree, 0-1")
    feature_fraction: float = Field(gt=0, le=1, description="share of the features each tree may use, 0-1")
    bagging_fraction: float = Field(gt=0, le=1, description="share of the rows each tree sees, 0-1")
    lambda_l2: float = Field(ge=0, le=1e6, description="L2 penalty on leaf values")
    path_smooth: float = Field(ge=0, le=1e6, description="pull of a leaf towards its parent, in rows")


class Candidate(Strict):
    """What one trial showed on the periods that settings were chosen on."""

    trial: int = Field(ge=0, le=1_000_000, description="number of the trial; 0 is the default")
    loss: float = Field(ge=0, le=100, description="log loss on the rows that `tuning.rows` asks for; chosen by it")
    loss_new: float | None = Field(ge=0, le=100, description="the same on deals that did not train; null without such")
    loss_every: float = Field(ge=0, le=100, description="the same on every row of the periods, as a backtest has them")
    fold_losses: tuple[Annotated[float, Field(ge=0, le=100)], ...] = Field(description="`loss` by period, oldest first")
    rounds: int = Field(
        ge=0, le=20_000, description="trees at which the summed loss was lowest; each fit finds its own"
    )
    settings: Member = Field(description="what was tried")


class Margin(Strict):
    """Log loss gained over the default, nats a row, with a 95 % interval over whole deals."""

    value: float = Field(ge=-100, le=100, description="default minus tuned; above zero is better")
    low: float | None = Field(ge=-100, le=100, description="lower end of the interval; null without bootstrap")
    high: float | None = Field(ge=-100, le=100, description="upper end of the interval; null without bootstrap")
    above: float | None = Field(
        ge=0, le=1, description="share of the draws above `tuning.min_gain`; null without bootstrap"
    )


class Confirmed(Strict):
    """Default against tuned on a period that no trial was chosen on; both fitted as production would."""

    rows: int = Field(ge=1, le=2**53, description="rows judged")
    deals: int = Field(ge=1, le=2**53, description="deals judged")
    default_loss: float = Field(ge=0, le=100, description="log loss of the default, nats a row")
    tuned_loss: float = Field(ge=0, le=100, description="log loss of the average, nats a row")
    margin: Margin = Field(description="the difference, paired")


class Evidence(Strict):
    """On what the choice rests."""

    study: str = Field(min_length=1, description="name of the study in the storage")
    seed: int = Field(ge=0, le=2**31 - 1, description="seed of the sampler and of the trees")
    trials: int = Field(ge=1, le=1_000_000, description="trials that the choice was made from")
    cut: str = Field(min_length=1, description="nothing known at or after this instant was seen")
    rows: JudgedRows = Field(description="rows that settings were judged on: tuning.rows")
    selected_on: tuple[date, ...] = Field(description="first days of the periods that settings were chosen on")
    confirmed_on: date = Field(description="first day of the period that confirmed")
    default: Candidate = Field(description="the config's own settings")
    considered: tuple[Candidate, ...] = Field(description="the best settings, best first")
    confirmed: Confirmed = Field(description="every row of the period, as a backtest would judge")
    confirmed_new: Confirmed | None = Field(description="its rows of deals that did not train; null where none are")


class Tuned(Strict):
    """A whole file."""

    format: Literal[1] = Field(description="version of this file's form: 1")
    beats_default: bool = Field(description="whether the average won on the period that no trial was chosen on")
    verdict: str = Field(min_length=1, description="the same in words")
    members: Annotated[tuple[Member, ...], Field(min_length=1, max_length=MOST_MEMBERS)] = Field(
        description="settings that are averaged; the default alone where nothing beat it"
    )
    evidence: Evidence | None = Field(default=None, description="on what the choice rests; nothing is read from it")
