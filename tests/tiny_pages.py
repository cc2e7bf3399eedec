"""A tiny company's figures in a store of its own, as a refresh would leave them, for what pages say of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from serving.page_facts import node_rows
from serving.refresh import Sourced
from serving.store.page_facts import write_page_facts
from serving.store.refreshed import write_facts
from tests.served import World
from tests.stored import Office, office_in
from tests.tiny import Row, at, company, record

AS_OF = "2024-05-01"  # 30 days into a quarter
TEAMS = {"R1": "East", "R2": "East", "R3": "West"}
NAMES = {"R1": "Ann Ode", "R2": "Bo Lind", "R3": "Cy Marsh"}
DEALS: Mapping[str, tuple[str, tuple[tuple[str, str, float], ...]]] = {
    "a": ("R1", (("2024-01-02", "Qualify", 100_000), ("2024-02-10", "Demo", 100_000), ("2024-03-01", "Won", 100_000))),
    "b": ("R1", (("2024-01-05", "Qualify", 300_000), ("2024-03-10", "Lost", 300_000))),
    "c": ("R3", (("2024-01-03", "Qualify", 211_111), ("2024-02-20", "Won", 211_111))),
    "d": ("R1", (("2024-02-01", "Qualify", 25_000), ("2024-04-10", "Won", 25_000))),
    "e": ("R1", (("2024-04-02", "Qualify", 60_000), ("2024-04-20", "Propose", 60_000))),
    "f": ("R2", (("2024-01-02", "Qualify", 50_000), ("2024-01-20", "Won", 50_000))),
    "g": ("R3", (("2024-04-02", "Demo", 877_777),)),
    "h": ("R2", (("2024-04-03", "Qualify", 40_000), ("2024-05-01", "Won", 40_000))),  # at the as-of: not known yet
}
"""owner, and (known_at, stage, amount) of each change."""
QUOTAS = (("R1", "2024-04-01", 100_000), ("R3", "2024-04-01", 333_333))
CALLS = (("R1", "2024-01-20", "2024-01-01", 70_000), ("R1", "2024-02-20", "2024-01-01", 90_000),
         ("R1", "2024-04-15", "2024-04-01", 80_000))  # fmt: skip


def sourced() -> Sourced:
    """The company as a refresh reads it."""
    history: list[Row] = [
        {"deal_id": deal, "known_at": known, "stage": stage, "amount": amount, "owner_id": owner}
        for deal, (owner, changes) in DEALS.items()
        for known, stage, amount in changes
    ]
    tables = company(
        deals=[{"deal_id": deal, "created_at": changes[0][0]} for deal, (_, changes) in DEALS.items()],
        deal_history=history,
        reps=[{"rep_id": rep, "team": team, "name": NAMES[rep]} for rep, team in TEAMS.items()],
        quotas=[{"rep_id": rep, "period_start": start, "amount": amount} for rep, start, amount in QUOTAS],
        calls=[{"rep_id": rep, "submitted_at": said, "period_start": start, "category": "commit", "amount": amount}
               for rep, said, start, amount in CALLS],
    )  # fmt: skip
    return Sourced(tables, record(tables), at("2024-06-01"))


def tiny_office(world: World, folder: Path) -> Office:
    """An office whose store holds the tiny company's figures and nothing else."""
    office = office_in(world, folder, folder)
    rows = node_rows(sourced(), at(AS_OF))
    read = {"as_of": at(AS_OF), "ran_at": at(AS_OF), "body": '{"tables": [], "facts": [], "notices": []}'}
    with office.store() as store:

        def write(connection):  # type: ignore[no-untyped-def]
            write_page_facts(connection, rows, read)
            write_facts(connection, [], [], [{"rep_id": rep, "name": name} for rep, name in NAMES.items()])

        store.writer.submit(write).result()
    return office
