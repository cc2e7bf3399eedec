"""The front door: `forecastle`, the commands of training and serving; imports nothing heavy until a command runs."""

from __future__ import annotations

import os

import typer

import serving.cli
import training.cli

# Threads that wait sleep instead of spinning: a fit beside other work is 3 x faster.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich alone would cost a third of its time
    help="Sales forecasting and deal scoring that is right about time, checkable and fast.",
)
training.cli.register(app)
serving.cli.register(app)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
