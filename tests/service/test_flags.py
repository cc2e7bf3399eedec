"""Flags in files of scores and in answers: the laws of time, the same in both, the budget in files alone."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from configs.flags import Flags
from features.asof import Requests
from features.known import known_before
from features.periods import DAY
from features.record import build_record
from serving.answers import answer
from serving.batch import budgeted, open_deals, score_file, score_open
from serving.scoring import DealScore, flag_json, score
from tests.served import World, posted

pytestmark = pytest.mark.timeout(120)
MEMBERS = {"code", "severity", "evidence", "money_at_stake", "first_seen", "next_look", "new", "rank", "track_record"}
WIDE = Flags.model_validate({"stalled": {"times_usual": 1.5}, "slipping": {"risk": 0.6}, "under_called": {"p": 0.3}})


def by_deal(scores: list[DealScore]) -> dict[str, object]:
    return {one.deal_id: one.flags for one in scores}


def test_many_kinds_are_found(world: World) -> None:
    scores = score_open(world.seen, world.bundle, world.as_of, WIDE)
    codes = {flag.code for one in scores for flag in one.flags or ()}
    assert {"slipping", "stalled", "neglected", "overdue", "amount_cut", "over_called"} <= codes


def test_truncation(world: World) -> None:
    """Without any fact known at or after the as-of, the same flags to the last letter."""
    cut = known_before(world.seen.tables, world.as_of)
    about = world.bundle.about
    seen = replace(world.seen, tables=cut, record=build_record(cut, about.stages, world.bundle.calendar, about.schema))
    whole, left = (by_deal(score_open(of, world.bundle, world.as_of, WIDE)) for of in (world.seen, seen))
    assert left == whole
    assert any(whole.values())


def test_batch_is_one(world: World) -> None:
    asked = open_deals(world.seen.record, world.as_of)
    every = score_open(world.seen, world.bundle, world.as_of, WIDE)
    flagged = [i for i, one in enumerate(every) if one.flags][:25]
    for i in flagged:
        alone = Requests(asked.deal[i : i + 1], asked.as_of[i : i + 1])
        (one,) = score(world.seen.record, alone, world.bundle, False, world.seen.as_of, WIDE)
        assert one.flags == every[i].flags


def test_an_answer_has_the_flags_of_the_file_before_its_budget(world: World) -> None:
    scores = [one for one in score_open(world.seen, world.bundle, world.as_of, Flags()) if one.flags][:20]
    body = posted(world.body([one.deal_id for one in scores]))
    got = json.loads(answer(body, world.as_of, "r", world.loaded, world.config.serving).body)
    assert [result["flags"] for result in got["results"]] == [flag_json(one.flags) for one in scores]


def test_flags_do_not_hang_on_reasons(world: World, ids: list[str]) -> None:
    told = [
        json.loads(
            answer(
                posted(world.body(ids[:9], explain=explain)), world.as_of, "r", world.loaded, world.config.serving
            ).body
        )
        for explain in (True, False)
    ]
    first, second = ([result["flags"] for result in got["results"]] for got in told)
    assert first == second


def test_switched_off_they_are_null_and_empty(world: World, ids: list[str], tmp_path: Path) -> None:
    off = Flags(enabled=False)
    loaded = replace(world.loaded, flags=off)
    got = json.loads(answer(posted(world.body(ids[:1])), world.as_of, "r", loaded, world.config.serving).body)
    assert got["results"][0]["flags"] is None
    config = world.config.model_copy(update={"flags": off})
    written = score_file(config, [world.as_of], tmp_path / "x.csv", "live", False, lambda _: None)
    assert written.flags == {}
    with (tmp_path / "x.csv").open(newline="") as file:
        assert {row["flags"] for row in csv.DictReader(file)} == {""}


def test_a_file_keeps_to_the_budget_and_counts_the_rest(world: World, tmp_path: Path) -> None:
    said: list[str] = []
    written = score_file(world.config, [world.as_of], tmp_path / "x.csv", "live", False, said.append)
    every = score_open(world.seen, world.bundle, world.as_of, Flags())
    most = -(-len(every) // 20)
    with (tmp_path / "x.csv").open(newline="") as file:
        shown = {row["deal_id"]: json.loads(row["flags"]) for row in csv.DictReader(file)}
    for code, tally in written.flags.items():
        assert tally.raised == sum(flag.code == code for one in every for flag in one.flags or ())
        assert tally.shown <= min(tally.raised, most)
        assert tally.shown == sum(f["code"] == code for fs in shown.values() for f in fs)
        assert f"{code} {tally.shown} of {tally.raised}" in said[-1]
    assert [flags for flags in shown.values() if flags]
    for flags in shown.values():
        for flag in flags:
            assert set(flag) == MEMBERS


def test_without_a_budget_nothing_is_left_out(world: World) -> None:
    every = score_open(world.seen, world.bundle, world.as_of, Flags())
    kept, tally = budgeted(world.seen.record, world.bundle, every, world.as_of, Flags(share=1.0))
    assert kept == every
    assert all(of.raised == of.shown for of in tally.values())


def test_the_record_stands_beside_flags_of_its_own_thresholds_alone(world: World) -> None:
    record = world.bundle.track_record
    assert record is not None
    own = [
        flag
        for one in score_open(world.seen, world.bundle, world.as_of, world.config.flags)
        for flag in one.flags or ()
    ]
    assert all(flag.track_record == record.by_code.get(flag.code) for flag in own)
    assert any(flag.track_record is not None for flag in own)
    other = [flag for one in score_open(world.seen, world.bundle, world.as_of, WIDE) for flag in one.flags or ()]
    assert other
    assert all(flag.track_record is None for flag in other)


def test_a_list_keeps_what_it_showed_in_the_weeks_before(world: World) -> None:
    """With a wide `keep` every deal that was within the budget a week ago, and still has its flag, stays within it."""
    limits = Flags(share=0.03, keep=100, per_rep=1000)
    record, now, then = world.seen.record, world.as_of, world.as_of - 7 * DAY
    every, earlier = (score_open(world.seen, world.bundle, at, limits) for at in (now, then))
    plain = limits.model_copy(update={"keep": 1.0})
    (shown, _), (steady, tally), (before, _) = (
        budgeted(record, world.bundle, scores, at, of)
        for scores, at, of in ((every, now, plain), (every, now, limits), (earlier, then, plain))
    )
    pairs = {
        name: {(one.deal_id, flag.code) for one in scores for flag in one.flags or ()}
        for name, scores in (("raised", every), ("shown", shown), ("steady", steady), ("before", before))
    }
    old = pairs["before"] & pairs["raised"]
    assert old - pairs["shown"], "some would have gone"
    assert len(old & pairs["steady"]) > len(old & pairs["shown"])
    assert all(t.shown <= -(-len(every) * 3 // 100) for t in tally.values())
