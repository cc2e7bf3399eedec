"""What to ask about a flagged deal in a one-to-one: open questions about the buyer and the plan, never about blame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serving.pages.flags import Raised, category_name
from serving.pages.row import Row
from serving.pages.words import Words

QUESTIONS: Mapping[str, str] = {
    "amount_cut": "What changed for the buyer when the amount came down, and is the rest still to be had?",
    "disengaged": "Who on their side would answer us today, and what would they want to hear?",
    "likely_duplicate": "Is this the same purchase as another deal, and which of the two do we go on with?",
    "logged_in_bulk": "What did the buyer last say, in their own words?",
    "neglected": "What is the next thing that we could do for the buyer, and by when?",
    "over_called": "What has the buyer done that makes it {category}?",
    "overdue": "The close date has passed: which date would the buyer name?",
    "process_skipped": "Which of the steps that were passed over could still trip us up?",
    "raised_late": "What did the buyer ask for that brought the amount up?",
    "single_threaded": "Who else has a say on their side, and how could we meet them?",
    "slipping": "What would have to be true for this to close by {date}?",
    "stalled": "What does the buyer need before {stage} can end?",
    "under_called": "It looks closer than called: what would you want to see before you call it higher?",
}
PLAIN = "What would have to be true for this to close by {date}?"


@dataclass(frozen=True)
class Question:
    """A question about a deal, and the flag that it comes from."""

    row: Row
    flag: Raised
    told: str


def question(words: Words, row: Row) -> Question | None:
    """Return what to ask about a deal by its gravest flag; None where no flag within the alert budget is up."""
    if not row.flags:
        return None
    flag, facts = row.flags[0], row.facts
    date = words.day(facts.close_date) if facts.close_date is not None else "the day that the CRM names"
    told = QUESTIONS.get(flag.code, PLAIN).format(
        date=date,
        stage=f"the stage {facts.stage}" if facts.stage else "this stage",
        category=f"a deal to call {category_name(facts.category)}" if facts.category else "a deal for this period",
    )
    return Question(row, flag, told)
