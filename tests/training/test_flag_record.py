"""How right flags were: found as `score` finds them, judged by what came later, counted as one would by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from configs.flags import Flags
from features.asof import Requests
from features.known import known_before
from features.periods import DAY
from features.record import build_record
from models.base import Bool, Float
from models.flag_budget import carriers_of, within_budget
from models.flags import Scores, find_flags
from models.track_record import limits_hash
from tests.served import World
from training.clustered import share
from training.flag_record import LOSS_DAYS, Came, Past, doubted, found_in, in_time, measure, record_of, track_record
from training.flag_section import HEAD
from training.prepare import Prepared

pytestmark = pytest.mark.timeout(180)
EASY = Flags.model_validate({"stalled": {"times_usual": 1.5}, "share": 0.1, "hold": 1.0, "keep": 1.0, "min_deals": 5})


@pytest.fixture(scope="module")
def prepared(world: World) -> Prepared:
    return replace(world.prepared, config=world.config.model_copy(update={"flags": EASY}))


@pytest.fixture(scope="module")
def past(prepared: Prepared) -> Past:
    """The rows of three periods before the last one, as if a model had said of all deals 30 %."""
    starts, examples = prepared.calendar.starts, prepared.examples
    last = int(prepared.calendar.index(np.array([prepared.until]))[0])
    rows = np.flatnonzero((examples.as_of >= starts[last - 4]) & (examples.as_of < starts[last - 1]))
    scores = replace(Scores.unknown(len(rows), True), p=np.full(len(rows), 0.3))
    return in_time(prepared, Past(rows, scores))


def test_flags_are_found_from_what_was_known_then(world: World, prepared: Prepared, past: Past) -> None:
    """Without any fact known at or after an as-of the same deals raise and show the same flags."""
    examples, about = prepared.examples, world.bundle.about
    raised, shown = found_in(prepared, past, EASY)
    as_of = int(np.unique(examples.as_of[past.rows])[10])
    at = np.flatnonzero(examples.as_of[past.rows] == as_of)
    cut = build_record(known_before(world.ingest.tables, as_of), about.stages, prepared.calendar, about.schema)
    code = {name: k for k, name in enumerate(cut.deal_ids.strings())}
    deals = [code[prepared.record.deal_ids.decode(deal)] for deal in examples.deal[past.rows[at]].tolist()]
    asked = Requests(np.array(deals, dtype=np.int64), np.full(len(at), as_of))
    flags = find_flags(cut.view(asked), past.take(at).scores, EASY)
    kept, _ = within_budget(flags, cut.view(asked).of("history").last("owner").tolist(), EASY)
    for masks, listed in ((raised, flags), (shown, kept)):
        assert {
            name: np.flatnonzero(mask[at]).tolist() for name, mask in masks.items() if mask[at].any()
        } == carriers_of(listed)
    assert sum(int(mask[at].sum()) for mask in shown.values()) > 5


def test_the_record_is_what_counting_by_hand_says(prepared: Prepared, past: Past) -> None:
    raised, shown = (masks["stalled"] for masks in found_in(prepared, past, EASY))
    record = measure(prepared, past)["stalled"].record
    assert record is not None
    closed = _first_closes(prepared)
    examples, history = prepared.examples, prepared.record.timelines["history"]
    stage = (
        prepared.record.view(Requests(examples.deal[past.rows], examples.as_of[past.rows])).of("history").last("stage")
    )
    right, others, lost, caught = [], {}, set(), {}
    for row, place in enumerate(past.rows.tolist()):
        deal, as_of = int(examples.deal[place]), int(examples.as_of[place])
        if as_of + LOSS_DAYS * DAY > prepared.until:
            continue
        ends = [(at, won) for at, won in closed.get(deal, []) if at >= as_of]
        days = (ends[0][0] - as_of) / DAY if ends else np.inf
        so = bool(ends) and not ends[0][1] and days < LOSS_DAYS
        if so:
            lost.add(deal)
        if shown[row]:
            right.append((int(stage[row]), so, deal))
            if so:
                caught[deal] = max(caught.get(deal, 0.0), days)
        if not raised[row]:
            others.setdefault(int(stage[row]), []).append(so)
    assert len(history) > 0
    assert record.precision == pytest.approx(np.mean([so for _, so, _ in right]))
    assert record.usual == pytest.approx(np.mean([np.mean(others[at]) for at, _, _ in right]))
    assert record.recall == pytest.approx(len(caught) / len(lost))
    assert record.lead_days == pytest.approx(np.median(list(caught.values())))
    assert record.deals == len({deal for _, _, deal in right})
    assert record.low < record.precision < record.high
    assert record.outcome == f"lost within {LOSS_DAYS} days"


def _first_closes(prepared: Prepared) -> dict[int, list[tuple[int, bool]]]:
    history = prepared.record.timelines["history"]
    closes: dict[int, list[tuple[int, bool]]] = {}
    columns = (history.entity, history.known_at, history.mask("closed"), history.mask("won"))
    for deal, at, closed, won in zip(*(column.tolist() for column in columns), strict=True):
        if closed:
            closes.setdefault(deal, []).append((at, won))
    return closes


def test_what_is_not_over_is_not_counted(prepared: Prepared, past: Past) -> None:
    """A record that ends earlier tells fewer rows, and none whose 90 days it does not hold."""
    latest = int(prepared.examples.as_of[past.rows].max())
    short = replace(prepared, until=latest + 30 * DAY)
    whole, less = (measure(each, past)["stalled"] for each in (prepared, short))
    assert (whole.raised, whole.shown) == (less.raised, less.shown)
    assert whole.record is not None
    assert less.record is None or less.record.deals < whole.record.deals


def test_few_deals_tell_nothing(prepared: Prepared, past: Past) -> None:
    shy = prepared.config.model_copy(update={"flags": EASY.model_copy(update={"min_deals": 100_000})})
    assert track_record(replace(prepared, config=shy), past).by_code == {}
    assert track_record(prepared, past.take(np.zeros(0, dtype=np.int64))).by_code == {}
    assert "stalled" in track_record(prepared, past).by_code
    assert "stalled" not in track_record(prepared, past, ("stalled",)).by_code


def test_the_bundle_carries_it_and_answers_show_it(world: World) -> None:
    record = world.bundle.track_record
    assert record is not None
    assert record.limits == limits_hash(world.config.flags)
    assert record.under(world.config.flags) == record.by_code
    assert record.under(Flags(share=0.5)) == {}
    assert "slipping" not in record.by_code, "the inner folds do not tell the slip risk"
    assert "overdue" in record.by_code


def test_doubt_goes_by_the_fold() -> None:
    p = np.array([0.2, 0.4])
    assert all(np.isnan(end).all() for end in doubted(p, None))


def figures(so: Bool, shown: Bool, raised: Bool, deal: list[int], lead: Float, stage: list[int]) -> tuple[float, ...]:
    came = Came("so", np.ones(len(so), dtype=bool), so, lead)
    one = np.zeros(len(so), dtype=np.int64)
    record = record_of(came, raised, shown, np.array(stage), np.array(deal), one, 1)
    assert record is not None
    return record.precision, -1.0 if record.usual is None else record.usual, record.recall, record.lead_days


def test_usual_is_of_the_same_stages_and_recall_of_deals() -> None:
    """Two deals flagged in stage 0 and one in stage 1, where others fared differently."""
    so = np.array([True, True, False, False, True, True])
    shown = np.array([True, True, True, False, False, False])
    deal, stage = [1, 1, 2, 3, 4, 5], [0, 0, 1, 0, 0, 1]
    lead = np.array([30.0, 23.0, 0.0, 0.0, 9.0, 9.0])
    told = figures(so, shown, shown, deal, lead, stage)
    assert told == pytest.approx((2 / 3, (2 * 0.5 + 1 * 1.0) / 3, 1 / 3, 30.0))


def test_where_every_deal_of_a_stage_is_flagged_there_is_nothing_beside_it() -> None:
    yes = np.ones(2, dtype=bool)
    assert figures(yes, yes, yes, [1, 2], np.array([4.0, 8.0]), [0, 0]) == (1.0, -1.0, 1.0, 6.0)


def test_intervals_of_shares_go_by_deals() -> None:
    hit, alone = np.array([1.0, 0.0] * 20), np.arange(40)
    together = np.repeat(np.arange(10), 4)
    apart, clustered = share(hit, alone), share(np.repeat([1.0, 0.0] * 5, 4), together)
    assert apart.low == pytest.approx(0.352, abs=1e-3)  # Wilson's for 20 of 40
    assert clustered.high - clustered.low > 1.5 * (apart.high - apart.low)
    sure = share(np.ones(40), together)
    assert (sure.value, sure.high) == (1.0, pytest.approx(1.0))
    assert sure.low == pytest.approx(10 / (10 + 1.96**2), abs=1e-3), "ten deals, not forty rows"


def test_the_section_has_a_column_for_everything() -> None:
    assert len(HEAD) == len(set(HEAD)) == 10
