"""What a backtest says, as data: every figure of the page and of the JSON comes from here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np

from features.asof import Requests
from features.build import FeatureMatrix
from features.periods import instant_text
from features.tables import NAT
from models.base import Bool, Float
from models.baselines import STAGE_TIME
from training.backtest import CLOSE, Comparison, Tested
from training.evaluate import DealBootstrap, Interval, calibration_parts, row_loss, scores
from training.gates import Verdict
from training.groups import GroupFigures, newest_rows
from training.labels import period_totals
from training.noise_floor import NoiseFloor, OpenDeals, noise_floor, week_of
from training.prepare import Prepared
from training.sections import Section

LEVEL = 0.05  # of the family of all comparisons with baselines
BETTER, EVEN, WORSE = "better", "not told apart", "worse"


@dataclass(frozen=True)
class Slice:
    """Scores of the close model and the strong baseline on part of the test rows. brier_skill: over that baseline."""

    name: str
    rows: int
    deals: int
    wins: int
    won_rate: float
    log_loss: float
    baseline_log_loss: float
    brier_skill: Interval
    ratio: float
    auc: Interval


@dataclass(frozen=True)
class Parts:
    """The test rows cut along one line. note: what the reader must know. left_out: rows in parts too small to tell."""

    key: str
    title: str
    slices: list[Slice]
    note: str = ""
    left_out: int = 0


@dataclass(frozen=True)
class Bin:
    """Rows of like probability: the mean of what was said, and the share that came with its interval."""

    rows: int
    said: float
    came: Interval


@dataclass(frozen=True)
class Standing:
    """How the close model stands against one baseline. p_value: two-sided, from the bootstrap; adjusted: by Holm."""

    name: str
    p_value: float
    adjusted: float
    verdict: str


@dataclass(frozen=True)
class Headline:
    """The first screen. skill: share of log loss below the strong baseline. said, came: wins of the deals open at the
    start of each period (each deal's first row, for a head without periods).
    """

    sentence: str
    skill: Interval
    said: float
    came: int
    first: str
    last: str
    rows: int
    deals: int
    folds: int


@dataclass(frozen=True)
class FactorWeight:
    """Mean size of a factor's term in the log-odds over rows of the newest test. features: how many share it."""

    name: str
    features: int
    log_odds: float


@dataclass(frozen=True)
class Look:
    """Exact contributions on rows of the newest test. phi: float64[m, f] by column; values: float64[m, f] (the
    table's is its rate); base: float64[m].
    """

    names: tuple[str, ...]
    phi: Float
    values: Float
    base: Float


@dataclass(frozen=True)
class Report:
    """One backtest, told. notes: what the figures rest on, in sentences. groups: what each feature group brings.

    slices: by period, or by age. parts: along every other line. sections: of other heads. about: config, fingerprints.
    look: for the picture of the factors, no part of the JSON.
    """

    title: str
    table: list[Comparison]
    skill: float
    slices: list[Slice]
    bins: list[Bin]
    notes: list[str]
    verdicts: list[Verdict]
    groups: list[GroupFigures] = field(default_factory=list)
    headline: Headline | None = None
    standings: list[Standing] = field(default_factory=list)
    brier_skill: dict[str, Interval] = field(default_factory=dict)
    parts: list[Parts] = field(default_factory=list)
    floor: NoiseFloor | None = None
    factors: list[FactorWeight] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)
    look: Look | None = field(default=None, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return plain values; NaN becomes None."""
        return {each.name: plain(getattr(self, each.name)) for each in fields(self) if each.name != "look"}


def plain(value: Any) -> Any:
    """Return dataclasses, tuples and NumPy scalars as JSON holds them; what is no finite number is None."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, (float, np.floating)) and not np.isfinite(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def slice_of(name: str, part: Tested, draws: int, seed: int) -> Slice:
    """Score one part of the test rows."""
    y, p, over = part.y, part.p[CLOSE], part.p[STAGE_TIME]
    bootstrap = DealBootstrap.of(part.deal, draws, seed)
    close = scores(y, p, part.deal)
    return Slice(
        name,
        close.rows,
        close.deals,
        int(y.sum()),
        close.won_rate,
        close.log_loss,
        float(row_loss(y, over).mean()),
        bootstrap.skill((p - y) ** 2, (over - y) ** 2),
        close.ratio,
        bootstrap.auc(y, p),
    )


def reliability(tested: Tested, draws: int, seed: int) -> list[Bin]:
    """Return ten equally filled bins of the close model's probabilities, with deal-clustered intervals."""
    bootstrap = DealBootstrap.of(tested.deal, draws, seed)
    bins = []
    for rows, said, came, shared in calibration_parts(tested.y, tested.p[CLOSE]):
        inside = np.zeros(len(tested.y))
        inside[rows] = 1.0
        drawn = bootstrap.ratio(shared * inside, inside)
        bins.append(Bin(len(rows), said, Interval(came, drawn.low, drawn.high, drawn.above, drawn.below)))
    return bins


def brier_skills(tested: Tested, draws: int, seed: int) -> dict[str, Interval]:
    """Return by what share each model's Brier score lies below that of the strong baseline."""
    bootstrap = DealBootstrap.of(tested.deal, draws, seed)
    over = (tested.p[STAGE_TIME] - tested.y) ** 2
    return {name: bootstrap.skill((p - tested.y) ** 2, over) for name, p in tested.p.items()}


def standings(table: list[Comparison], draws: int) -> list[Standing]:
    """Hold the close model against every baseline; Holm's correction keeps all of them together at 5 %."""
    rows = [row for row in table if row.gain is not None and not row.reference]
    if not draws:
        return []
    p = np.array([_two_sided(row.gain, draws) for row in rows if row.gain is not None])
    order = np.argsort(p, kind="stable")
    steps = np.minimum(np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))), 1.0)
    adjusted = np.empty(len(p))
    adjusted[order] = steps
    out = []
    for row, raw, held in zip(rows, p, adjusted, strict=True):
        better = row.gain is not None and row.gain.value > 0
        verdict = EVEN if held > LEVEL else BETTER if better else WORSE
        out.append(Standing(row.name, float(raw), float(held), verdict))
    return out


def _two_sided(gain: Interval, draws: int) -> float:
    """Return the bootstrap's two-sided p-value of no gain; with few draws it can't be small."""
    if np.isnan(gain.above):
        return 1.0
    tails = [1 - gain.above, 1 - gain.below]
    return min(1.0, 2 * min((1 + share * draws) / (1 + draws) for share in tails))


def headline(prepared: Prepared, tested: Tested, stands: list[Standing], draws: int, seed: int) -> Headline:
    """Return the verdict in one sentence and what it rests on."""
    bootstrap = DealBootstrap.of(tested.deal, draws, seed)
    ours, base = (row_loss(tested.y, tested.p[name]) for name in (CLOSE, STAGE_TIME))
    skill = bootstrap.skill(ours, base)
    first = first_rows(prepared, tested)
    said, came = float(tested.p[CLOSE][first].sum()), int(tested.y[first].sum())
    verdict = next((each.verdict for each in stands if each.name == STAGE_TIME), EVEN)
    words = {
        BETTER: "The model beats the stage-and-time table",
        EVEN: "The model can't be told apart from the stage-and-time table",
        WORSE: "The model is worse than the stage-and-time table",
    }[verdict]
    side = "below" if skill.value >= 0 else "above"
    sentence = f"{words}: its log loss is {abs(skill.value):.1%} {side} it; it said {said:,.0f} wins, {came:,} came."
    zone = prepared.config.time_zone
    begun, over = (instant_text(int(at), zone)[:10] for at in (tested.as_of.min(), tested.as_of.max()))
    deals = len(np.unique(tested.deal))
    return Headline(sentence, skill, said, came, begun, over, len(tested.y), deals, len(tested.folds))


def first_rows(prepared: Prepared, tested: Tested) -> Bool:
    """Mark rows that count every deal once: those at the period's first as-of, or the deal's first of a head without
    periods.
    """
    if has_periods(prepared):
        first = np.array([tested.as_of[tested.fold == k].min() for k in range(len(tested.folds))])
        at_first: Bool = tested.as_of == first[tested.fold]
        return at_first
    order = np.lexsort((tested.as_of, tested.deal))
    mask = np.zeros(len(tested.y), dtype=bool)
    mask[order[np.unique(tested.deal[order], return_index=True)[1]]] = True
    return mask


def has_periods(prepared: Prepared) -> bool:
    """Whether the head is about the end of a period."""
    return prepared.frame.target == "in_period"


def floor_of(prepared: Prepared, tested: Tested) -> NoiseFloor:
    """Return the noise floor of the test rows, by week where the head has periods."""
    books = list(_books(prepared, tested)) if has_periods(prepared) else []
    return noise_floor(tested.p[CLOSE], books, prepared.config.seed)


def _books(prepared: Prepared, tested: Tested) -> Iterator[OpenDeals]:
    calendar = prepared.calendar
    period = calendar.index(tested.as_of)
    week = week_of(tested.as_of, calendar.starts[period])
    cents = prepared.record.view(Requests(tested.deal, tested.as_of)).of("history").last("amount")
    amount = np.where(cents == NAT, 0.0, cents / 100.0)
    present = np.unique(period)
    wins, money = period_totals(prepared.record, present)
    for k, each in enumerate(present):
        for number in np.unique(week[period == each]):
            inside = (period == each) & (week == number)
            rows = np.flatnonzero(inside & (tested.as_of == tested.as_of[inside].min()))
            p, y = tested.p[CLOSE][rows], tested.y[rows]
            yield OpenDeals(int(each), int(number), p, amount[rows], y, float(wins[k]), float(money[k]) / 100)


def look_at(prepared: Prepared, tested: Tested) -> Look | None:
    """Return the newest model's exact contributions on rows of its own test."""
    model = tested.newest
    if model is None:
        return None
    matrix = FeatureMatrix(model.names, newest_rows(prepared, tested))
    names, phi, base = model.contributions(matrix)
    return Look(names, phi, np.column_stack([model.table.predict(matrix), matrix.values]), base)


def weights_of(prepared: Prepared, look: Look) -> list[FactorWeight]:
    """Return the factors by the mean size of their terms, largest first; features that say much the same share one."""
    factor = {feature.name: feature.factor or feature.name for feature in prepared.plan.features}
    members: dict[str, list[int]] = {}
    for j, name in enumerate(look.names):
        members.setdefault(factor.get(name, name), []).append(j)
    found = [
        FactorWeight(name, len(places), float(np.abs(look.phi[:, places].sum(axis=1)).mean()))
        for name, places in members.items()
    ]
    return sorted(found, key=lambda each: (-each.log_odds, each.name))
