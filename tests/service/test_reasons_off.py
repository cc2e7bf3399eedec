"""Reasons that do not add up are counted and logged, and fail no answer; those that are served add up."""

from __future__ import annotations

from dataclasses import replace

import pytest

import serving.scoring
from models.explain import EXACT, Reason
from serving.batch import score_open
from serving.scoring import SAMPLED, DealScore, reasons_off
from tests.served import World, posted
from tests.service.conftest import Served

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def scores(world: World) -> list[DealScore]:
    return score_open(world.seen, world.bundle, world.as_of, None)


def test_every_served_score_adds_up(scores: list[DealScore]) -> None:
    assert len(scores) > SAMPLED
    assert reasons_off(scores, every=1) == 0


def test_what_misses_is_counted_in_the_sample(scores: list[DealScore]) -> None:
    bent = [replace(one, log_odds=one.log_odds + 3 * EXACT) for one in scores]
    assert reasons_off(bent, every=1) == len(scores)
    assert reasons_off(bent) == -(-len(scores) // SAMPLED)
    assert reasons_off([scores[0], *bent[1:SAMPLED]]) == 0
    assert reasons_off([replace(one, reasons=()) for one in bent], every=1) == 0


def test_it_is_logged_and_the_answer_stands(
    served: Served, world: World, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = served.score(posted(world.body(ids[:2])))
    assert "reasons_off" not in served.lines[-1]
    told = serving.scoring.explain

    def bent(*given: object) -> list[list[Reason]]:
        return [[replace(listed[0], log_odds=listed[0].log_odds + 1), *listed[1:]] for listed in told(*given)]  # type: ignore[arg-type]

    monkeypatch.setattr(serving.scoring, "explain", bent)
    got = served.score(posted(world.body(ids[:2])))
    assert (got.status_code, served.lines[-1]["reasons_off"]) == (200, 1)
    assert [one["log_odds"] for one in got.json()["results"]] == [one["log_odds"] for one in good.json()["results"]]
