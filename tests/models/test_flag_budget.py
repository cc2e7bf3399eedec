"""The alert budget: most at stake first, so many of a rep, and no flicker at its edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from configs.flags import Flags
from models.flag_budget import NOBODY, Incumbents, Tally, carriers_of, within_budget
from models.flags import Flag

Listed = Sequence[tuple[Flag, ...]]


def flag(code: str, stake: float | None) -> Flag:
    return Flag(code, "low", "1 fact", stake, None, "look")


def kept(
    listed: Listed,
    share: float,
    owners: Sequence[int] | None = None,
    before: Incumbents | None = None,
    keep: float = 1.5,
) -> tuple[list[tuple[Flag, ...]], dict[str, Tally]]:
    limits = Flags(share=share, per_rep=2, keep=keep)
    return within_budget(listed, owners or [NOBODY] * len(listed), limits, before or {})


def test_it_keeps_what_has_most_at_stake_and_counts_the_rest() -> None:
    listed = [(flag("a", stake),) for stake in (1.0, None, 5.0, 5.0, 3.0)] + [(flag("b", 1.0),)] + [()] * 34
    shown, tally = kept(listed, 0.05)
    assert tally == {"a": Tally(5, 2), "b": Tally(1, 1)}
    assert [row for row, flags in enumerate(shown) if flags] == [2, 3, 5]
    assert kept(listed, 0.051)[1]["a"] == Tally(5, 3)
    assert kept(listed, 1.0) == (listed, {"a": Tally(5, 5), "b": Tally(1, 1)})
    assert kept([], 0.05) == ([], {})


def test_a_budget_of_few_deals_is_one() -> None:
    assert kept([(flag("a", None),), (flag("a", 0.0),)], 0.01) == ([(), (flag("a", 0.0),)], {"a": Tally(2, 1)})


def test_a_rank_goes_before_the_money() -> None:
    """A flag that has a rank is kept by it, whatever is at stake; the other codes go by money all the same."""
    ranked = [(replace(flag("a", stake), rank=rank), flag("b", stake)) for stake, rank in ((9.0, -1.0), (1.0, 2.0))]
    shown, tally = kept(ranked, 0.5)
    assert [[each.code for each in listed] for listed in shown] == [["b"], ["a"]]
    assert tally == {"a": Tally(2, 1), "b": Tally(2, 1)}


def test_so_many_of_a_rep_and_the_next_ones_move_up() -> None:
    listed = [(flag("a", stake),) for stake in (9.0, 8.0, 7.0, 6.0, 5.0)] + [()] * 5
    owners = [3, 3, 3, 4, 4] + [3] * 5
    assert carriers_of(kept(listed, 0.3, owners)[0]) == {"a": [0, 1, 3]}
    assert carriers_of(kept(listed, 0.3, [NOBODY] * 10)[0]) == {"a": [0, 1, 2]}, "deals of nobody are not of one rep"
    assert kept(listed, 1.0, owners)[1] == {"a": Tally(5, 5)}, "without a budget nothing is left out"


def test_each_flag_of_a_rep_is_counted_for_itself() -> None:
    listed = [(flag("a", 3.0), flag("b", 1.0)), (flag("a", 2.0), flag("b", 2.0)), (flag("b", 3.0),)] + [()] * 7
    assert carriers_of(kept(listed, 0.3, [7] * 10)[0]) == {"a": [0, 1], "b": [1, 2]}


def test_what_was_shown_stays_until_it_is_clearly_overtaken() -> None:
    listed = [(flag("a", stake),) for stake in (9.0, 8.0, 7.0, 6.0)] + [()] * 16
    assert carriers_of(kept(listed, 0.1)[0]) == {"a": [0, 1]}
    assert carriers_of(kept(listed, 0.1, before={"a": [2]})[0]) == {"a": [0, 2]}, "third of two: within 1.5 times"
    assert carriers_of(kept(listed, 0.1, before={"a": [3]})[0]) == {"a": [0, 1]}, "fourth of two is too far"
    assert carriers_of(kept(listed, 0.1, before={"a": [3]}, keep=2)[0]) == {"a": [0, 3]}
    assert carriers_of(kept(listed, 0.1, before={"a": [2]}, keep=1)[0]) == {"a": [0, 1]}
    assert carriers_of(kept(listed, 0.1, before={"b": [2], "a": [19]})[0]) == {"a": [0, 1]}
