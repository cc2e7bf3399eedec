"""The facts that became known between two looks at a deal, in plain sentences; never a name, never a cause."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from features.between import Between, Change
from features.periods import EPOCH
from features.tables import NAT
from models.flag_words import call_text, day_text, money, some

ACTS = {
    "email_in": ("mail of the buyer's", "mails of the buyer's"),
    "email_out": ("mail of ours", "mails of ours"),
    "call_in": ("call of the buyer's", "calls of the buyer's"),
    "call_out": ("call of ours", "calls of ours"),
    "call_connected": ("answered call of ours", "answered calls of ours"),
    "meeting_held": ("meeting held", "meetings held"),
    "meeting_planned": ("meeting booked", "meetings booked"),
    "meeting_cancelled": ("meeting cancelled", "meetings cancelled"),
    "content": ("look at content of ours", "looks at content of ours"),
    "contract_in": ("answer to an offer or contract", "answers to an offer or contract"),
    "contract_out": ("offer or contract sent", "offers or contracts sent"),
}
"""What one and what several acts of a kind are called."""


@dataclass(frozen=True)
class Fact:
    """One fact. what: the tracked field, the kind of act, or `people`. day: None for what is counted over the span.

    before, after: as they are told (a stage's name, a day, an amount in currency), None where they are not known, and
    for an owner, who is not named. count: of what is counted, else None.
    """

    what: str
    day: date | None
    before: str | float | None
    after: str | float | None
    count: int | None
    sentence: str


def facts_of(seen: Between, stages: tuple[str, ...]) -> list[Fact]:
    """Return the facts of a span: changes of fields in order of time, then acts, then people.

    stages: names of the open stages by rank.
    """
    found = [_change(change, stages) for change in seen.changes]
    for kind, count in seen.acts.items():
        found.append(Fact(kind, None, None, None, count, f"{count:,} {ACTS[kind][count > 1]}"))
    if seen.people:
        people = "1 person" if seen.people == 1 else f"{seen.people:,} people"
        found.append(Fact("people", None, None, None, seen.people, f"{people} of the buyer's new on the deal"))
    return found


def _change(change: Change, stages: tuple[str, ...]) -> Fact:
    day = EPOCH + timedelta(days=change.day)
    when, before, after = day_text(change.day), change.before, change.after
    first = before == NAT
    if change.field == "stage":
        old, new = None if first else stages[before], stages[after]
        said = f"stage set to {new}" if first else f"stage from {old} to {new}"
        if not first and after < before:
            said += ", which is back"
        return Fact("stage", day, old, new, None, f"{when}: {said}")
    if change.field == "close_date":
        due = (EPOCH + timedelta(days=after)).isoformat()
        if first:
            return Fact("close_date", day, None, due, None, f"{when}: close date set to {day_text(after)}")
        way = "out" if after > before else "in"
        said = f"close date moved {way} by {some(abs(after - before), 'day')}, to {day_text(after)}"
        return Fact("close_date", day, (EPOCH + timedelta(days=before)).isoformat(), due, None, f"{when}: {said}")
    if change.field == "amount":
        value = after / 100.0
        said = f"amount set to {money(value)}" if first else f"amount from {money(before / 100.0)} to {money(value)}"
        return Fact("amount", day, None if first else before / 100.0, value, None, f"{when}: {said}")
    if change.field == "category":
        old, new = None if first else call_text(before), call_text(after)
        said = f"first called {new}" if first else f"called {new} instead of {old}"
        return Fact("category", day, old, new, None, f"{when}: {said}")
    if change.field == "next_step":
        told = "written down" if after else "taken out"
        return Fact("next_step", day, None, None, None, f"{when}: a next step was {told}")
    return Fact("owner", day, None, None, None, f"{when}: {'an owner was set' if first else 'the deal changed hands'}")
