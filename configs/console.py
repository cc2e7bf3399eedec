"""What both command groups share: errors as one clear message and an exit code, and the last line of `--json`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from configs.errors import ForecastleError


@contextmanager
def plain_errors(debug: bool = False) -> Iterator[None]:
    """Turn a ForecastleError into its message on standard error and its exit code; `debug` keeps the traceback."""
    try:
        yield
    except ForecastleError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        if debug:
            raise
        name = f"{error.filename}: " if error.filename else ""
        print(f"error: {name}{error.strerror or error}; check the path, its rights and the free space", file=sys.stderr)
        raise SystemExit(1) from None


def say(text: str) -> None:
    """Tell progress on standard error."""
    print(text, file=sys.stderr, flush=True)


def answer(value: object) -> None:
    """Print one JSON object as the last line of standard output, what a terminal would obey escaped as JSON escapes."""
    told = json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
    print(printable(told), flush=True)


def printable(text: str) -> str:
    """Return a text that does nothing to a terminal but stand there.

    Control characters, marks that turn the direction of writing, invisible ones and halves of surrogate pairs are told
    by their number, as in JSON: a deal's name can't hide, recolour or forge a line.
    """
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)
