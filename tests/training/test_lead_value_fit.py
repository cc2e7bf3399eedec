"""What leads are worth: labels against loops, who trains a head, and amounts that are shrunken and unbiased."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.asof import Requests
from features.build import FeatureMatrix
from features.leads import Became
from features.periods import DAY
from features.tables import NAT
from models.base import Examples
from models.leads import DIRECT, PRODUCT, Choice
from tests.training.lead_company import Leads
from training.labels import NEVER, unlinked, won_of
from training.lead_value_fit import fit_amounts, fit_lead_amount, fit_leads, won_labels
from training.prepare import Prepared


def became(*rows: tuple[int | None, int | None, bool]) -> Became:
    """Of leads: the day of conversion, the day on which the deal was won, and whether the deal is there."""

    def at(days: list[int | None]) -> np.ndarray:
        return np.array([NAT if day is None else day * DAY for day in days], dtype=np.int64)

    converted, won, linked = zip(*rows, strict=True)
    nothing = np.full(len(rows), NAT)
    return Became(at(list(converted)), at(list(won)), nothing, nothing, np.array(linked))


def test_who_is_won_in_time() -> None:
    told = won_of(
        became(
            (5, 50, True),  # won in time
            (5, 120, True),  # won too late
            (5, None, False),  # into a deal that is not there: nobody knows
            (None, None, False),  # did not convert
            (200, None, False),  # into a deal that is not there, after the window: a true 0
            (5, 1, True),  # the deal had been won before the lead was looked at
        ),
        Requests(np.arange(6), np.full(6, 2 * DAY)),
        100,
    )
    assert told.y.tolist() == [1, 0, 0, 0, 0, 0]
    assert told.end.tolist() == [102 * DAY] * 2 + [NEVER] + [102 * DAY] * 3
    assert told.linked.tolist() == [True, True, False, False, False, True]


def test_conversions_without_a_deal_are_counted_as_far_as_they_are_known() -> None:
    there = became((5, None, False), (7, 9, True), (90, None, False), (None, None, False))
    assert unlinked(there, 30 * DAY) == 1
    assert unlinked(there, 91 * DAY) == 2


def test_labels_of_the_rows_by_a_loop(leads: Leads) -> None:
    prepared, told = leads.prepared, won_labels(leads.prepared)
    assert 0 < told.y.sum() < len(told.y)
    days = prepared.config.leads.won_within_days
    for row in range(0, len(told.y), 37):
        lead = prepared.record.deal_ids.decode(int(prepared.examples.deal[row]))
        as_of = int(prepared.examples.as_of[row])
        won = leads.won_at.get(lead)
        assert told.y[row] == (won is not None and as_of <= won < as_of + days * DAY)


def test_nothing_known_at_the_cut_or_later_trains(leads: Leads) -> None:
    """What came after the cut is told otherwise; the heads of that cut stay as they are."""
    prepared = leads.prepared
    assert prepared.became is not None
    cut = int(np.quantile(prepared.created, 0.7))
    of = prepared.became
    late = {name: getattr(of, name) >= cut for name in ("converted_at", "won_at")}
    bent = Became(
        np.where(late["converted_at"], of.converted_at + 40 * DAY, of.converted_at),
        np.where(late["won_at"], NAT, of.won_at),
        of.lost_at,
        np.where(late["won_at"], 77, of.cents),
        of.linked,
    )
    assert late["won_at"].any()
    heads, other = (fit_leads(each, cut, Choice())[0] for each in (prepared, replace(prepared, became=bent)))
    assert heads is not None
    assert other is not None
    matrix, p = prepared.examples.matrix, np.full(len(prepared.examples), 0.2)
    for way in (PRODUCT, DIRECT):
        assert heads.p_won(way, matrix, p).tobytes() == other.p_won(way, matrix, p).tobytes()
    assert heads.told(matrix, p).amount.tobytes() == other.told(matrix, p).amount.tobytes()


def test_amounts_do_not_look_past_the_cut_where_deals_were_won_before_their_leads_came_in(leads: Leads) -> None:
    """What leads looked like at the cut or later teaches no amount, even of a deal that was won long before."""
    prepared = leads.prepared
    cut = int(np.quantile(prepared.created, 0.5))
    of = prepared.became
    assert of is not None
    won = replace(of, won_at=np.full(len(of.won_at), cut - 300 * DAY), cents=np.arange(1, 1 + len(of.cents)) * 10_000)
    rows = prepared.examples
    late = rows.as_of >= cut
    bent = np.where(late[:, None], 1e6, rows.matrix.values)
    changed = replace(rows, matrix=FeatureMatrix(rows.matrix.names, bent))
    model, other = (fit_lead_amount(replace(prepared, became=won, examples=each), cut) for each in (rows, changed))
    assert late.any()
    assert model is not None
    assert other is not None
    assert model.predict(rows.matrix).tobytes() == other.predict(rows.matrix).tobytes()
    assert model.most == (1 + rows.deal[~late].max()) * 100


def test_both_ways_know_the_better_source(leads: Leads) -> None:
    """Deals of referrals are won more often: P(won | converts) says so, and so does the direct way."""
    prepared = leads.prepared
    heads, why = fit_leads(prepared, prepared.until, Choice())
    assert heads is not None
    assert not why
    code = np.asarray(prepared.record.deals.columns["source"], dtype=np.int64)[prepared.examples.deal]
    words = prepared.record.reference.vocabulary.values["source"]
    same = np.full(len(code), 0.3)
    for way in (PRODUCT, DIRECT):
        p = heads.p_won(way, prepared.examples.matrix, same)
        assert p[code == words.index("referral")].mean() > 1.1 * p[code == words.index("list")].mean()


def test_too_few_wins_tell_nothing(leads: Leads) -> None:
    prepared = leads.prepared
    early = int(np.quantile(prepared.created, 0.05))
    heads, why = fit_leads(prepared, early, Choice())
    assert heads is None
    assert "leads won" in why
    assert fit_lead_amount(prepared, early) is None


def amount_rows(n: int, seed: int, slope: float) -> tuple[Examples, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    seats = np.round(np.exp(rng.normal(3, 1, n)))
    amount = np.exp(7 + slope * np.log1p(seats) + rng.normal(0, 0.6, n))
    created = np.arange(n) * DAY
    matrix = FeatureMatrix(("seats", "noise"), np.column_stack([seats, rng.normal(0, 1, n)]))
    return Examples(matrix, np.ones(n), np.arange(n), created, created + DAY), amount, created


def test_amounts_are_right_on_average_and_follow_what_tells() -> None:
    rows, amount, created = amount_rows(600, 3, 0.8)
    model = fit_amounts(rows, amount, created, ("seats", "noise"))
    fresh, came, _ = amount_rows(4000, 4, 0.8)
    assert model is not None
    said = model.predict(fresh.matrix)
    assert said.sum() == pytest.approx(came.sum(), rel=0.15)  # the mean, not the median: exp(0.18) above it
    assert np.corrcoef(np.log(said), np.log1p(fresh.matrix.column("seats")))[0, 1] > 0.95


def test_what_does_not_tell_is_left_out() -> None:
    rows, amount, created = amount_rows(60, 5, 0.0)
    model = fit_amounts(rows, amount, created, ("seats", "noise"))
    assert model is not None
    assert model.names == ()
    assert np.ptp(model.predict(rows.matrix)) == 0


def test_a_lead_with_many_rows_counts_once() -> None:
    rows, amount, created = amount_rows(80, 6, 0.8)
    often = np.repeat(np.arange(80), np.where(amount > np.median(amount), 9, 1))
    once = fit_amounts(rows, amount, created, ())
    many = fit_amounts(rows.take(often), amount[often], created[often], ())
    assert once is not None
    assert many is not None
    assert many.level == pytest.approx(once.level)


def test_the_kind_of_rows_is_asked(leads: Leads) -> None:
    prepared: Prepared = replace(leads.prepared, became=None)
    with pytest.raises(ValueError, match="only leads"):
        won_labels(prepared)
    assert fit_lead_amount(prepared, prepared.until) is None
