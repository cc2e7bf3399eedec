"""Flags do not flicker and old news is marked as old, told from what was known on earlier days, with no memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from configs.flags import FlagRule, Flags
from features.asof import AsOfView
from features.periods import DAY
from models.flags import FLAGS, Flag, Scores, find_flags, load_flags
from tests.flagged import AS_OF, HEALTHY, SICK, Open, demo, flags_of, history, scores_of, tables_of
from tests.tiny import asked, at, record

load_flags()
LIMITS = Flags()
RISKY = history({"close_date": "2024-05-20"}, demo())


def with_past(deal: Open, risk: dict[int, float], limits: Flags = LIMITS, as_of: str = AS_OF) -> tuple[Flag, ...]:
    """Flags of a deal whose slip risk was such and such so many days ago; 0: now."""
    made = record(tables_of({"x": deal}))

    def says(view: AsOfView) -> Scores:
        days = (at(as_of) - view.as_of) // DAY
        told = np.array([risk.get(int(each), 0.0) for each in days])
        return replace(Scores.unknown(len(view), True), slip_risk=told)

    scores = scores_of([replace(deal, slip_risk=risk[0])])
    return find_flags(made.view(asked(made, ("x", as_of))), scores, limits, says)[0]


def test_a_flag_that_was_up_stays_until_it_is_clearly_below() -> None:
    assert with_past(RISKY, {0: 0.83}) == (), "below 0.85, and never above it"
    (held,) = with_past(RISKY, {0: 0.83, 7: 0.86})
    assert (held.code, held.severity, held.new) == ("slipping", "low", True)
    assert "83%" in held.evidence
    assert with_past(RISKY, {0: 0.81, 7: 0.86}) == (), "clearly below: 1 - 0.15 / 0.8 = 0.8125"
    assert with_past(RISKY, {0: 0.83, 7: 0.84, 14: 0.86})[0].code == "slipping"
    assert with_past(RISKY, {0: 0.83, 21: 0.86}) == (), "too long ago"


def test_without_easing_nothing_is_held() -> None:
    assert with_past(RISKY, {0: 0.83, 7: 0.99}, Flags(hold=1.0)) == ()


def test_old_news_is_old_and_worse_news_is_new() -> None:
    assert with_past(RISKY, {0: 0.88})[0].new
    assert not with_past(RISKY, {0: 0.88, 14: 0.87})[0].new
    assert not with_past(RISKY, {0: 0.88, 14: 0.83})[0].new, "below the threshold, but not clearly"
    assert with_past(RISKY, {0: 0.88, 14: 0.8})[0].new
    (worse,) = with_past(RISKY, {0: 0.95, 14: 0.87})
    assert (worse.severity, worse.new) == ("high", True)


@pytest.mark.parametrize(("as_of", "new"), [("2024-05-10", True), ("2024-05-15", True), ("2024-05-16", False)])
def test_a_flag_with_a_first_day_is_new_for_so_long(as_of: str, new: bool) -> None:
    """The close date passed on 30 April, so that 1 May is the first day."""
    found = {flag.code: flag for flag in flags_of({"x": SICK["overdue", "passed"]}, as_of=as_of)["x"]}
    assert found["overdue"].new is new


def test_a_second_cut_is_news() -> None:
    deal = history(
        {}, {"known_at": "2024-04-20", "amount": 15_000}, demo(), {"known_at": "2024-05-12", "amount": 8_000}
    )
    once = replace(deal, history=deal.history[:-1])
    assert not flags_of({"x": once})["x"][0].new
    (flag,) = flags_of({"x": deal})["x"]
    assert (flag.code, flag.severity, flag.new) == ("amount_cut", "high", True)


def test_a_deal_that_was_not_open_then_had_no_flag() -> None:
    """The model would have said so, but the deal did not exist."""
    born = replace(RISKY, history=tuple({**row, "known_at": "2024-05-08"} for row in RISKY.history))
    assert with_past(born, {0: 0.83, 7: 0.99, 14: 0.99}) == ()
    assert with_past(born, {0: 0.9, 7: 0.99, 14: 0.99})[0].new


def test_before_the_calendar_nothing_is_asked() -> None:
    made = record(tables_of({"x": RISKY}))
    early = replace(
        made, calendar=replace(made.calendar, starts=made.calendar.starts[made.calendar.starts > at("2024-03-01")])
    )
    view = early.view(asked(early, ("x", "2024-04-03")))
    assert find_flags(view, scores_of([HEALTHY]), LIMITS, lambda view: pytest.fail("asked")) == [()]


@pytest.mark.parametrize("code", list(FLAGS))
def test_thresholds_ease_towards_more_flags(code: str) -> None:
    section: FlagRule = getattr(LIMITS, code)
    eased = section.eased(0.8)
    assert section.eased(1.0) == section
    for name, value in section:
        assert (getattr(eased, name) != value) == (name in section.EASING), name
    for (of, sentence), deal in SICK.items():
        if of == code:
            assert code in {flag.code for flag in flags_of({"x": deal}, LIMITS.eased())["x"]}, sentence
