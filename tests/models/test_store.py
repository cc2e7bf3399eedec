"""Bundles on disk: verified before they are read, published whole, pointed to atomically."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.errors import (
    BundleDamagedError,
    BundleMismatchError,
    NotPromotedError,
    NotTrainedError,
    StateError,
    UsageError,
)
from models.store import MANIFEST, Store, bundle_folder, read_verified, sha256, writable_folder, write_pointer


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


@pytest.mark.parametrize("damage", ["file.json", MANIFEST])
def test_publishing_again_mends_a_damaged_copy(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path / "bundles")
    sha = store.publish(bundle(tmp_path / "b"))
    (store.root / sha / damage).write_bytes(b"{")
    with pytest.raises(BundleDamagedError, match="run `forecastle promote` again"):
        read_verified(store.root / sha)
    assert store.publish(tmp_path / "b") == sha
    assert read_verified(store.root / sha)[2] == sha
    assert [path.name for path in store.root.iterdir()] == [sha]


def test_what_is_no_folder_is_replaced_too(tmp_path: Path) -> None:
    sha = Store(tmp_path / "bundles").publish(bundle(tmp_path / "b"))
    other = Store(tmp_path / "other" / "bundles")
    other.root.mkdir(parents=True)
    (other.root / sha).write_text("")
    assert other.publish(tmp_path / "b") == sha
    assert read_verified(other.root / sha)[2] == sha


def test_a_manifest_must_be_the_one_that_names_the_folder(tmp_path: Path) -> None:
    """A file and its line in the manifest changed together: only the name of the folder tells."""
    sha = sha256((bundle(tmp_path / "b") / MANIFEST).read_bytes())
    assert read_verified(tmp_path / "b", sha)[2] == sha
    forged = bundle(tmp_path / "candidates" / sha, b"other content")
    with pytest.raises(BundleDamagedError, match="run `forecastle train` again"):
        read_verified(forged)
    forged.rename(tmp_path / "artifact")
    assert read_verified(tmp_path / "artifact")[2] != sha  # a copy elsewhere has no name to go by
    with pytest.raises(BundleDamagedError, match="which names it"):
        read_verified(tmp_path / "artifact", sha)


def test_a_folder_that_can_be_written_is_left_alone(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "new", tmp_path / "new" / "deep"):
        writable_folder(folder, "state_dir")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["file", "file/deep", "broken"])
def test_a_file_is_no_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StateError, match=r"state_dir x: .*is no folder"):
        writable_folder(tmp_path / name, "state_dir x")
    with pytest.raises(UsageError):
        writable_folder(tmp_path / name, "--out", UsageError)


def test_a_folder_without_rights_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("models.store.tempfile.TemporaryFile", refused)
    with pytest.raises(StateError, match="cannot be written"):
        writable_folder(tmp_path, "state_dir", UsageError)


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
