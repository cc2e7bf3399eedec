"""What feature groups share about reference facts: shrunken rates, lifts, and the codes that requests ask about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.asof import AsOfView, Seen
from features.columns import logit
from features.tables import NAT
from features.timeline import Float, Int

PRIOR_WINS, PRIOR_CLOSED = 1.0, 4.0  # the company before its first closed deals: one in four, quickly forgotten


@dataclass(frozen=True)
class Standing:
    """Who and what each request is about, and the company's own rate. Codes int64[n], -1 where not known.

    company, rep: closes of all and of the owner. of_stage, of_category: those that passed the stage, were called so.
    """

    owner: Int
    team: Int
    account: Int
    stage: Int
    category: Int
    company: Seen
    rep: Seen
    of_stage: Seen
    of_category: Seen
    base: Float

    def passed(self, m: float) -> Float:
        """Return the rates of deals that passed the stage and of those called so, shrunken, float64[2, n]."""
        return rates((self.of_stage, self.of_category), self.base, m)


def standing(view: AsOfView) -> Standing:
    """Return the codes of each request, and the company's win rate by count as of it; made once for a view."""
    return view.shared("standing", lambda: _standing(view))


def _standing(view: AsOfView) -> Standing:
    last = view.of("history")
    owner, stage, category = (code(last.last(name)) for name in ("owner", "stage", "category"))
    company = view.about("company", np.zeros(len(view), dtype=np.int64))
    base = (company.count("won") + PRIOR_WINS) / (company.count() + PRIOR_CLOSED)
    return Standing(
        owner=owner,
        team=view.team(owner),
        account=fixed_code(view, "account"),
        stage=stage,
        category=category,
        company=company,
        rep=view.about("rep", owner),
        of_stage=view.about("stage", stage),
        of_category=view.about("category", category),
        base=base,
    )


def rate(seen: Seen, parent: Float, m: float) -> Float:
    """Return the as-of win rate of an entity, shrunken towards its parent's with the weight of `m` closed deals."""
    return (seen.count("won") + m * parent) / (seen.count() + m)


def rates(seen: Sequence[Seen], parent: Float, m: float) -> Float:
    """Return `rate` of several kinds of entities, of one parent or of one each, float64[len(seen), n]."""
    won, closed = np.array([each.count("won") for each in seen]), np.array([each.count() for each in seen])
    return (won + m * parent) / (closed + m)


def lift(p: Float, base: Float) -> Float:
    """Return the log-odds of a rate above those of its base."""
    return logit(p) - logit(base)


def code(values: Int) -> Int:
    """Return codes with -1 where nothing is known."""
    return np.where(values == NAT, -1, values)


def fixed_code(view: AsOfView, name: str) -> Int:
    """Return the code of a fact fixed at creation, -1 where it is not known."""
    return code(np.asarray(view.fixed(name), dtype=np.int64))


def pair(left: Int, right: Int, width: int) -> Int:
    """Return the code of two codes together, -1 where either is not known."""
    return np.where((left >= 0) & (right >= 0), left * width + right, -1)
