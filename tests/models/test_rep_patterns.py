"""Patterns in reps' calls: the tests by hand, what is compared and what is left out, and every sentence."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from configs.flags import RepPatterns
from features.rep_periods import RepPeriods
from features.tables import NAT
from models.rep_patterns import PEERS, TEAM, Finding, Pattern, RepFindings, find_patterns
from models.rep_tests import MOST_PRIOR_DF, PRIOR_DF, discoveries, least_p, permutation_p, prior_df, t_tests
from models.rep_words import EXPLANATIONS, TEMPLATES, TITLES, evidence, middle, not_told
from tests.callers import World, facts_of

LIMITS = RepPatterns(enabled=True)
JUDGING = re.compile(
    r"sandbag\w*|happy ears|because|caus\w*|fault|blame|lazy|dishonest|cheat\w*|score|rank|worst|best|should|must",
    re.IGNORECASE,
)


def strong(**more: object) -> RepPeriods:
    """12 quarters in which 6 reps call at half of what comes and 6 at twice."""
    return replace(facts_of(World(under=6, over=6, factor=2.0, periods=12), 1000), **more)


def of(found: RepFindings, rep: str) -> Finding:
    (one,) = (each for each in found.findings if each.rep == rep)
    return one


def test_planted_habits_are_found_in_both_directions_and_in_order_of_id() -> None:
    found = find_patterns(strong(), LIMITS)
    assert {f"r{k:03d}" for k in range(6)} <= {each.rep for each in found.of(Pattern.ABOVE)}
    assert {f"r{k:03d}" for k in range(6, 12)} <= {each.rep for each in found.of(Pattern.BELOW)}
    for pattern in Pattern:
        reps = [each.rep for each in found.of(pattern)]
        assert reps == sorted(reps)
    assert found.middle is not None
    assert found.middle[0] < 1 < found.middle[1]


def test_facts_by_hand() -> None:
    facts = strong()
    calls = of(find_patterns(facts, LIMITS), "r000").calls
    assert calls is not None
    ratio = facts.booked / facts.called
    usual = np.median(ratio, axis=0)
    assert (calls.periods, calls.above, calls.below) == (12, (ratio[0] > 1).sum(), (ratio[0] < 1).sum())
    assert (calls.beyond, calls.short) == ((ratio[0] > usual).sum(), (ratio[0] < usual).sum())
    assert calls.ratio == pytest.approx(np.median(ratio[0]), rel=0.1)  # the median of an even number lies between two
    assert calls.usual == pytest.approx(np.median(usual), rel=0.1)
    assert not calls.of_team


def test_a_mirrored_world_gives_the_mirrored_patterns() -> None:
    facts = strong()
    turned = replace(facts, called=facts.booked, booked=facts.called)
    there, back = find_patterns(facts, LIMITS), find_patterns(turned, LIMITS)
    assert [each.rep for each in there.of(Pattern.ABOVE)] == [each.rep for each in back.of(Pattern.BELOW)]
    assert [each.rep for each in there.of(Pattern.BELOW)] == [each.rep for each in back.of(Pattern.ABOVE)]


def test_the_order_of_reps_is_of_no_matter() -> None:
    facts = strong()
    order = np.random.default_rng(3).permutation(len(facts))
    there, back = find_patterns(facts, LIMITS), find_patterns(facts.of_reps(order), LIMITS)
    assert sorted(there.findings, key=str) == sorted(back.findings, key=str)


def test_too_few_periods_or_deals_are_told_and_not_tested() -> None:
    facts = strong()
    called, closed = facts.called.copy(), facts.closed.copy()
    called[0, 5:] = NAT
    closed[1] = 1  # 12 in all
    found = find_patterns(replace(facts, called=called, closed=closed), LIMITS)
    assert [(each.rep, each.periods, each.deals) for each in found.too_little] == [("r000", 5, 36), ("r001", 12, 12)]
    assert (found.reps, found.compared) == (60, 58)
    assert not {"r000", "r001"} & {each.rep for each in found.findings}


def test_what_is_left_out_adds_up() -> None:
    facts = strong()
    called, stayed = facts.called.copy(), facts.stayed.copy()
    called[:, 0] = NAT
    called[3, 1] = 0
    stayed[4, 2] = False
    called[PEERS - 1 :, 3] = NAT
    found = find_patterns(replace(facts, called=called, stayed=stayed), LIMITS)
    assert list(found.left_out.values()) == [60 + 60 - (PEERS - 1), 1, 1, PEERS - 1]
    assert found.kept + sum(found.left_out.values()) == 60 * 12


def test_a_season_that_all_share_is_nobodys_pattern() -> None:
    facts = strong()
    booked = facts.booked.copy()
    booked[:, 5] *= 3
    there, season = find_patterns(facts, LIMITS), find_patterns(replace(facts, booked=booked), LIMITS)
    assert {(e.rep, e.pattern) for e in there.findings} == {(e.rep, e.pattern) for e in season.findings}


def test_a_large_team_is_its_own_peer_and_a_small_one_is_not() -> None:
    facts = strong(team=np.repeat([0, 1], [TEAM, 60 - TEAM]).astype(np.int64))
    calls = of(find_patterns(facts, LIMITS), "r000").calls
    assert calls is not None
    assert calls.of_team
    small = strong(team=np.repeat([0, 1], [TEAM - 1, 61 - TEAM]).astype(np.int64))
    calls = of(find_patterns(small, LIMITS), "r000").calls
    assert calls is not None
    assert not calls.of_team


@pytest.mark.parametrize(
    "facts", [strong().of_reps(np.zeros(60, dtype=bool)), replace(strong(), called=strong().called * 0)]
)
def test_nothing_to_compare_finds_nothing(facts: RepPeriods) -> None:
    found = find_patterns(facts, LIMITS)
    assert (found.findings, found.compared, found.middle) == ((), 0, None)
    assert len(found.too_little) == len(facts)


def pushing(wins: int = 4) -> RepPeriods:
    """10 reps over 16 quarters; the first wins many deals after each quota that was reached early."""
    facts = facts_of(World(reps=10, under=0, periods=16, quotas=True), 1001)
    more = np.where(~np.isnan(facts.to_spare) & (np.arange(10) == 0)[:, None], wins, 0)
    return replace(facts, next_wins=facts.next_wins + more)


def test_wins_after_quota_by_hand() -> None:
    facts = pushing()
    found = find_patterns(facts, LIMITS.model_copy(update={"periods": 16}))
    (one,) = found.of(Pattern.AFTER_QUOTA)
    early = ~np.isnan(facts.to_spare[0])
    assert one.rep == "r000"
    assert one.push is not None
    assert (one.push.early, one.push.others) == (early.sum(), (~early).sum())
    assert one.push.early_wins == facts.next_wins[0, early].mean()
    assert one.push.other_wins == facts.next_wins[0, ~early].mean()
    assert one.push.usual == pytest.approx(facts.next_wins.mean(axis=0)[early].mean())


def test_a_quota_reached_late_is_not_early() -> None:
    facts = pushing()
    found = find_patterns(replace(facts, to_spare=facts.to_spare - 20), LIMITS)  # 10 days to spare
    assert (found.push_compared, found.of(Pattern.AFTER_QUOTA)) == (0, ())


def test_the_permutation_is_exact() -> None:
    values, early = np.array([3.0, 1.0, 0.5, 2.0, 0.0]), np.array([True, False, False, True, False])
    every = [sum(values[list(order[:2])]) for order in permutations(range(5))]
    assert permutation_p(values, early) == pytest.approx(np.mean(np.array(every) >= 5.0))
    assert permutation_p(values, early) == least_p(2, 5) == 0.1
    assert permutation_p(np.ones(5), early) == 1.0


def test_t_tests_are_those_of_the_library_where_nothing_is_borrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(5).normal(0, 1, (4000, 8))
    x[0] += 1.0
    monkeypatch.setattr("models.rep_tests.prior_df", lambda *_: 0.0)
    above, below = t_tests(x)
    centred = x[0] - np.median(x.mean(axis=1))
    assert above[0] == pytest.approx(ttest_1samp(centred, 0, alternative="greater").pvalue, rel=0.01)
    assert above + below == pytest.approx(1.0)


def test_rows_that_are_all_alike_show_nothing() -> None:
    above, below = t_tests(np.zeros((6, 8)))
    assert (above == 1).all()
    assert (below == 1).all()


def test_the_prior_follows_how_alike_the_reps_are() -> None:
    rng, df = np.random.default_rng(6), np.full(400, 7.0)
    alike = rng.chisquare(7, 400) / 7
    assert prior_df(alike, df) > 20
    assert prior_df(alike / rng.chisquare(6, 400) * 6, df) == pytest.approx(6, abs=2)
    assert prior_df(alike * np.exp(rng.normal(0, 2, 400)), df) == 2
    assert prior_df(np.ones(400), df) == MOST_PRIOR_DF
    assert prior_df(alike[:20], df[:20]) == PRIOR_DF


def test_discoveries_by_hand() -> None:
    p = np.array([0.9, 0.001, 0.06, 0.02, 0.2])
    assert discoveries(p, 0.1).tolist() == [False, True, True, True, False]  # 0.06 <= 3/5 x 0.1
    assert not len(discoveries(np.zeros(0), 0.1))


SAID = {
    "calls": lambda: evidence(of(find_patterns(strong(), LIMITS), "r000"), LIMITS, "quarter"),
    "after_quota": lambda: evidence(find_patterns(pushing(), LIMITS).of(Pattern.AFTER_QUOTA)[0], LIMITS, "quarter"),
    "no_calls": lambda: evidence(
        find_patterns(replace(pushing(), called=np.full((10, 16), NAT)), LIMITS).of(Pattern.AFTER_QUOTA)[0],
        LIMITS,
        "month",
    ),
    "middle": lambda: str(middle(find_patterns(strong(), LIMITS))),
    "too_little": lambda: not_told(
        find_patterns(strong(closed=np.ones((60, 12), dtype=np.int64)), LIMITS).too_little[0], LIMITS, "quarter"
    ),
}


def test_every_sentence_is_covered() -> None:
    assert set(SAID) == set(TEMPLATES)


@pytest.mark.parametrize("name", list(TEMPLATES))
def test_sentences_tell_facts_and_judge_nobody(name: str) -> None:
    said = SAID[name]()
    pattern = re.sub(r"\\\{\w+\\\}", ".+?", re.escape(TEMPLATES[name]))
    assert re.search(pattern, said), said
    assert not re.search(r"[{}]|\bnan\b|\binf\b|@", said), said
    assert not JUDGING.search(said), said


def test_titles_and_explanations_judge_nobody_and_mirror_each_other() -> None:
    for text in (*TITLES.values(), *(each for listed in EXPLANATIONS.values() for each in listed)):
        assert not JUDGING.search(text), text
    assert set(TITLES) == set(EXPLANATIONS) == set(Pattern)
    assert TITLES[Pattern.ABOVE].replace("above", "below") == TITLES[Pattern.BELOW]
    assert EXPLANATIONS[Pattern.ABOVE] == EXPLANATIONS[Pattern.BELOW]
    assert "a territory or accounts that came or went within a period" in EXPLANATIONS[Pattern.ABOVE]
