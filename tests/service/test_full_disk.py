"""Commands and a service whose state lies on a disk that is full, or that nobody may write to."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from configs.console import plain_errors
from configs.errors import StateError
from serving.auth import create_key, keys_file, read_keys
from serving.store.tables import DEALS, LEDGER, SCORES
from tests.disks import filled, read_only, small_disk
from tests.served import World
from tests.service.test_events import told
from tests.stored import Office, office_in, service

Trouble = Callable[[Path], AbstractContextManager[None]]
pytestmark = pytest.mark.timeout(120)
either = pytest.mark.parametrize("trouble", [filled, read_only])
modes = pytest.mark.parametrize(("ledger", "status"), [("durable", 503), ("best_effort", 200), ("off", 200)])


def counted(office: Office) -> list[int]:
    """The rows of some tables."""
    with office.store() as store, store.engine.begin() as connection:
        tables = (DEALS, SCORES, LEDGER)
        return [int(connection.execute(select(func.count()).select_from(one)).scalar_one()) for one in tables]


@either
def test_commands_say_so_and_leave_what_was(
    world: World, export: Path, tmp_path: Path, trouble: Trouble, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refresh and a new key: one line, exit code 1, all as it was; then they do what was asked."""
    with small_disk(tmp_path / "disk", "8m") as disk:
        office = office_in(world, disk, export)
        now, keys = datetime.now(UTC), keys_file(office.config)
        office.refresh()
        create_key(keys, "before", now)
        before = counted(office)
        with trouble(disk):
            for work in (lambda: office.refresh(office.now + 86_400_000_000), lambda: create_key(keys, "more", now)):
                with pytest.raises(SystemExit) as ended, plain_errors():
                    work()
                assert ended.value.code == 1
                said = capsys.readouterr().err
                assert "space" in said
                assert said.count("\n") == 1
        assert counted(office) == before
        assert [key.name for key in read_keys(keys)] == ["before"]
        assert [
            path.name
            for path in keys.parent.iterdir()
            if path.name.startswith(f".{keys.name}.") and "lock" not in path.name
        ] == []
        create_key(keys, "more", now)
        assert office.refresh(office.now + 86_400_000_000).scored > 0
        assert counted(office)[2] > before[2]


def until_refused(ask: Callable[[int], Any], most: int) -> list[Any]:
    """Ask until that is refused: the files that are there may still have some room."""
    answers = []
    for k in range(most):
        answers.append(ask(k))
        if answers[-1].status_code != 200:
            break
    return answers


@modes
def test_a_service_whose_disk_is_full_goes_on_where_it_can(
    world: World, export: Path, tmp_path: Path, ids: list[str], ledger: str, status: int
) -> None:
    """Only what must be kept is refused, stored deals are still read, and nothing has to be started again."""
    body = world.body(ids[:100], explain=False)
    with small_disk(tmp_path / "disk", "8m") as disk:
        office = office_in(world, disk, export, f"serving.ledger={ledger}")
        office.refresh()
        with service(office) as served:
            assert served.post(body).status_code == 200
            stored = served.get("/v1/deals").json()["deals"][0]["deal_id"]
            with filled(disk):
                scored = until_refused(lambda _: served.post(body), 60 if ledger == "durable" else 10)
                assert scored[-1].status_code == status
                pushed = until_refused(lambda k: served.push(*told(f"N{k}")), 400)
                assert pushed[-1].status_code == 503
                refused = [one.json()["code"] for one in scored + pushed if one.status_code == 503]
                assert set(refused) == {"store_full"}
                assert served.get("/v1/deals").status_code == 200
                assert served.score(stored).status_code in (status, 200)
                assert served.client.get("/v1/health").status_code == 200
            assert served.push(*told("LAST")).status_code == 200
            assert served.post(body).status_code == 200


@modes
def test_a_service_that_may_only_read_goes_on_where_it_can(
    world: World, export: Path, tmp_path: Path, ids: list[str], ledger: str, status: int
) -> None:
    """From its start: a disk that is in use can't be made so. No event is taken, and no stored deal is read."""
    body = world.body(ids[:3])
    keys = tmp_path / "keys.json"
    with small_disk(tmp_path / "disk", "8m") as disk:
        office = office_in(world, disk, export, f"serving.ledger={ledger}", f"serving.api_keys_file={keys}")
        with service(office) as served:
            with read_only(disk):
                scored = served.post(body)
                assert scored.status_code == status
                others = [served.push(*told("N1")), served.get("/v1/deals")]
                refused = [one.json()["code"] for one in (scored, *others) if one.status_code != 200]
                assert refused == ["store_error"] * (3 if status == 503 else 2)
                assert served.client.get("/v1/health").status_code == 200
            done = time.monotonic() + 30
            while served.push(*told("N1")).status_code != 200:
                assert time.monotonic() < done, "it should have come back by itself"
            assert served.post(body).status_code == 200


@either
def test_a_store_that_cannot_be_made(world: World, export: Path, tmp_path: Path, trouble: Trouble) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        office = office_in(world, disk, export)
        with trouble(disk), pytest.raises(StateError) as caught, office.store():
            pass
        assert "space" in str(caught.value)
        with office.store():
            pass
