"""The model card: made of what the run told, whole, and honest about what it does not know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.trained import Trained
from training.card import card_of, markdown
from training.gates import cold_start
from training.train_command import cold_report

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def card(trained: Trained) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((trained.run.folder / "model_card.json").read_text())
    return told


def test_it_stands_beside_the_candidate(trained: Trained, card: dict[str, Any]) -> None:
    root = trained.state / "candidates"
    assert json.loads((root / f"{trained.candidate.sha}.card.json").read_text()) == card
    page = (root / f"{trained.candidate.sha}.card.md").read_text()
    assert page == markdown(card) == (trained.run.folder / "model_card.md").read_text()


def test_its_figures_are_those_of_the_report(trained: Trained, card: dict[str, Any]) -> None:
    report = trained.told["report"]
    assert card["gates"] == report["verdicts"]
    assert [row["model"] for row in card["metrics"]] == [row["name"] for row in report["table"]]
    assert card["metrics"][0]["log_loss"] == report["table"][0]["scores"]["log_loss"]
    assert card["metrics"][1]["close_gains"] == report["table"][1]["gain"]
    about = trained.candidate.about
    assert (card["data"]["rows"], card["data"]["deals"]) == (about.rows, about.deals)
    assert card["fingerprints"]["data.fingerprint"] == about.data_fingerprint
    assert card["fingerprints"]["config.sha256"] == about.config_hash
    assert {"stage Qualify", "stage Discover"} <= {segment["name"] for segment in card["segments"]}
    names = {verdict["gate"].partition(": ")[0] for verdict in card["gates"] if verdict["segment"]}
    assert names == {segment["name"] for segment in card["segments"]}


def test_it_says_what_the_model_is_not_for(trained: Trained, card: dict[str, Any]) -> None:
    page = markdown(card)
    for words in (
        "Contact: revenue operations.",
        "judging, ranking, paying or dismissing people",
        "Scores must not be used on persons.",
        "won by the end of the fiscal period",
        "nothing known at or after the latter was seen",
        "No row was refused.",
        "stage_time_left",
        "passed    calibration slope",
        "Known limits",
        "2025-01-01",
        f"`{trained.candidate.about.config_hash}`",
    ):
        assert words in page, words
    assert "None" not in page.replace("None.", "")


def test_a_run_without_an_audit_says_so(card: dict[str, Any]) -> None:
    if not card["leak_audit"]["audited"]:
        assert "not audited" in markdown(card)


def test_refused_rows_are_counted_by_reason(trained: Trained, card: dict[str, Any]) -> None:
    refused = [{"table": "activities", "reason": "no_deal", "rows": 12_345}]
    page = markdown(card | {"data": card["data"] | {"excluded": refused}})
    assert "- activities: no_deal: 12,345" in page


def test_a_cold_start_is_said_out_loud(trained: Trained) -> None:
    from features.sources.base import open_source

    report = cold_report("demo: cold", "no period of the record can be tested").to_json()
    ingest = open_source(trained.config).read().report
    tags = {"run.local": "run-1"}
    card = card_of(trained.config, trained.candidate, "table", report, ingest, tags, [])
    assert card["rung"]["name"] == "table"
    page = markdown(card)
    assert "nobody can say how right it is" in page
    assert cold_start().line() in page
    assert "a shrunken table of rates" in page
    json.dumps(card, allow_nan=False)
