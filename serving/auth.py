"""API keys: made once, shown once, kept as salted hashes in a file that only its owner can read.

A key is ``fc_<prefix>_<secret>``. The secret is 256 random bits, so one SHA-256 with a salt is enough: a slow hash
protects passwords, which can be guessed; nobody guesses 256 bits, and a slow hash on every request would only help
an attacker to keep the service busy. The prefix finds the key and is shown in lists and logs.

A key of a file of format 1 has no rights of its own: it has those of `Rights()`, and sees no stored deal.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from configs.errors import StateError, UsageError
from configs.schema import Config
from serving.facts import serving_dir
from serving.principal import Principal, Rights, Scope
from serving.reread import Reread

FORMAT = 2
READ = (1, FORMAT)
PREFIX_BYTES, SECRET_BYTES, SALT_BYTES = 4, 32, 16
_NOBODY = "0" * 64  # what an unknown key is compared with, so that it takes as long as a known one


@dataclass(frozen=True)
class ApiKey:
    """One key as stored. Times are ISO 8601 in UTC; expires and revoked may be None. salt and hash are hex.

    scopes, teams, all_teams: its rights; of teams only where not all_teams.
    """

    prefix: str
    name: str
    salt: str
    hash: str
    created: str
    expires: str | None = None
    revoked: str | None = None
    scopes: tuple[str, ...] = tuple(sorted(Rights().scopes))
    teams: tuple[str, ...] = ()
    all_teams: bool = False

    @property
    def principal(self) -> Principal:
        """Who asks with this key."""
        return Principal(self.prefix, None if self.all_teams else frozenset(self.teams))

    def may(self, scope: Scope) -> bool:
        """Whether the key has a scope."""
        return scope in self.scopes

    def works_at(self, now: datetime) -> bool:
        """Whether the key is neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or datetime.fromisoformat(self.expires) > now)

    def state(self, now: datetime) -> str:
        """``active``, ``expired`` or ``revoked``."""
        return "revoked" if self.revoked is not None else "active" if self.works_at(now) else "expired"


def keys_file(config: Config) -> Path:
    """Where the keys of a config are kept."""
    return config.serving.api_keys_file or serving_dir(config.state_dir) / "keys.json"


def create_key(
    path: Path, name: str, now: datetime, expires: datetime | None = None, rights: Rights | None = None
) -> str:
    """Add a key and return it; it can't be shown again. Raises StateError or UsageError."""
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise UsageError.at("--name", "the name is empty, too long or not printable", expected="1 to 100 characters")
    if expires is not None and expires <= now:
        raise UsageError.at("--expires", "it lies in the past", expected="a time to come")
    with _edited(path) as keys:
        if any(key.name == name and key.works_at(now) for key in keys):
            raise UsageError.at("--name", "an active key has this name", remedy="choose another, or revoke that key")
        given = rights or Rights()
        fresh, key = _made(keys, name, now)
        fresh = replace(
            fresh,
            expires=expires.isoformat() if expires is not None else None,
            scopes=tuple(sorted(given.scopes)),
            teams=tuple(sorted(given.teams or ())),
            all_teams=given.teams is None,
        )
        keys.append(fresh)
    return key


def rotate_key(path: Path, which: str, now: datetime, overlap: timedelta) -> tuple[str, ApiKey]:
    """Make a key of the same name, rights and length of life; return it with the old one, which works on for so long.

    which: the prefix or name of a key that works. Raises UsageError where there is none, or more than one of the name.
    """
    if overlap < timedelta(0):
        raise UsageError.at("--overlap", f"{overlap.days} days", expected="0 days or more")
    with _edited(path) as keys:
        found = [place for place, key in enumerate(keys) if which in (key.prefix, key.name) and key.works_at(now)]
        if len(found) != 1:
            got = f"{which!r}: {'more than one key' if found else 'no key'} that works"
            raise UsageError.at("keys rotate", got, expected="the prefix of one; see `forecastle keys list`")
        old = keys[found[0]]
        ends = now + overlap
        fresh, key = _made(keys, old.name, now)
        if old.expires is not None:
            until, made = datetime.fromisoformat(old.expires), datetime.fromisoformat(old.created)
            ends, fresh = min(ends, until), replace(fresh, expires=(now + (until - made)).isoformat())
        keys.append(replace(fresh, scopes=old.scopes, teams=old.teams, all_teams=old.all_teams))
        keys[found[0]] = replace(old, expires=ends.isoformat())
        return key, keys[found[0]]


def revoke_key(path: Path, which: str, now: datetime) -> tuple[ApiKey, ...]:
    """Revoke the key with this prefix, or all active ones of this name. Raises UsageError where there is none."""
    revoked = []
    with _edited(path) as keys:
        for place, key in enumerate(keys):
            if key.prefix == which or (key.name == which and key.works_at(now)):
                keys[place] = replace(key, revoked=key.revoked or now.isoformat())
                revoked.append(keys[place])
        if not revoked:
            expected = "the prefix or the name of a key; see `forecastle keys list`"
            raise UsageError.at("keys revoke", repr(which), expected=expected)
    return tuple(revoked)


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Return the stored keys, none where there is no file. Raises StateError where it can't be read."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["format"] not in READ:
            raise ValueError(f"format {told['format']}")
        return tuple(_key(entry) for entry in told["keys"])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StateError.at(
            str(path),
            f"not a file of API keys ({type(error).__name__})",
            remedy="restore it, or move it away and create new keys",
        ) from error


def _key(entry: dict[str, Any]) -> ApiKey:
    lists = {name: _words(entry[name]) for name in ("scopes", "teams") if name in entry}
    key = ApiKey(**entry | lists)
    if not isinstance(entry.get("all_teams", False), bool) or not set(key.scopes) <= set(Scope):
        raise ValueError("rights that are none")
    for moment in (key.created, key.expires, key.revoked):
        if moment is not None and datetime.fromisoformat(moment).tzinfo is None:
            raise ValueError("a time without an offset")
    return key


def _words(value: Any) -> tuple[str, ...]:
    """Read a list of texts: a text alone would pass for a list of letters."""
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError("not a list of words")
    return tuple(value)


def _made(keys: list[ApiKey], name: str, now: datetime) -> tuple[ApiKey, str]:
    """Return a new key, whose prefix no other has, as stored and as shown."""
    prefix = secrets.token_hex(PREFIX_BYTES)
    while any(key.prefix == prefix for key in keys):
        prefix = secrets.token_hex(PREFIX_BYTES)
    secret, salt = secrets.token_urlsafe(SECRET_BYTES), secrets.token_hex(SALT_BYTES)
    return ApiKey(prefix, name, salt, _hash(salt, secret), now.isoformat()), f"fc_{prefix}_{secret}"


def key_of(authorization: str | None, x_api_key: str | None) -> str:
    """Return the key that the headers ``Authorization: Bearer`` or ``X-API-Key`` carry, else an empty text."""
    scheme, _, value = (authorization or "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else (x_api_key or "").strip()


def check_key(given: str, keys: tuple[ApiKey, ...], now: datetime) -> ApiKey | None:
    """Return the key that `given` is, or None where it is malformed, unknown, wrong, revoked or expired.

    Whatever the reason, one hash is computed and compared in constant time.
    """
    start, _, rest = given.partition("_")
    prefix, _, secret = rest.partition("_")
    found = next((key for key in keys if key.prefix == prefix), None) if start == "fc" else None
    expected = found.hash if found is not None else _NOBODY
    same = hmac.compare_digest(_hash(found.salt if found is not None else _NOBODY, secret), expected)
    return found if found is not None and same and found.works_at(now) else None


class KeyRing:
    """The keys of a running service, so that a new or revoked key counts at once."""

    def __init__(self, path: Path, complain: Callable[[str], None]) -> None:
        self._file: Reread[tuple[ApiKey, ...]] = Reread(path, read_keys, (), complain)

    def keys(self) -> tuple[ApiKey, ...]:
        """Return the keys as the file has them now; none while it can't be read."""
        return self._file.now()


def _hash(salt: str, secret: str) -> str:
    return hashlib.sha256(f"{salt}:{secret}".encode("utf-8", "surrogatepass")).hexdigest()


@contextmanager
def _edited(path: Path) -> Iterator[list[ApiKey]]:
    """Hold the file's lock, give its keys, and write them back if nothing is raised. The file is never half written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = list(read_keys(path))
        before = list(keys)
        yield keys
        if keys != before:
            _write(path, keys)
    finally:
        os.close(lock)


def _write(path: Path, keys: list[ApiKey]) -> None:
    half = path.with_name(f".{path.name}.{os.getpid()}")
    data = json.dumps({"format": FORMAT, "keys": [asdict(key) for key in keys]}, indent=1, ensure_ascii=False) + "\n"
    try:
        half.unlink(missing_ok=True)
        handle = os.open(half, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> StateError:
    return StateError.at(str(path), f"cannot be written ({error.strerror})", remedy="check its rights and free space")
