"""The page of leads: the week's queue, every open lead with its chance and why, their funnel, and how right we were.

Leads belong to no team in the record, so the page is for keys that see every team, and refuses others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.responses import Response

from configs.errors import ForbiddenError, NotFoundError
from models.lead_queue import Place, Room, queue
from serving.pages.funnel import FEWEST
from serving.pages.lead_question import VIEWS, read_leads_question
from serving.pages.visit import Visit
from serving.pages.words import Words
from serving.store.leads import Lead, LeadRefresh, last_refresh, reasons_of

AT_ONCE = 50
AT_ONCE_STILL = 500  # in a report, whose pages nobody waits for
REASONS = 2  # of each lead that are told
LEAST = 0.05  # log-odds, below which a factor makes no difference worth telling
COLUMNS: tuple[tuple[str, str, bool], ...] = (
    ("lead_id", "Lead", False),
    ("rank", "Place", True),
    ("p", "Chance", False),
    ("value", "Expected value", True),
    ("", "Why", False),
    ("last_act_at", "Last act", False),
    ("created_at", "Came in", False),
)
"""(what it sorts by, title, whether it is a column of numbers)."""
ACTS: Mapping[str, str] = {"web": "web visit", "content": "content", "contract": "contract"}
STEPS: Mapping[str, str] = {
    "lead": "Leads", "worked": "Worked", "mql": "Marketing qualified", "sql": "Sales qualified",
    "opportunity": "Opportunity", "won": "Won",
}  # fmt: skip
STATUS: Mapping[str, str] = {"new": "new", "worked": "worked", "mql": "marketing qualified", "sql": "sales qualified"}
PARTS = (("went_on", "went on"), ("waiting", "still open"), ("untold", "merged"), ("stopped", "lost"))
"""What became of leads of a step, and whose colour it has in the chart, see `serving.pages.funnel.KEYS`."""
KEYS = {
    "went_on": ("on", "went on"),
    "waiting": ("still", "still there"),
    "untold": ("merged", "deal not in the record"),
    "stopped": ("lost", "disqualified, or the deal was lost"),
}
GRADES = "ABCD"
BACKTEST = "lead.grades"


@dataclass(frozen=True)
class Row:
    """A lead as the list shows it. place: in the queue; why: its weightiest reasons."""

    lead: Lead
    place: Place | None
    why: list[str]

    @property
    def title(self) -> str:
        """What the lead is called."""
        return self.lead.name or self.lead.lead_id

    @property
    def status(self) -> str:
        """How far it came."""
        return STATUS.get(self.lead.status or "", self.lead.status or "status not known")

    @property
    def act(self) -> str | None:
        """What was last done by it or about it."""
        return ACTS.get(self.lead.last_act or "", self.lead.last_act)


def listed(visit: Visit) -> Response:
    """Show leads. Raises NotFoundError where none are served, ForbiddenError for a key of some teams alone."""
    desk = visit.leads
    if desk is None:
        raise NotFoundError("there is no such route; see the routes in README.md")
    if visit.principal.teams is not None:
        raise ForbiddenError("leads belong to no team, so they are shown to keys of all teams alone (--all-teams)")
    with desk.reading() as connection:
        found = last_refresh(connection)
        if found is None:
            return visit.page("leads_none.html.j2", has_model=desk.has_model())
        stored = desk.leads(connection, found)
        asked = read_leads_question(visit.query)
        places = places_of(stored, found, asked.capacity)
        chosen = [(lead, places.get(lead.lead_id)) for lead in stored if asked.takes(lead, places.get(lead.lead_id))]
        page, later = asked.page(chosen, AT_ONCE_STILL if visit.still else AT_ONCE)
        reasons = reasons_of(connection, [lead.lead_id for lead, _ in page])
    words, funnel = visit.words, found.told["funnel"]
    return visit.page(
        "leads.html.j2",
        charts=True,
        refresh=found,
        room=found.told["queue"],
        question=asked,
        capacity=found.told["queue"]["capacity"] if asked.capacity is None else asked.capacity,
        rows=[Row(lead, place, why(reasons.get(lead.lead_id, []))) for lead, place in page],
        matched=len(chosen),
        later=asked.address(after=later) if later else None,
        grades=grade_lines(stored, places, found.told["queue"]["grades"]),
        queued=[lead for lead in stored if lead.lead_id in places],
        leads=stored,
        sources=sorted({lead.source for lead in stored if lead.source}),
        valued=any(lead.value_expected is not None for lead in stored),
        views=VIEWS,
        columns=COLUMNS,
        steps=seen_steps(funnel),
        step_name=STEPS.get,
        flows=flows_of(words, funnel),
        keys=keys_of(funnel),
        cohorts=[one for one in funnel["cohorts"] if one["group"] is None and one["cohort_start"]],
        groups=groups_of(funnel),
        whole=funnel["cohorts"][0],
        funnel=funnel,
        backtest=desk.section(found.told["counts"]["bundle_sha256"], BACKTEST),
    )


def places_of(leads: Sequence[Lead], found: LeadRefresh, capacity: int | None) -> dict[str, Place]:
    """Return the places of the queue by lead: those stored, or those of another capacity, drawn as a refresh does."""
    told = found.told["queue"]
    if capacity is None or capacity == told["capacity"]:
        return {
            lead.lead_id: Place(lead.queue_rank, "explore" if lead.queue_why == "explore" else "value")
            for lead in leads
            if lead.queue_rank is not None
        }
    value = np.array([np.nan if lead.value_expected is None else lead.value_expected for lead in leads])
    room = Room(capacity, told["explore_share"], told["week"], told["seed"])
    made = queue([lead.lead_id for lead in leads], np.array([lead.p_convert for lead in leads]), value, room)
    return {lead.lead_id: place for lead, place in zip(leads, made, strict=True) if place is not None}


def why(reasons: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the sentences of the weightiest factors, none that makes no difference."""
    factors = [one for one in reasons if one["factor"] not in ("baseline", "other") and abs(one["log_odds"]) >= LEAST]
    return [one["sentence"] for one in sorted(factors, key=lambda one: -abs(one["log_odds"]))[:REASONS]]


@dataclass(frozen=True)
class GradeLine:
    """Open leads of a grade. least: the chance that it begins at. queued: of them, have a place."""

    grade: str
    least: float
    leads: int
    queued: int


def grade_lines(leads: Sequence[Lead], places: Mapping[str, Place], cuts: Mapping[str, float]) -> list[GradeLine]:
    """Return the open leads by grade, the best first."""
    lines = []
    for grade in GRADES:
        own = [lead for lead in leads if lead.grade == grade]
        lines.append(
            GradeLine(grade, cuts.get(grade.lower(), 0.0), len(own), sum(lead.lead_id in places for lead in own))
        )
    return lines


def seen_steps(funnel: Mapping[str, Any]) -> list[str]:
    """Return the steps that some lead was seen in: one that nobody uses tells nothing."""
    return [
        step["step"]
        for k, step in enumerate(funnel["cohorts"][0]["steps"])
        if k == 0 or step["skipped"] < step["reached"]
    ]


def flows_of(words: Words, funnel: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the chart: what became of all that reached a step, of those that enough did."""
    names, rows = seen_steps(funnel), []
    for place, step in enumerate(funnel["cohorts"][0]["steps"][:-1]):
        name, reached = STEPS[step["step"]], step["reached"]
        if step["step"] not in names or reached < FEWEST:
            continue
        for order, (part, what) in enumerate(PARTS):
            if step[part]:
                told = f"{name}: {words.count(step[part])} of {words.count(reached)} {KEYS[part][1]}"
                about = {"stage": name, "place": place, "what": what, "order": order}
                rows.append(about | {"share": step[part] / reached, "told": told})
    return rows


def keys_of(funnel: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the legend of the chart: the class of each colour that is there, and what it means."""
    steps = funnel["cohorts"][0]["steps"][:-1]
    return [KEYS[part] for part, _ in PARTS if any(step[part] for step in steps)]


def groups_of(funnel: Mapping[str, Any]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Return what leads are told apart by, each with its values, the most frequent first."""
    names = dict.fromkeys(one["group"] for one in funnel["cohorts"] if one["group"] is not None)
    return [(name, [one for one in funnel["cohorts"] if one["group"] == name]) for name in names]
