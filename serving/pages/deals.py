"""The deals page: every open deal that the key may see, chosen and sorted, a page at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from starlette.responses import Response

from serving.pages.flags import category_name, name_of
from serving.pages.question import EVERYTHING, VIEWS, Question, cursor, read_question
from serving.pages.row import row_of
from serving.pages.usual import usual_days
from serving.pages.visit import Visit
from serving.store.choices import Choices, Total, choices, total
from serving.store.refreshed import newest
from serving.store.repository import Repository

AT_ONCE = 50
AT_ONCE_STILL = 500  # in a report, whose pages nobody waits for
COLUMNS: tuple[tuple[str, str, bool], ...] = (
    ("deal_id", "Deal", False),
    ("p", "Score", False),
    ("change", "Week", False),
    ("amount", "Amount", True),
    ("stage_since", "Stage", False),
    ("close_date", "Close date", False),
    ("last_buyer_at", "Buyer", False),
    ("", "Flags", False),
    ("owner_id", "Owner", False),
)
"""(what it sorts by, title, whether it is a column of numbers)."""


@dataclass(frozen=True)
class Asked:
    """What is asked of the list, and what there is. whole: all open deals that may be seen; end: of their period."""

    question: Question
    whole: Total
    total: Total
    choices: Choices
    end: date | None


def asked_of(visit: Visit) -> Asked:
    """Read what is asked, and add it up."""
    with visit.reading() as connection:
        whole = total(connection, visit.principal, EVERYTHING)
        end = period_end(visit, whole.as_of)
        question = read_question(visit.query, end)
        all_of_them = not replace(question.query, after=None).conditions()
        found = whole if all_of_them else total(connection, visit.principal, question.query)
        return Asked(question, whole, found, _in_order(visit, choices(connection, visit.principal)), end)


def listed(visit: Visit) -> Response:
    """Show a page of the list."""
    asked = asked_of(visit)
    if not asked.whole.deals:
        return visit.page("deals_none.html.j2", missing=_missing(visit))
    question = asked.question
    most = AT_ONCE_STILL if visit.still else AT_ONCE
    rows = Repository(visit.api.store()).scores(visit.principal, replace(question.query, limit=most + 1))
    usual = usual_days(visit.loaded)
    later = question.address(after=cursor(question, rows[most - 1])) if len(rows) > most else None
    return visit.page(
        "deals.html.j2",
        asked=asked,
        question=question,
        rows=[row_of(one, usual) for one in rows[:most]],
        later=later,
        first=question.query.after is None,
        chosen=told(asked),
        meaning=meaning(visit, asked.end),
        views=VIEWS,
        columns=COLUMNS,
        flag_name=name_of,
        category_name=category_name,
        model_version=rows[0].model_version if rows else None,
    )


def _in_order(visit: Visit, found: Choices) -> Choices:
    """Return choices with the stages in the order of the process, those that it does not know at the end."""
    order = visit.loaded.bundle.about.stages.order if visit.loaded is not None else ()
    rank = {stage: k for k, stage in enumerate(order)}
    return replace(found, stages=tuple(sorted(found.stages, key=lambda stage: (rank.get(stage, len(rank)), stage))))


def meaning(visit: Visit, end: date | None) -> str:
    """Say what a score means."""
    till = f"by {visit.words.day(end)}" if end is not None else "in the end"
    return f"A score of 34 means: of 100 deals like this one, 34 were won {till}."


def period_end(visit: Visit, as_of: int | None) -> date | None:
    """Return the last day of the period that scores speak of; None where they do not, or no model tells."""
    loaded = visit.loaded
    if loaded is None or as_of is None or loaded.bundle.about.target != "in_period":
        return None
    calendar = loaded.bundle.calendar
    return calendar.last_day(int(calendar.index(np.array([as_of]))[0]))


def told(asked: Asked) -> list[tuple[str, str]]:
    """Return the filters that are set, in words."""
    owners = dict(asked.choices.owners)
    words: dict[str, Callable[[str], str]] = {
        "flag": name_of,
        "category": category_name,
        "owner": lambda owner: owners.get(owner, owner),
    }
    names = {"q": "like", "category": "called"}
    return [
        (names.get(name, name), words[name](value) if name in words else value)
        for name, value in asked.question.given.items()
    ]


def _missing(visit: Visit) -> str:
    """Say what is missing where there is no deal to show: a model, a refresh, or a right to see one."""
    if visit.loaded is None:
        return "model"
    with visit.reading() as connection:
        return "rights" if newest(connection) is not None else "refresh"
