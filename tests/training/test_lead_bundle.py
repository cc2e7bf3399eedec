"""A bundle of leads: what is saved is loaded with its bits, one lead is as among many, what is damaged is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.errors import BundleDamagedError
from models.bundle import Bundle, load, save
from models.lead_files import DIRECT_TREES, LEADS, OPPORTUNITY_TREES
from models.leads import DIRECT, PRODUCT, Choice, LeadHeads
from models.store import MANIFEST, sha256
from tests.training.lead_company import Leads
from training.backtest import Tested as Walked
from training.card import card_of, markdown
from training.fit import fit_bundle
from training.report import Report
from training.train_command import cold_report


@pytest.fixture(scope="module")
def bundle(leads: Leads) -> Bundle:
    """With trees in both heads, which so small a company need not give."""
    made, _ = fit_bundle(leads.prepared, "data", choice=Choice(DIRECT, "for this test"))
    assert made.leads is not None
    assert made.leads.direct is not None
    assert made.leads.opportunity is not None
    grown = made.model.trees
    assert grown is not None
    heads = replace(
        made.leads,
        direct=replace(made.leads.direct, trees=grown),
        opportunity=replace(made.leads.opportunity, trees=grown),
    )
    return replace(made, leads=heads)


@pytest.fixture(scope="module")
def saved(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "bundle"
    save(bundle, folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "bundle"))


def heads_of(bundle: Bundle) -> LeadHeads:
    assert bundle.leads is not None
    return bundle.leads


def test_the_heads_are_loaded_with_their_bits(bundle: Bundle, saved: Path, leads: Leads) -> None:
    there, matrix = heads_of(load(saved)), leads.prepared.examples.matrix
    p = bundle.model.predict(matrix)
    assert (there.ships, there.why, there.won_within_days) == (DIRECT, "for this test", 120)
    for way in (PRODUCT, DIRECT):
        assert there.p_won(way, matrix, p).tobytes() == heads_of(bundle).p_won(way, matrix, p).tobytes()
    before = heads_of(bundle).told(matrix, p)
    for name, value in vars(there.told(matrix, p)).items():
        assert value.tobytes() == getattr(before, name).tobytes(), name
    assert load(saved).about.horizon_days == leads.config.leads.within_days


def test_a_lead_alone_is_as_among_all(bundle: Bundle, leads: Leads) -> None:
    matrix = leads.prepared.examples.matrix
    for ships in (PRODUCT, DIRECT):
        heads = replace(bundle.heads, leads=replace(heads_of(bundle), ships=ships))
        told = heads.predict(matrix, None).leads
        assert told is not None
        for row in range(0, len(matrix.values), 501):
            alone = heads.predict(matrix.take(slice(row, row + 1)), None).leads
            assert alone is not None
            for name, value in vars(told.take(slice(row, row + 1))).items():
                assert getattr(alone, name).tobytes() == value.tobytes(), name


def test_worth_is_chance_times_amount(bundle: Bundle, leads: Leads) -> None:
    matrix = leads.prepared.examples.matrix
    p = bundle.model.predict(matrix)
    heads = replace(heads_of(bundle), ships=PRODUCT)
    told = heads.told(matrix, p)
    assert heads.opportunity is not None
    assert np.array_equal(told.p_won, p * heads.opportunity.predict(matrix))
    assert np.array_equal(told.value, told.p_won * told.amount)
    assert (told.p_won <= p).all()
    assert (told.amount > 0).all()


def test_what_a_head_can_not_tell_is_nan(bundle: Bundle, leads: Leads) -> None:
    matrix = leads.prepared.examples.matrix
    p = bundle.model.predict(matrix)
    without = replace(heads_of(bundle), amount=None).told(matrix, p)
    assert np.isnan(without.value).all()
    assert np.isnan(without.amount).all()
    assert not np.isnan(without.p_won).any()
    assert np.isnan(replace(heads_of(bundle), direct=None).told(matrix, p).p_won).all()


def test_heads_that_are_absent_stay_absent(bundle: Bundle, tmp_path: Path) -> None:
    for k, heads in enumerate((replace(heads_of(bundle), opportunity=None, amount=None), None)):
        save(replace(bundle, leads=heads), tmp_path / str(k))
        there = load(tmp_path / str(k)).leads
        assert (there is None) == (heads is None)
        if there is not None:
            assert (there.opportunity, there.amount) == (None, None)
            assert there.direct is not None


def spoil(folder: Path, **changes: object) -> None:
    """Change leads.json, and its digest with it."""
    path = folder / LEADS
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][LEADS] = sha256(path.read_bytes())
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "changes",
    [
        {"ships": "guess"},
        {"won_within_days": "120"},
        {"direct": {}},
        {"amount": {"names": ["nothing"]}},
        {"ships": PRODUCT},
    ],
    ids=["no such way", "days in words", "no head", "no amounts", "the other way: golden rows are told otherwise"],
)
def test_a_damaged_head_is_refused(folder: Path, changes: dict[str, object]) -> None:
    spoil(folder, **changes)
    with pytest.raises(BundleDamagedError):
        load(folder)


@pytest.mark.parametrize("name", [LEADS, DIRECT_TREES, OPPORTUNITY_TREES])
def test_a_changed_byte_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(BundleDamagedError):
        load(folder)


def test_the_card_says_who_is_in_no_row_and_what_it_is_not_for(
    bundle: Bundle, leads: Leads, walked_leads: tuple[Report, Walked]
) -> None:
    told = walked_leads[0].to_json()
    card = card_of(leads.config, bundle, bundle.model.rung, told, leads.ingest.report, {"run.local": "run"}, [])
    page = markdown(card)
    assert "converts into an opportunity within 30 days" in page
    assert "is won within 120 days" in page
    assert "disqualifying leads without a person's decision" in page
    assert f"Opted out, in no row: {leads.prepared.opted_out} leads" in page
    assert f"{leads.prepared.unworked:,} rows" in page
    assert "What leads are worth: direct: for this test." in page
    assert card["leads"]["ships"] == DIRECT
    for words in ("open deal", "of deals", "scores deals", "wins may"):
        assert words not in page, words


def test_a_card_without_a_test_still_counts_nothing_wrongly(bundle: Bundle, leads: Leads) -> None:
    told = cold_report("leads", "no test fold").to_json()
    card = card_of(
        leads.config, replace(bundle, leads=None), "table", told, leads.ingest.report, {"run.local": "r"}, []
    )
    page = markdown(card)
    assert "Opted out, in no row: not counted." in page
    assert "too few deals were won to tell" in page
    assert "fewer than 80 leads whose window is over" in page
