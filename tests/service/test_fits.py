"""A model is asked only under a config that it fits; what is damaged, or of another config, is one clear error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from configs.errors import BundleDamagedError, BundleMismatchError, StateError, TrackingError, UsageError
from configs.load import load_config
from features.registry import Schema
from models.bundle import REQUIRED, load
from models.reference_io import plain_json
from models.store import MANIFEST, sha256, write_pointer
from serving.cli import register
from serving.fits import check_fits, load_fitting
from tests.served import AS_OF, World
from training.commands import backtest
from training.promote_command import promote
from training.tracking import Tracker
from training.train_command import train

pytestmark = pytest.mark.timeout(120)

app = typer.Typer()
register(app)

COMMANDS = (
    ("score", "--as-of", AS_OF, "--out", "x.csv"),
    ("example-request", "--as-of", AS_OF, "--out", "x.json"),
    ("serve", "--port", "59999"),
)
OTHER = {
    "name=other": "name: other; expected demo",
    "target=eventual": "target: eventual; expected in_period",
    "time_zone=UTC": "time_zone: UTC; expected America/New_York",
    "period.kind=month": "period: periods",
    "period.fiscal_year_start=2": "period: periods",
    "features.groups=[deal, clock]": "features.groups: clock, deal; expected activity, clock, deal, history",
    "features.drop=[amount_cuts]": "features.drop: amount_cuts; expected none",
    "features.shrink=5": "features.shrink: 5; expected 20",
}
MAPPINGS: dict[str, tuple[str, str, str]] = {
    "declared": ("fixed_account", "attributes: {seats: {kind: number}}\nfixed_account", "attributes: seats (number)"),
    "no fixed fields": ("fixed_account_fields: [industry, size, region]", "", "region (category)"),
    "stages": ("Discover, Evaluate", "Evaluate, Discover", "stages: Qualify > Evaluate > Discover"),
}


def run(world: World, *arguments: str) -> Result:
    """Run a command on the world's config; the last --set wins."""
    command, *rest = arguments
    sets = [word for each in world.overrides for word in ("--set", each)]
    return CliRunner().invoke(app, [command, str(world.config_path), *sets, *rest])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize("change", OTHER)
def test_another_config_is_refused_by_every_command(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], change: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.execve", lambda *_: None)
    got = run(world, *command, "--set", change)
    assert (got.exit_code, got.stdout) == (1, ""), got.output
    assert OTHER[change] in got.stderr
    assert "use the one it was trained with, or train and promote again" in got.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", MAPPINGS)
def test_another_mapping_is_refused(world: World, tmp_path: Path, name: str) -> None:
    old, new, words = MAPPINGS[name]
    text = Path("configs/mappings/canonical.yaml").read_text()
    assert text.count(old) == 1
    (tmp_path / "mapping.yaml").write_text(text.replace(old, new))
    change = ("--set", f"source.mapping={tmp_path / 'mapping.yaml'}")
    got = run(world, "score", "--as-of", AS_OF, "--out", str(tmp_path / "x.csv"), *change)
    assert got.exit_code == 1, got.output
    assert words in got.stderr


def test_every_difference_is_named_at_once(world: World) -> None:
    about = replace(world.bundle.about, name="other", schema=Schema("in_period", (), ("seats",)), shrink=3.0)
    with pytest.raises(BundleMismatchError) as caught:
        check_fits(replace(world.bundle, about=about), world.config)
    assert [fault.path for fault in caught.value.faults] == ["name", "features.shrink", "attributes"]


def test_a_config_may_move_on_in_how_it_fits(world: World) -> None:
    told: list[str] = []
    assert load_fitting(world.config, tell=told.append).sha == world.bundle.sha
    assert not told
    config = load_config(world.config_path, [*world.overrides, "model.learning_rate=0.5"])
    assert load_fitting(config, tell=told.append).sha == world.bundle.sha
    assert len(told) == 1
    assert "config_hash" in told[0]


# --- bundles ---------------------------------------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], object]


def test_an_attribute_that_the_audit_left_out_is_no_difference(world: World, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(world.config.source.mapping.read_text() + "attributes: {loss_code: {kind: category}}\n")
    config = load_config(world.config_path, [*world.overrides, f"source.mapping={mapping}"])
    bundle = world.bundle
    with pytest.raises(BundleMismatchError, match="loss_code"):
        check_fits(bundle, config)
    check_fits(replace(bundle, about=replace(bundle.about, left_out=("loss_code",))), config)


@pytest.fixture
def copied(world: World, tmp_path: Path) -> Path:
    """The live bundle under a name that is no digest."""
    shutil.copytree(world.config.state_dir / "bundles" / world.bundle.sha, tmp_path / "copy")
    return tmp_path / "copy"


def rewrite(folder: Path, change: Change) -> None:
    """Change a manifest and keep it well-formed."""
    manifest = json.loads((folder / MANIFEST).read_bytes())
    change(manifest)
    (folder / MANIFEST).write_bytes(plain_json(manifest))


def test_a_copy_is_checked_against_the_digest_that_is_expected(world: World, copied: Path) -> None:
    assert load(copied).sha == load(copied, world.bundle.sha).sha == world.bundle.sha
    rewrite(copied, lambda manifest: manifest["about"].update(rows=1))
    with pytest.raises(BundleDamagedError, match="expected"):
        load(copied, world.bundle.sha)
    with pytest.raises(BundleDamagedError, match="which names it"):
        load(copied.rename(copied.with_name(world.bundle.sha)))


@pytest.mark.parametrize("name", REQUIRED)
def test_a_manifest_must_list_every_file(copied: Path, name: str) -> None:
    rewrite(copied, lambda manifest: manifest["files"].pop(name))
    with pytest.raises(BundleDamagedError, match=f"does not list {name}"):
        load(copied)


ABOUTS: dict[str, Change] = {
    "no about": lambda manifest: manifest.pop("about"),
    "a list": lambda manifest: manifest.update(about=[]),
    "a word as an instant": lambda manifest: manifest["about"].update(trained_as_of="2025"),
    "a truth value as a number": lambda manifest: manifest["about"].update(rows=True),
    "a number as a name": lambda manifest: manifest["about"].update(name=3),
    "a fingerprint that is none": lambda manifest: manifest["about"].update(plan_fingerprint=None),
    "a word as groups": lambda manifest: manifest["about"].update(groups="deal"),
    "a group nobody has": lambda manifest: manifest["about"].update(groups=["c4n4ry"]),
    "no shrink": lambda manifest: manifest["about"].pop("shrink"),
    "more than is known": lambda manifest: manifest["about"].update(more=1),
    "no schema": lambda manifest: manifest["about"].update(schema=None),
    "a target nobody has": lambda manifest: manifest["about"]["schema"].update(target="soon"),
    "stages twice": lambda manifest: manifest["about"]["stages"].update(won=["Qualify"]),
    "stages of numbers": lambda manifest: manifest["about"]["stages"].update(order=[1]),
}


@pytest.mark.parametrize("name", ABOUTS)
def test_what_a_bundle_says_of_itself_is_checked(copied: Path, name: str) -> None:
    rewrite(copied, ABOUTS[name])
    with pytest.raises(BundleMismatchError):
        load(copied)


@pytest.mark.parametrize("name", [name for name in REQUIRED if name.endswith(".json")])
@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b"\xff", b'{"values": 3, "starts": [1], "days": []}'])
def test_files_that_hold_something_else_are_one_error(copied: Path, name: str, content: bytes) -> None:
    (copied / name).write_bytes(content)
    rewrite(copied, lambda manifest: manifest["files"].update({name: sha256(content)}))
    with pytest.raises(BundleDamagedError):
        load(copied)


# --- promote, train and backtest before they work --------------------------------------------------------------------


def report(world: World) -> dict[str, Any]:
    """A report as `train` leaves it."""
    return {
        "bundle_sha256": world.bundle.sha,
        "model_version": world.bundle.version,
        "gates_passed": True,
        "report": {"verdicts": [{"gate": "g", "value": 1.0, "threshold": 0.0, "passed": True}]},
    }


REPORTS: dict[str, Callable[[dict[str, Any]], str | None]] = {
    "missing": lambda told: None,
    "empty": lambda told: "",
    "cut off": lambda told: json.dumps(told)[:60],
    "a list": lambda told: "[]",
    "no verdicts": lambda told: json.dumps(told | {"report": {}}),
    "odd verdicts": lambda told: json.dumps(told | {"report": {"verdicts": [3]}}),
    "a word for passed": lambda told: json.dumps(told | {"gates_passed": "no"}),
    "of another candidate": lambda told: json.dumps(told | {"bundle_sha256": "0" * 64}),
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_candidate_without_its_report_is_not_promoted(world: World, tmp_path: Path, name: str) -> None:
    root = tmp_path / "candidates"
    root.mkdir()
    write_pointer(root / "CANDIDATE", world.bundle.sha)
    text = REPORTS[name](report(world))
    if text is not None:
        (root / f"{world.bundle.sha}.json").write_text(text)
    with pytest.raises(BundleDamagedError, match="train again"):
        promote(world.config.model_copy(update={"state_dir": tmp_path}))
    assert not (tmp_path / "bundles").exists()


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where the source is read."""

    def never(*_: object) -> None:
        raise AssertionError("the source was read")

    monkeypatch.setattr("training.commands.ingest_of", never)


@pytest.mark.usefixtures("no_work")
def test_train_and_backtest_look_at_their_folders_first(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "deep"):
        with pytest.raises(StateError, match="state_dir"):
            train(world.config.model_copy(update={"state_dir": folder}), None)
        with pytest.raises(UsageError, match="--out"):
            backtest(world.config, folder)


@pytest.mark.usefixtures("no_work")
def test_train_says_first_that_the_experiment_store_is_down(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = world.config.model_copy(update={"state_dir": tmp_path})
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(AssertionError, match="the source was read"):  # it goes on all the same
        train(config, None)
    assert "warning: tracking is down" in capsys.readouterr().err


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    Tracker(tmp_path, "new").check()
    assert not list(tmp_path.iterdir())
    (tmp_path / "mlflow").write_text("")
    with pytest.raises(TrackingError, match="cannot be made a folder"):
        Tracker(tmp_path, "new").check()
