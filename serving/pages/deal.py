"""One deal: what the model says and why, how it went, what is flagged, what is in place, and a manager's own word."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from configs.errors import UnknownDealError
from models.moved_facts import ACTS
from serving.pages.deals import meaning, period_end
from serving.pages.flags import category_name
from serving.pages.row import Row, row_of
from serving.pages.story import OURS, THEIRS, Story, story_of
from serving.pages.usual import usual_days
from serving.pages.visit import Visit
from serving.pages.words import Words
from serving.principal import Scope
from serving.store import overrides
from serving.store.overrides import Override
from serving.store.repository import Repository, StoredDeal

LONGEST_REASON = 1_000
SHOWN = 3  # factors each way
LANES = {"stage": "deal", "close_date": "deal"} | dict.fromkeys(OURS, "us") | dict.fromkeys(THEIRS, "buyer")


@dataclass(frozen=True)
class Event:
    """Something that happened. at: local day, and time where it is known (ISO); lane: buyer, together, us or deal."""

    at: str
    day: date
    lane: str
    told: str


@dataclass(frozen=True)
class Check:
    """One thing a deal needs. state: done, open or skipped; told: what is known of it."""

    state: str
    title: str
    told: str


def shown(visit: Visit) -> Response:
    """Show a deal, or take a manager's word on it. Raises UnknownDealError where there is none that may be seen."""
    deal_id = visit.path["deal_id"]
    if not deal_id.isprintable():
        raise UnknownDealError("no such deal is stored")
    repository = Repository(visit.api.store())
    stored, score = repository.deal(visit.principal, deal_id), repository.score(visit.principal, deal_id)
    if stored is None:
        raise UnknownDealError("no such deal is stored")
    if score is None:
        return visit.page("deal_closed.html.j2", deal_id=deal_id, outcome=repository.outcome(visit.principal, deal_id))
    row = row_of(score, usual_days(visit.loaded))
    if visit.request.method == "POST":
        return _said(visit, row, stored)
    return _page(visit, row, stored)


def _page(visit: Visit, row: Row, stored: StoredDeal, fault: str = "") -> Response:
    """Show an open deal. fault: what is wrong with the form that was sent."""
    words, score, loaded = visit.words, row.deal, visit.loaded
    with visit.reading() as connection:
        said = overrides.of_deal(connection, score.deal_id)
    end = period_end(visit, score.as_of)
    story = None if loaded is None else story_of(stored, score.as_of, loaded, visit.api.limits)
    events = _events(words, story)
    return visit.page(
        "deal.html.j2",
        422 if fault else 200,
        charts=True,
        row=row,
        deal=score,
        facts=row.facts,
        answer=row.answer,
        meaning=meaning(visit, end),
        end=end,
        horizon=None if loaded is None else loaded.bundle.about.horizon_days,
        history=_history(visit, score.deal_id),
        reasons=_reasons(row.answer),
        story=story,
        events=events,
        timeline=[_point(words, event) for event in events],
        checks=_checks(visit, row, story),
        said=said,
        fault=fault,
        given=visit.form,
        category_name=category_name,
    )


def _history(visit: Visit, deal_id: str) -> list[dict[str, Any]]:
    """Return the score at each refresh that saw the deal, as the chart's rows."""
    words = visit.words
    states = Repository(visit.api.store()).score_history(visit.principal, deal_id)
    return [
        {
            "at": words.local(as_of).strftime("%Y-%m-%dT%H:%M"),
            "score": round(100 * state.p, 1),
            "told": f"{words.day_of(as_of)}: {words.of_100(state.p)} of 100",
            "day": words.day_of(as_of),
            "of_100": words.of_100(state.p),
        }
        for as_of, state in states
        if state.p is not None and state.state == "open"
    ]


def _reasons(answer: Any) -> dict[str, list[dict[str, Any]]]:
    """Return the factors that go with a higher and with a lower score, the strongest first."""
    factors = [reason for reason in answer.get("reasons") or () if reason["factor"] not in ("baseline", "other")]
    most = max((abs(reason["log_odds"]) for reason in factors), default=1.0)
    told = [reason | {"share": round(100 * abs(reason["log_odds"]) / most)} for reason in factors]
    up = sorted((one for one in told if one["log_odds"] > 0), key=lambda one: -one["log_odds"])
    down = sorted((one for one in told if one["log_odds"] < 0), key=lambda one: one["log_odds"])
    return {"up": up[:SHOWN], "down": down[:SHOWN]}


def _events(words: Words, story: Story | None) -> list[Event]:
    """Return what happened, the latest first."""
    if story is None:
        return []
    found = [
        Event(f"{fact.day}T12:00", fact.day, "deal", fact.sentence.partition(": ")[2])
        for fact in story.changes
        if fact.day is not None
    ]
    for act in story.acts:
        moment = words.local(act.occurred_at)
        lane = LANES.get(act.kind, "together")
        found.append(Event(moment.strftime("%Y-%m-%dT%H:%M"), moment.date(), lane, ACTS[act.kind][0]))
    return sorted(found, key=lambda event: event.at, reverse=True)


def _point(words: Words, event: Event) -> dict[str, str]:
    """Return an event as a row of the chart and of its table."""
    day = words.day(event.day)
    told = f"{day}: {event.told}"
    return {"at": event.at, "lane": event.lane, "told": told, "day": day, "what": event.told}


def _checks(visit: Visit, row: Row, story: Story | None) -> list[Check]:
    """Return the process as a list to tick off: stages, then what a deal needs."""
    words, facts, loaded = visit.words, row.facts, visit.loaded
    stages = loaded.bundle.about.stages.order if loaded is not None else ()
    entered = story.entered if story is not None else {}
    now = stages.index(facts.stage) if facts.stage in stages else -1
    checks = []
    for rank, name in enumerate(stages):
        if rank > now:
            checks.append(Check("open", name, "to come"))
        elif name in entered:
            checks.append(Check("done", name, f"{'since' if rank == now else 'entered'} {words.day(entered[name])}"))
        else:
            checks.append(Check("skipped", name, "not passed through"))
    if story is not None:
        decides = "known" if story.decides else "nobody who decides is known"
        checks.append(Check("done" if story.decides else "open", "Decision maker", decides))
        if story.next_step is not None:
            written = "written down" if story.next_step else "none written down"
            checks.append(Check("done" if story.next_step else "open", "Next step", written))
    booked = facts.next_meeting_at
    told = "none booked" if booked is None else words.day_of(booked)
    checks.append(Check("open" if booked is None else "done", "Next meeting", told))
    return checks


def _said(visit: Visit, row: Row, stored: StoredDeal) -> Response:
    """Keep a manager's word beside the model's, or take it back. Raises ForbiddenError where the key may not."""
    visit.expect(Scope.OVERRIDE)
    form, score = visit.form, row.deal
    back, reason, given = form.get("do") == "take_back", form.get("reason", "").strip(), form.get("of_100", "").strip()
    p = float(given) / 100 if given.isascii() and given.isdigit() and int(given) <= 100 else None
    if not back and p is None:
        return _page(visit, row, stored, "Say how many of 100 deals like this you would expect to win: 0 to 100.")
    if not reason or len(reason) > LONGEST_REASON or "\x00" in reason:
        return _page(visit, row, stored, f"Give a reason, in at most {LONGEST_REASON:,} characters.")
    end = period_end(visit, score.as_of)
    key = visit.login.key
    override = Override(
        deal_id=score.deal_id,
        made_at=visit.now,
        principal=key.prefix,
        name=key.name,
        p=None if back else p,
        reason=reason,
        model_p=row.p,
        as_of=score.as_of,
        window_end=None if end is None else end.isoformat(),
        model_version=score.model_version,
    )
    visit.api.store().writer.submit(lambda connection: overrides.add(connection, override)).result()
    return RedirectResponse(f"/deals/{quote(score.deal_id)}#word", 303)
