"""What `promote`, `rollback` and `sync` do: what serving reads is moved first, the alias in MLflow follows."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from configs.console import say
from configs.errors import BundleDamagedError, GateRefused, NotPromotedError, UsageError
from configs.schema import Config
from models.store import Store, bundle_folder, read_verified
from training.gates import COLD, Verdict, passed, verdict_table
from training.history import ROLLBACK, Entry, account, append, before, current
from training.sync import catch_up, tell_live

PROMOTE, FORCE = "promote", "force"
CHANGED = "live is still the model that this candidate was judged against"
LONGEST_REASON = 2_000


def promote(config: Config, force: bool = False, reason: str | None = None) -> dict[str, Any]:
    """Publish the candidate for serving, if it passed its gates; raises GateRefused with the table where it did not.

    force: publish it all the same; needs a reason, which is kept in the history and as a tag. Tracking that is down
    holds nothing up: the alias in MLflow follows later.
    """
    reason = _reason(force, reason)
    folder = bundle_folder(config.state_dir, "candidate")
    told = _report_of(folder)
    verdicts = [Verdict.of(each) for each in told["report"]["verdicts"]]
    store = Store(config.state_dir / "bundles")
    live = current(store)
    if "compared_with" in told and live not in (told["compared_with"], told["bundle_sha256"]):
        note = "another model went live since: train again"
        verdicts.append(Verdict(CHANGED, 0.0, 0.5, False, "above", note=note))
    failed = _failed(verdicts)
    if (failed or not told["gates_passed"]) and not force:
        raise GateRefused(_refusal(told["model_version"], verdicts))
    sha = store.publish(folder)
    _publish_papers(folder, store.root)
    if live != sha or force:
        _write_down(store, FORCE if failed else PROMOTE, sha, live, told, reason, failed)
    store.point(sha)
    catch_up(config)  # only now: a tracker that hangs must not hold up what serves
    tags = {"promoted.forced": reason, "promoted.failed_gates": "; ".join(failed)} if failed else {}
    version = tell_live(config, sha, tags)
    _say_so(told, failed, verdicts, version)
    return {
        "live": told["model_version"],
        "bundle_sha256": sha,
        "registry_version": version,
        "forced": bool(failed),
        "failed_gates": list(failed),
    }


def rollback(config: Config) -> dict[str, Any]:
    """Make the model live again that was live before; raises NotPromotedError where there is none."""
    store = Store(config.state_dir / "bundles")
    store.current()  # says what to do where nothing is live
    live, target = current(store), before(store)
    if not target:
        raise NotPromotedError(
            f"nothing was live before {live[:12]}, so it stays: see {store.root / 'HISTORY.jsonl'}; "
            "train and promote another model instead"
        )
    manifest, _, _ = read_verified(store.root / target, target)
    version_name = f"{manifest['about']['name']}-{target[:12]}"
    append(store, Entry(_now(), ROLLBACK, target, live, version_name, by=account()))
    store.point(target)
    catch_up(config)
    version = tell_live(config, target, {})
    typer.echo(f"live: {version_name} again, in place of {live[:12]} ({_registry(version)})")
    return {"live": version_name, "bundle_sha256": target, "replaced": live, "registry_version": version}


def sync(config: Config) -> dict[str, Any]:
    """Tell MLflow what it has not been told; exit code 0 however much is left, since nothing is lost."""
    done, left = catch_up(config)
    typer.echo(f"tracking: {done} logged, {left} left" if done or left else "tracking: nothing was waiting")
    return {"logged": done, "left": left}


def _reason(force: bool, reason: str | None) -> str:
    said = " ".join((reason or "").split())
    if force and not said:
        raise UsageError.at(
            "--force", "no reason", expected="--reason TEXT", remedy="say why a model that failed may go live"
        )
    if said and not force:
        raise UsageError.at("--reason", "given without --force", expected="both or neither")
    return said[:LONGEST_REASON]


def _failed(verdicts: list[Verdict]) -> tuple[str, ...]:
    return tuple(verdict.gate for verdict in verdicts if not passed([verdict]))


def _refusal(version: str, verdicts: list[Verdict]) -> str:
    """Return the whole table, what failed first, and what to do."""
    shown = [replace(verdict, passed=passed([verdict])) for verdict in verdicts]
    table = verdict_table(sorted(shown, key=lambda verdict: verdict.passed))
    return (
        f"{version} is not promoted; it failed {len(_failed(verdicts))} of {len(verdicts)} gates:\n{table}\n"
        "look at the table of `forecastle train`, add signal or history, and train again; "
        "or publish it all the same with --force --reason TEXT"
    )


def _publish_papers(folder: Path, root: Path) -> None:
    """Put what was told of a candidate beside its published bundle: its report, config and model card."""
    for ending in (".json", ".card.json", ".card.md"):
        paper = folder.parent / f"{folder.name}{ending}"
        if paper.is_file():
            half = root / f".{paper.name}.half"
            shutil.copyfile(paper, half)
            half.replace(root / paper.name)


def _write_down(
    store: Store, action: str, sha: str, live: str, told: dict[str, Any], reason: str, failed: tuple[str, ...]
) -> None:
    run = str(told.get("run_name", told.get("run_id", "")))
    append(store, Entry(_now(), action, sha, live, told["model_version"], run, reason, failed, account()))


def _say_so(told: dict[str, Any], failed: tuple[str, ...], verdicts: list[Verdict], version: str | None) -> None:
    if any(verdict.gate == COLD for verdict in verdicts):
        say(f"WARNING: {COLD}. No period of the record could be tested: nobody knows how right this model is.")
    if failed:
        say(f"WARNING: forced past {len(failed)} failed gate(s): {'; '.join(failed)}")
    typer.echo(f"live: {told['model_version']} ({_registry(version)})")


def _registry(version: str | None) -> str:
    return f"version {version} in the registry" if version is not None else "the registry is told later"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _report_of(folder: Path) -> dict[str, Any]:
    """Return what `train` told of a candidate; raises BundleDamagedError where that is missing or another's."""
    path = folder.parent / f"{folder.name}.json"
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
        shown = all({"gate", "value", "threshold", "passed"} <= each.keys() for each in told["report"]["verdicts"])
        types = isinstance(told["gates_passed"], bool) and isinstance(told["model_version"], str)
        good = shown and types and told["bundle_sha256"] == folder.name
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleDamagedError(f"{path}: no report of a candidate ({type(error).__name__}); train again") from error
    if not good:
        raise BundleDamagedError(f"{path}: not the report of this candidate; train again")
    return told
