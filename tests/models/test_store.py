"""Bundles on disk: verified before they are read, published whole, pointed to atomically."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.errors import BundleDamagedError, BundleMismatchError, NotPromotedError, NotTrainedError, UsageError
from models.store import MANIFEST, Store, bundle_folder, read_verified, sha256, write_pointer


def bundle(folder: Path, content: bytes = b"content") -> Path:
    """A bundle of one file."""
    folder.mkdir(parents=True)
    (folder / "file.json").write_bytes(content)
    manifest = {"format": 1, "about": {}, "files": {"file.json": sha256(content)}}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def test_a_bundle_is_read_with_its_digest(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    _, files, sha = read_verified(folder)
    assert files == {"file.json": b"content"}
    assert sha == sha256((folder / MANIFEST).read_bytes())


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    (folder / "file.json").write_bytes(b"Content")
    with pytest.raises(BundleDamagedError, match="SHA-256"):
        read_verified(folder)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    (folder / "file.json").unlink()
    with pytest.raises(BundleDamagedError, match="not there"):
        read_verified(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b"])
def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path, name: str) -> None:
    folder = bundle(tmp_path / "b")
    (tmp_path / "secret").write_bytes(b"")
    (folder / MANIFEST).write_text(json.dumps({"format": 1, "about": {}, "files": {name: sha256(b"")}}))
    with pytest.raises(BundleDamagedError):
        read_verified(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "files": 3}'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    folder = bundle(tmp_path / "b")
    (folder / MANIFEST).write_text(text)
    with pytest.raises(BundleDamagedError, match="not a manifest"):
        read_verified(folder)


def test_another_format_is_a_mismatch(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    (folder / MANIFEST).write_text(json.dumps({"format": 99, "files": {}}))
    with pytest.raises(BundleMismatchError, match="format 99"):
        read_verified(folder)


def test_publishing_is_whole_and_may_be_repeated(tmp_path: Path) -> None:
    store = Store(tmp_path / "bundles")
    with pytest.raises(NotPromotedError, match="forecastle promote"):
        store.current()
    sha = store.publish(bundle(tmp_path / "b"))
    assert store.publish(tmp_path / "b") == sha
    store.point(sha)
    assert store.current() == tmp_path / "bundles" / sha
    assert sorted(path.name for path in store.root.iterdir()) == sorted([sha, "CURRENT"])


def test_a_damaged_bundle_is_not_published(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "b")
    (folder / "file.json").write_bytes(b"")
    with pytest.raises(BundleDamagedError):
        Store(tmp_path / "bundles").publish(folder)
    assert not (tmp_path / "bundles").exists()


def test_only_what_is_published_can_be_pointed_to(tmp_path: Path) -> None:
    with pytest.raises(BundleDamagedError, match="publish it first"):
        Store(tmp_path).point("0" * 64)


def test_a_model_is_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "candidates" / "runs").mkdir(parents=True)
    write_pointer(tmp_path / "candidates" / "CANDIDATE", "a" * 64)
    write_pointer(tmp_path / "candidates" / "runs" / "run-1", "b" * 64)
    assert bundle_folder(tmp_path, "candidate") == tmp_path / "candidates" / ("a" * 64)
    assert bundle_folder(tmp_path, "run-1") == tmp_path / "candidates" / ("b" * 64)
    with pytest.raises(NotPromotedError):
        bundle_folder(tmp_path)
    with pytest.raises(NotTrainedError, match="run-2"):
        bundle_folder(tmp_path, "run-2")


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "x" * 200, "a b"])
def test_a_name_that_no_run_has(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--model"):
        bundle_folder(tmp_path, name)


@pytest.mark.parametrize("text", ["", "abc", "../" * 20, "A" * 64, "\xff"])
def test_a_damaged_pointer_is_not_followed(tmp_path: Path, text: str) -> None:
    (tmp_path / "candidates").mkdir()
    (tmp_path / "candidates" / "CANDIDATE").write_text(text, encoding="latin-1")
    with pytest.raises(BundleDamagedError, match="holds no SHA-256"):
        bundle_folder(tmp_path, "candidate")
