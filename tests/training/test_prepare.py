"""From tables to rows: nothing known at or after the cut is used, and every row knows when its label was told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from configs.errors import TooLittleDataError, UsageError
from configs.schema import Config
from configs.vocab import Eligibility
from features.ingest import Ingest
from features.periods import DAY, parse_as_of
from features.sources.base import open_source
from features.tables import Coded, CrmTables
from tests.companies import demo_config
from tests.tiny import at, company
from training.labels import NEVER
from training.prepare import Prepared, end_of, frame_of, prepare, relabelled, trainable

CUT = "2024-10-01"
Configured = Callable[..., Config]


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Configured:
    state = tmp_path_factory.mktemp("state")
    return lambda *overrides: demo_config(state, "features.groups=[deal, clock, history]", *overrides)


@pytest.fixture(scope="module")
def ingest(configured: Configured) -> Ingest:
    return open_source(configured()).read()


@pytest.fixture(scope="module")
def prepared(configured: Configured, ingest: Ingest) -> Prepared:
    return prepare(configured(), ingest, parse_as_of(CUT, "America/New_York"))


def test_rows_lie_before_the_cut(prepared: Prepared) -> None:
    assert len(prepared.examples) > 1000
    assert prepared.examples.as_of.max() < prepared.until
    assert (prepared.record.deals.known_at < prepared.until).all()
    assert prepared.record.reference.known_until < prepared.until


def test_rows_are_in_order_of_their_as_of(prepared: Prepared) -> None:
    order = np.lexsort((prepared.examples.deal, prepared.examples.as_of))
    assert np.array_equal(order, np.arange(len(order)))


def test_only_told_rows_may_train(prepared: Prepared) -> None:
    mask = trainable(prepared, prepared.until)
    assert mask.all()  # the cut is a period's end
    earlier = trainable(prepared, prepared.until - 1)
    assert prepared.examples.label_end[earlier].max() < prepared.until
    assert 0 < earlier.sum() < mask.sum()


def test_a_field_that_is_first_filled_after_the_cut_is_no_feature(prepared: Prepared, ingest: Ingest) -> None:
    """`type` is blank on every deal known by then: a model of that day could not have known of it."""
    deals = ingest.tables.deals
    later = deals.ints("known_at") >= prepared.until
    words = [word if after else None for word, after in zip(deals.coded("type").strings(), later, strict=True)]
    tables = replace(ingest.tables, deals=deals.replace({"type": Coded.of(words)}))
    found = prepare(prepared.config, replace(ingest, tables=tables), prepared.until)
    assert "type_lift" in prepared.plan.names
    assert "type_lift" not in found.plan.names


def test_an_open_deal_is_never_told_in_an_eventual_head(configured: Configured, ingest: Ingest) -> None:
    config = configured("target=eventual", "training.eligibility=resolved")
    found = prepare(config, ingest)
    untold = found.examples.label_end == NEVER
    assert 0 < untold.sum() < len(untold)
    assert not trainable(found, NEVER)[untold].any()
    assert not found.examples.y[untold].any()


def test_relabelling_changes_the_labels_and_nothing_else(configured: Configured, ingest: Ingest) -> None:
    early = prepare(configured("target=eventual", "training.eligibility=resolved"), ingest)
    whole = relabelled(early, Eligibility.HORIZON)
    direct = prepare(configured("target=eventual", "training.eligibility=horizon"), ingest)
    assert np.array_equal(whole.examples.y, direct.examples.y)
    assert np.array_equal(whole.examples.label_end, direct.examples.label_end)
    assert (whole.examples.label_end == whole.examples.as_of + 365 * DAY).all()
    assert whole.examples.matrix.values.tobytes() == early.examples.matrix.values.tobytes()
    assert whole.told_y.tobytes() == early.told_y.tobytes()  # what it is judged by stays


def test_the_record_ends_with_the_day_of_its_last_fact() -> None:
    def until(last: str, zone: str) -> int:
        rows = [{"deal_id": "D", "known_at": last, "stage": "Demo"}]
        return end_of(company(deals=[{"deal_id": "D", "created_at": "2024-01-10"}], deal_history=rows), zone)

    assert until("2024-03-01 10:00", "UTC") == at("2024-03-02")
    assert until("2024-03-01 00:00", "UTC") == at("2024-03-02")
    assert until("2024-03-01 03:00", "America/New_York") == at("2024-03-01 05:00")


def test_an_empty_record_is_too_little() -> None:
    with pytest.raises(TooLittleDataError, match="no facts"):
        end_of(CrmTables.of({}), "UTC")


def test_a_cut_before_every_deal_is_too_little(prepared: Prepared, ingest: Ingest) -> None:
    with pytest.raises(TooLittleDataError):
        prepare(prepared.config, ingest, at("2010-01-01"))


def test_ages_are_told_apart_at_the_middle(tmp_path: Path) -> None:
    config = demo_config(tmp_path, "snapshots={ages: [1d, 3d, 7d]}")
    assert config.snapshots.ages == (timedelta(days=1), timedelta(days=3), timedelta(days=7))
    assert frame_of(config, 4).age_edges == (2.0, 5.0)
    assert frame_of(demo_config(tmp_path), 4).age_edges == ()


def test_a_cut_beyond_the_record_is_refused(configured: Configured, ingest: Ingest) -> None:
    """Nobody has written down what came of the deals since; to count them as not won would be made up."""
    end = end_of(ingest.tables, "America/New_York")
    with pytest.raises(UsageError, match="after the end of the record"):
        prepare(configured(), ingest, end + 8 * DAY)
    assert prepare(configured(), ingest, end + DAY).until == end + DAY


def test_a_stray_activity_does_not_move_the_end(ingest: Ingest) -> None:
    activities = ingest.tables.activities
    late = activities.ints("known_at").copy()
    late[0] += 2_000 * DAY
    moved = replace(ingest.tables, activities=activities.replace({"known_at": late}))
    assert end_of(moved, "America/New_York") == end_of(ingest.tables, "America/New_York")


def test_deals_without_history_never_train(configured: Configured, ingest: Ingest, prepared: Prepared) -> None:
    """They would look open for ever, a true 0 at every as-of."""
    history = ingest.tables.deal_history
    first = history.coded("deal_id").codes[0]
    bare = replace(
        ingest, tables=replace(ingest.tables, deal_history=history.take(history.coded("deal_id").codes != first))
    )
    name = history.coded("deal_id").decode(0)
    made = prepare(configured(), bare, prepared.until)
    ids = made.record.deal_ids
    assert name in ids.strings()
    assert name not in {ids.decode(int(deal)) for deal in np.unique(made.examples.deal)}


def test_rows_that_a_merger_leaves_untold_are_no_examples(prepared: Prepared, ingest: Ingest) -> None:
    """Deals that were won are merged away instead, on the very row: their rows of that period go, earlier ones stay."""
    history = ingest.tables.deal_history
    won = np.flatnonzero(history.coded("stage").codes == history.coded("stage").code_of("Closed Won"))
    won = won[np.unique(history.coded("deal_id").codes[won], return_index=True)[1]]  # an edit after the win is no win
    assert len(won) > 50
    gone = won[:: len(won) // 25]
    into: list[str | None] = [None] * history.n
    for row in gone.tolist():
        into[row] = "another"
    tables = replace(ingest.tables, deal_history=history.replace({"merged_into": Coded.of(into)}))
    found = prepare(prepared.config, replace(ingest, tables=tables), prepared.until)
    names = found.record.deal_ids.strings()
    merged = {history.coded("deal_id").decode(row): int(history.ints("known_at")[row]) for row in gone.tolist()}

    def of_merged(made: Prepared) -> list[tuple[str, int, int]]:
        rows = zip(
            made.examples.deal.tolist(), made.examples.as_of.tolist(), made.examples.label_end.tolist(), strict=True
        )
        return [(names[deal] or "", as_of, end) for deal, as_of, end in rows if names[deal] in merged]

    before = of_merged(prepared)
    kept = [(deal, as_of, end) for deal, as_of, end in before if not as_of <= merged[deal] < end]
    assert 0 < len(kept) < len(before)
    assert of_merged(found) == kept
    assert len(found.examples) == len(prepared.examples) - len(before) + len(kept)
