"""The data page: what was read, how fresh it is, what was refused and why, which model is live, and its card.

Counts of rows, refusals, events and the ledger are of the whole company: only keys that see every team get them. Others
see which model is live and how fresh its facts are, which stand on every answer; its card where they have the scope
`status`, as under ``/v1/model``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from serving.pages.card import read_card
from serving.pages.visit import Visit
from serving.papers import CARD, paper
from serving.principal import Scope
from serving.store.page_facts import Kept, Read, kept, refreshes
from serving.store.refreshed import newest

REASONS: Mapping[str, str] = {
    "scored": "scored anew",
    "unchanged": "as before",
    "closed": "closed",
    "tombstoned": "gone",
    "not_known": "not known yet",
    "refused": "contradict themselves",
}
"""What became of deals in a refresh."""
LATE_DAYS = 3  # without a fact from the source, before the page says so


@dataclass(frozen=True)
class Whole:
    """What is told of the whole company. reads: refreshes, the newest first."""

    reads: list[Read]
    kept: Kept

    @property
    def tables(self) -> list[Mapping[str, Any]]:
        """The tables or objects of the source, as last read."""
        found: list[Mapping[str, Any]] = self.reads[0].told["tables"] if self.reads else []
        return found

    @property
    def last_fact(self) -> int | None:
        """The newest fact that any table held before the as-of, UTC microseconds."""
        facts = self.reads[0].told["facts"] if self.reads else []
        return max((one["last_fact"] for one in facts if one["last_fact"] is not None), default=None)

    @property
    def refused(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Table and refusal, the most rows first."""
        found = [(table["table"], one) for table in self.tables for one in table["refused"]]
        return sorted(found, key=lambda pair: -pair[1]["rows"])


def rows_in(read: Read) -> int:
    """Return how many rows of the source a refresh read."""
    return sum(table["rows_in"] for table in read.told["tables"])


def rows_refused(read: Read) -> int:
    """Return how many of them it refused."""
    return sum(table["rows_in"] - table["rows_kept"] for table in read.told["tables"])


def shown(visit: Visit) -> Response:
    """Show the page, as much of it as the key may see."""
    sees_all = visit.principal.teams is None
    loaded = visit.loaded
    with visit.reading() as connection:
        as_of = newest(connection)
        reads = refreshes(connection) if sees_all else []
        seen = reads[0].told["last_event"] if reads else 0
        whole = Whole(reads, kept(connection, seen)) if sees_all else None
    may = sees_all or visit.login.key.may(Scope.STATUS)
    told = paper(visit.config.state_dir, loaded.bundle.sha, CARD) if loaded is not None and may else None
    return visit.page(
        "data.html.j2",
        whole=whole,
        last=reads[0] if reads else None,
        as_of=as_of,
        may_card=may,
        card=read_card(told),
        about=None if loaded is None else loaded.bundle.about,
        loaded=loaded,
        ledger=str(visit.config.serving.ledger),
        reasons=REASONS,
        rows_in=rows_in,
        rows_refused=rows_refused,
        late_days=LATE_DAYS,
    )
