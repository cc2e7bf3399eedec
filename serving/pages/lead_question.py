"""What is asked of the list of leads, as the address says it: a view, a capacity, filters, an order, a place."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlencode

from models.lead_queue import Place
from serving.pages.question import LONGEST, is_text, place_text, read_place
from serving.store.leads import Lead

QUEUE, ALL = "", "all"
VIEWS = ((QUEUE, "This week's queue"), (ALL, "All open leads"))
FILTERS = ("grade", "source")
MOST = 1_000_000
Value = float | str
SORTS: dict[str, Callable[[Lead, Place | None], Value]] = {
    "rank": lambda lead, place: MOST if place is None else place.rank,
    "lead_id": lambda lead, place: lead.name or lead.lead_id,
    "p": lambda lead, place: lead.p_convert,
    "value": lambda lead, place: -1.0 if lead.value_expected is None else lead.value_expected,
    "created_at": lambda lead, place: lead.created_at or 0,
    "last_act_at": lambda lead, place: lead.last_act_at or 0,
}
"""What leads can be sorted by; with a minus in front the largest comes first."""
TEXTS = ("lead_id",)
UPWARDS = ("rank", *TEXTS)
"""Sorts that begin with the smallest where nobody says otherwise."""


@dataclass(frozen=True)
class LeadQuestion:
    """What is asked. given: filters that are set. sort: with its sign. capacity: None: that of the refresh."""

    view: str
    given: Mapping[str, str]
    sort: str
    capacity: int | None
    after: tuple[Value, str] | None = None

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The parameters that ask the same from the first page on."""
        usual = "rank" if self.view == QUEUE else "-p"
        return {
            **({"view": self.view} if self.view else {}),
            **({} if self.capacity is None else {"capacity": str(self.capacity)}),
            **self.given,
            **({} if self.sort == usual else {"sort": self.sort}),
        }

    def address(self, **changes: str | None) -> str:
        """Return the address with some parameters changed, those of None left out."""
        kept = {name: value for name, value in (self.parameters | changes).items() if value}
        return f"/leads?{urlencode(kept)}" if kept else "/leads"

    def sorted_by(self, column: str) -> str | None:
        """Return ``ascending`` or ``descending`` where the list is sorted by a column, else None."""
        if self.sort.removeprefix("-") != column:
            return None
        return "descending" if self.sort.startswith("-") else "ascending"

    def turned(self, column: str) -> str:
        """Return the address that sorts by a column, the other way round where it does so already."""
        now = self.sorted_by(column)
        ascending = now == "descending" or (now is None and column in UPWARDS)
        return self.address(sort=column if ascending else f"-{column}")

    @property
    def mark(self) -> str:
        """What a cursor is bound to."""
        return json.dumps(self.parameters, sort_keys=True)

    def takes(self, lead: Lead, place: Place | None) -> bool:
        """Whether a lead is asked for."""
        wanted = all(getattr(lead, name) == value for name, value in self.given.items())
        return wanted and (self.view == ALL or place is not None)

    def page(
        self, leads: Sequence[tuple[Lead, Place | None]], most: int
    ) -> tuple[list[tuple[Lead, Place | None]], str]:
        """Return a page of the leads in their order, and the cursor of the next page, "" where there is none."""
        by = SORTS[self.sort.removeprefix("-")]
        down = self.sort.startswith("-")
        keyed = sorted((((by(*one), one[0].lead_id), one) for one in leads), key=lambda pair: pair[0], reverse=down)
        if self.after is not None:
            keyed = [one for one in keyed if (one[0] < self.after if down else one[0] > self.after)]
        shown = keyed[:most]
        more = place_text(self.mark, *shown[-1][0]) if len(keyed) > most else ""
        return [one for _, one in shown], more


def read_leads_question(given: Mapping[str, str]) -> LeadQuestion:
    """Read the address. What is not known of it is left aside."""
    view = given.get("view", QUEUE)
    view = view if view in dict(VIEWS) else QUEUE
    said = {name: given[name].strip()[:LONGEST] for name in FILTERS if is_text(given.get(name, ""))}
    sort, usual = given.get("sort", ""), "rank" if view == QUEUE else "-p"
    sort = sort if sort.removeprefix("-") in SORTS else usual
    number = given.get("capacity", "").strip()
    plain = number.isascii() and number.isdigit() and len(number) <= len(str(MOST))
    capacity = int(number) if plain and 1 <= int(number) <= MOST else None
    asked = LeadQuestion(view, said, sort, capacity)
    after = read_place(asked.mark, given.get("after", ""), sort.removeprefix("-") in TEXTS)
    return LeadQuestion(view, said, sort, capacity, after)
