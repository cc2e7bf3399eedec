"""The laws of flags, their days, severities and the alert budget, on the made company of `tests.flagged`."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.flags import Flags, Severity
from configs.load import config_hash
from features.asof import AsOfView, Requests
from features.known import known_before
from features.record import Record, build_record
from features.reference import LATER
from features.registry import Schema
from models.flag_words import call_text, day_text, money, some, times
from models.flags import FLAGS, Case, Flag, Scores, find_flags, flag_rule, severity_of
from models.reference_io import read_reference, reference_files
from tests.companies import demo_config
from tests.features.nasty import SCHEMA, Maker, asked_of, calendars
from tests.flagged import AS_OF, HEALTHY, SICK, Open, demo, flags_of, history, scores_of, tables_of
from tests.tiny import STAGES, asked, at, record

DEALS = {"healthy": HEALTHY, **{f"{code}-{name}": deal for (code, name), deal in SICK.items()}}
EVERY = Flags()


def made(later: bool = False) -> Record:
    return record(tables_of(DEALS, later=later))


def test_what_comes_later_changes_nothing() -> None:
    """Closes of these deals and of others, answers that were logged later, people who joined later."""
    assert flags_of(DEALS, made=made(later=True)) == flags_of(DEALS, made=made())


def test_truncation() -> None:
    whole = tables_of(DEALS, later=True)
    cut = known_before(whole, at(AS_OF))
    assert cut.deal_history.n < whole.deal_history.n
    assert flags_of(DEALS, made=record(cut)) == flags_of(DEALS, made=record(whole))


def test_a_deal_alone_has_the_flags_it_has_among_many() -> None:
    of = made()
    every = flags_of(DEALS, made=of)
    for name, deal in DEALS.items():
        assert flags_of({name: deal}, made=of) == {name: every[name]}


def test_an_empty_request_has_no_flags() -> None:
    of = made()
    assert find_flags(of.view(asked(of)), scores_of([]), EVERY) == []


def first(code: str, name: str) -> date | None:
    (flag,) = flags_of({"x": SICK[code, name]})["x"]
    return flag.first_seen


@pytest.mark.parametrize(
    ("code", "name", "day"),
    [
        ("likely_duplicate", "twin", date(2024, 4, 16)),
        ("overdue", "passed", date(2024, 5, 1)),
        ("overdue", "moved", date(2024, 5, 11)),
        ("slipping", "risk", None),
        ("slipping", "moved", date(2024, 5, 2)),
        ("stalled", "still", date(2024, 3, 22)),  # 50 days after 1 February
        ("single_threaded", "alone", date(2024, 5, 2)),
        ("neglected", "waiting", date(2024, 5, 7)),
        ("disengaged", "silent", date(2024, 5, 1)),  # 14 days after 16 April 09:00; 1.4 usual gaps are fewer
        ("disengaged", "never", date(2024, 4, 29)),
        ("process_skipped", "jumped", date(2024, 5, 2)),
        ("process_skipped", "no_senior", date(2024, 5, 2)),
        ("amount_cut", "cut", date(2024, 5, 7)),
        ("logged_in_bulk", "burst", None),
        ("logged_in_bulk", "late", None),
        ("raised_late", "call", date(2024, 5, 13)),
        ("raised_late", "date", date(2024, 5, 13)),
        ("under_called", "closer", None),
        ("over_called", "further", None),
    ],
)
def test_the_first_day(code: str, name: str, day: date | None) -> None:
    assert first(code, name) == day


UNTOLD = (
    ("under_called", "closer"), ("over_called", "further"), ("slipping", "risk"), ("logged_in_bulk", "burst"),
    ("logged_in_bulk", "late"),
)  # fmt: skip


@pytest.mark.parametrize(("code", "name"), [key for key in SICK if key not in UNTOLD])
def test_a_flag_holds_from_its_first_day_on(code: str, name: str) -> None:
    """Asked as of that day it is there, asked as of the day before it is not; the past is over by then."""
    deal = SICK[code, name]
    day = first(code, name)
    assert day is not None
    of = record(tables_of({"x": deal}))

    def codes(as_of: date) -> set[str]:
        return {flag.code for flag in flags_of({"x": deal}, made=of, as_of=as_of.isoformat())["x"]}

    assert code in codes(day)
    assert code not in codes(date.fromordinal(day.toordinal() - 1))


def test_the_first_day_is_never_after_the_as_of() -> None:
    deal = replace(SICK["amount_cut", "cut"], history=SICK["amount_cut", "cut"].history[:-1])
    cut = {**deal.history[-1], "known_at": "2024-05-13 09:00", "amount": 5_000}
    (flag,) = flags_of({"x": replace(deal, history=(*deal.history, cut))}, as_of="2024-05-13 12:00")["x"]
    assert (flag.code, flag.first_seen) == ("amount_cut", date(2024, 5, 13))


def evidence(code: str, name: str) -> str:
    (flag,) = flags_of({"x": SICK[code, name]})["x"]
    return flag.evidence


def test_evidence_has_the_facts_and_the_usual_values() -> None:
    assert evidence("stalled", "still") == (
        "in this stage for 102 days; the 60 deals that were won spent 20 days in it on average"
    )
    assert evidence("neglected", "waiting") == (
        "no reply to the buyer's mail of 1 May 2024 for 11 days; "
        "on the 60 deals that were won a reply usually took 1 day"
    )
    assert evidence("amount_cut", "cut") == (
        "the amount went from 20,000 to 10,000 within 30 days, last on 6 May 2024; "
        "0 of the 60 deals that were won had theirs cut at some time"
    )
    assert evidence("single_threaded", "alone") == (
        "1 person of the buyer's is known, on a deal of 20,000 where 10,000 is usual for a won one; "
        "100% of the 60 deals that were won knew several when they entered this stage, 2.0 on average"
    )


def test_two_reasons_are_two_sentences() -> None:
    both = replace(SICK["slipping", "moved"], slip_risk=0.99)
    both = replace(both, history=tuple({**row, "close_date": day} for row, day in _pushed_to_may(both)))
    (flag,) = (flag for flag in flags_of({"x": both})["x"] if flag.code == "slipping")
    assert flag.evidence.count(";") == 2
    assert flag.severity == "high"


def _pushed_to_may(deal: Open) -> list[tuple[dict[str, object], str]]:
    """Two moves past the ends of periods, ending near the as-of."""
    return list(zip(deal.history, ("2023-11-01", "2024-02-01", "2024-05-20"), strict=True))


def test_money_at_stake_goes_by_what_the_deal_brings() -> None:
    sick = SICK["stalled", "still"]
    assert flags_of({"x": sick})["x"][0].money_at_stake == 0.5 * 20_000
    assert flags_of({"x": replace(sick, amount=30_000.0)})["x"][0].money_at_stake == 0.5 * 30_000
    none = replace(sick, history=tuple({**row, "amount": None} for row in sick.history))
    assert flags_of({"x": none})["x"][0].money_at_stake is None
    (cut,) = flags_of({"x": SICK["amount_cut", "cut"]})["x"]
    assert cut.money_at_stake == pytest.approx(10_000, abs=0.05)
    (under,) = flags_of({"x": SICK["under_called", "closer"]})["x"]
    assert under.money_at_stake == pytest.approx(0.9 * 20_000)  # none of the deals called alike was won


def test_the_models_own_doubt_goes_before_the_margin() -> None:
    of = record(tables_of({"x": SICK["under_called", "closer"]}))
    told = scores_of([SICK["under_called", "closer"]])
    wide = replace(told, low=np.array([0.4]), high=np.array([1.4]))
    view = of.view(asked(of, ("x", AS_OF)))
    assert [flag.code for flag in find_flags(view, told, EVERY)[0]] == ["under_called"]
    assert find_flags(view, wide, EVERY)[0] == ()


def test_a_close_date_after_the_period_is_a_call_too() -> None:
    """Its peers are earlier deals called so with a later close date; without any there is no flag."""
    later = replace(history({"close_date": "2024-08-01"}, demo()), p=0.9)
    assert flags_of({"x": later})["x"] == ()


@pytest.mark.parametrize(
    ("category", "p", "code"), [("pipeline", 0.9, "under_called"), ("commit", 0.05, "over_called")]
)
def test_an_eventual_head_goes_by_closed_deals(category: str, p: float, code: str) -> None:
    deal = replace(history({"forecast_category": category}, demo()), p=p)
    of = record(tables_of({"x": deal}))
    (flag,) = find_flags(of.view(asked(of, ("x", AS_OF))), scores_of([deal], in_period=False), EVERY)[0]
    assert flag.code == code
    assert "in the end" in flag.evidence
    assert "closed deals called so" in flag.evidence


def test_a_meeting_ahead_is_an_answer() -> None:
    booked = {"kind": "meeting", "outcome": "planned", "occurred_at": "2024-05-20", "known_at": "2024-05-02"}
    waiting = SICK["neglected", "waiting"]
    assert flags_of({"x": replace(waiting, activities=(*waiting.activities, booked))})["x"] == ()
    off = {**booked, "outcome": "cancelled", "known_at": "2024-05-03"}
    called_off = replace(waiting, activities=(*waiting.activities, booked, off))
    assert [flag.code for flag in flags_of({"x": called_off})["x"]] == ["neglected"]


def test_severity_goes_by_how_far_past_the_threshold() -> None:
    assert [severity_of(times, Severity()) for times in (1.0, 1.49, 1.5, 2.49, 2.5, 99.0)] == [
        "low", "low", "medium", "medium", "high", "high",
    ]  # fmt: skip


def test_switched_off_nothing_is_found() -> None:
    assert set(flags_of(DEALS, Flags(enabled=False)).values()) == {()}


EAGER = Flags.model_validate(
    {
        "min_deals": 1,
        "slipping": {"risk": 0.5, "within_days": 3650, "moves": 1, "times_usual": 1},
        "stalled": {"times_usual": 1, "min_days": 1},
        "single_threaded": {"usual_share": 0.5, "times_usual_amount": 0},
        "neglected": {"times_usual": 1, "min_days": 1},
        "disengaged": {"share": 1, "min_days": 1},
        "process_skipped": {"most_share": 1, "late_from": 0, "senior_share": 0.5},
        "amount_cut": {"share": 0.01, "days": 3650},
        "likely_duplicate": {"days": 3650, "amount_within": 0.9},
        "under_called": {"p": 0.01, "gap": 0, "min_peers": 1},
        "over_called": {"p": 0.99, "gap": 0, "min_peers": 1},
    }
)
"""Thresholds at which nearly everything is flagged."""


def eager(made: Record, requests: Requests, places: np.ndarray) -> list[tuple[Flag, ...]]:
    """Flags of any requests, with scores that depend on the deal's place in the whole record alone."""
    p = 0.05 + 0.9 * (places % 7) / 7
    unknown = np.full(len(p), np.nan)
    scores = Scores(p, unknown, unknown, p, unknown, True)

    def says(view: AsOfView) -> Scores:
        p = 0.05 + 0.9 * (view.days_since_created() % 7) / 7
        return replace(Scores.unknown(len(p), True), p=p, slip_risk=p)

    return find_flags(made.view(requests), scores, EAGER, says)


@given(st.integers(0, 2**32))
def test_eased_thresholds_leave_no_flag_out(seed: int) -> None:
    """So a rule that finds nothing by these need not be asked by its own."""
    random = Random(seed)
    tables, calendar = Maker(random).company(), random.choice(calendars())
    whole = build_record(tables, STAGES, calendar, SCHEMA)
    every = np.arange(len(whole.deal_ids), dtype=np.int64)
    for _, as_of in asked_of(random, tables, calendar, 1):
        view = whole.view(Requests(every, np.full(len(every), as_of, dtype=np.int64)))
        p, unknown = np.array([random.random() for _ in every]), np.full(len(every), np.nan)
        scores = Scores(p, unknown, unknown, p, unknown, True)
        for limits in (EAGER, Flags(min_deals=1)):
            case, eased = Case(view, scores, limits), Case(view, scores, limits.eased())
            for code, rule in FLAGS.items():
                assert not (rule.find(case).where & ~rule.find(eased).where).any(), code


@given(st.integers(0, 2**32))
def test_the_laws_hold_on_any_record(seed: int) -> None:
    """Odd dates, missing fields, one event at one instant as another: truncation, and batch = one."""
    random = Random(seed)
    tables, calendar = Maker(random).company(), random.choice(calendars())
    whole = build_record(tables, STAGES, calendar, SCHEMA)
    ids = whole.deal_ids.strings()
    for _, as_of in asked_of(random, tables, calendar, 2):
        every = np.arange(len(ids), dtype=np.int64)
        asked_for = Requests(every, np.full(len(every), as_of, dtype=np.int64))
        rows = np.flatnonzero(whole.view(asked_for).exists())
        found = eager(whole, asked_for.take(rows), rows)
        for place, row in list(enumerate(rows.tolist()))[:5]:
            assert eager(whole, asked_for.take(slice(row, row + 1)), np.array([row])) == [found[place]]
        cut = build_record(known_before(tables, as_of), STAGES, calendar, SCHEMA)
        left = {name: code for code, name in enumerate(cut.deal_ids.strings())}
        same = Requests(np.array([left[ids[row]] for row in rows], dtype=np.int64), asked_for.as_of[rows])
        assert eager(cut, same, rows) == found


def silent(**more: object) -> Flag:
    """The flag of the buyer who was last heard on 16 April, with another row among the activities."""
    deal = SICK["disengaged", "silent"]
    said = (*deal.activities, more) if more else deal.activities
    (found,) = flags_of({"x": replace(deal, activities=said)})["x"]
    assert found.code == "disengaged"
    assert found.rank is not None
    return found


def test_what_the_buyer_opened_and_calls_not_taken_move_the_rank_alone() -> None:
    plain = silent()
    opened = silent(kind="content", direction="inbound", outcome="opened", occurred_at="2024-05-01 09:00")
    assert plain.rank is not None
    assert opened.rank == pytest.approx(plain.rank - 0.75)
    assert replace(opened, rank=plain.rank) == plain
    call = {"kind": "call", "direction": "outbound", "outcome": "no_answer"}
    deal = SICK["disengaged", "silent"]
    ranks = []
    for days in (("05-01",), ("05-01", "05-02")):
        rows = [{**call, "occurred_at": f"2024-{day} 09:00"} for day in days]
        (found,) = flags_of({"x": replace(deal, activities=(*deal.activities, *rows))})["x"]
        ranks.append(found.rank)
    assert ranks == [plain.rank, pytest.approx(plain.rank + 0.25)]


def test_a_share_decides_who_is_disengaged() -> None:
    """The deal is 6 usual gaps and more into its silence, which none of the won deals ever was."""
    assert "0.1%" in silent().evidence
    flags = Flags.model_validate({"disengaged": {"share": 1e-9}})
    assert [each.code for each in flags_of({"x": SICK["disengaged", "silent"]}, flags)["x"]] == ["disengaged"]
    late = Flags.model_validate({"disengaged": {"min_days": 27}})
    assert flags_of({"x": SICK["disengaged", "silent"]}, late)["x"] == ()


def test_no_flag_changes_a_models_hash(tmp_path: Path) -> None:
    config = demo_config(tmp_path)
    moved = config.model_copy(update={"flags": Flags.model_validate({"share": 0.5, "stalled": {"enabled": False}})})
    assert config_hash(moved) == config_hash(config)


def test_a_code_is_registered_once() -> None:
    rule = next(iter(FLAGS.values()))
    with pytest.raises(ValueError, match="registered twice"):
        flag_rule(rule.code, templates={}, rule="", excess="", next_look="")(lambda case: None)  # type: ignore[arg-type, return-value]


def test_reference_facts_of_before_say_nothing_unusual() -> None:
    """Files of earlier versions lack what only flags ask about: they are read, and raise what needs no past."""
    tables = tables_of(DEALS)
    of = record(tables)
    files = reference_files(of.reference)
    again = read_reference(files, of.reference.dimensions, of.reference.stage_count)
    same = build_record(tables, of.stages, of.calendar, Schema("in_period"), reference=again)
    every = flags_of(DEALS, made=of)
    twin = {"likely_duplicate-twin": ()}  # which other deals an account has is not told by reference facts
    assert flags_of(DEALS, made=same) == every | twin
    old = read_reference(_without_later(files), of.reference.dimensions, of.reference.stage_count)
    left = flags_of(DEALS, made=build_record(tables, of.stages, of.calendar, Schema("in_period"), reference=old))
    without = {"overdue", "slipping", "stalled", "raised_late"}
    assert {each.code for flags in left.values() for each in flags} == without


def _without_later(files: dict[str, bytes]) -> dict[str, bytes]:
    with np.load(io.BytesIO(files["reference.npz"])) as arrays:
        kept = {name: arrays[name] for name in arrays.files if name.partition(".")[0] not in LATER}
    out = io.BytesIO()
    np.savez(out, **kept)
    return {**files, "reference.npz": out.getvalue()}


def test_words() -> None:
    assert [some(n, "day") for n in (0, 1, 1.04, 1.6, 12.4, 1234)] == [
        "0 days", "1 day", "1 day", "1.6 days", "12 days", "1,234 days",
    ]  # fmt: skip
    assert [times(n) for n in (1, 2, 3, 0.4)] == ["once", "twice", "3 times", "0.4 times"]
    assert (money(1234.6), day_text(0), call_text(2), call_text(-1)) == (
        "1,235",
        "1 January 1970",
        "best case",
        "nothing",
    )
