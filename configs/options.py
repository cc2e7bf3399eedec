"""What every command of both groups takes and how it ends, told once: `train` and `score` can not drift apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from configs.schema import Config

ConfigPath = Annotated[Path, typer.Argument(help="Config file (YAML).", metavar="CONFIG", show_default=False)]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Override a value of the config. Repeatable.")
]
Json = Annotated[bool, typer.Option("--json", help="End standard output with one JSON object.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def run(work: Callable[[], dict[str, Any]], as_json: bool, debug: bool) -> None:
    """Do the work of a command; what it returns is the one object of --json."""
    from configs.console import answer, plain_errors

    with plain_errors(debug):
        told = work()
        if as_json:
            answer(told)


def read_config(path: Path, overrides: list[str] | None) -> Config:
    """Load the config of a command; pydantic is imported only now. Raises ConfigError."""
    from configs.load import load_config

    return load_config(path, overrides or ())
