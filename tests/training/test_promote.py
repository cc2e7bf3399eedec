"""`promote` and `rollback`: what goes live, what is refused and why, and what is kept of it. Tracking is down here."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from configs.console import plain_errors
from configs.errors import BundleDamagedError, GateRefused, NotPromotedError, NotTrainedError, UsageError
from configs.schema import Config
from models.bundle import load, save
from models.store import Store, bundle_folder, write_pointer
from tests.companies import DEMO, demo_config
from tests.disks import filled, read_only, small_disk
from tests.postgres import free_port
from tests.served import World
from training.cli import register
from training.gates import Verdict, cold_start
from training.history import account, entries
from training.promote_command import promote, rollback
from training.sync import pending_folder

pytestmark = pytest.mark.timeout(120)

GOOD = Verdict("log loss gained", 0.02, 0.0, True)
BAD = Verdict("log loss gained", -0.01, 0.0, False)
LEVEL = Verdict("sum p / sum y", 1.01, 0.8, True, "within", 1.25, 0.9, 1.1)

app = typer.Typer()
register(app)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A state directory of its own, and a tracking server that is not there."""
    return demo_config(tmp_path / "state", f"tracking.uri=http://127.0.0.1:{free_port()}")


def candidate(
    config: Config, world: World, name: str, verdicts: tuple[Verdict, ...] = (GOOD, LEVEL), **more: Any
) -> str:
    """Leave a candidate as `train` does: a bundle that loads, under a name of its own; returns its SHA-256."""
    root = config.state_dir / "candidates"
    bundle = replace(world.bundle, about=replace(world.bundle.about, name=name))
    sha = save(bundle, root / "new")
    (root / "new").rename(root / sha)
    told = {
        "run_name": f"run-{name}",
        "model_version": f"{name}-{sha[:12]}",
        "bundle_sha256": sha,
        "gates_passed": all(verdict.passed for verdict in verdicts),
        "config": config.model_dump(mode="json"),
        "report": {"verdicts": [asdict(verdict) for verdict in verdicts]},
    }
    (root / f"{sha}.json").write_text(json.dumps(told | more))
    (root / f"{sha}.card.md").write_text(f"# Model card of {name}\n")
    write_pointer(root / "CANDIDATE", sha)
    return sha


def live(config: Config) -> str:
    return load(bundle_folder(config.state_dir, "live")).about.name


def test_a_good_candidate_goes_live_with_its_papers(config: Config, world: World) -> None:
    sha = candidate(config, world, "a")
    told = promote(config)
    assert live(config) == "a"
    assert told["bundle_sha256"] == sha
    assert told["registry_version"] is None  # tracking is down, and serving does not need it
    assert told["forced"] is False
    root = config.state_dir / "bundles"
    assert (root / f"{sha}.card.md").read_text() == "# Model card of a\n"
    assert json.loads((root / f"{sha}.json").read_text())["config"]["name"] == "demo"
    (note,) = pending_folder(config.state_dir).glob("*-live-*.json")
    assert json.loads(note.read_text()) == {"kind": "live", "bundle_sha256": sha, "tags": {}}


def test_twice_is_harmless(config: Config, world: World) -> None:
    candidate(config, world, "a")
    assert promote(config) == promote(config)
    assert [entry.action for entry in entries(Store(config.state_dir / "bundles"))] == ["promote"]


def test_a_failed_gate_refuses_with_the_whole_table(config: Config, world: World) -> None:
    candidate(config, world, "a", (BAD, LEVEL))
    with pytest.raises(GateRefused) as caught:
        promote(config)
    assert caught.value.exit_code == 3
    told = str(caught.value)
    assert "it failed 1 of 2 gates" in told
    assert "FAILED    log loss gained: -0.0100, must exceed 0\n" in told
    assert "passed    sum p / sum y: +1.0100 [+0.9000, +1.1000], must lie within 0.8 and 1.25\n" in told
    assert "--force --reason" in told
    assert not (config.state_dir / "bundles").exists()


def test_a_figure_that_is_missing_is_a_failed_gate(config: Config, world: World) -> None:
    candidate(config, world, "a", (replace(GOOD, value=None),), gates_passed=False)
    with pytest.raises(GateRefused, match="FAILED    log loss gained, must exceed 0"):
        promote(config)


def test_force_needs_a_reason_and_a_reason_needs_force(config: Config, world: World) -> None:
    candidate(config, world, "a", (BAD,))
    for force, reason in ((True, None), (True, "  "), (False, "because")):
        with pytest.raises(UsageError, match="reason"):
            promote(config, force, reason)
    assert not (config.state_dir / "bundles").exists()


def test_a_forced_model_goes_live_and_the_reason_stays(
    config: Config, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    sha = candidate(config, world, "a", (BAD, LEVEL))
    told = promote(config, True, "the old one\n reads a field that is gone")
    assert live(config) == "a"
    assert told["failed_gates"] == ["log loss gained"]
    assert "WARNING: forced past 1 failed gate(s): log loss gained" in capsys.readouterr().err
    (entry,) = entries(Store(config.state_dir / "bundles"))
    assert (entry.action, entry.bundle_sha256, entry.run) == ("force", sha, "run-a")
    assert (entry.reason, entry.failed) == ("the old one reads a field that is gone", ("log loss gained",))
    (note,) = pending_folder(config.state_dir).glob("*-live-*.json")
    tags = json.loads(note.read_text())["tags"]
    assert tags["promoted.forced"] == "the old one reads a field that is gone"
    assert tags["promoted.failed_gates"] == "log loss gained"


def test_a_verdict_about_another_live_model_does_not_count(config: Config, world: World) -> None:
    """Judged when `a` was live; since then `b` is: nobody has compared with that."""
    first = candidate(config, world, "a", compared_with="")
    promote(config)
    stale = candidate(config, world, "c", compared_with=first)
    candidate(config, world, "b", compared_with=first)
    promote(config)
    write_pointer(config.state_dir / "candidates" / "CANDIDATE", stale)
    with pytest.raises(GateRefused, match="another model went live since: train again"):
        promote(config)
    assert live(config) == "b"


def test_a_cold_start_is_said_out_loud(config: Config, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    candidate(config, world, "a", (cold_start(),))
    promote(config)
    assert "WARNING: cold start: nothing to judge on" in capsys.readouterr().err
    assert live(config) == "a"


def test_rollback_walks_back_and_says_when_nothing_is_left(config: Config, world: World) -> None:
    shas = []
    for name in "abc":
        shas.append(candidate(config, world, name, compared_with=shas[-1] if shas else ""))
        promote(config)
    told = rollback(config)
    assert (live(config), told["bundle_sha256"], told["replaced"]) == ("b", shas[1], shas[2])
    rollback(config)
    assert live(config) == "a"
    with pytest.raises(NotPromotedError, match="nothing was live before"):
        rollback(config)
    assert live(config) == "a"
    actions = [entry.action for entry in entries(Store(config.state_dir / "bundles"))]
    assert actions == ["promote"] * 3 + ["rollback"] * 2


def test_a_model_that_was_rolled_back_can_go_live_again(config: Config, world: World) -> None:
    first = candidate(config, world, "a", compared_with="")
    promote(config)
    candidate(config, world, "b", compared_with=first)
    promote(config)
    rollback(config)
    promote(config)  # the candidate is `b` still, and was judged against `a`
    assert live(config) == "b"


def test_a_damaged_bundle_is_not_gone_back_to(config: Config, world: World) -> None:
    first = candidate(config, world, "a")
    promote(config)
    candidate(config, world, "b")
    promote(config)
    trees = config.state_dir / "bundles" / first / "trees.txt"
    trees.write_bytes(trees.read_bytes() + b"x")
    with pytest.raises(BundleDamagedError):
        rollback(config)
    assert live(config) == "b"


def test_nothing_to_promote_or_to_roll_back(config: Config) -> None:
    with pytest.raises(NotTrainedError):
        promote(config)
    with pytest.raises(NotPromotedError):
        rollback(config)


def test_the_command_line(config: Config, world: World) -> None:
    sets = ["--set", f"state_dir={config.state_dir}", "--set", f"tracking.uri={config.tracking.uri}"]
    candidate(config, world, "a")

    def run(*command: str) -> Any:
        return CliRunner().invoke(app, [command[0], str(DEMO), *sets, *command[1:]])

    assert run("promote").exit_code == 0
    candidate(config, world, "b", (BAD,))
    refused = run("promote")
    assert refused.exit_code == 3
    assert "FAILED    log loss gained: -0.0100, must exceed 0" in refused.stderr
    assert run("promote", "--force").exit_code == 2
    assert run("promote", "--force", "--reason", "a test").exit_code == 0
    assert live(config) == "b"
    back = run("rollback", "--json")
    assert back.exit_code == 0
    assert json.loads(back.stdout.splitlines()[-1])["live"].startswith("a-")
    assert live(config) == "a"
    waiting = run("sync", "--json")
    assert json.loads(waiting.stdout.splitlines()[-1]) == {"logged": 0, "left": 3}


@pytest.mark.parametrize("trouble", [filled, read_only])
def test_a_disk_that_takes_nothing_leaves_live_as_it_was(
    world: World,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    trouble: Callable[[Path], AbstractContextManager[None]],
) -> None:
    """Promote and rollback say so and end with 1; with space they do what was asked, and the history is whole."""
    with small_disk(tmp_path / "disk", "8m") as disk:
        config = demo_config(disk / "state", f"tracking.uri=http://127.0.0.1:{free_port()}")
        for name in ("a", "b"):
            candidate(config, world, name)
            promote(config)
        candidate(config, world, "c")
        before = told_of_live(config)
        with trouble(disk):
            for work in (promote, rollback):
                with pytest.raises(SystemExit) as ended, plain_errors():
                    work(config)
                assert ended.value.code == 1
                assert "free space" in capsys.readouterr().err
                assert told_of_live(config) == before
        assert promote(config)["live"].startswith("c-")
        assert rollback(config)["live"].startswith("b-")
        history = entries(Store(config.state_dir / "bundles"))
        came_true = [entry.model_version[0] for entry in history if entry.action == "promote"][:2]
        assert (came_true, live(config)) == (["a", "b"], "b")
        assert rollback(config)["live"].startswith("a-")


def told_of_live(config: Config) -> tuple[str, list[str]]:
    """What serving would read, and the bundles that it could."""
    root = config.state_dir / "bundles"
    return live(config), sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def test_who_made_a_model_live_is_written_down(config: Config, world: World) -> None:
    for name in ("a", "b"):
        candidate(config, world, name)
        promote(config)
    rollback(config)
    history = entries(Store(config.state_dir / "bundles"))
    assert [(entry.action, entry.by) for entry in history] == [
        (action, account()) for action in ("promote", "promote", "rollback")
    ]
    assert all(entry.at and entry.bundle_sha256 for entry in history)
    assert account()


def test_tracking_is_asked_only_when_the_model_is_live(config: Config, world: World) -> None:
    """However long a tracker that hangs takes, serving has the model by then."""
    for name in ("a", "b"):
        candidate(config, world, name)
        promote(config)  # tracking is down, so notes are waiting that are told first
    found: list[str] = []
    port = int(str(config.tracking.uri).rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)) as tracker:

        def refuse() -> None:
            with suppress(OSError):  # closed at the end
                while True:
                    caller, _ = tracker.accept()
                    found.append(live(config))
                    caller.close()

        thread = threading.Thread(target=refuse)
        thread.start()
        rollback(config)
        candidate(config, world, "c")
        promote(config)
        tracker.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert list(dict.fromkeys(found)) == ["a", "c"]
