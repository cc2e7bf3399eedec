"""Which deals are of one account: what a deal is set beside to see whether it stands in the CRM twice.

Only who belongs together is kept here, by what is fixed at creation. What a sibling's record says, and whether it is
known at all, is asked of the as-of view (`AsOfView.siblings`), as of the request's own instant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.tables import NAT, Coded
from features.timeline import Int, Timeline, timeline


@dataclass(frozen=True)
class Siblings:
    """The deals of a record by account. ids: in code order; account, created_at: int64[d], -1 and NAT where missing.

    by_account: a row per deal that has both, keyed by account in order of creation, with its code as ``deal``.
    """

    ids: Coded
    account: Int
    created_at: Int
    by_account: Timeline

    @classmethod
    def among(cls, ids: Coded, account: Int, created_at: Int) -> Siblings:
        """Return who belongs together among the deals of a whole record."""
        deals = np.arange(len(account), dtype=np.int64)
        accounts = int(account.max(initial=-1)) + 1
        rows = timeline("siblings", max(accounts, 1), account, created_at, {"deal": deals})
        return cls(ids, account, created_at, rows)

    def of(self, deal: Int, within: int) -> tuple[Int, Int]:
        """Return the siblings of some deals (codes) that were created no later, and at most `within` earlier.

        within: microseconds. Gives (place in `deal`, code of the sibling), int64[k] each; a deal is none of its own.
        """
        asked = np.flatnonzero((self.account[deal] >= 0) & (self.created_at[deal] != NAT))
        account, born = self.account[deal[asked]], self.created_at[deal[asked]]
        key, instants = self.by_account.key, self.by_account.instants
        first = key.searchsorted(instants.key(account, born - within))
        size = key.searchsorted(instants.key(account, born + 1)) - first
        place = np.repeat(asked, size)
        rows = np.repeat(first - (np.cumsum(size) - size), size) + np.arange(len(place))
        other = self.by_account.values("deal")[rows]
        apart = other != deal[place]
        return place[apart], other[apart]

    def name(self, deal: int) -> str:
        """Return the CRM's id of a deal by its code."""
        return self.ids.decode(deal) or ""
