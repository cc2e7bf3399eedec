"""One open deal as lists and its own page show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from features.periods import DAY
from serving.answers import PROBABILITY
from serving.pages.flags import Raised, raised
from serving.pages.words import Words
from serving.store.deal_list import DealFacts
from serving.store.repository import StoredScore


@dataclass(frozen=True)
class Row:
    """A stored score in words. flags: those within the alert budget; usual_days: of won deals in this stage."""

    deal: StoredScore
    flags: list[Raised]
    usual_days: float | None

    @property
    def facts(self) -> DealFacts:
        """How the deal stood."""
        return self.deal.facts

    @property
    def answer(self) -> Mapping[str, Any]:
        """What the endpoint answers of it."""
        return self.deal.answer

    @property
    def title(self) -> str:
        """What the deal is called."""
        return self.facts.name or self.deal.deal_id

    @property
    def p(self) -> float:
        """The probability that the score tells."""
        return chance(self.answer)

    @property
    def moved(self) -> int | None:
        """Points of the score since a week before; None where it was not scored then, or for another period."""
        before = self.facts.p_before
        return None if before is None else round(100 * self.p) - round(100 * before)

    @property
    def close_window(self) -> Mapping[str, str] | None:
        """Days by which 10, 50 and 90 % of deals like this are won, of those that are."""
        found: Mapping[str, str] | None = self.answer.get("close_date")
        return found

    @property
    def lingers(self) -> bool:
        """Whether it has been in its stage for twice as long as is usual, or longer."""
        since = self.facts.stage_since
        return (
            self.usual_days is not None and since is not None and self.deal.as_of - since >= 2 * self.usual_days * DAY
        )

    def is_overdue(self, words: Words) -> bool:
        """Whether the day of the CRM's close date is over."""
        due = self.facts.close_date
        return due is not None and due < words.local(self.deal.as_of).date().isoformat()


def row_of(one: StoredScore, usual: Mapping[str, float]) -> Row:
    """Return a deal as it is shown. usual: days in each stage, by its name."""
    return Row(one, raised(one.answer, one.flags), usual.get(one.facts.stage or ""))


def chance(answer: Mapping[str, Any]) -> float:
    """Return the probability of an answer, whichever the target."""
    return float(next(answer[name] for name in PROBABILITY.values() if name in answer))
