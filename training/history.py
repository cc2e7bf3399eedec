"""What was live when: an append-only file beside the bundles, and the way back through it.

``<state_dir>/bundles/HISTORY.jsonl``: one JSON object a line, written before the pointer moves. A crash in between
leaves an entry that did not come true, which the next one's `before`, or CURRENT, gives away; it is passed over.
"""

from __future__ import annotations

import errno
import json
import os
import pwd
from dataclasses import asdict, dataclass

from models.store import CURRENT, Store, read_pointer, sync

HISTORY = "HISTORY.jsonl"
ROLLBACK = "rollback"


@dataclass(frozen=True)
class Entry:
    """One change of what is live. action: promote, force or rollback. before: what was live, "" for nothing.

    failed: gates that a forced model had failed. reason: why it was forced, in the words of who did it. by: the
    account of the machine that ran the command, "" in entries of before it was noted.
    """

    at: str
    action: str
    bundle_sha256: str
    before: str
    model_version: str = ""
    run: str = ""
    reason: str = ""
    failed: tuple[str, ...] = ()
    by: str = ""


def account() -> str:
    """Return the name of the account that runs this process, its number where it has no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def append(store: Store, entry: Entry) -> None:
    """Add an entry: one write to the end of the file, made to last. Raises OSError, also where only part found room."""
    path = store.root / HISTORY
    store.root.mkdir(parents=True, exist_ok=True)
    line = json.dumps(asdict(entry), ensure_ascii=False) + "\n"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"  # a crash cut the line before off
        whole = (("\n" if torn else "") + line).encode()
        if os.write(handle, whole) < len(whole):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(handle)
    finally:
        os.close(handle)
    sync(store.root)


def entries(store: Store) -> list[Entry]:
    """Return the entries, oldest first; lines that a crash cut off are left out."""
    path = store.root / HISTORY
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            told = json.loads(line)
            found.append(Entry(**told | {"failed": tuple(told["failed"])}))
        except (ValueError, KeyError, TypeError):
            continue
    return found


def current(store: Store) -> str:
    """Return the SHA-256 of what is live, "" where nothing is; raises BundleDamagedError."""
    pointer = store.root / CURRENT
    return read_pointer(pointer, "run `forecastle promote` again") if pointer.is_file() else ""


def before(store: Store) -> str:
    """Return what `rollback` would make live: the one before the current one; "" where there is none.

    Going back twice goes back two models. A model that was live more than once counts where it was last.
    """
    now, told = current(store), entries(store)
    came = [*(entry.before for entry in told[1:]), now]
    stack: list[str] = []
    for entry in (entry for entry, after in zip(told, came, strict=False) if entry.bundle_sha256 == after):
        if entry.before and stack[-1:] != [entry.before]:
            stack.append(entry.before)  # live since before there was a history
        if entry.action == ROLLBACK:
            del stack[-1]
        if stack[-1:] != [entry.bundle_sha256]:
            stack.append(entry.bundle_sha256)
    if stack[-1:] == [now]:
        stack.pop()
    return stack[-1] if stack else ""
