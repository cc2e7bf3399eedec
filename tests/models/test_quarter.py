"""A window put together from a record: what is known later changes no bit; odd companies; quotas; scenarios."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from features.asof import Requests
from features.known import known_before
from features.nodes import ALL, NO_REP, NO_TEAM
from features.periods import Calendar
from features.record import Record, build_record
from features.registry import Schema
from features.tables import Coded, CrmTables, Table
from features.wins import wins_of
from models.arrivals import Arrivals, Window
from models.base import Float, Int
from models.bookings import BookingsModel, Paths, Shocks, quantiles
from models.quarter import (
    AsOf,
    Node,
    arrivals_in,
    booked_in,
    forecast,
    ground_of,
    nodes,
    quotas_in,
)
from models.scenarios import AS_IT_IS, Scenario
from tests.served import World as Served
from tests.tiny import at, company, quarters, record
from tests.worlds.world import STAGE_MAP, world

MODEL = BookingsModel(Shocks(0.2, 0.1, 0.15), np.array([0.5, 1.0, 1.5]), 4)
PATHS = 300
DAY = 24 * 3_600_000_000


def open_at(made: Record, as_of: int) -> Requests:
    """Every deal that is open, in the order of their ids: the record's own order may change with what it holds."""
    every = np.argsort(made.deal_ids.strings()).astype(np.int64)
    asked = Requests(every, np.full(len(every), as_of, dtype=np.int64))
    return asked.take(made.is_open(asked))


def window_at(made: Record, as_of: int, ahead: int = 0) -> Window:
    """The period that runs at an as-of, or one that comes later."""
    period = int(made.calendar.index(np.array([as_of]))[0]) + ahead
    return Window(as_of, int(made.calendar.starts[period]), int(made.calendar.starts[period + 1]))


def said_of(ground: AsOf) -> tuple[Float, Float]:
    """(p, amount) of each open deal, made up from its id."""
    digest = [hashlib.sha256(deal.encode()).digest() for deal in ground.deals]
    p = np.array([part[0] / 300 for part in digest])
    return p, np.array([1_000.0 + part[1] * 50 + part[2] / 7 for part in digest])


def simulated(ground: AsOf, window: Window, paths: int = PATHS) -> Paths:
    return forecast(ground, window, *said_of(ground), MODEL, 7, paths)


def told(made: Record, as_of: int, ahead: int = 0) -> dict[str, Any]:
    """All that a window says, by names that do not change with the codes of a record."""
    ground, window = ground_of(made, open_at(made, as_of), as_of), window_at(made, as_of, ahead)
    tree, coming, paths = ground.tree, arrivals_in(ground, window), simulated(ground, window)
    return {
        "wins": [column.tobytes() for column in (ground.wins.won_at, ground.wins.opened_at, ground.wins.cents)],
        "sellers": [tree.reps[place] for place in ground.place[ground.wins.rep]],
        "created": ground.created.tobytes(),
        "tree": (tree.reps, tree.teams, tree.team.tobytes()),
        "open": ground.deals,
        "holders": [tree.reps[place] for place in ground.rep],
        "active": ground.active.tobytes(),
        "arrivals": (coming.rate.tobytes(), coming.spread, coming.cents.tobytes()),
        "booked": booked_in(ground, window).tobytes(),
        "quotas": quotas_in(ground, window).tobytes(),
        "paths": {
            (part, rep): getattr(paths, part)[k].tobytes()
            for part in ("booked", "open", "arrivals", "open_mean", "arrivals_mean")
            for k, rep in enumerate(tree.reps)
        },
        "nodes": nodes(paths, quotas_in(ground, window), 1.2),
    }


# --- time ------------------------------------------------------------------------------------------------------------


@cache
def planted(name: str) -> tuple[CrmTables, Calendar]:
    return world(name, 1000, 30, 8).ingest.tables, quarters()


def planted_record(tables: CrmTables) -> Record:
    return build_record(tables, STAGE_MAP, quarters(), Schema("in_period"))


def as_ofs(tables: CrmTables) -> list[int]:
    """A year in: a period's first instant, a moment around it, the middle, the last second."""
    first = int(tables.deal_history.ints("known_at").min())
    starts = quarters().starts
    start, end = starts[np.searchsorted(starts, first) + 4 :][:2].tolist()
    return [start - 1, start, start + 1, start + 40 * DAY + 1234, end - 1_000_000]


@pytest.mark.parametrize("name", ["W1", "W4"])
def test_truncation_changes_no_bit(name: str) -> None:
    """W4 is dirty: deals are re-opened, merged and deleted, owners change, amounts are missing."""
    tables, _ = planted(name)
    whole = planted_record(tables)
    for as_of in as_ofs(tables):
        cut = planted_record(known_before(tables, as_of))
        left, right = told(whole, as_of), told(cut, as_of)
        assert len(left["open"]) > 20
        assert left.keys() == right.keys()
        for part in left:
            assert left[part] == right[part], (as_of, part)
    assert told(whole, as_of, 1)["nodes"] == told(cut, as_of, 1)["nodes"]


def test_truncation_changes_no_bit_of_the_simulated_company(world: Served) -> None:
    tables, about = world.seen.tables, world.bundle.about
    later = tables.deal_history.ints("known_at") >= world.as_of
    assert later.any()
    cut = build_record(known_before(tables, world.as_of), about.stages, world.bundle.calendar, about.schema)
    whole = world.seen.record
    assert cut.reference.vocabulary.values["rep"] != ()
    left, right = told(whole, world.as_of), told(cut, world.as_of)
    assert left == right
    assert any(node.quota for node in left["nodes"])
    assert any(node.arrivals_expected for node in left["nodes"])


def shop(*more: dict[str, Any], history: list[dict[str, Any]] | None = None, **rows: Any) -> CrmTables:
    """Two teams of two, deals won and open in the second quarter of 2024. more: further deals; history: of them."""
    people = [("ann", "east"), ("bob", "east"), ("cem", "west"), ("dov", "west")]
    deals, changes = [], []
    for k in range(40):
        rep, _ = people[k % 4]
        born, month = f"2023-{k % 12 + 1:02d}-03", k % 12 + 1
        deals.append({"deal_id": f"D{k:02d}", "created_at": born})
        changes.append({"deal_id": f"D{k:02d}", "known_at": born, "stage": "Qualify", "amount": 1_000, "owner_id": rep})
        if k % 3:
            stage = "Won" if k % 3 == 2 else "Lost"
            over = {"deal_id": f"D{k:02d}", "known_at": f"2023-{month:02d}-25", "stage": stage, "amount": 900 + k}
            changes.append(over | {"owner_id": rep})
    deals += [{"deal_id": "now", "created_at": "2024-03-01"}, {"deal_id": "open", "created_at": "2024-04-20"}]
    changes += [
        {"deal_id": "now", "known_at": "2024-03-01", "stage": "Demo", "amount": 500, "owner_id": "ann"},
        {"deal_id": "now", "known_at": "2024-04-10", "stage": "Won", "amount": 450, "owner_id": "ann"},
        {"deal_id": "open", "known_at": "2024-04-20", "stage": "Demo", "amount": 700, "owner_id": "cem"},
    ]
    reps = [{"rep_id": rep, "team": team} for rep, team in people]
    base = {"reps": reps, "quotas": [{"rep_id": rep, "period_start": "2024-04-01", "amount": 50} for rep, _ in people]}
    return company(deals=[*deals, *more], deal_history=[*changes, *(history or [])], **(base | rows))


AS_OF = at("2024-05-06")


def node(listed: list[Node], name: str, level: str = "rep") -> Node:
    (found,) = (each for each in listed if (each.level, each.name) == (level, name))
    return found


def listed(made: Record, as_of: int = AS_OF) -> list[Node]:
    ground, window = ground_of(made, open_at(made, as_of), as_of), window_at(made, as_of)
    return nodes(simulated(ground, window), quotas_in(ground, window))


def test_later_and_back_dated_facts_change_nothing() -> None:
    """A deal told of at the as-of or after it, though created and won long before; a later quota; a later rep."""
    late = {"deal_id": "A0", "created_at": "2023-08-01", "known_at": "2024-05-06"}
    tables = shop(
        late,
        history=[
            {"deal_id": "A0", "known_at": "2024-05-06", "stage": "Won", "amount": 9_999, "owner_id": "aaron"},
            {"deal_id": "open", "known_at": "2024-05-06", "stage": "Won", "amount": 9_999, "owner_id": "aaron"},
            {"deal_id": "now", "known_at": "2024-05-07", "stage": "Demo", "amount": 1, "owner_id": "aaron"},
        ],
        reps=[
            {"rep_id": rep, "team": "east" if rep in ("ann", "bob") else "west"} for rep in ("ann", "bob", "cem", "dov")
        ]
        + [{"rep_id": "aaron", "team": "able"}],
        quotas=[{"rep_id": rep, "period_start": "2024-04-01", "amount": 50} for rep in ("ann", "bob", "cem", "dov")]
        + [{"rep_id": "aaron", "period_start": "2024-04-01", "amount": 70, "known_at": "2024-05-06"}],
    )
    plain, more = told(record(shop()), AS_OF), told(record(tables), AS_OF)
    assert plain == more
    assert told(record(tables), AS_OF + 1) != plain  # a moment later all of it is known


# --- what counts for whom --------------------------------------------------------------------------------------------


def test_what_is_booked_counts_for_who_held_the_deal() -> None:
    rows = listed(record(shop()))
    assert node(rows, "ann").booked == 45_000
    assert node(rows, "east", "team").booked == node(rows, ALL, "company").booked == 45_000
    assert node(rows, "cem").open_expected > 0
    assert node(rows, ALL, "company").quota == 20_000


def test_a_rep_who_left_keeps_what_was_booked_and_gets_nothing_new() -> None:
    """He has won in this quarter, and got no deal for longer than 91 days."""
    old = {"deal_id": "old", "created_at": "2023-11-01"}
    history = [
        {"deal_id": "old", "known_at": "2023-11-01", "stage": "Demo", "amount": 300, "owner_id": "eve"},
        {"deal_id": "old", "known_at": "2024-04-03", "stage": "Won", "amount": 300, "owner_id": "eve"},
    ]
    made = record(shop(old, history=history))
    ground = ground_of(made, open_at(made, AS_OF), AS_OF)
    eve = ground.tree.reps.index("eve")
    assert (ground.tree.team[eve], ground.active[eve]) == (-1, 0.0)
    rows = listed(made)
    assert (node(rows, "eve").booked, node(rows, "eve").arrivals_expected) == (30_000, 0)
    assert node(rows, NO_TEAM, "team").booked == 30_000
    assert node(rows, ALL, "company").booked == 75_000


def test_a_deal_won_after_it_was_reopened_is_booked_again_and_open_in_between() -> None:
    """Later edits are adjustments; a second episode is a second win, as everywhere."""
    again = [
        {"deal_id": "now", "known_at": "2024-04-20", "stage": "Demo", "amount": 500, "owner_id": "bob"},
        {"deal_id": "now", "known_at": "2024-05-20", "stage": "Won", "amount": 600, "owner_id": "bob"},
    ]
    made = record(shop(history=again))
    ground = ground_of(made, open_at(made, AS_OF), AS_OF)
    assert "now" in ground.deals
    assert booked_in(ground, window_at(made, AS_OF)).sum() == 45_000
    later = at("2024-06-01")
    assert node(listed(made, later), "bob").booked == 60_000
    assert node(listed(made, later), ALL, "company").booked == 105_000


def test_a_merged_or_deleted_deal_is_not_open() -> None:
    gone = [{"deal_id": "open", "known_at": "2024-05-01", "stage": "Demo", "owner_id": "cem", "is_deleted": 1}]
    rows = listed(record(shop(history=gone)))
    assert node(rows, ALL, "company").open_expected == sum(
        each.open_expected for each in listed(record(shop())) if each.level == "rep" and each.name != "cem"
    ) + sum(each.open_expected for each in rows if each.name == "cem")


# --- quotas ----------------------------------------------------------------------------------------------------------


def quotas(**amounts: int) -> list[dict[str, Any]]:
    return [{"rep_id": rep, "period_start": "2024-04-01", "amount": amount} for rep, amount in amounts.items()]


def test_the_quota_of_a_manager_does_not_count_twice() -> None:
    """Mia never held a deal; her quota is the sum of her reps'."""
    rows = listed(record(shop(quotas=quotas(ann=50, bob=50, mia=100))))
    assert node(rows, ALL, "company").quota == 10_000
    assert not [each for each in rows if each.name in ("mia", NO_REP, NO_TEAM) and each.quota is not None]


@pytest.mark.parametrize("carrying", [True, False])
def test_the_quota_of_a_manager_who_sells_counts_where_nobody_below_has_one(carrying: bool) -> None:
    """Without team names a team is called by its manager; ann leads the other three, and holds deals."""
    reps = [{"rep_id": rep, "manager_id": "ann"} for rep in ("bob", "cem", "dov")] + [{"rep_id": "ann"}]
    said = quotas(ann=100, **({"bob": 50, "cem": 50} if carrying else {}))
    rows = listed(record(shop(reps=reps, quotas=said)))
    assert node(rows, ALL, "company").quota == 10_000
    assert (node(rows, "ann").quota is None) is carrying


def test_quotas_are_those_of_the_window_alone() -> None:
    said = quotas(ann=50) + [
        {"rep_id": "ann", "period_start": day, "amount": 999} for day in ("2024-01-01", "2024-07-01")
    ]
    made = record(shop(quotas=said))
    ground = ground_of(made, open_at(made, AS_OF), AS_OF)
    place = ground.tree.reps.index("ann")
    assert quotas_in(ground, window_at(made, AS_OF))[place] == 5_000
    assert (quotas_in(ground, window_at(made, AS_OF, 1)) == -1).all()


def test_a_quota_without_deals_or_wins_is_told() -> None:
    """Zed held a deal once, long ago, and has a quota now."""
    old = {"deal_id": "old", "created_at": "2022-01-01"}
    history = [
        {"deal_id": "old", "known_at": "2022-01-01", "stage": "Demo", "owner_id": "zed"},
        {"deal_id": "old", "known_at": "2022-02-01", "stage": "Lost", "owner_id": "zed"},
    ]
    rows = listed(record(shop(old, history=history, quotas=quotas(zed=70, ann=0))))
    assert (node(rows, "zed").quota, node(rows, "zed").mean, node(rows, "zed").p_reach_quota) == (7_000, 0, 0.0)
    assert node(rows, "ann").p_reach_quota == 1.0


# --- odd companies ---------------------------------------------------------------------------------------------------


def without(tables: CrmTables, *names: str) -> CrmTables:
    return CrmTables.of({name: table for name, table in tables.by_name().items() if name not in names})


def checked(made: Record, as_of: int = AS_OF) -> list[Node]:
    """The nodes, all of them sound."""
    rows = listed(made, as_of)
    whole = node(rows, ALL, "company")
    for each in rows:
        assert each.booked <= each.quantiles[0]
        assert list(each.quantiles) == sorted(each.quantiles)
    assert whole.mean == sum(each.mean for each in rows if each.level == "rep")
    return rows


def test_without_a_table_of_reps_there_are_no_teams() -> None:
    rows = checked(record(without(shop(), "reps")))
    assert {each.level for each in rows} == {"company", "rep"}
    assert node(rows, ALL, "company").booked == 45_000


def test_without_quotas_none_is_told() -> None:
    rows = checked(record(without(shop(), "quotas")))
    assert all(each.quota is None and each.p_reach_quota is None for each in rows)


def test_without_amounts_nothing_is_booked_and_nothing_comes() -> None:
    tables = company(
        deals=[{"deal_id": f"D{k}", "created_at": f"2023-{k + 1:02d}-01"} for k in range(12)],
        deal_history=[
            row
            for k in range(12)
            for row in (
                {"deal_id": f"D{k}", "known_at": f"2023-{k + 1:02d}-01", "stage": "Demo", "owner_id": "ann"},
                {"deal_id": f"D{k}", "known_at": f"2023-{k + 1:02d}-20", "stage": "Won", "owner_id": "ann"},
            )
        ],
    )
    (whole,) = checked(record(tables))
    assert (whole.booked, whole.mean, whole.quantiles) == (0, 0, (0,) * 7)


def test_one_rep_is_the_company() -> None:
    rows = {"deal_id": "one", "created_at": "2024-04-02"}
    history = [{"deal_id": "one", "known_at": "2024-04-02", "stage": "Demo", "amount": 10, "owner_id": "ann"}]
    whole, rep = checked(record(company(deals=[rows], deal_history=history)))
    assert (rep.level, rep.name) == ("rep", "ann")
    assert (whole.mean, whole.quantiles) == (rep.mean, rep.quantiles)


def test_deals_that_nobody_holds_bring_deals_to_come_too() -> None:
    """Without owners the company's forecast is the same as with them, but for whose it is."""
    owned = shop(reps=[], quotas=[])
    columns = owned.deal_history.columns | {"owner_id": Coded.missing(owned.deal_history.n)}
    bare = replace(owned, deal_history=Table.of("deal_history", columns, owned.deal_history.n))
    rows = checked(record(bare))
    assert [(each.level, each.name) for each in rows] == [("company", ALL), ("rep", NO_REP)]
    whole, before = rows[0], node(listed(record(owned)), ALL, "company")
    assert before.arrivals_expected > 0
    assert whole.booked == before.booked
    assert abs(whole.arrivals_expected - before.arrivals_expected) <= 4  # cents, rounded for each rep


def test_nothing_was_won_before() -> None:
    as_of = at("2023-01-20")
    rows = checked(record(shop()), as_of)
    whole = node(rows, ALL, "company")
    assert (whole.booked, whole.arrivals_expected) == (0, 0)


def test_a_company_of_two_deals() -> None:
    two = company(
        deals=[{"deal_id": "D1", "created_at": "2024-01-02"}, {"deal_id": "D2", "created_at": "2024-04-03"}],
        deal_history=[
            {"deal_id": "D1", "known_at": "2024-01-02", "stage": "Qualify", "amount": 100, "owner_id": "ann"},
            {"deal_id": "D1", "known_at": "2024-04-02", "stage": "Won", "amount": 99, "owner_id": "ann"},
            {"deal_id": "D2", "known_at": "2024-04-03", "stage": "Propose", "amount": 20},
        ],
    )
    rows = checked(record(two))
    assert (node(rows, "ann").booked, node(rows, ALL, "company").booked) == (9_900, 9_900)
    assert node(rows, NO_REP).open_expected > 0


def test_no_deals_at_all() -> None:
    (whole,) = checked(record(company(deals=[], deal_history=[])))
    assert (whole.mean, whole.quantiles) == (0, (0,) * 7)


def test_the_first_instant_and_the_last_second_of_a_period() -> None:
    """Nothing is booked in a period that begins; at its very end all that was won is."""
    made = record(shop())
    assert node(checked(made, at("2024-04-01")), ALL, "company").booked == 0
    assert node(checked(made, at("2024-06-30 23:59:59")), ALL, "company").booked == 45_000
    assert node(checked(made, at("2024-07-01")), ALL, "company").booked == 0


# --- scenarios -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ground() -> AsOf:
    made = record(shop())
    return ground_of(made, open_at(made, AS_OF), AS_OF)


PLAIN = replace(MODEL, ratios=np.zeros(0))  # amounts come as expected, so that paths can be told apart by wins alone


def in_scenario(ground: AsOf, scenario: Scenario, model: BookingsModel = MODEL) -> Paths:
    window, (p, amount) = window_at(ground.record, AS_OF), said_of(ground)
    coming = scenario.coming(ground, arrivals_in(ground, window))
    return forecast(ground, window, scenario.chances(ground, p), amount, model, 7, PATHS, coming)


def test_without_a_change_nothing_changes(ground: AsOf) -> None:
    base, same = simulated(ground, window_at(ground.record, AS_OF)), in_scenario(ground, AS_IT_IS)
    assert base.total().tobytes() == same.total().tobytes()
    assert base.mean().tobytes() == same.mean().tobytes()


def test_a_lost_deal_takes_only_its_own_cents_away(ground: AsOf) -> None:
    base, lost = in_scenario(ground, AS_IT_IS), in_scenario(ground, Scenario(lost=frozenset({"open"})))
    cem = ground.tree.reps.index("cem")
    gone = base.open - lost.open
    assert not np.delete(gone, cem, axis=0).any()
    p, amount = (float(values[ground.deals.index("open")]) for values in said_of(ground))
    worth = {0, *(round(amount * ratio * 100) for ratio in np.unique(quantiles(MODEL.ratios)))}
    assert set(gone[cem].tolist()) <= worth
    assert 0 < (gone[cem] > 0).mean() < 1
    assert abs(int(base.open_mean[cem] - lost.open_mean[cem]) - p * amount * 100) < 2
    assert np.array_equal(base.arrivals, lost.arrivals)


def test_a_rep_who_leaves_keeps_a_share_and_others_are_as_before(ground: AsOf) -> None:
    base, left = in_scenario(ground, AS_IT_IS), in_scenario(ground, Scenario(leaving={"cem": 0.0}))
    cem = ground.tree.reps.index("cem")
    assert not left.open[cem].any()
    assert not left.arrivals[cem].any()
    assert np.array_equal(np.delete(base.total(), cem, axis=0), np.delete(left.total(), cem, axis=0))
    half = in_scenario(ground, Scenario(leaving={"cem": 0.5}))
    assert abs(int(2 * half.open_mean[cem]) - int(base.open_mean[cem])) <= len(ground.deals)
    assert (
        in_scenario(ground, Scenario(leaving={"cem": 0.5}), PLAIN).open <= in_scenario(ground, AS_IT_IS, PLAIN).open
    ).all()


def test_factors_move_every_path_their_way(ground: AsOf) -> None:
    less, base, more, most = (in_scenario(ground, Scenario(win_rate=factor), PLAIN) for factor in (0.7, 1.0, 1.3, 10.0))
    assert (less.open <= base.open).all()
    assert (base.open <= more.open).all()
    assert (more.open <= most.open).all()
    assert less.open_mean.sum() < base.open_mean.sum() < more.open_mean.sum() < most.open_mean.sum()
    none = in_scenario(ground, Scenario(win_rate=0.0, arrivals=0.0))
    assert np.array_equal(none.total(), np.broadcast_to(none.booked[:, None], none.total().shape))
    twice: Arrivals = Scenario(arrivals=2.0).coming(ground, arrivals_in(ground, window_at(ground.record, AS_OF)))
    assert abs(int(twice.expected().sum()) - 2 * int(base.arrivals_mean.sum())) <= 4


def test_what_is_not_there_is_named(ground: AsOf) -> None:
    scenario = Scenario(lost=frozenset({"open", "now", "never"}), leaving={"cem": 0.5, "nemo": 0.5})
    assert scenario.unknown_deals(ground) == ["never", "now"]  # won, and unknown
    assert scenario.unknown_reps(ground) == ["nemo"]


def test_wins_at_hand_give_the_same_ground(ground: AsOf) -> None:
    made = ground.record
    again = ground_of(made, open_at(made, AS_OF), AS_OF, wins_of(made))
    same: list[Int] = [again.wins.won_at, ground.wins.won_at]
    assert np.array_equal(*same)
    assert again.tree.reps == ground.tree.reps
