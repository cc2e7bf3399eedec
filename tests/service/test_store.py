"""The store itself: versions, the append-only ledger, group commit, and what a broken database becomes."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError

from configs.errors import ConflictError, StoreError, StoreFullError, StoreVersionError, UsageError
from configs.load import load_config
from serving.entries import Asked, Entry, Model
from serving.store.engine import FILE, Store, open_store
from serving.store.ledger import append
from serving.store.tables import DEALS, JOB_CHUNKS, JOBS, LEDGER, METADATA, OVERRIDES, VERSION
from serving.store.versions import LATEST, bring_forward
from tests.companies import DEMO
from tests.postgres import Cluster
from tests.stored import URL_ENV, Kept, database

ENTRY = Entry("D1", 5, None, b"\x00" * 8, "digest", "{}", 0.1 + 0.2, -1 / 3, "{}", None)
ASKED = Asked("r1", "key", "/v1/deals/score", 6, 1.5)
MODEL = Model("sha", "version", "hash", 4, "reference")


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A store in SQLite."""
    return Kept(load_config(DEMO, [f"state_dir={tmp_path}"]))


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, kept: Kept) -> Iterator[Kept]:
    """A store in SQLite and in PostgreSQL."""
    if request.param == "sqlite":
        yield kept
        return
    with database(request.getfixturevalue("cluster")) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv(URL_ENV, url)
        yield Kept(load_config(DEMO, [f"serving.store.url_env={URL_ENV}"]))


def add(connection: Connection) -> None:
    append(connection, [ENTRY], ASKED, MODEL)


def rows(store: Store) -> int:
    with store.engine.begin() as connection:
        return int(connection.execute(select(func.count()).select_from(LEDGER)).scalar_one())


def test_a_row_comes_back_with_its_bits(either: Kept) -> None:
    with either.store() as store:
        store.writer.submit(add).result()
        with store.engine.begin() as connection:
            row = connection.execute(select(LEDGER)).one()
    assert (row.p.hex(), row.log_odds.hex()) == (ENTRY.p.hex(), ENTRY.log_odds.hex())
    assert (bytes(row.features), row.window_end, row.request_id) == (ENTRY.features, None, "r1")


CHANGES = {
    "update": (("sqlite", "postgresql"), update(LEDGER).values(p=0.9)),
    "delete": (("sqlite", "postgresql"), delete(LEDGER)),
    "replace": (("sqlite",), text("INSERT OR REPLACE INTO ledger SELECT * FROM ledger")),
    "truncate": (("postgresql",), text("TRUNCATE ledger")),
}


def test_the_ledger_is_append_only(either: Kept) -> None:
    with either.store() as store:
        store.writer.submit(add).result()
        for dialects, change in CHANGES.values():
            if store.engine.dialect.name in dialects:
                with pytest.raises(DBAPIError, match="append-only"), store.engine.begin() as connection:
                    connection.execute(change)
        with store.engine.begin() as connection:
            assert connection.execute(select(LEDGER.c.p)).scalar_one() == ENTRY.p


def test_opening_twice_keeps_what_is_there(either: Kept) -> None:
    with either.store() as store:
        store.writer.submit(add).result()
    with either.store() as store:
        assert rows(store) == 1


def test_a_newer_store_is_refused(either: Kept) -> None:
    with either.store() as store, store.engine.begin() as connection:
        connection.execute(update(VERSION).values(version=LATEST + 1))
    with pytest.raises(StoreVersionError, match=f"version {LATEST + 1}"):
        open_store(either.config)


def test_an_older_store_is_brought_forward_or_left_as_it_was(either: Kept) -> None:
    """The steps from each version to the next run in order, in one transaction with the version."""

    def second(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE deals ADD COLUMN note TEXT"))

    def third(connection: Connection) -> None:
        connection.execute(text("UPDATE deals SET note = 'moved'"))

    def broken(_: Connection) -> None:
        raise RuntimeError("half way")

    with either.store() as store:
        with store.engine.begin() as connection:
            connection.execute(insert(DEALS), {"deal_id": "D1"})
        with pytest.raises(RuntimeError), store.engine.execution_options(writes=True).begin() as connection:
            bring_forward(connection, {LATEST: second, LATEST + 1: broken}, LATEST + 2)
        with store.engine.execution_options(writes=True).begin() as connection:
            assert connection.execute(select(VERSION.c.version)).scalar_one() == LATEST
            bring_forward(connection, {LATEST: second, LATEST + 1: third}, LATEST + 2)
            assert connection.execute(select(VERSION.c.version)).scalar_one() == LATEST + 2
            assert connection.execute(text("SELECT note FROM deals")).scalar_one() == "moved"


NEW_IN_3 = {
    "deals": {"name", "account_name"},
    "forecasts": {"team"},
    "scores": {
        "stage", "close_date", "category", "amount_cents", "stage_since", "pushes", "created_at", "last_buyer_at",
        "next_meeting_at", "p_before",
    },
}  # fmt: skip


def to_version(connection: Connection, version: int) -> None:
    """Make a new store what one of an earlier version was."""
    undone = ["DROP TABLE lead_scores", "DROP TABLE lead_refreshes"]
    if version < 6:
        undone += ["DROP TABLE node_facts", "DROP TABLE refreshes"]
    if version < 5:
        undone += ["DROP TABLE calls", "DROP TABLE bridges", "DROP TABLE bridge_moves"]
    if version < 4:
        undone += ["DROP TABLE sessions", "DROP TABLE overrides", "DROP INDEX scores_listed", "DROP INDEX deals_named"]
        if connection.dialect.name == "postgresql":
            undone.append("DROP FUNCTION overrides_refuse()")
    if version < 3:
        undone += [
            f"ALTER TABLE {table} DROP COLUMN {column}" for table, columns in NEW_IN_3.items() for column in columns
        ]
        undone += ["DROP TABLE deal_states", "DROP TABLE reps", "DROP INDEX ledger_by_as_of"]
    for statement in undone:
        connection.execute(text(statement))
    if version < 2:
        METADATA.drop_all(connection, [JOBS, JOB_CHUNKS])
    connection.execute(update(VERSION).values(version=version))


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
def test_an_older_store_becomes_what_a_new_one_is(either: Kept, version: int) -> None:
    """What is in it stays; what may only be added to is so afterwards."""
    with either.store() as store:
        fresh = told(store)
        with store.engine.execution_options(writes=True).begin() as connection:
            add(connection)
            to_version(connection, version)
    with either.store() as store:
        assert told(store) == fresh
        assert rows(store) == 1
        with store.engine.execution_options(writes=True).begin() as connection:
            assert connection.execute(select(VERSION.c.version)).scalar_one() == LATEST
            connection.execute(OVERRIDES.insert(), WORD)
        for change in (update(OVERRIDES).values(p=0.9), delete(OVERRIDES)):
            with (
                pytest.raises(DBAPIError, match="append-only"),
                store.engine.execution_options(writes=True).begin() as connection,
            ):
                connection.execute(change)


def told(store: Store) -> dict[str, Any]:
    """Columns, keys and indexes of every table, as the database says."""
    seen = inspect(store.engine)
    return {
        name: (
            {one["name"]: (one["type"].python_type, one["nullable"]) for one in seen.get_columns(name)},
            seen.get_pk_constraint(name)["constrained_columns"],
            sorted((str(one["name"]), tuple(one["column_names"])) for one in seen.get_indexes(name)),
        )
        for name in seen.get_table_names()
    }


WORD = {
    "deal_id": "D1", "made_at": 1, "principal": "k", "name": "n", "p": 0.5, "reason": "r", "model_p": 0.4, "as_of": 1,
    "window_end": None, "model_version": "m",
}  # fmt: skip


def test_commits_are_on_disk_and_files_are_the_owners(kept: Kept) -> None:
    with kept.store() as store:
        store.writer.submit(add).result()
        with store.engine.begin() as connection:
            pragmas = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("journal_mode", "synchronous")
            ]
        files = list((kept.config.state_dir / "serving").glob(f"{FILE}*"))
        assert pragmas == ["wal", 2]  # 2: FULL
        assert len(files) == 3
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_what_waits_is_committed_together(either: Kept) -> None:
    with either.store() as store:
        entered, go = threading.Event(), threading.Event()

        def first(connection: Connection) -> None:
            entered.set()
            assert go.wait(10)
            add(connection)

        slow = store.writer.submit(first)
        assert entered.wait(10)
        waiting = [store.writer.submit(add) for _ in range(100)]
        go.set()
        slow.result(10)
        for one in waiting:
            one.result(10)
        assert store.writer.commits == 2
        assert rows(store) == 101


def test_one_job_that_fails_costs_the_others_nothing(either: Kept) -> None:
    def clash(connection: Connection) -> None:
        add(connection)
        connection.execute(insert(DEALS), [{"deal_id": "D1"}, {"deal_id": "D1"}])

    def refused(connection: Connection) -> None:
        add(connection)
        raise ConflictError("no")

    def bug(connection: Connection) -> None:
        add(connection)
        raise ZeroDivisionError

    with either.store() as store:
        entered, go = threading.Event(), threading.Event()
        store.writer.submit(lambda _: (entered.set(), go.wait(10)))
        assert entered.wait(10)
        jobs = [store.writer.submit(work) for work in (add, clash, add, refused, bug, add)]
        cancelled = store.writer.submit(add)
        assert cancelled.cancel()
        go.set()
        found = [job.exception(10) for job in jobs]
        expected = [None, StoreError, None, ConflictError, ZeroDivisionError, None]
        assert [None if one is None else type(one) for one in found] == expected
        assert rows(store) == 3
        assert store.writer.commits == 2
        store.writer.submit(add).result(10)  # the thread lives


def test_a_closed_store_takes_nothing(kept: Kept) -> None:
    with kept.store() as store:
        done = [store.writer.submit(add) for _ in range(5)]
    assert [one.result() for one in done] == [None] * 5
    with pytest.raises(StoreError, match="closed"):
        store.writer.submit(add)


def test_two_processes_write_side_by_side(kept: Kept) -> None:
    with kept.store() as one, kept.store() as other:
        jobs = [store.writer.submit(add) for _ in range(50) for store in (one, other)]
        for job in jobs:
            job.result(20)
        assert rows(one) == 100


def test_a_database_that_stops_is_an_error_and_comes_back(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    with database(cluster) as url:
        monkeypatch.setenv(URL_ENV, url)
        stopped_and_started(cluster, Kept(load_config(DEMO, [f"serving.store.url_env={URL_ENV}"])))


def stopped_and_started(cluster: Cluster, either: Kept) -> None:
    with either.store() as store:
        store.writer.submit(add).result()
        cluster.stop()
        try:
            with pytest.raises(StoreError) as caught:
                store.writer.submit(add).result(30)
            assert "s3cret" not in str(caught.value)
        finally:
            cluster.start()
        store.writer.submit(add).result(30)
        assert rows(store) == 2


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (None, "is not set"),
        ("nonsense s3cret", "holds no URL"),
        ("mysql://u:s3cret@h/d", "names mysql"),
        ("postgresql://u:s3cret@h/d", "names postgresql"),
    ],
)
def test_a_url_that_cannot_be_used(kept: Kept, url: str | None, told: str) -> None:
    config = load_config(DEMO, ["serving.store.url_env=SOME_STORE", f"state_dir={kept.config.state_dir}"])
    with pytest.raises(UsageError, match=told) as caught:
        open_store(config, {} if url is None else {"SOME_STORE": url})
    assert "s3cret" not in str(caught.value)


def test_a_database_that_is_not_there(kept: Kept) -> None:
    config = load_config(DEMO, ["serving.store.url_env=SOME_STORE"])
    with pytest.raises(StoreError, match=r"u:\*\*\*@127.0.0.1") as caught:
        open_store(config, {"SOME_STORE": "postgresql+psycopg://u:s3cret@127.0.0.1:1/d"})
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_no_database(kept: Kept) -> None:
    path = kept.config.state_dir / "serving" / FILE
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match=FILE):
        open_store(kept.config)


def test_a_full_disk_is_said_and_nothing_is_half_written(tiny_disk: Path) -> None:
    """Every row that was confirmed is there, no other is, and with space it goes on."""
    store = open_store(load_config(DEMO, [f"state_dir={tiny_disk}"]))
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(b"\x00" * 300_000)

    def big(connection: Connection) -> None:
        append(connection, [ENTRY] * 100, ASKED, MODEL)

    confirmed, caught = 0, None
    for _ in range(200):
        error = store.writer.submit(big).exception(10)
        if error is not None:
            caught = error
            break
        confirmed += 100
    assert isinstance(caught, StoreFullError), caught
    assert "no space left" in str(caught)
    assert rows(store) == confirmed > 0
    ballast.unlink()
    store.writer.submit(big).result(10)
    assert rows(store) == confirmed + 100
    store.close()
    with sqlite3.connect(tiny_disk / "serving" / FILE) as again:
        assert again.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert again.execute("SELECT count(*) FROM ledger").fetchone() == (confirmed + 100,)
