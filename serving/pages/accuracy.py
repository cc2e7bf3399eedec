"""How right we were: the model's backtest beside every baseline, and what the service said since it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Any

from starlette.responses import Response

from serving.accuracy import backtest_told, bookings_told, live_told
from serving.live_accuracy import FEWEST
from serving.pages.baselines import COMMIT, OF_BOOKINGS, OF_DEALS, OURS, in_order
from serving.pages.visit import Visit
from serving.pages.words import Words

HEADLINE_WEEK = 4
SHOWN_PERIODS = 8  # since the service runs, in one chart
MONTH_DAYS = 60  # at most, where a period is a month


@dataclass(frozen=True)
class Cell:
    """A figure of a table with its interval. closest: none of its column erred less."""

    value: float | None
    low: float | None = None
    high: float | None = None
    closest: bool = False


@dataclass(frozen=True)
class Line:
    """A forecast and how far it missed in each week. told: what it is called; kind: ours, floor, or a baseline."""

    told: str
    kind: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Misses:
    """By how much every forecast of bookings missed, by week. band: of 100 periods, how many came within ours."""

    weeks: tuple[int, ...]
    lines: tuple[Line, ...]
    band: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Look:
    """What was said of a period in a week, and what came; money in currency, None where it was not told."""

    period: str
    week: int
    p10: float
    p50: float
    p90: float
    came: float
    commit: float | None


def shown(visit: Visit) -> Response:
    """Show how right we were. Of the company for keys of all teams, else of what the key's teams were told."""
    loaded = visit.loaded
    if loaded is None:
        return visit.page("accuracy_none.html.j2")
    words, bundle = visit.words, loaded.bundle
    asked = visit.query.get("period")
    with visit.reading() as connection:
        told = live_told(connection, visit.principal, bundle, asked)
        if told["period_start"] is None and told["periods"]:  # an odd address shows the newest
            told = live_told(connection, visit.principal, bundle, None)
        stored = [
            (period, bookings_told(connection, visit.principal, bundle, period))
            for period in reversed(told["periods"][:SHOWN_PERIODS])
        ]
    backtest = backtest_told(visit.config.state_dir, visit.principal, bundle)
    bookings = (backtest or {}).get("bookings")
    return visit.page(
        "accuracy.html.j2",
        charts=True,
        backtest=backtest,
        sentence=None if bookings is None else headline(words, bookings["periods"]),
        misses=None if bookings is None else misses_of(bookings["misses"]),
        looks=[] if bookings is None else points(words, looks_of(bookings["periods"])),
        models=[] if backtest is None else models_of(backtest["models"]),
        weeks=[] if backtest is None else [week for week in backtest["weeks"] if week["deals"] >= FEWEST],
        bins=[] if backtest is None else bins_of(words, backtest["bins"]),
        told=told,
        live=told["live"],
        live_looks=[(node, points(words, looks)) for node, looks in stored_looks(stored)],
        live_bins=[] if told["live"] is None else bins_of(words, told["live"]["bins"]),
        fewest=FEWEST,
        version=bundle.version,
    )


def headline(words: Words, periods: Sequence[Mapping[str, Any]]) -> str | None:
    """Say how far we, the reps and the closest other way missed in the middle; None where no period can tell.

    The closest is chosen knowing what came, so that ours is never set beside a weak one.
    """
    weeks = sorted({look["week"] for period in periods for look in period["weeks"]})
    if not weeks:
        return None
    week = HEADLINE_WEEK if HEADLINE_WEEK in weeks else weeks[len(weeks) // 2]
    found: dict[str, list[float]] = {}
    for period in periods:
        for look in period["weeks"]:
            if look["week"] == week and period["came"] > 0:
                for name, said in ({OURS: look["p50"]} | look["said"]).items():
                    found.setdefault(name, []).append(abs(said - period["came"]) / period["came"])
    if OURS not in found:
        return None
    whole = len(found[OURS])
    misses = {name: median(errors) for name, errors in found.items() if len(errors) == whole}  # of the same periods
    others = [f"the reps' commit by {words.share(misses[COMMIT])}"] if COMMIT in misses else []
    ways = [name for name in misses if name not in (OURS, COMMIT)]
    if ways:
        best = min(ways, key=lambda name: (misses[name], name))
        others.append(f"the closest other way ({OF_BOOKINGS.get(best, best)}) by {words.share(misses[best])}")
    times = f"the last {words.count(whole)} {unit(periods)}s" if whole > 1 else f"the last {unit(periods)}"
    ours = f"our forecast missed by {words.share(misses[OURS])}{' in the middle' if whole > 1 else ''}"
    return f"In week {words.count(week)} of {times} {', '.join([ours, *others])}."


def unit(periods: Sequence[Mapping[str, Any]]) -> str:
    """Return what a period is called."""
    first, last = (date.fromisoformat(periods[0][name]) for name in ("period_start", "period_end"))
    return "month" if (last - first).days < MONTH_DAYS else "quarter"


def misses_of(misses: Sequence[Mapping[str, Any]]) -> Misses:
    """Return the table of every forecast's misses by week, ours and the noise floor first."""
    weeks = tuple(sorted({miss["week"] for miss in misses} - {0}))
    by_name: dict[str, dict[int, Mapping[str, Any]]] = {}
    for miss in misses:
        by_name.setdefault(miss["name"], {})[miss["week"]] = miss
    least = {
        week: min((told[week]["error"]["value"] for told in by_name.values() if _known(told, week)), default=None)
        for week in weeks
    }
    lines = []
    for name, called in in_order(OF_BOOKINGS, by_name):
        told = by_name[name]
        cells = tuple(_cell(told[week]["error"], least[week]) if _known(told, week) else None for week in weeks)
        lines.append(Line(called, "ours" if name == OURS else "", cells))
    ours = by_name.get(OURS, {})
    floor = tuple(
        Cell(ours[week]["floor"]) if week in ours and ours[week]["floor"] is not None else None for week in weeks
    )
    if any(floor):
        lines.insert(1, Line("One who knows every open deal's chance", "floor", floor))
    band = tuple(_cell(ours[week]["in_band"]) if week in ours else None for week in weeks)
    return Misses(weeks, tuple(lines), band)


def looks_of(periods: Sequence[Mapping[str, Any]]) -> list[Look]:
    """Return what the backtest said, in order of time."""
    return [
        Look(
            period["period_start"], look["week"], look["p10"], look["p50"], look["p90"], period["came"],
            look["said"].get(COMMIT),
        )
        for period in periods
        for look in period["weeks"]
    ]  # fmt: skip


def stored_looks(stored: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> list[tuple[str, list[Look]]]:
    """Return what the service said of each node, in order of time; the company's node is called nothing."""
    found: dict[str, list[Look]] = {}
    for period, rows in stored:
        for row in rows:
            node = "" if row["level"] == "company" else row["node"]
            look = Look(period, row["week"], row["p10"], row["p50"], row["p90"], row["booked_in_the_end"], None)
            found.setdefault(node, []).append(look)
    return sorted(found.items())


def points(words: Words, looks: Sequence[Look]) -> list[dict[str, Any]]:
    """Return looks as rows of the chart and of its table."""
    return [
        {
            "period": words.month(look.period), "week": look.week, "p10": look.p10, "p50": look.p50, "p90": look.p90,
            "came": look.came, "commit": look.commit, "low": words.money(look.p10), "middle": words.money(look.p50),
            "high": words.money(look.p90), "end": words.money(look.came), "called": words.money(look.commit),
            "told": f"{words.month(look.period)}, week {words.count(look.week)}: said {words.short(look.p50)} "
            f"({words.short(look.p10)} to {words.short(look.p90)}), came {words.short(look.came)}",
        }
        for look in looks
    ]  # fmt: skip


def models_of(models: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return (what it is called, its row) of our score and every baseline of deals; without what nobody ships."""
    told = {row["name"]: row for row in models if not row["reference"]}
    return [(called, told[name]) for name, called in in_order(OF_DEALS, told)]


def bins_of(words: Words, bins: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return bins of like probability as rows of the chart and of its table, of 100."""
    rows = []
    for one in bins:
        came = one["came"]
        low, value, high = (round(100 * came[name], 1) for name in ("low", "value", "high"))
        said = round(100 * one["said"], 1)
        likely = f"{words.number(low)} to {words.number(high)}"
        rows.append(
            {
                "said": said, "came": value, "low": low, "high": high, "of": words.count(one["rows"]),
                "we_said": words.number(said), "won": words.number(value), "likely": likely,
                "told": f"said {words.number(said)}, won {words.number(value)} of 100 ({likely})",
            }
        )  # fmt: skip
    return rows


def _known(told: Mapping[int, Mapping[str, Any]], week: int) -> bool:
    return week in told and told[week]["error"]["value"] is not None


def _cell(told: Mapping[str, Any], least: float | None = None) -> Cell:
    """Return a figure with its interval; it is the closest where it is the least."""
    return Cell(told["value"], told["low"], told["high"], least is not None and told["value"] == least)
