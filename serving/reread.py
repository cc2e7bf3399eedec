"""A file that is read again when it changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from configs.errors import StateError

T = TypeVar("T")


class Reread(Generic[T]):
    """What a file says. nothing: what counts while there is no file, or one that can't be read.

    read: raises StateError where it can't. complain: gets its code, once for each change of the file.
    """

    def __init__(self, path: Path, read: Callable[[Path], T], nothing: T, complain: Callable[[str], None]) -> None:
        self._path, self._read, self._nothing, self._complain = path, read, nothing, complain
        self._seen: tuple[int, int, int] | None = None
        self._told = nothing

    def now(self) -> T:
        """Return what the file says now."""
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        except OSError:
            self._seen, self._told = None, self._nothing
            return self._nothing
        if seen != self._seen:
            try:
                self._told = self._read(self._path)
            except StateError as error:
                self._told = self._nothing
                self._complain(error.code)
            self._seen = seen
        return self._told
