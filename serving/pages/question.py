"""What is asked of the list of deals, as the address says it: a saved view, filters, an order, a place."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from serving.pages.flags import AT_RISK
from serving.store.deal_list import SORTS, TEXTS, Query
from serving.store.repository import StoredScore

LONGEST = 200
FILTERS = ("q", "flag", "team", "owner", "stage", "category")
DEFAULT_SORT = "-amount"
EVERYTHING = Query(flag=None, team=None, sort="deal_id", descending=False, after=None, limit=1)


@dataclass(frozen=True)
class View:
    """A saved view. why: what it is for. flags, category: as of `Query`; closing: by the end of the running period."""

    key: str
    title: str
    why: str
    flags: tuple[str, ...] = ()
    category: str | None = None
    closing: bool = False


VIEWS = (
    View("", "All open", "Every open deal that you may see."),
    View("at_risk", "At risk", "Deals that may not come, or not in time: their flags say why.", AT_RISK),
    View("closing", "Closing this period", "Deals that the CRM has closing by the end of the period.", closing=True),
    View(
        "quiet_commit",
        "Gone quiet in commit",
        "Called commit, while the buyer has been silent for longer than is usual in deals that were won.",
        ("disengaged",),
        "commit",
    ),
    View(
        "closer",
        "Closer than called",
        "The model expects them in, while their category or close date says out.",
        ("under_called",),
    ),
)


@dataclass(frozen=True)
class Question:
    """What is asked. given: filters that are set; sort: with its sign."""

    given: Mapping[str, str]
    view: View
    sort: str
    query: Query

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The parameters that ask the same from the first page on."""
        view = {"view": self.view.key} if self.view.key else {}
        sort = {"sort": self.sort} if self.sort != DEFAULT_SORT else {}
        return view | dict(self.given) | sort

    @property
    def plain(self) -> str:
        """Return the address of the view without filters."""
        return f"/deals?view={self.view.key}" if self.view.key else "/deals"

    def address(self, path: str = "/deals", **changes: str | None) -> str:
        """Return the address with some parameters changed, those of None left out."""
        kept = {name: value for name, value in (self.parameters | changes).items() if value}
        return f"{path}?{urlencode(kept)}" if kept else path

    def sorted_by(self, column: str) -> str | None:
        """Return ``ascending`` or ``descending`` where the list is sorted by a column, else None."""
        if self.query.sort != column:
            return None
        return "descending" if self.query.descending else "ascending"

    def turned(self, column: str) -> str:
        """Return the address that sorts by a column, the other way round where it does so already."""
        now = self.sorted_by(column)
        ascending = now == "descending" or (now is None and column in TEXTS)
        return self.address(sort=column if ascending else f"-{column}")

    @property
    def mark(self) -> str:
        """What a cursor is bound to."""
        return json.dumps(self.parameters, sort_keys=True)


def read_question(given: Mapping[str, str], end: date | None) -> Question:
    """Read the address. What is not known of it is left aside: bookmarks outlive views. end: of the running period."""
    view = next((one for one in VIEWS if one.key == given.get("view", "")), VIEWS[0])
    said = {name: given[name].strip()[:LONGEST] for name in FILTERS if is_text(given.get(name, ""))}
    sort = given.get("sort", DEFAULT_SORT)
    sort = sort if sort.removeprefix("-") in SORTS else DEFAULT_SORT
    query = Query(
        flag=said.get("flag"),
        team=said.get("team"),
        sort=sort.removeprefix("-"),
        descending=sort.startswith("-"),
        after=None,
        limit=1,
        owner=said.get("owner"),
        category=said.get("category", view.category),
        stage=said.get("stage"),
        due=end.isoformat() if view.closing and end is not None else None,
        flags=view.flags,
        text=said.get("q"),
    )
    question = Question(said, view, sort, query)
    after = read_place(question.mark, given.get("after", ""), query.sort in TEXTS)
    return replace(question, query=replace(query, after=after))


def cursor(question: Question, last: StoredScore) -> str:
    """Return where the next page begins, for the same question alone."""
    return place_text(question.mark, last.place, last.deal_id)


def place_text(mark: str, place: Any, name: str) -> str:
    """Return a place in a list as an address holds it. mark: what it is bound to."""
    text = json.dumps([mark, place, name], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_place(mark: str, said: str, is_of_text: bool) -> tuple[Any, str] | None:
    """Read a place; one that is bound to something else, or none at all, leads to the first page."""
    try:
        bound, place, name = json.loads(base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)))
    except (ValueError, TypeError):
        return None
    fits = place == "" or is_text(place) if is_of_text else _is_number(place)
    return (place, name) if bound == mark and fits and is_text(name) else None


def is_text(value: object) -> bool:
    """Whether something is a text that shows."""
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
