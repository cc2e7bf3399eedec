"""The same deals some days before an as-of: what flags look back at, so that they do not flicker and know what is news.

Only deals that were open then, and days that the calendar reaches.
"""

from __future__ import annotations

import numpy as np

from configs.flags import Flags
from features.asof import AsOfView, Requests
from features.periods import DAY
from models.base import Bool, Int

WEEK = 7


def looks_back(limits: Flags) -> list[int]:
    """Return how many days before an as-of the same deal is looked at: whether a flag was up, and how severe."""
    return sorted({*range(WEEK, limits.new_days, WEEK), limits.new_days})


def with_earlier(view: AsOfView, limits: Flags) -> AsOfView:
    """Return what is seen of the requests and, behind them, of the same deals on the days looked back at, if open."""
    asked, back = view.requests, (0, *looks_back(limits))
    then = np.concatenate([asked.as_of - days * DAY for days in back])
    seen = view.as_ofs(Requests(np.tile(asked.deal, len(back)), then))
    wanted = (then >= view.calendar.starts[0]) & seen.is_open()
    wanted[: len(view)] = True
    return those(np.arange(len(then)), seen, wanted)[1]


def ago(view: AsOfView, days: int) -> tuple[Int, AsOfView]:
    """Return int64[k], the requests whose deals were open so many days before, and what was seen of them by then."""
    return view.shared(f"ago-{days}", lambda: _ago(view, days))


def _ago(view: AsOfView, days: int) -> tuple[Int, AsOfView]:
    then = view.as_of - days * DAY
    rows = np.flatnonzero(then >= view.calendar.starts[0])
    seen = view.as_ofs(Requests(view.requests.deal[rows], then[rows]))
    return those(rows, seen, seen.is_open())


def those(rows: Int, view: AsOfView, wanted: Bool) -> tuple[Int, AsOfView]:
    """Return the wanted rows, and what is seen of them."""
    return (rows, view) if wanted.all() else (rows[wanted], view.as_ofs(view.requests.take(wanted)))


def behind(view: AsOfView, wanted: Bool, days: int) -> tuple[Int, Int]:
    """Return the wanted rows that a view holds of so many days before too, and their places there, int64[k] each."""
    asked, n = view.requests, len(wanted)
    places = {pair: n + i for i, pair in enumerate(zip(asked.deal[n:].tolist(), asked.as_of[n:].tolist(), strict=True))}
    then = zip(asked.deal[:n].tolist(), (asked.as_of[:n] - days * DAY).tolist(), strict=True)
    found = [(row, places[pair]) for row, pair in enumerate(then) if wanted[row] and pair in places]
    both = np.array(found, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
