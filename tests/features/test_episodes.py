"""Episodes and entries into stages: re-opened, deleted, merged, skipped, assumed, and agreement with the wins."""

from __future__ import annotations

import numpy as np
import pytest

from features.episodes import NEVER, entries_of, episodes_of, owners_at
from features.record import Record
from features.stages import LOST, MERGED, OPEN, WON, StageMap
from features.tables import NAT
from features.wins import wins_of
from tests.tiny import STAGES, Row, at, company, quarters, record
from tests.worlds.world import STAGE_MAP, world

# Two sales processes side by side: Renew and Sign are no later stages of Qualify.
TWO = StageMap(("Qualify", "Demo", "Renew", "Sign"), ("Won",), ("Lost",), (("Qualify", "Demo"), ("Renew", "Sign")))


def told(*rows: tuple[str, str | None], stages: StageMap = STAGES, **more: object) -> Record:
    """One deal from (day, stage) rows; `more` stands on the last of them."""
    listed: list[Row] = [{"deal_id": "A", "known_at": day, "stage": stage, "owner_id": "r"} for day, stage in rows]
    listed[-1] = {**listed[-1], **more}
    return record(company(deals=[{"deal_id": "A", "created_at": rows[0][0]}], deal_history=listed), stages=stages)


def entries(made: Record, stages: StageMap = STAGES) -> list[tuple[str, str | None]]:
    """(stage, day on which it was left behind) of every entry."""
    history = made.timelines["history"]
    found = entries_of(history, episodes_of(history), stages)
    days = [
        None if t == NEVER else str(np.datetime64(t, "us").astype("datetime64[D]")) for t in found.advanced_at.tolist()
    ]
    return [(stages.order[rank], day) for rank, day in zip(found.stage, days, strict=True)]


def outcomes(made: Record) -> list[tuple[int, int]]:
    episodes = episodes_of(made.timelines["history"])
    return list(zip(episodes.outcome.tolist(), episodes.ended_at.tolist(), strict=True))


def test_episodes_and_wins_agree() -> None:
    made = record(world("W4", 1000, 30, 6).ingest.tables, calendar=quarters(), stages=STAGE_MAP)
    episodes, wins = episodes_of(made.timelines["history"]), wins_of(made)
    won = episodes.take(episodes.outcome == WON)
    order = np.lexsort((won.deal, won.ended_at))
    other = np.lexsort((wins.deal, wins.won_at))
    assert len(wins) > 100
    for mine, theirs in ((won.ended_at, wins.won_at), (won.deal, wins.deal), (won.rep, wins.rep)):
        assert np.array_equal(mine[order], theirs[other])
    assert len(np.unique(episodes.deal)) < len(episodes)  # some were re-opened
    closes = made.reference.closes.columns
    assert (episodes.outcome == LOST).sum() == (closes["won"] == 0).sum() > 100


def test_a_skipped_stage_was_not_entered() -> None:
    made = told(("2024-01-01", "Qualify"), ("2024-01-05", "Propose"), ("2024-01-09", "Lost"))
    assert entries(made) == [("Qualify", "2024-01-05"), ("Propose", None)]


def test_a_stage_counts_once_and_a_step_back_is_no_advance() -> None:
    steps = ("2024-01-01", "Demo"), ("2024-01-02", "Qualify"), ("2024-01-03", "Demo"), ("2024-01-04", "Lost")
    assert entries(told(*steps)) == [("Qualify", "2024-01-03"), ("Demo", None)]


def test_a_win_goes_beyond_every_stage_and_a_loss_beyond_none() -> None:
    assert entries(told(("2024-01-01", "Demo"), ("2024-01-05", "Won"))) == [("Demo", "2024-01-05")]
    assert entries(told(("2024-01-01", "Demo"), ("2024-01-05", "Lost"))) == [("Demo", None)]


def test_what_stands_at_the_close_itself_is_no_step() -> None:
    made = told(("2024-01-01", "Demo"), ("2024-01-05", "Propose"), ("2024-01-05", "Lost"))
    assert entries(made) == [("Demo", None)]


def test_a_reopened_deal_is_a_second_episode() -> None:
    made = told(("2024-01-01", "Demo"), ("2024-01-05", "Lost"), ("2024-02-01", "Demo"), ("2024-02-05", "Propose"))
    assert entries(made) == [("Demo", None), ("Demo", "2024-02-05"), ("Propose", None)]
    assert outcomes(made) == [(LOST, at("2024-01-05")), (OPEN, NEVER)]


def test_deleted_is_lost_and_merged_has_no_outcome() -> None:
    steps = ("2024-01-01", "Demo"), ("2024-01-05", "Demo")
    assert outcomes(told(*steps, is_deleted=1)) == [(LOST, at("2024-01-05"))]
    assert outcomes(told(*steps, merged_into="B")) == [(MERGED, at("2024-01-05"))]


def test_a_stage_of_another_process_is_no_later_one() -> None:
    made = told(("2024-01-01", "Demo"), ("2024-01-05", "Sign"), ("2024-01-09", "Lost"), stages=TWO)
    assert entries(made, TWO) == [("Demo", None), ("Sign", None)]
    made = told(("2024-01-01", "Renew"), ("2024-01-05", "Sign"), ("2024-01-09", "Lost"), stages=TWO)
    assert entries(made, TWO) == [("Renew", "2024-01-05"), ("Sign", None)]


def test_an_assumed_stage_was_not_entered() -> None:
    assert entries(told(("2024-01-01", "Demo"), assumed="owner_id,stage")) == []
    assert entries(told(("2024-01-01", "Demo"), assumed="owner_id")) == [("Demo", None)]


def test_born_closed_is_an_episode_without_entries() -> None:
    made = told(("2024-01-01", "Won"), amount=12)
    episodes = episodes_of(made.timelines["history"])
    assert (episodes.outcome.tolist(), episodes.stake.tolist(), entries(made)) == ([WON], [1200], [])


@pytest.mark.parametrize(
    ("amounts", "stake"),
    [((100, 80, 0), 8000), ((100, None, 70), 10000), ((None, None, 70), 7000), ((None, 0, None), 0)],
)
def test_what_is_at_stake_was_told_before_the_close(amounts: tuple[float | None, ...], stake: int) -> None:
    days = ("2024-01-01", "2024-01-05", "2024-01-09")
    listed = [
        {"deal_id": "A", "known_at": day, "stage": stage, "amount": amount}
        for day, stage, amount in zip(days, ("Demo", "Demo", "Lost"), amounts, strict=True)
    ]
    made = record(company(deals=[{"deal_id": "A", "created_at": days[0]}], deal_history=listed))
    assert episodes_of(made.timelines["history"]).stake.tolist() == [stake]


def test_an_episode_counts_for_its_owner_as_of_the_date() -> None:
    owners = (("2024-01-01", "Demo", "r1"), ("2024-02-01", "Demo", "r2"), ("2024-03-01", "Lost", "boss"))
    listed = [{"deal_id": "A", "known_at": day, "stage": stage, "owner_id": who} for day, stage, who in owners]
    made = record(company(deals=[{"deal_id": "A", "created_at": "2024-01-01"}], deal_history=listed))
    history, names = made.timelines["history"], made.reference.vocabulary.values["rep"]
    episodes = episodes_of(history)
    days = ("2024-02-01", "2024-02-02", "2024-03-01", "2024-03-02")
    assert [names[owners_at(history, episodes, at(day))[0]] for day in days] == ["r1", "r2", "r2", "r2"]


def test_no_history_has_no_episodes() -> None:
    history = record(company()).timelines["history"]
    episodes = episodes_of(history)
    assert len(episodes) == len(entries_of(history, episodes, STAGES)) == len(owners_at(history, episodes, NAT)) == 0
