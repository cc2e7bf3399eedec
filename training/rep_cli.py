"""The command about reps, apart from the others: it is opt-in. Heavy imports happen inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from configs.options import ConfigPath, Debug, Json, Overrides, read_config, run


def rep_patterns(
    config: ConfigPath,
    as_of: Annotated[str, typer.Option("--as-of", help="Nothing known at or after it is seen.", show_default=False)],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write a row per pattern to FILE.csv.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Set reps' calls beside what was booked. Opt-in: flags.rep_patterns.enabled; facts, no scores, no ranks."""

    def work() -> dict[str, Any]:
        read = read_config(config, overrides)
        from features.periods import parse_as_of
        from training.rep_patterns_command import rep_patterns as found

        return found(read, parse_as_of(as_of, read.time_zone), out)

    run(work, as_json, debug)
