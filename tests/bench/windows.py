"""The same question put three ways: to the as-of core, to DuckDB and to Polars. See test_asof_speed.

Activities of six kinds and two directions; per kind and direction the counts in 7, 30, 90 days and ever, and the days
since the last one: 60 columns per request, keyed by name, each float64[n] in the requests' order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.asof import look
from features.chunks import answered
from features.order import total_order
from features.periods import DAY
from features.timeline import timeline

KINDS, DIRECTIONS = 6, 2
PARTS = [(kind, direction) for kind in range(KINDS) for direction in range(DIRECTIONS)]
WINDOWS = (7, 30, 90)
SECOND = 1_000_000
Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Asked:
    """Unsorted columns in memory, as every side gets them. Times are int64 UTC microseconds."""

    deals: int
    deal: np.ndarray
    known_at: np.ndarray
    kind: np.ndarray
    direction: np.ndarray
    request: np.ndarray
    as_of: np.ndarray


def asked(activities: int, requests: int, per_deal: int = 25, resolution: int = SECOND, seed: int = 5) -> Asked:
    """Deals of so many activities on average, spread over half a year of life within four years, some much busier."""
    rng = np.random.default_rng(seed)
    deals = max(activities // per_deal, 1)
    born = rng.integers(0, 3 * 365 * DAY, deals)
    weight = rng.lognormal(0.0, 0.8, deals)
    deal = rng.choice(deals, activities, p=weight / weight.sum())
    known_at = (born[deal] + rng.integers(0, 180 * DAY, activities)) // resolution * resolution
    request = rng.integers(0, deals, requests)
    as_of = born[request] + rng.integers(0, 200 * DAY, requests)
    kind, direction = rng.integers(0, KINDS, activities), rng.integers(0, DIRECTIONS, activities)
    return Asked(deals, deal, known_at, kind.astype(np.int8), direction.astype(np.int8), request, as_of)


def ours(a: Asked) -> Columns:
    """The public API of the as-of core, asked as `build_features` asks it: in order, a chunk at a time."""
    masks = {f"{k}{d}": (a.kind == k) & (a.direction == d) for k, d in PARTS}
    activities = timeline("activities", a.deals, a.deal, a.known_at, masks)
    names = [f"{what}{m}" for m in masks for what in (*(f"n{days}_" for days in WINDOWS), "ever_", "since_")]

    def answer(rows: np.ndarray) -> list[np.ndarray]:
        seen = look(activities, a.request[rows], a.as_of[rows])
        columns: list[np.ndarray] = []
        for mask in masks:
            columns += [seen.count(mask, within=days * DAY) for days in WINDOWS]
            columns += [seen.count(mask), seen.days_since(mask)]
        return columns

    values = answered(total_order(a.deals, a.request, a.as_of, None), len(names), answer)
    return {name: values[:, j] for j, name in enumerate(names)}


def duckdb_sql() -> str:
    """The join and the aggregate that a user would write."""
    columns = []
    for k, d in PARTS:
        this = f"kind = {k} AND direction = {d}"
        for days in WINDOWS:
            recent = f"known_at >= as_of - {days * DAY}"
            columns.append(f"count(*) FILTER ({this} AND {recent}) AS n{days}_{k}{d}")
        columns.append(f"count(*) FILTER ({this}) AS ever_{k}{d}")
        columns.append(f"(as_of - max(known_at) FILTER ({this})) / {float(DAY)} AS since_{k}{d}")
    return (
        f"SELECT {', '.join(columns)} FROM requests LEFT JOIN activities "
        "ON requests.deal = activities.deal AND known_at < as_of GROUP BY id, as_of ORDER BY id"
    )


def with_duckdb(a: Asked) -> Columns:
    """DuckDB over the arrays where they lie, its result as NumPy arrays."""
    import duckdb

    db = duckdb.connect()
    db.register("activities", {"deal": a.deal, "known_at": a.known_at, "kind": a.kind, "direction": a.direction})
    db.register("requests", {"id": np.arange(len(a.request)), "deal": a.request, "as_of": a.as_of})
    got = db.execute(duckdb_sql()).fetchnumpy()
    return {name: np.ma.filled(column.astype(np.float64), np.nan) for name, column in got.items()}


def with_polars(a: Asked) -> Columns:
    """Cumulative sums and as-of joins, as one who knows Polars would write it.

    The deal and the instant are one sorted integer, which spares the join its groups: an as-of join by group took more
    than twice as long. What a window does not reach comes from the row before the deal's first.
    """
    import polars as pl

    span = max(int(a.known_at.max()), int(a.as_of.max())) // SECOND + 2
    ceil = -(-pl.col("as_of") // SECOND)
    rows = (
        pl.LazyFrame({"deal": a.deal, "known_at": a.known_at, "kind": a.kind, "direction": a.direction})
        .with_columns(key=pl.col("deal") * span + pl.col("known_at") // SECOND)
        .sort("key")
    )
    marks = {f"{k}{d}": (pl.col("kind") == k) & (pl.col("direction") == d) for k, d in PARTS}
    running = rows.select(
        "key",
        *[mark.cast(pl.Int32).cum_sum().alias(f"c{name}") for name, mark in marks.items()],
        *[pl.when(mark).then("key").forward_fill().alias(f"k{name}") for name, mark in marks.items()],
    ).collect()
    asks = (
        pl.LazyFrame({"deal": a.request, "as_of": a.as_of})
        .with_row_index("id")
        .with_columns(begin=pl.col("deal") * span, sec=ceil)
        .with_columns(key=pl.col("begin") + pl.col("sec"))
        .sort("key")
        .collect()
    )

    def at(key: pl.Expr, columns: list[str]) -> pl.DataFrame:
        wanted = asks.select(key=key)
        return wanted.join_asof(running.select("key", *columns), on="key", allow_exact_matches=False).select(columns)

    counts, lasts = [f"c{n}" for n in marks], [f"k{n}" for n in marks]
    now = at(pl.col("key"), counts + lasts)
    edges = {f"n{days}_": at(pl.max_horizontal("begin", ceil_of(days)), counts) for days in WINDOWS}
    edges["ever_"] = at(pl.col("begin"), counts)
    out = {}
    frame = pl.concat([asks, now], how="horizontal")
    for name in marks:
        for label, edge in edges.items():
            out[f"{label}{name}"] = frame[f"c{name}"].fill_null(0) - edge[f"c{name}"].fill_null(0)
        last = frame[f"k{name}"]
        at_us = (last - frame["begin"]) * SECOND
        out[f"since_{name}"] = frame.select(
            pl.when(last >= frame["begin"]).then((pl.col("as_of") - at_us) / float(DAY)).otherwise(float("nan"))
        ).to_series()
    back = pl.DataFrame(out).with_columns(id=asks["id"]).sort("id")
    return {name: back[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in out}


def ceil_of(days: int):  # type: ignore[no-untyped-def]
    import polars as pl

    return pl.col("begin") - (-(pl.col("as_of") - days * DAY) // SECOND)
