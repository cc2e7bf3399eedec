"""What a backtest says, as data: every figure of the page and of the JSON comes from here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from math import erfc
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.subject import DEALS, Subject
from features.asof import Requests
from features.build import FeatureMatrix
from features.periods import instant_text
from features.tables import NAT
from models.base import Bool, Float, Int
from models.baselines import STAGE_TIME
from training.backtest import CLOSE, Comparison, Tested
from training.clustered import mean
from training.evaluate import DealBootstrap, Interval, calibration_parts, row_loss, scores
from training.gates import Verdict
from training.groups import GroupFigures, newest_rows
from training.labels import period_totals
from training.noise_floor import NoiseFloor, OpenDeals, noise_floor, week_of
from training.prepare import Prepared
from training.sections import Section

if TYPE_CHECKING:  # it is made from a section, whose module reads this one
    from training.bookings_told import BookingsTold
    from training.lead_scores import LeadFigures

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
    """How the close model stands against one baseline. p_value: two-sided, clustered by deal; adjusted: by Holm."""

    name: str
    p_value: float
    adjusted: float
    verdict: str


@dataclass(frozen=True)
class Headline:
    """The first screen. skill: share of log loss below the strong baseline. said, came: wins of the deals open at the
    start of each period (each deal's or lead's first row, for a head without periods).
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
    """Exact terms of each factor on rows of the newest test.

    names: the factors, largest first. phi: float64[m, f], log-odds. base: float64[m], base + the row's sum is the
    model's log-odds. leads: the column of each factor that goes with its term most closely; values: float64[m, f], it.
    sizes: how many columns share the factor.
    """

    names: tuple[str, ...]
    phi: Float
    base: Float
    leads: tuple[str, ...]
    values: Float
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Report:
    """One backtest, told. notes: what the figures rest on, in sentences. groups: what each feature group brings.

    slices: by period, or by age. parts: along every other line. sections: of other heads. bookings: of the company,
    None where they did not walk along. about: config, fingerprints. leads: what only leads have, None for deals. look,
    words: for the picture of the factors, and what the rows are called; no part of the JSON.
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
    bookings: BookingsTold | None = None
    about: dict[str, str] = field(default_factory=dict)
    leads: LeadFigures | None = None
    look: Look | None = field(default=None, repr=False, compare=False)
    words: Subject = field(default=DEALS, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return plain values; NaN becomes None."""
        return {each.name: plain(getattr(self, each.name)) for each in fields(self) if each.compare}


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


def standings(table: list[Comparison], tested: Tested) -> list[Standing]:
    """Hold the close model against every baseline; Holm's correction keeps all of them together at 5 %."""
    rows = [row for row in table if row.gain is not None and not row.reference]
    loss = {row.name: row_loss(tested.y, tested.p[row.name]) for row in rows}
    ours = row_loss(tested.y, tested.p[CLOSE])
    gains = [loss[row.name] - ours for row in rows]
    p = np.array([clustered_p_value(gain, tested.deal) for gain in gains])
    out = []
    for row, gain, raw, held in zip(rows, gains, p, holm(p), strict=True):
        verdict = EVEN if held > LEVEL else BETTER if gain.mean() > 0 else WORSE
        out.append(Standing(row.name, float(raw), float(held), verdict))
    return out


def holm(p: Float) -> Float:
    """Return Holm's adjusted p-values, float64[k], in the order given."""
    order = np.argsort(p, kind="stable")
    steps = np.minimum(np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))), 1.0)
    adjusted = np.empty(len(p))
    adjusted[order] = steps
    return adjusted


def clustered_p_value(gain: Float, deal: Int) -> float:
    """Return the two-sided p-value of a mean of 0: normal, rows of a deal going together; 1 where nothing differs.

    The bootstrap's own share of draws can't be small where draws are few; this can.
    """
    told = mean(gain, deal)
    return float(erfc(abs(told.value) / told.error / np.sqrt(2))) if told.error > 0 else 1.0


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
    wins = Subject.of(prepared.config.target).wins
    side = "below" if skill.value >= 0 else "above"
    sentence = f"{words}: its log loss is {abs(skill.value):.1%} {side} it; it said {said:,.0f} {wins}, {came:,} came."
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
    """Return the newest model's terms by factor on rows of its own test; features that say much the same share one."""
    model = tested.newest
    if model is None:
        return None
    matrix = FeatureMatrix(model.names, newest_rows(prepared, tested))
    columns, phi, base = model.contributions(matrix)
    values = np.column_stack([model.table.predict(matrix), matrix.values])  # the table's column is its rate
    factor = {feature.name: feature.factor or feature.name for feature in prepared.plan.features}
    members: dict[str, list[int]] = {}
    for j, name in enumerate(columns):
        members.setdefault(factor.get(name, name), []).append(j)
    terms = {name: phi[:, places].sum(axis=1) for name, places in members.items()}
    names = tuple(sorted(terms, key=lambda name: (-float(np.abs(terms[name]).mean()), name)))
    leads = [_lead(terms[name], values, members[name]) for name in names]
    return Look(
        names,
        np.column_stack([terms[name] for name in names]),
        base,
        tuple(columns[j] for j in leads),
        values[:, leads],
        tuple(len(members[name]) for name in names),
    )


def _lead(term: Float, values: Float, places: list[int]) -> int:
    """Return the member whose value goes with the factor's term most closely, missing values at their mean."""

    def closeness(j: int) -> float:
        known = ~np.isnan(values[:, j])
        x = np.where(known, values[:, j] - values[known, j].mean() if known.any() else 0.0, 0.0)
        spread = float(np.sqrt((x**2).sum() * ((term - term.mean()) ** 2).sum()))
        return abs(float((x * (term - term.mean())).sum())) / spread if spread > 0 else 0.0

    return max(places, key=closeness)


def weights_of(look: Look) -> list[FactorWeight]:
    """Return the mean size of each factor's term, largest first."""
    sizes = np.abs(look.phi).mean(axis=0)
    return [FactorWeight(name, look.sizes[j], float(sizes[j])) for j, name in enumerate(look.names)]
