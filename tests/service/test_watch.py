"""What a worker does when the disk says otherwise. Looks are made one by one; children are real."""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import BundleDamagedError, StateError
from configs.schema import Config
from models.store import CURRENT, Store, write_pointer
from serving.api import Api
from serving.app import create_app
from serving.facts import POINTER, SOURCE, point_to_bundle, serving_dir, write_snapshot
from serving.watch import SERVED, Watch, mark_served, prove
from tests import damaged
from tests.served import World

pytestmark = pytest.mark.timeout(120)


@dataclass
class Shop:
    """A worker without its thread, over a store with two models. tried: bundles that went to a child."""

    config: Config
    store: Store
    first: str
    second: str
    lines: list[Mapping[str, Any]] = field(default_factory=list)
    clock: int = 1_700_000_000_000_000

    def worker(self) -> tuple[Watch, Api]:
        """A worker that has not looked yet."""
        api: Api = create_app(self.config, lambda: self.clock, self.lines.append).state.api
        return Watch(self.config, api, self.lines.append), api

    def said(self, event: str) -> list[Mapping[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


@pytest.fixture
def shop(world: World, tmp_path: Path) -> Shop:
    store = Store(tmp_path / "state" / "bundles")
    first = store.publish(world.config.state_dir / "bundles" / world.bundle.sha)
    second = damaged.another(world.bundle, store, tmp_path / "second")
    store.point(first)
    mark_served(tmp_path / "state", first)
    return Shop(world.config.model_copy(update={"state_dir": tmp_path / "state"}), store, first, second)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count what goes to a child, and let it go there."""
    from serving import watch

    shas: list[str] = []
    real = watch.probe

    def counted(folder: Path, limit: float) -> None:
        shas.append(folder.name)
        real(folder, limit)

    monkeypatch.setattr(watch, "probe", counted)
    return shas


def test_another_model_is_tried_once_and_the_way_back_needs_no_child(shop: Shop, tried: list[str]) -> None:
    watch, api = shop.worker()
    watch.look()
    assert api.model().bundle.sha == shop.first
    old = weakref.ref(api.model().bundle.plan)
    shop.store.point(shop.second)
    shop.clock += 5_000_000
    watch.look()
    watch.look()
    assert (api.model().bundle.sha, tried) == (shop.second, [shop.second])
    assert (api.watched.since, api.watched.swaps, api.watched.last) == (shop.clock, 2, None)
    assert (serving_dir(shop.config.state_dir) / SERVED).read_text().strip() == shop.second
    assert old() is None  # nothing holds what served before, not even a cycle that is frozen
    shop.store.point(shop.first)
    watch.look()
    assert (api.model().bundle.sha, tried) == (shop.first, [shop.second])
    assert [line["model"][-12:] for line in shop.said("model_loaded")] == [
        shop.first[:12],
        shop.second[:12],
        shop.first[:12],
    ]


def test_a_refused_model_is_told_once_and_tried_again_when_it_is_promoted_again(shop: Shop, tried: list[str]) -> None:
    watch, api = shop.worker()
    watch.look()
    served = api.loaded
    path = shop.store.root / shop.second / "trees.txt"
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    shop.store.point(shop.second)
    for _ in range(3):
        watch.look()
    assert (api.loaded is served, tried) == (True, [])  # a wrong digest needs no child
    (line,) = shop.said("model_refused")
    assert (line["code"], line["bundle"], line["worker"]) == ("bundle_damaged", shop.second[:12], os.getpid())
    assert api.watched.told() | {"since": None} == {
        "since": None,
        "swaps": 1,
        "refused": 1,
        "last_refusal": {
            "what": "model",
            "code": "bundle_damaged",
            "bundle_sha256": shop.second,
            "at": "2023-11-14T22:13:20Z",
        },
    }
    path.write_bytes(whole)
    watch.look()
    assert api.loaded is served
    shop.store.point(shop.second)  # the same words, written anew
    watch.look()
    assert api.model().bundle.sha == shop.second


@pytest.mark.parametrize("name", ["a cycle", "another golden answer", "another format"])
def test_damage_with_every_digest_right_is_refused(shop: Shop, name: str) -> None:
    watch, api = shop.worker()
    watch.look()
    folder = damaged.named(damaged.twin(shop.store, shop.first, 1), damaged.BY_NAME[name])
    shop.store.point(folder.name)
    watch.look()
    assert (api.model().bundle.sha, api.watched.refused) == (shop.first, 1)


def test_a_model_for_another_config_is_refused(shop: Shop) -> None:
    """The child loads it, as it knows no config: the worker compares."""
    watch, api = shop.worker()
    watch.look()
    folder = damaged.named(damaged.twin(shop.store, shop.first, 1), damaged.BY_NAME["another time zone"])
    shop.store.point(folder.name)
    watch.look()
    assert api.model().bundle.sha == shop.first
    assert shop.said("model_refused")[0]["code"] == "bundle_mismatch"


@pytest.mark.parametrize(
    ("text", "code"), [("", "bundle_damaged"), ("../../etc", "bundle_damaged"), (None, "none_promoted")]
)
def test_a_pointer_that_names_nothing_changes_nothing(shop: Shop, text: str | None, code: str) -> None:
    watch, api = shop.worker()
    watch.look()
    pointer = shop.store.root / CURRENT
    pointer.write_text(text) if text is not None else pointer.unlink()
    watch.look()
    watch.look()
    assert api.model().bundle.sha == shop.first
    assert [line["code"] for line in shop.said("model_refused")] == [code]


def test_a_worker_that_starts_on_a_refused_model_serves_the_one_before(shop: Shop, tried: list[str]) -> None:
    damaged.on_disk(shop.store.root / shop.second, damaged.cut("trees.txt", 0.5))
    shop.store.point(shop.second)
    watch, api = shop.worker()
    watch.start()
    watch.stop()
    assert (api.model().bundle.sha, tried) == (shop.first, [])
    assert api.watched.last is not None
    assert api.watched.last.sha == shop.second


def test_what_another_worker_took_up_is_taken_up(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child may be too slow on a busy machine in one worker and not in the next: they must not part."""

    def late(folder: Path, limit: float) -> None:
        raise BundleDamagedError("took longer")

    monkeypatch.setattr("serving.watch.probe", late)
    watch, api = shop.worker()
    watch.look()
    shop.store.point(shop.second)
    watch.look()
    assert api.model().bundle.sha == shop.first
    mark_served(shop.config.state_dir, shop.second)
    watch.look()
    assert api.model().bundle.sha == shop.second


def test_a_worker_without_a_model_waits_for_one(shop: Shop) -> None:
    (shop.store.root / CURRENT).unlink()
    (serving_dir(shop.config.state_dir) / SERVED).unlink()
    watch, api = shop.worker()
    watch.look()
    assert api.loaded is None
    shop.store.point(shop.first)
    watch.look()
    assert api.model().bundle.sha == shop.first


def test_fresh_facts_are_taken_up_and_damaged_ones_are_not(shop: Shop, world: World) -> None:
    watch, api = shop.worker()
    watch.look()
    assert api.model().facts.origin == "bundle"
    write_snapshot(shop.config.state_dir, world.seen.record.reference, world.seen.as_of)
    watch.look()
    assert (api.model().facts.origin, api.model().facts.as_of) == (SOURCE, world.seen.as_of)
    fresh = api.model().facts
    folder = write_snapshot(shop.config.state_dir, world.seen.record.reference, world.seen.as_of + 1)
    (folder / "reference.npz").write_bytes(b"")
    other = replace(world.seen.record.reference, stage_count=3)
    watch.look()
    write_snapshot(shop.config.state_dir, other, world.seen.as_of + 2)
    watch.look()
    assert api.model().facts is fresh
    assert [line["code"] for line in shop.said("facts_refused")] == ["bundle_damaged", "bundle_mismatch"]
    assert api.watched.refused == 2
    point_to_bundle(shop.config.state_dir, "the source is away")
    watch.look()
    assert (api.model().facts.origin, api.model().facts.why) == ("bundle", "the source is away")
    assert len(shop.said("facts_loaded")) == 2


def test_a_look_that_fails_ends_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, api = shop.worker()
    watch.look()
    served = api.loaded

    def broken(*_: object) -> None:
        raise RuntimeError("a library's own")

    with monkeypatch.context() as patch:
        patch.setattr("serving.watch.load_model", broken)
        shop.store.point(shop.second)
        watch.look()
    assert api.loaded is served
    assert shop.said("model_refused")[0]["code"] == "internal"


def test_a_full_disk_holds_no_swap_up(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    watch, api = shop.worker()
    monkeypatch.setattr("serving.watch.mark_served", full)
    watch.look()
    assert api.model().bundle.sha == shop.first
    assert shop.said("served_not_kept")
    monkeypatch.setattr("serving.watch.probe", lambda *_: None)
    with pytest.raises(StateError, match="No space left"):
        prove(shop.config)


def test_serve_tries_the_live_model_before_it_reads_it(shop: Shop) -> None:
    folder = damaged.named(damaged.twin(shop.store, shop.first, 1), damaged.BY_NAME["a NaN leaf"])
    write_pointer(shop.store.root / CURRENT, folder.name)
    with pytest.raises(BundleDamagedError, match="leaf_value"):
        prove(shop.config)
    assert (serving_dir(shop.config.state_dir) / SERVED).read_text().strip() == shop.first
    shop.store.point(shop.second)
    prove(shop.config)
    assert (serving_dir(shop.config.state_dir) / SERVED).read_text().strip() == shop.second


def test_pointers_are_files_of_one_line(shop: Shop) -> None:
    shutil.rmtree(serving_dir(shop.config.state_dir))
    mark_served(shop.config.state_dir, shop.first)
    assert not (serving_dir(shop.config.state_dir) / POINTER).exists()
    assert (serving_dir(shop.config.state_dir) / SERVED).read_text() == f"{shop.first}\n"


def test_a_bit_anywhere_is_found_out(shop: Shop) -> None:
    """By the digest of the file, or of the manifest where that was changed with it."""
    watch, api = shop.worker()
    watch.look()
    made = list(damaged.damages(shop.store, shop.first, 40, seed=int(np.random.default_rng(0).integers(1000))))
    flips = [folder for what, folder in made if "every digest right" not in what]
    for folder in flips:
        shop.store.point(folder.name)
        watch.look()
    assert (api.watched.refused, api.model().bundle.sha) == (len(flips), shop.first)
    assert len(flips) > 20
