"""Bookings of a window by company, team and rep, as of an instant: a file, and what stands behind it.

The same chain as in the backtest: open deals found and scored as `forecastle score` does, then `models.quarter`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np

from configs.errors import UsageError
from configs.schema import Config
from configs.writing import Cell
from features.asof import Requests
from features.build import build_features
from features.columns import days_between
from features.nodes import LEVELS as NODE_LEVELS
from features.periods import DAY, EPOCH, fiscal_calendar, local_days
from features.tables import NAT
from features.told import told_at
from models.arrivals import Window
from models.base import Float, Int
from models.bookings import CENTS, LEVELS, BookingsModel
from models.bundle import Bundle
from models.quarter import AsOf, Node, arrivals_in, forecast, ground_of, nodes, quotas_in
from models.scenarios import AS_IT_IS, Scenario
from serving.batch import Written, check_as_of, check_table, local_iso, open_deals, stale_source
from serving.fits import load_fitting
from serving.refresh import Sourced, sourced
from serving.table_files import Kind, write_table

SCHEMA_VERSION = 1
COLUMNS = (
    "level",
    "node",
    "as_of",
    "period_start",
    "period_end",
    "booked",
    "open_expected",
    "arrivals_expected",
    "p10",
    "p50",
    "p90",
    "mean",
    "quota",
    "p_reach_quota",
)
MORE = ("scenario", "model_version", "schema_version")
KINDS: dict[str, Kind] = {**dict.fromkeys(COLUMNS[5:], "float64"), "schema_version": "int64"}
P10, P50, P90 = (LEVELS.index(level) for level in (0.1, 0.5, 0.9))
BASE, WHAT_IF = "as it is", "what if"
CLOSING = 10  # deals named as those that close a gap

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What is asked for. level: None for all. periods: fiscal periods from the running one on. months: their months in
    place of them. scenario: told beside the forecast as it is, unless it is just that.
    """

    level: str | None = None
    periods: int = 1
    months: bool = False
    scenario: Scenario = AS_IT_IS


@dataclass(frozen=True)
class Closing:
    """An open deal that may close a gap. p: P(won in the window) as money counts it. amount, expected: currency."""

    deal_id: str
    p: float
    amount: float
    expected: float


@dataclass(frozen=True)
class Outcome:
    """A forecast of one window. nodes of the forecast as it is, and of the scenario (empty without one).

    closing: the open deals that bring most of what is expected, the most first. weighted: p x amount of all of them,
    pulled_in: of those that the CRM dates after the window.
    """

    window: Window
    nodes: tuple[Node, ...]
    what_if: tuple[Node, ...]
    closing: tuple[Closing, ...]
    weighted: float
    pulled_in: float

    @property
    def gap(self) -> float | None:
        """The company's quota less its mean, in currency; None without a quota."""
        whole = self.nodes[0]
        return None if whole.quota is None else (whole.quota - whole.mean) / CENTS


@dataclass(frozen=True)
class Company:
    """Open deals as of an instant with what the heads say of them.

    amount: float64[n], E[amount | won]. dated: int64[n], end of the CRM's close date, UTC microseconds, NAT: none.
    chance: P(won in a window) as money counts it, float64[n]; of windows that `windows_of` has let pass.
    """

    ground: AsOf
    amount: Float
    dated: Int
    chance: Callable[[Window], Float]


def forecast_file(
    config: Config, as_ofs: Sequence[int], out: Path, asked: Asked, model: str, in_sample: bool, progress: Progress
) -> tuple[Written, list[Outcome]]:
    """Forecast every window at each as-of and write the file, atomically. Raises as `score_file` does."""
    check_table(out)
    as_ofs = tuple(dict.fromkeys(as_ofs))
    bundle = load_fitting(config, model, progress)
    check_as_of(bundle, as_ofs, in_sample)
    learnt = bookings_of(bundle)
    windows = {as_of: windows_of(config, bundle, as_of, asked) for as_of in as_ofs}
    progress(f"model {bundle.version}; reading the source")
    seen = sourced(config, bundle)
    rows: list[tuple[Cell, ...]] = []
    told: list[Outcome] = []
    counts: list[int] = []
    for as_of in as_ofs:
        if warning := stale_source(seen, as_of, config.time_zone):
            progress(warning)
        company = company_at(seen, bundle, as_of)
        found = [outcome(company, window, learnt, config.seed, asked.scenario) for window in windows[as_of]]
        own = [row for one in found for row in outcome_rows(one, as_of, asked.level, bundle, config.time_zone)]
        progress(f"{local_iso(as_of, config.time_zone)}: {len(company.amount):,} open deals, {len(own):,} rows")
        rows, told, counts = rows + own, told + found, [*counts, len(own)]
    write_table(out, columns(asked.scenario), rows, KINDS)
    return Written(out, as_ofs, tuple(counts), bundle.version, bundle.sha), told


def bookings_of(bundle: Bundle) -> BookingsModel:
    """Return what a bundle knows of bookings. Raises UsageError where it knows nothing."""
    if bundle.bookings is None or bundle.amount is None:
        raise UsageError.at(
            "--model",
            f"{bundle.version} has no bookings model",
            expected="a model with an amount head, trained by this version",
            remedy="run `forecastle train`, or train where more deals were won with an amount",
        )
    return bundle.bookings


def windows_of(config: Config, bundle: Bundle, as_of: int, asked: Asked) -> list[Window]:
    """Return the windows of a request. Raises UsageError where the calendar or the timing head does not reach."""
    starts = bundle.calendar.starts
    first = int(bundle.calendar.index(np.array([as_of]))[0])
    last = first + asked.periods
    if last >= len(starts):
        raise UsageError.at("--periods", str(asked.periods), expected="periods within the fiscal calendar")
    edges = starts[first : last + 1]
    if asked.months:
        edges = _months(config, int(edges[0]), int(edges[-1]))
        edges = edges[np.searchsorted(edges, as_of, side="right") - 1 :]
    told = [Window(as_of, start, end) for start, end in pairwise(edges.tolist())]
    if all(_is_own_period(bundle, window) for window in told):
        return told
    if bundle.timing is None:
        raise UsageError.at(
            "--months" if asked.months else "--periods",
            "the model has no timing head, so nothing is known but how the running period ends",
            remedy="switch timing.enabled on and train again",
        )
    if told[-1].end - as_of > bundle.timing.longest * DAY:
        raise UsageError.at(
            "--periods",
            f"the last window ends {(told[-1].end - as_of) // DAY} days after the as-of",
            expected=f"at most {bundle.timing.longest:g}, the longest horizon of the timing head",
            remedy="ask for fewer periods",
        )
    return told


def _months(config: Config, start: int, end: int) -> np.ndarray:
    """Return the edges of fiscal months within ``[start, end]``; they begin on the day the fiscal year begins."""
    if config.period.table:
        raise UsageError.at("--months", "the fiscal periods come from period.table", expected="periods of whole months")
    calendar = fiscal_calendar("month", config.period.fiscal_year_start, config.time_zone)
    return calendar.starts[(calendar.starts >= start) & (calendar.starts <= end)]


def _is_own_period(bundle: Bundle, window: Window) -> bool:
    """Whether a window is the running fiscal period of a head that is judged by periods: the close head answers."""
    start, end = bundle.calendar.bounds(np.array([window.as_of]))
    return bundle.about.target == "in_period" and (window.start, window.end) == (int(start[0]), int(end[0]))


def company_at(seen: Sourced, bundle: Bundle, as_of: int) -> Company:
    """Find the open deals of an as-of and ask every head."""
    asked = open_deals(seen.record, as_of)
    return company_of(seen, asked, as_of, *heads_at(seen, bundle, asked, as_of))


def company_of(seen: Sourced, asked: Requests, as_of: int, amount: Float, chance: Callable[[Window], Float]) -> Company:
    """Put together the open deals of an as-of and what the heads said of them, in the order asked."""
    days = told_at(seen.record, asked).close_days
    dated = np.where(np.isnan(days), NAT, as_of + np.rint(np.nan_to_num(days) * DAY).astype(np.int64))
    return Company(ground_of(seen.record, asked, as_of), amount, dated, chance)


def heads_at(seen: Sourced, bundle: Bundle, asked: Requests, as_of: int) -> tuple[Float, Callable[[Window], Float]]:
    """Ask every head of some open deals: `amount` and `chance` of a `Company` of them."""
    matrix, told = build_features(seen.record, asked, bundle.plan), told_at(seen.record, asked)
    said = bundle.heads.predict(matrix, told)
    timing, learnt = bundle.timing, bookings_of(bundle)
    amount = said.amount if said.amount is not None else np.zeros(len(asked))

    def chance(window: Window) -> Float:
        if timing is None or _is_own_period(bundle, window):
            return learnt.tilted(said.p, amount, (window.end - as_of) / DAY)
        edges = [np.full(len(asked), edge) for edge in (max(window.start, as_of), window.end)]
        days = np.stack([days_between(asked.as_of, edge) for edge in edges], axis=1)
        won, _ = timing.curves(matrix, said.p, told.period_days, days)
        till, by_end = (
            learnt.tilted(won[:, k], amount, days[:, k]) for k in (0, 1)
        )  # so that months add up to the quarter
        return np.maximum(by_end - till, 0.0)

    return amount, chance


def outcome(company: Company, window: Window, model: BookingsModel, seed: int, scenario: Scenario) -> Outcome:
    """Forecast one window, as it is and in a scenario. Raises UsageError for a deal or rep that is not there."""
    ground = company.ground
    when = local_iso(ground.as_of, ground.record.calendar.zone)
    if missing := scenario.unknown_deals(ground):
        raise UsageError.at("--lose", ", ".join(missing[:5]), expected=f"ids of deals that are open at {when}")
    if missing := scenario.unknown_reps(ground):
        raise UsageError.at("--leaves", ", ".join(missing[:5]), expected=f"ids of reps with a part in it at {when}")
    p, quotas, arrivals = company.chance(window), quotas_of(ground, window), arrivals_in(ground, window)
    base = forecast(ground, window, p, company.amount, model, seed, arrivals=arrivals)
    what_if: tuple[Node, ...] = ()
    if scenario != AS_IT_IS:
        coming, chances = scenario.coming(ground, arrivals), scenario.chances(ground, p)
        other = forecast(ground, window, chances, company.amount, model, seed, arrivals=coming)
        what_if = tuple(nodes(other, quotas, model.scale))
    worth = p * company.amount
    pulled_in = float(worth[company.dated > window.end].sum())
    base_nodes = tuple(nodes(base, quotas, model.scale))
    return Outcome(window, base_nodes, what_if, _closing(company, p), float(worth.sum()), pulled_in)


def _closing(company: Company, p: Float) -> tuple[Closing, ...]:
    expected = p * company.amount
    deals = company.ground.deals
    top = np.argsort(-expected, kind="stable")[:CLOSING].tolist()
    return tuple(Closing(deals[k], float(p[k]), float(company.amount[k]), float(expected[k])) for k in top)


def quotas_of(ground: AsOf, window: Window) -> np.ndarray:
    """Return the reps' quotas, int64[reps], -1: none. A quota is a whole period's; no month has one."""
    start, end = ground.record.calendar.bounds(np.array([ground.as_of]))
    own = (window.start, window.end) == (int(start[0]), int(end[0]))
    return quotas_in(ground, window) if own else np.full(len(ground.code), -1, dtype=np.int64)


def columns(scenario: Scenario) -> tuple[str, ...]:
    """Return the columns of a file; `scenario` is there only where one was asked for."""
    return (*COLUMNS, *(MORE if scenario != AS_IT_IS else MORE[1:]))


def outcome_rows(one: Outcome, as_of: int, level: str | None, bundle: Bundle, zone: str) -> Iterator[tuple[Cell, ...]]:
    """Yield the rows of a file: a node each, of this level or all, of the forecast as it is and of the scenario."""
    first, last = _days(one.window, zone)
    both = bool(one.what_if)
    for said, listed in ((BASE, one.nodes), (WHAT_IF, one.what_if)):
        for node in listed:
            if level in (None, node.level):
                shown = [node.quantiles[k] for k in (P10, P50, P90)]
                cents = (node.booked, node.open_expected, node.arrivals_expected, *shown, node.mean)
                money = tuple(value / CENTS for value in cents)
                quota = None if node.quota is None else node.quota / CENTS
                about = (node.level, node.name, local_iso(as_of, zone), first, last)
                more = (said,) if both else ()
                yield (*about, *money, quota, node.p_reach_quota, *more, bundle.version, SCHEMA_VERSION)


def checked_level(level: str | None) -> str | None:
    """Return the level; raises UsageError for one that there is not."""
    if level is not None and level not in NODE_LEVELS:
        raise UsageError.at("--level", repr(level), expected=" or ".join(NODE_LEVELS))
    return level


def read_leaving(texts: Sequence[str]) -> dict[str, float]:
    """Read ``REP=SHARE`` options. Raises UsageError."""
    found = {}
    for text in texts:
        rep, _, share = text.rpartition("=")
        try:
            kept = float(share)
        except ValueError:
            kept = float("nan")
        if not rep or not 0 <= kept <= 1:
            raise UsageError.at(
                "--leaves", repr(text), expected="a rep id and the share that a successor keeps, such as R0007=0.5"
            )
        found[rep] = kept
    return found


def told_lines(outcomes: Sequence[Outcome], zone: str) -> Iterator[str]:
    """Say in a line or two what the company will book in each window."""
    for one in outcomes:
        whole = one.nodes[0]
        yield f"{_span(one.window, zone)}: {_words(whole)}"
        if one.what_if:
            yield f"  what if: {_words(one.what_if[0])}; mean {(one.what_if[0].mean - whole.mean) / CENTS:+,.0f}"
        if one.gap is not None and one.gap > 0:
            top = ", ".join(f"{deal.deal_id} ({deal.expected:,.0f} of {deal.amount:,.0f})" for deal in one.closing[:3])
            yield f"  {one.gap:,.0f} below quota on average; most of what is expected comes of {top}"


def told_json(one: Outcome, zone: str) -> dict[str, object]:
    """Return what --json says of a window."""
    start, end = _days(one.window, zone)
    return {
        "as_of": local_iso(one.window.as_of, zone),
        "period_start": start,
        "period_end": end,
        "company": _plain(one.nodes[0]),
        "what_if": _plain(one.what_if[0]) if one.what_if else None,
        "weighted_open": round(one.weighted, 2),
        "pulled_in": round(one.pulled_in, 2),
        "gap_to_quota": one.gap,
        "closing": [vars(deal) for deal in one.closing],
    }


def _plain(node: Node) -> dict[str, float | None]:
    told = {name: getattr(node, name) / CENTS for name in ("booked", "open_expected", "arrivals_expected", "mean")}
    told |= {name: node.quantiles[k] / CENTS for name, k in (("p10", P10), ("p50", P50), ("p90", P90))}
    return told | {"quota": None if node.quota is None else node.quota / CENTS, "p_reach_quota": node.p_reach_quota}


def _words(node: Node) -> str:
    p10, p50, p90 = (f"{node.quantiles[k] / CENTS:,.0f}" for k in (P10, P50, P90))
    reach = (
        ""
        if node.p_reach_quota is None
        else f"; quota {(node.quota or 0) / CENTS:,.0f}, reached in {node.p_reach_quota:.0%}"
    )
    parts = (
        f"{node.booked / CENTS:,.0f} booked, {node.open_expected / CENTS:,.0f} from open deals, "
        f"{node.arrivals_expected / CENTS:,.0f} from deals to come"
    )
    return f"{p50} ({p10} to {p90}): {parts}{reach}"


def _span(window: Window, zone: str) -> str:
    return " to ".join(_days(window, zone))


def _days(window: Window, zone: str) -> tuple[str, str]:
    """First and last day of a window, local, inclusive."""
    days = local_days(np.array([window.start, window.end]), zone).tolist()
    return (EPOCH + timedelta(days=days[0])).isoformat(), (EPOCH + timedelta(days=days[1] - 1)).isoformat()
