"""API keys: shown once, stored as hashes, checked in the same way whatever is wrong with them."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from configs.errors import StateError, UsageError
from serving.auth import KeyRing, check_key, create_key, key_of, read_keys, revoke_key, rotate_key
from serving.principal import Principal, Rights, Scope, checked_rights

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serving" / "keys.json"


def test_a_new_key_works_and_is_not_in_the_file(path: Path) -> None:
    key = create_key(path, "crm", NOW)
    start, prefix, secret = key.split("_", 2)
    assert start == "fc"
    assert len(secret) >= 43  # 256 bits
    found = check_key(key, read_keys(path), NOW)
    assert found is not None
    assert (found.prefix, found.name, found.state(NOW)) == (prefix, "crm", "active")
    assert secret not in path.read_text()


def test_only_the_owner_can_read_the_file(path: Path) -> None:
    create_key(path, "one", NOW)
    create_key(path, "two", NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {entry["name"] for entry in json.loads(path.read_text())["keys"]} == {"one", "two"}


def test_equal_secrets_would_have_different_hashes(path: Path) -> None:
    create_key(path, "one", NOW)
    create_key(path, "two", NOW)
    first, second = read_keys(path)
    assert first.salt != second.salt


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: "",
        lambda key: key[:-1],
        lambda key: key + "x",
        lambda key: key.replace("fc_", "fk_"),
        lambda key: "fc_00000000_" + key.split("_", 2)[2],
        lambda key: key.split("_", 2)[2],
        lambda key: "fc__",
        lambda key: "\udcff" + key,
    ],
)
def test_a_wrong_key_does_not_work(path: Path, spoil) -> None:
    key = create_key(path, "crm", NOW)
    assert check_key(spoil(key), read_keys(path), NOW) is None


def test_no_keys_at_all_refuses(path: Path) -> None:
    assert read_keys(path) == ()
    assert check_key("fc_1_2", (), NOW) is None


def test_an_expired_key_stops_on_time(path: Path) -> None:
    key = create_key(path, "crm", NOW, NOW + timedelta(days=1))
    keys = read_keys(path)
    assert check_key(key, keys, NOW + timedelta(hours=23)) is not None
    assert check_key(key, keys, NOW + timedelta(days=1)) is None
    assert keys[0].state(NOW + timedelta(days=2)) == "expired"


@pytest.mark.parametrize("by", ["prefix", "name"])
def test_a_revoked_key_stops(path: Path, by: str) -> None:
    key = create_key(path, "crm", NOW)
    other = create_key(path, "other", NOW)
    (revoked,) = revoke_key(path, key.split("_")[1] if by == "prefix" else "crm", NOW)
    assert revoked.name == "crm"
    keys = read_keys(path)
    assert check_key(key, keys, NOW) is None
    assert check_key(other, keys, NOW) is not None


def test_revoking_nothing_is_an_error(path: Path) -> None:
    with pytest.raises(UsageError, match="keys list"):
        revoke_key(path, "nobody", NOW)


@pytest.mark.parametrize("name", ["", "  ", "a" * 101, "line\nbreak"])
def test_a_name_must_be_printable(path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        create_key(path, name, NOW)


def test_a_name_is_given_once_while_its_key_works(path: Path) -> None:
    create_key(path, "crm", NOW)
    with pytest.raises(UsageError, match="active key"):
        create_key(path, "crm", NOW)
    revoke_key(path, "crm", NOW)
    create_key(path, "crm", NOW)
    assert [key.state(NOW) for key in read_keys(path)] == ["revoked", "active"]


def test_an_expiry_lies_ahead(path: Path) -> None:
    with pytest.raises(UsageError, match="past"):
        create_key(path, "crm", NOW, NOW)


def test_keys_made_at_once_are_all_kept(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda n: create_key(path, f"key {n}", NOW), range(16)))
    stored = read_keys(path)
    assert len(stored) == 16
    assert all(check_key(key, stored, NOW) for key in keys)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 9, "keys": []}', '{"format": 1, "keys": [{"prefix": "x"}]}']
)
def test_a_damaged_file_is_named(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(StateError, match="not a file of API keys"):
        read_keys(path)


@pytest.mark.parametrize(
    ("authorization", "x_api_key", "key"),
    [
        ("Bearer abc", None, "abc"),
        ("bearer  abc ", None, "abc"),
        (None, " abc ", "abc"),
        ("Basic abc", "def", "def"),
        ("Bearer abc", "def", "abc"),
        (None, None, ""),
    ],
)
def test_either_header_carries_the_key(authorization: str | None, x_api_key: str | None, key: str) -> None:
    assert key_of(authorization, x_api_key) == key


def test_a_ring_sees_changes_and_survives_damage(path: Path) -> None:
    complaints: list[str] = []
    ring = KeyRing(path, complaints.append)
    assert ring.keys() == ()
    key = create_key(path, "crm", NOW)
    assert check_key(key, ring.keys(), NOW) is not None
    revoke_key(path, "crm", NOW)
    assert check_key(key, ring.keys(), NOW) is None
    path.write_text("{")
    assert ring.keys() == ()
    assert complaints == ["state_error"]
    path.unlink()
    assert ring.keys() == ()


READ_ONE = Rights(frozenset({Scope.READ}), frozenset({"West", "East"}))


@pytest.mark.parametrize(
    ("rights", "teams"),
    [(None, frozenset()), (Rights(), frozenset()), (READ_ONE, READ_ONE.teams), (Rights(READ_ONE.scopes, None), None)],
)
def test_rights_are_kept(path: Path, rights: Rights | None, teams: frozenset[str] | None) -> None:
    key = check_key(create_key(path, "crm", NOW, rights=rights), read_keys(path), NOW)
    assert key is not None
    assert key.principal == Principal(key.prefix, teams)
    assert {scope for scope in Scope if key.may(scope)} == (rights or Rights()).scopes
    assert Rights().scopes == {Scope.SCORE, Scope.STATUS}


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": "score"},
        {"scopes": ["admin"]},
        {"scopes": [1]},
        {"teams": "West"},
        {"teams": None},
        {"all_teams": 1},
        {"all_teams": "false"},
        {"more": 1},
    ],
    ids=str,
)
def test_rights_that_are_none_spoil_the_file(path: Path, wrong: dict[str, object]) -> None:
    create_key(path, "crm", NOW)
    told = json.loads(path.read_text())
    told["keys"][0] |= wrong
    path.write_text(json.dumps(told))
    with pytest.raises(StateError, match="not a file of API keys"):
        read_keys(path)


@pytest.mark.parametrize(
    ("scopes", "teams", "everyone", "word"),
    [
        (["admin"], [], False, "score, read, events, override, status"),
        (["override"], [], True, "add --scope read"),
        (["read"], [], False, "see nothing"),
        (["read"], ["West"], True, "one or the other"),
        (["events"], ["West"], False, "--all-teams"),
        (["score"], ["West"], False, "nothing to see"),
        ([], [], True, "nothing to see"),
        (["read"], [""], False, "team"),
        (["read"], ["a\nb"], False, "team"),
    ],
)
def test_rights_that_make_no_sense_are_refused(scopes: list[str], teams: list[str], everyone: bool, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        checked_rights(scopes, teams, everyone)


def test_rights_that_make_sense() -> None:
    assert checked_rights([], [], False) == Rights()
    assert checked_rights(["read"], ["East", "West"], False) == READ_ONE
    assert checked_rights(["read", "events"], [], True) == Rights(frozenset({Scope.READ, Scope.EVENTS}), None)


def test_a_key_is_rotated_with_an_overlap(path: Path) -> None:
    first = create_key(path, "crm", NOW, NOW + timedelta(days=90), READ_ONE)
    later = NOW + timedelta(days=60)
    second, old = rotate_key(path, "crm", later, timedelta(days=7))
    assert old.prefix == first.split("_")[1]
    keys = read_keys(path)
    found = check_key(second, keys, later)
    assert found is not None
    assert (found.name, found.principal.teams, found.scopes) == ("crm", READ_ONE.teams, ("read",))
    assert found.expires == (later + timedelta(days=90)).isoformat()
    assert check_key(first, keys, later + timedelta(days=6)) is not None
    assert check_key(first, keys, later + timedelta(days=7)) is None
    with pytest.raises(UsageError, match="more than one"):
        rotate_key(path, "crm", later, timedelta(days=7))
    rotate_key(path, found.prefix, later, timedelta(0))
    assert check_key(second, read_keys(path), later) is None


def test_an_overlap_lengthens_no_life(path: Path) -> None:
    first = create_key(path, "crm", NOW, NOW + timedelta(days=2))
    rotate_key(path, "crm", NOW, timedelta(days=7))
    assert check_key(first, read_keys(path), NOW + timedelta(days=2)) is None


@pytest.mark.parametrize(("which", "days"), [("nobody", 1), ("crm", -1)])
def test_what_cannot_be_rotated(path: Path, which: str, days: int) -> None:
    create_key(path, "crm", NOW)
    before = path.read_text()
    with pytest.raises(UsageError):
        rotate_key(path, which, NOW, timedelta(days=days))
    assert path.read_text() == before


def test_revoking_a_name_revokes_both_keys_of_an_overlap(path: Path) -> None:
    first = create_key(path, "crm", NOW)
    second, _ = rotate_key(path, "crm", NOW, timedelta(days=7))
    assert len(revoke_key(path, "crm", NOW)) == 2
    assert [check_key(key, read_keys(path), NOW) for key in (first, second)] == [None, None]
