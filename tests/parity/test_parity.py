"""One deal, one as-of, one probability: training row, batch file, endpoint alone, endpoint in a batch, to the bit."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.asof import Requests
from features.build import FeatureMatrix, build_features
from features.told import told_at
from models.bundle import load
from serving.answers import answer
from serving.batch import score_file
from serving.entries import ahead_json
from serving.example import request_of
from serving.facts import load_facts
from serving.intake import Loaded
from serving.refresh import refresh_reference
from serving.scoring import DealScore, reason_json, score
from tests.served import World, posted

pytestmark = pytest.mark.timeout(120)

ROWS = 30  # of each as-of
BITS = "<f8"


@dataclass(frozen=True)
class Asked:
    """Deals of the training rows at one as-of, with the probability and the features that training had for them.

    rows: of the training examples.
    """

    as_of: int
    ids: list[str]
    p: list[float]
    rows: np.ndarray[Any, np.dtype[np.int64]]
    values: np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(scope="module")
def asked(world: World) -> list[Asked]:
    """Training rows of three as-ofs, drawn with a seed; one as-of is early, when reference facts are few."""
    examples = world.prepared.examples
    p = world.bundle.model.predict(examples.matrix)
    names = world.prepared.record.deal_ids.take(examples.deal).strings()
    rng = np.random.default_rng(20250401)
    found = []
    instants = np.unique(examples.as_of)
    for as_of in instants[[12, len(instants) // 2, -1]].tolist():
        rows = rng.permutation(np.flatnonzero(examples.as_of == as_of))[:ROWS]
        ids = [names[row] or "" for row in rows.tolist()]
        found.append(Asked(as_of, ids, p[rows].tolist(), rows, examples.matrix.values[rows]))
    return found


def bits(values: list[float]) -> bytes:
    return np.array(values, dtype=BITS).tobytes()


def at(world: World, asked: Asked) -> Requests:
    """The same question put to the record of the whole source."""
    place = {name: code for code, name in enumerate(world.seen.record.deal_ids.strings())}
    deals = np.array([place[name] for name in asked.ids], dtype=np.int64)
    return Requests(deals, np.full(len(deals), asked.as_of, dtype=np.int64))


def ask(world: World, loaded: Loaded, as_of: int, ids: list[str], explain: bool = False) -> list[dict[str, Any]]:
    """The results of the endpoint, through JSON both ways."""
    body = request_of(world.seen.tables, world.bundle, as_of, ids, in_sample=True) | {"explain": explain}
    got = answer(posted(body), world.as_of, "test", loaded, world.config.serving)
    results: list[dict[str, Any]] = json.loads(got.body)["results"]
    assert all(result["ok"] for result in results), results
    return results


def test_features_are_those_of_training(world: World, asked: list[Asked]) -> None:
    for one in asked:
        matrix = build_features(world.seen.record, at(world, one), world.bundle.plan)
        assert matrix.values.tobytes() == np.ascontiguousarray(one.values).tobytes()


HEADS = ("p_won", "p_lost", "p_open", "close_date", "slip_risk", "amount_expected", "rung")


def heads_of(scores: list[DealScore]) -> list[dict[str, Any]]:
    """What the other heads say, as the endpoint tells it; floats keep their bits through JSON."""
    return [
        json.loads(json.dumps(ahead_json(one.ahead))) | {"amount_expected": one.amount_expected, "rung": one.rung}
        for one in scores
    ]


def test_every_head_says_in_training_what_it_says_alone_and_in_a_batch(world: World, asked: list[Asked]) -> None:
    """From the training rows' features and what the record of training tells, to the endpoint's answer to one deal."""
    examples = world.prepared.examples
    for one in asked:
        told = told_at(world.prepared.record, Requests(examples.deal[one.rows], examples.as_of[one.rows]))
        matrix = FeatureMatrix(examples.matrix.names, np.ascontiguousarray(one.values))
        said = world.bundle.heads.predict(matrix, told)
        scores = score(world.seen.record, at(world, one), world.bundle, False, world.seen.as_of)
        assert said.outlook is not None
        assert said.amount is not None
        for name in ("p_won", "p_lost", "p_open"):
            assert bits([getattr(each.ahead, name) for each in scores]) == getattr(said.outlook, name).tobytes()
        risks = [
            np.nan if each.ahead is None or each.ahead.slip_risk is None else each.ahead.slip_risk for each in scores
        ]
        np.testing.assert_array_equal(risks, said.outlook.slip_risk)
        assert [each.amount_expected for each in scores] == np.round(said.amount, 2).tolist()
        expected = heads_of(scores)
        together = ask(world, world.loaded, one.as_of, one.ids)
        alone = [ask(world, world.loaded, one.as_of, [name])[0] for name in one.ids[:10]]
        assert [{name: result[name] for name in HEADS} for result in together] == expected
        assert [{name: result[name] for name in HEADS} for result in alone] == expected[:10]


def test_the_batch_is_training(world: World, asked: list[Asked]) -> None:
    for one in asked:
        scores = score(world.seen.record, at(world, one), world.bundle, False, world.seen.as_of)
        assert bits([each.p for each in scores]) == bits(one.p)


def test_the_endpoint_in_a_batch_is_training(world: World, asked: list[Asked]) -> None:
    for one in asked:
        results = ask(world, world.loaded, one.as_of, one.ids)
        assert [result["deal_id"] for result in results] == one.ids
        assert bits([result["p_won_in_period"] for result in results]) == bits(one.p)


def test_the_endpoint_alone_is_training(world: World, asked: list[Asked]) -> None:
    for one in asked:
        alone = [ask(world, world.loaded, one.as_of, [name])[0] for name in one.ids]
        assert bits([result["p_won_in_period"] for result in alone]) == bits(one.p)


def test_reasons_notes_and_log_odds_are_the_batchs(world: World, asked: list[Asked]) -> None:
    for one in asked:
        scores = score(world.seen.record, at(world, one), world.bundle, True, world.seen.as_of)
        for each, result in zip(scores, ask(world, world.loaded, one.as_of, one.ids, explain=True), strict=True):
            assert list(reason_json(each.reasons)) == result["reasons"]
            assert (list(each.data_notes), each.log_odds) == (result["data_notes"], result["log_odds"])


def test_a_worker_answers_with_the_bits_of_the_file(world: World, tmp_path: Path) -> None:
    """The file as written and read again, against a model and a snapshot as a worker loads them."""
    config = world.config
    score_file(config, [world.as_of], tmp_path / "scores.csv", "live", False, lambda _: None)
    refresh_reference(config, world.bundle, lambda _: None)
    bundle = load(config.state_dir / "bundles" / world.bundle.sha)
    worker = Loaded(bundle, load_facts(config.state_dir, bundle), world.loaded.words, False, config.flags)
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = {row["deal_id"]: row for row in csv.DictReader(file)}
    for result in ask(world, worker, world.as_of, sorted(rows)):
        row = rows[result["deal_id"]]
        assert bits([result["p_won_in_period"]]) == bits([float(row["p_won_in_period"])])
        assert (result["score"], result["period_end"]) == (int(row["score"]), row["period_end"])
        for name in ("p_won", "p_lost", "p_open", "amount_expected", "slip_risk"):
            assert result[name] == (float(row[name]) if row[name] else None), name
        assert result["close_date"] == {part: row[f"close_date_{part}"] for part in ("p10", "p50", "p90")}
        assert result["rung"] == row["rung"]
        assert result["data_notes"] == json.loads(row["data_notes"])
