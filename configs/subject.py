"""What a model speaks of: the words for deals, and for leads that are read in the shape of deals."""

from __future__ import annotations

from dataclasses import dataclass

from configs.vocab import Target


@dataclass(frozen=True)
class Subject:
    """The words that reports, cards and messages use. won, lost: what a 1 and a 0 is; wins: several of them.

    stopped: of one that was closed otherwise.
    told: those that have an outcome. row: what a row is. alike: those that the stage x time table takes a row for.
    """

    one: str
    many: str
    won: str
    lost: str
    stopped: str
    wins: str
    told: str
    row: str
    alike: str

    @classmethod
    def of(cls, target: str) -> Subject:
        """Return the words for a target."""
        return LEADS if target == Target.CONVERTED else DEALS


DEALS = Subject(
    one="deal",
    many="deals",
    won="won",
    lost="lost",
    stopped="lost",
    wins="wins",
    told="closed deals",
    row="an open deal as of one week",
    alike="deals in the same stage with as much time left were won",
)
LEADS = Subject(
    one="lead",
    many="leads",
    won="converted",
    lost="not",
    stopped="disqualified",
    wins="conversions",
    told="leads whose window is over",
    row="an open lead at one of its ages",
    alike="leads of the same status and age converted",
)
