"""The amount model of a company: fitted at a cut on what was known by then, whatever the record holds of later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.periods import parse_as_of
from models.amount import amount_files
from tests.companies import demo_config, small_company
from training.amount_fit import fit_amount, try_amount, won_rows
from training.prepare import Prepared, prepare

pytestmark = pytest.mark.timeout(300)
LIGHT = ("features.groups=[deal, clock, history]",)
CUT = "2024-10-01"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def whole(state: Path) -> Prepared:
    return prepare(demo_config(state, *LIGHT), small_company(state))


def test_a_fit_at_a_cut_is_the_fit_on_what_was_known_by_then(whole: Prepared, state: Path) -> None:
    cut = parse_as_of(CUT, whole.config.time_zone)
    then = prepare(whole.config, small_company(state), cut)
    assert whole.until > cut
    assert amount_files(fit_amount(whole, cut)) == amount_files(fit_amount(then, cut))
    assert amount_files(fit_amount(whole, whole.until)) != amount_files(fit_amount(whole, cut))


def test_rows_are_of_deals_won_before_the_cut(whole: Prepared) -> None:
    cut = parse_as_of(CUT, whole.config.time_zone)
    rows = won_rows(whole, cut)
    assert len(rows) > 500
    assert (rows.as_of <= rows.won_at).all()
    assert rows.won_at.max() < cut
    assert rows.actual.min() > 0
    assert rows.weight.sum() == pytest.approx(rows.deals)
    assert len(won_rows(whole, whole.until)) > len(rows)


def test_too_short_a_past_says_why(whole: Prepared) -> None:
    first = int(np.sort(whole.examples.as_of)[0])
    model, why = try_amount(whole, first)
    assert model is None
    assert "0 deals won before the cut with an amount, expected at least 5" in why
