"""One lead, one as-of, one answer: training row, file of scores, endpoint alone and among others, to the bit."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.asof import Requests
from features.build import build_features
from features.periods import DAY
from serving.answers import answer_leads
from serving.intake import take_in
from serving.leads import score_leads, score_leads_file
from serving.refresh import sourced
from serving.scoring import reason_json
from tests.leads_served import LeadWorld, lead_world
from tests.served import posted

pytestmark = pytest.mark.timeout(120)

SAID = ("p_convert", "p_won", "amount_expected", "value_expected", "score", "grade")


@pytest.fixture(scope="session")
def leads(tmp_path_factory: pytest.TempPathFactory) -> LeadWorld:
    return lead_world(tmp_path_factory.mktemp("leads"))


def ask(leads: LeadWorld, ids: list[str], as_of: int) -> list[dict[str, Any]]:
    """The results of the endpoint, through JSON both ways."""
    got = answer_leads(posted(leads.body(ids, as_of)), as_of, "test", leads.loaded, leads.config.serving)
    results: list[dict[str, Any]] = json.loads(got.body)["results"]
    assert all(result["ok"] for result in results), results
    return results


def test_the_endpoint_is_the_file_alone_and_among_others(leads: LeadWorld) -> None:
    rows = score_leads(leads.config, leads.bundle, leads.seen, leads.as_of)[-90:]
    together = ask(leads, [row.lead_id for row in rows], leads.as_of)
    alone = [ask(leads, [row.lead_id], leads.as_of)[0] for row in rows[::9]]
    assert alone == together[::9]
    assert len({row.p_convert for row in rows}) > 30
    for row, result in zip(rows, together, strict=True):
        assert result["lead_id"] == row.lead_id
        assert {name: result[name] for name in SAID} == {name: getattr(row, name) for name in SAID}
        assert result["reasons"] == list(reason_json(row.reasons))


def test_the_endpoint_is_training(leads: LeadWorld) -> None:
    examples = leads.prepared.examples
    p = leads.bundle.model.predict(examples.matrix)
    names = leads.prepared.record.deal_ids.take(examples.deal).strings()
    rows = np.random.default_rng(20240301).permutation(len(p))[:60]
    for row in rows.tolist():
        (result,) = ask(leads, [names[row] or ""], int(examples.as_of[row]))
        assert result["p_convert"] == p[row]


def test_what_is_known_of_a_lead_before_the_lead_is_that_in_a_file(leads: LeadWorld, tmp_path: Path) -> None:
    """A form's row may be a moment older than the lead: it counts from the lead's creation on, here as there."""
    born = "2024-04-01T10:00:00Z"
    early = [("worked", "2024-04-01T09:59:58Z"), ("disqualified", "2024-03-30"), ("new", "2024-03-31T00:00:00Z")]
    of = {"a": early[:1], "b": [early[1], early[2], early[0]], "c": early[::-1], "d": []}
    given = [
        {
            "lead_id": name,
            "created_at": born,
            "source": "web",
            "size": "small",
            "attributes": {"seats": 40},
            "history": [{"event": event, "known_at": known_at} for event, known_at in events],
        }
        for name, events in of.items()
    ]
    intake = take_in(given, leads.as_of, leads.loaded, leads.config.serving)
    assert not intake.problems
    files = {
        "leads": [("lead_id", "created_at", "seats", "source", "size"), *((n, born, 40, "web", "small") for n in of)],
        "lead_history": [("lead_id", "event", "known_at"), *((n, *row) for n, events in of.items() for row in events)],
    }
    for name, rows in files.items():
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    there = leads.config.source.model_copy(update={"path": tmp_path})
    config = leads.config.model_copy(update={"source": there})
    record = sourced(config, leads.bundle).record
    asked = Requests(np.arange(4), np.full(4, leads.as_of))
    assert record.is_open(asked).all()
    # Rates are of the company's own record, which this file is not.
    columns = [j for j, name in enumerate(leads.bundle.plan.names) if not name.endswith("_lift")]
    assert intake.record is not None
    here = build_features(intake.record, intake.requests, leads.bundle.plan).values[:, columns]
    assert here.tobytes() == build_features(record, asked, leads.bundle.plan).values[:, columns].tobytes()
    assert len(np.unique(here, axis=0)) > 1


def test_the_file_as_written_has_the_bits_of_the_endpoint(leads: LeadWorld, tmp_path: Path) -> None:
    out = tmp_path / "leads.csv"
    written = score_leads_file(leads.config, [leads.as_of], out, 20, "live", False, lambda _: None)
    with out.open(newline="") as file:
        rows = {row["lead_id"]: row for row in csv.DictReader(file)}
    assert (len(rows), written.queued) == (written.rows[0], (20,))
    for result in ask(leads, sorted(rows)[-50:], leads.as_of):
        row = rows[result["lead_id"]]
        assert float(row["p_convert"]) == result["p_convert"]
        assert json.loads(row["reasons"]) == result["reasons"]
        assert (row["grade"], int(row["score"])) == (result["grade"], result["score"])


@settings(max_examples=30)
@given(st.integers(1, 500), st.integers(0, 86_399), st.randoms(use_true_random=False))
def test_every_signal_of_a_posted_lead_is_the_batchs(leads: LeadWorld, days: int, seconds: int, random: Any) -> None:
    """At any instant of the record, each open lead posted with what was known then has the features of the batch."""
    as_of = int(leads.seen.tables.deals.ints("known_at").min()) + days * DAY + seconds * 1_000_000
    record = leads.seen.record
    names = [name or "" for name in record.deal_ids.strings()]
    every = Requests(np.arange(len(names)), np.full(len(names), as_of, dtype=np.int64))
    is_open = np.flatnonzero(record.is_open(every)).tolist()
    chosen = sorted(random.sample(is_open, min(len(is_open), 15)))
    body = json.loads(json.dumps(leads.body([names[code] for code in chosen], as_of)))
    intake = take_in(body["leads"], as_of, leads.loaded, leads.config.serving)
    assert not intake.problems
    if not chosen:
        return
    assert intake.record is not None
    asked = Requests(np.array(chosen, dtype=np.int64), np.full(len(chosen), as_of, dtype=np.int64))
    there = build_features(record, asked, leads.bundle.plan)
    here = build_features(intake.record, intake.requests, leads.bundle.plan)
    assert here.values.tobytes() == there.values.tobytes()
