"""What flags are called on the pages, and how a reader tells their severity without colour."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

NAMES: Mapping[str, str] = {
    "amount_cut": "amount cut",
    "disengaged": "buyer gone quiet",
    "likely_duplicate": "maybe a duplicate",
    "logged_in_bulk": "logged in bulk",
    "neglected": "neglected by us",
    "over_called": "called too high",
    "overdue": "close date passed",
    "process_skipped": "steps skipped",
    "raised_late": "amount raised late",
    "single_threaded": "one contact only",
    "slipping": "likely to slip",
    "stalled": "stuck in its stage",
    "under_called": "closer than called",
}
AT_RISK = ("disengaged", "neglected", "over_called", "overdue", "single_threaded", "slipping", "stalled")
"""Flags that tell of a deal that may not come, or not in time."""
ORDER = ("high", "medium", "low")


@dataclass(frozen=True)
class Raised:
    """A flag as the pages show it. told: the flag as the endpoint tells it."""

    code: str
    name: str
    severity: str
    told: Mapping[str, Any]


def name_of(code: str) -> str:
    """Return what a flag is called."""
    return NAMES.get(code, code.replace("_", " "))


def category_name(category: str) -> str:
    """Return how a forecast category is said."""
    return category.replace("_", " ")


def raised(answer: Mapping[str, Any], shown: Collection[str]) -> list[Raised]:
    """Return the flags of an answer that are shown, the gravest first."""
    found = [
        Raised(flag["code"], name_of(flag["code"]), flag["severity"], flag)
        for flag in answer.get("flags") or ()
        if flag["code"] in shown
    ]
    return sorted(found, key=lambda flag: ORDER.index(flag.severity) if flag.severity in ORDER else len(ORDER))
