"""The answers to what managers ask: the forecast, what moved it, how right it was, and the model's card."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from serving.replies import Identity


class ForecastNode(TypedDict):
    """Bookings of a period by node, as of an instant. mean is booked + open_expected + arrivals_expected."""

    as_of: str
    level: Literal["company", "team", "rep"]
    node: str
    booked: float
    open_expected: float
    arrivals_expected: float
    p10: float
    p50: float
    p90: float
    mean: float
    quota: float | None
    p_reach_quota: float | None
    model_version: str


class ForecastAnswer(TypedDict):
    """The stored forecast of a period, and how it went so far.

    periods: first days of all that are stored, the newest first. nodes: as of as_of. history: of the node that was
    asked for, else of the company or the key's teams: the last of each UTC day until as_of.
    """

    request_id: str
    period_start: str
    period_end: str
    as_of: str
    periods: list[str]
    nodes: list[ForecastNode]
    history: list[ForecastNode]


class BridgePart(TypedDict):
    """A part of what moved, and by how many deals."""

    part: str
    amount: float
    deals: int


class BridgeDeal(TypedDict):
    """By how much one deal moved the mean in one part; before and after: what it added to the mean in all."""

    deal_id: str
    part: str
    amount: float
    before: float
    after: float
    name: str | None
    owner_id: str | None
    stage: str | None
    close_date: str | None
    deal_amount: float | None


class BridgeAnswer(TypedDict):
    """What moved between two forecasts of a period. The parts add up to end less start, to the cent.

    deals: a page of those of all parts, or of the one that was asked for. next_cursor: null on the last page.
    """

    request_id: str
    period_start: str
    period_end: str
    from_as_of: str
    to_as_of: str
    start: float
    end: float
    parts: list[BridgePart]
    deals: list[BridgeDeal]
    next_cursor: str | None


class Figure(TypedDict):
    """A figure with its 95 % interval; rows of a deal go together."""

    value: float
    low: float
    high: float


class CalibrationBin(TypedDict):
    """Scores of like probability: what was said on average, and the share that came."""

    rows: int
    deals: int
    said: float
    came: Figure


class WeekTold(TypedDict):
    """How right the scores of one week of a period were. said, came: wins."""

    week: int
    rows: int
    deals: int
    said: float
    came: int
    log_loss: Figure
    brier: Figure
    bins: list[CalibrationBin]


class LiveAccuracy(TypedDict):
    """How right the stored scores of a period were: each deal once a week. merged: deals that are left out."""

    rows: int
    deals: int
    said: float
    came: int
    log_loss: Figure
    brier: Figure
    weeks: list[WeekTold]
    bins: list[CalibrationBin]
    merged: int


class BookingsTold(TypedDict):
    """What was forecast of a node in a week of the period, and what was booked in the end."""

    week: int
    booked_in_the_end: float
    as_of: str
    level: Literal["company", "team", "rep"]
    node: str
    booked: float
    mean: float
    p10: float
    p50: float
    p90: float
    quota: float | None


class MissFigure(TypedDict):
    """A figure of a backtest with its 95 % interval, drawn over whole periods; null where nothing was booked.

    above, below: the share of draws over and under 0.
    """

    value: float | None
    low: float | None
    high: float | None
    above: float | None
    below: float | None


class LookedAt(TypedDict):
    """What the backtest foretold of a week of a period. said: the point of every baseline that could tell one."""

    week: int
    booked: float
    mean: float
    p10: float
    p50: float
    p90: float
    said: dict[str, float]


class PeriodForetold(TypedDict):
    """A period that the backtest foretold, first and last day. came: what it booked in the end."""

    period_start: str
    period_end: str
    came: float
    weeks: list[LookedAt]


class BookingsMiss(TypedDict):
    """How far one forecast of the company was off, over the periods that it told. week: 0 for all.

    name: model or a baseline. error: sum of |P50 - came| / sum of came. bias: the same with its sign. in_band: share of
    periods that came within P10 to P90. floor: the error of one who knows every open deal's chance.
    """

    name: str
    week: int
    periods: int
    error: MissFigure
    bias: MissFigure
    in_band: MissFigure
    floor: float | None


class BookingsForetold(TypedDict):
    """Bookings of the company in the backtest: every look at every period, and every forecast's misses."""

    periods: list[PeriodForetold]
    misses: list[BookingsMiss]


class BacktestTold(TypedDict):
    """What the live model's backtest said of deals: every model and baseline, by period, by week, and calibration.

    bookings: null where they did not walk along. floor_log_loss: of an oracle that knows every deal's chance.
    """

    trained_as_of: str | None
    headline: dict[str, Any] | None
    models: list[dict[str, Any]]
    periods: list[dict[str, Any]]
    weeks: list[dict[str, Any]]
    bins: list[dict[str, Any]]
    bookings: BookingsForetold | None
    floor_log_loss: float | None


class AccuracyAnswer(TypedDict):
    """What was said in each week of a period that is over, against what happened.

    period_start: null where no stored period is over; periods: those that are. live: null with too few deals. backtest:
    null for keys of teams, and where the model was published without its report.
    """

    request_id: str
    period_start: str | None
    periods: list[str]
    live: LiveAccuracy | None
    bookings: list[BookingsTold]
    backtest: BacktestTold | None


class ModelAnswer(Identity):
    """The model that serves, and its card. card: null where it was not published with the model; why says so."""

    request_id: str
    card: dict[str, Any] | None
    why: str
