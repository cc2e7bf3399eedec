"""The training half of the command line: config, features, simulate, readiness, train, backtest, and what follows.

Heavy imports wait.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from configs.options import ConfigPath, Debug, Json, Overrides, read_config, run
from training.rep_cli import rep_patterns

# What `simulate` writes, and the config whose source.path takes it where it is not any config's.
SHAPES = {"canonical": "", "salesforce": " of configs/salesforce.yaml"}
LATER_SHAPES = ("hubspot", "odoo")

if TYPE_CHECKING:
    from configs.schema import Config

Ablate = Annotated[
    bool,
    typer.Option("--ablate", help="Also without each feature group, and with raw rep ids. Takes many times longer."),
]

Out = Annotated[Path | None, typer.Option("--out", help="Write every field to FILE.md or FILE.json.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the front door."""
    config = typer.Typer(no_args_is_help=True, help="Check, show or describe config files.")
    config.command("check")(check)
    config.command("show")(show)
    config.command("schema")(schema)
    app.add_typer(config, name="config")
    for command in (
        features,
        simulate,
        readiness,
        metrics,
        audit,
        train,
        tune,
        backtest,
        promote,
        rollback,
        reproduce,
        sync,
    ):
        app.command()(command)
    app.command("audit-table")(audit_table)
    app.command("noise-floor")(noise_floor)
    app.command("rep-patterns")(rep_patterns)


def check(config: ConfigPath, overrides: Overrides = None, as_json: Json = False, debug: Debug = False) -> None:
    """Check a config and its mapping; every fault at once, with its place."""

    def work() -> dict[str, Any]:
        from configs.commands import check as checked
        from configs.commands import summary

        typer.echo(checked(config, overrides or ()))
        return dict(summary(read_config(config, overrides)))

    run(work, as_json, debug)


def show(config: ConfigPath, overrides: Overrides = None, debug: Debug = False) -> None:
    """Print every value of a config and where it comes from."""
    from configs.commands import show as shown
    from configs.console import plain_errors

    with plain_errors(debug):
        typer.echo(shown(config, overrides or ()))


def schema() -> None:
    """Print the JSON Schema of a config file (draft-07), for editors."""
    from configs.commands import schema as described

    typer.echo(described(), nl=False)


def features(
    config: ConfigPath,
    overrides: Overrides = None,
    describe: Annotated[bool, typer.Option("--describe", help="A row for every feature, as a Markdown table.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say which features a config asks for. Reads the config and its mapping, not the data."""

    def work() -> dict[str, Any]:
        read = read_config(config, overrides)
        from training.catalogue import describe_features

        text, told = describe_features(read, describe)
        typer.echo(text)
        return told

    run(work, as_json, debug)


def simulate(
    out: Annotated[Path, typer.Option("--out", help="Folder: gets export/ and truth/.")],
    shape: Annotated[str, typer.Option("--shape", help="Shape of the export: canonical, salesforce.")] = "canonical",
    seed: Annotated[int, typer.Option("--seed", min=0)] = 7,
    periods: Annotated[int, typer.Option("--periods", min=10, max=14, help="Quarters of history.")] = 12,
    wins: Annotated[int, typer.Option("--wins-per-period", min=30, max=1000)] = 300,
    debug: Debug = False,
) -> None:
    """Write a simulated company and its truth. The export and the truth have a folder each."""
    from configs.console import plain_errors, say
    from configs.errors import UsageError

    with plain_errors(debug):
        if shape not in SHAPES:
            later = "not written yet" if shape in LATER_SHAPES else "there is no such shape"
            raise UsageError.at("--shape", repr(shape), expected=" or ".join(SHAPES), remedy=later)
        if out.exists() and any(out.iterdir()):
            raise UsageError.at("--out", f"{out} is not empty", expected="a new or empty folder")
        from features.sources.company import CompanySettings, write
        from features.sources.company import simulate as simulated
        from features.sources.company_leads import LeadParams

        settings = CompanySettings(seed=seed, periods=periods, wins_per_period=wins, leads=LeadParams())
        company, taken_by = simulated(settings), SHAPES[shape]
        if shape == "salesforce":
            from features.sources.company_salesforce import write_salesforce

            rows = write_salesforce(company, out, settings.time_zone)
        else:
            write(company, out)
            rows = {name: len(frame) for name, frame in company.export.items()}
        say("; ".join(f"{name}: {count:,} rows" for name, count in rows.items()))
        typer.echo(f"export: {out / 'export'} (source.path{taken_by} takes it); truth: {out / 'truth'}")


def readiness(config: ConfigPath, overrides: Overrides = None, as_json: Json = False, debug: Debug = False) -> None:
    """Say what the source is fit for. Names what was kept, what was refused and why, and what is missing."""

    def work() -> dict[str, Any]:
        from training.commands import readiness as ready

        return ready(read_config(config, overrides))

    run(work, as_json, debug)


def metrics(
    config: ConfigPath,
    as_of: Annotated[str, typer.Option("--as-of", help="Nothing known at or after it is seen.", show_default=False)],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write every node to FILE.csv, .parquet or .json.")] = None,
    level: Annotated[str | None, typer.Option("--level", help="Only company, team or rep.")] = None,
    periods: Annotated[
        int | None,
        typer.Option("--periods", min=1, max=40, help="Complete periods looked at: 4; of leads, enough to tell wins."),
    ] = None,
    by: Annotated[str | None, typer.Option("--by", help="Of leads: only this field, such as source.")] = None,
    goal: Annotated[
        str | None, typer.Option("--goal", metavar="AMOUNT", help="Plan for these bookings in a period.")
    ] = None,
    quota_per_rep: Annotated[
        str | None, typer.Option("--quota-per-rep", metavar="AMOUNT", help="Of the plan; else the mean one now.")
    ] = None,
    attainment: Annotated[
        str | None, typer.Option("--attainment", metavar="SHARE", help="Of quota, that reps bring; else as before.")
    ] = None,
    coverage: Annotated[
        str | None, typer.Option("--coverage", metavar="RATIO", help="Open at the start per booked; else as before.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Work out pipeline metrics as of a day. Funnel, win rates, velocity, coverage, health, linearity, goal planner."""

    def work() -> dict[str, Any]:
        read = read_config(config, overrides)
        from configs.vocab import Target
        from features.periods import parse_as_of
        from training.lead_metrics_command import lead_metrics
        from training.metrics_command import Wanted
        from training.metrics_command import metrics as worked_out

        wanted = Wanted(out, level, periods, goal, quota_per_rep, attainment, coverage, by)
        work_out = lead_metrics if read.target is Target.CONVERTED else worked_out
        return work_out(read, parse_as_of(as_of, read.time_zone), wanted)

    run(work, as_json, debug)


def audit(
    config: ConfigPath,
    overrides: Overrides = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="Nothing known at or after it is seen.")] = None,
    out: Out = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say which fields know the outcome too early. Ends with exit code 3 where one is quarantined."""
    from configs.console import plain_errors

    with plain_errors(debug):
        read = read_config(config, overrides)
        from features.periods import parse_as_of
        from training.audit_commands import audit_config

        audit_config(read, parse_as_of(as_of, read.time_zone) if as_of is not None else None, out, as_json)


def audit_table(
    file: Annotated[Path, typer.Argument(help="CSV, gzipped CSV or Parquet, a row a deal or lead.", metavar="FILE")],
    outcome: Annotated[str, typer.Option("--outcome", help="Column of the outcome.")],
    positive: Annotated[str, typer.Option("--positive", help="Its value that means won.")],
    is_open: Annotated[
        list[str] | None, typer.Option("--open", help="Its values that mean still open; empty does too. Repeatable.")
    ] = None,
    order: Annotated[str | None, typer.Option("--order", help="Column of the order in time; not audited.")] = None,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Column to leave out. Repeatable.")] = None,
    missing: Annotated[list[str] | None, typer.Option("--missing", help="Text for no value. Repeatable.")] = None,
    out: Out = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Audit a flat file without dates: what each column says alone, and where it is filled. Exit code 3 as `audit`."""
    from configs.console import plain_errors

    with plain_errors(debug):
        from training.audit_commands import audit_file
        from training.audit_table import Flat

        flat = Flat(outcome, positive, tuple(is_open or ()), order, tuple(ids or ()), tuple(missing or ()))
        audit_file(file, flat, out, as_json)


def train(
    config: ConfigPath,
    overrides: Overrides = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="Nothing known at or after it is seen.")] = None,
    ablate: Ablate = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Backtest, fit, gate and register a model. It is logged to MLflow and becomes the candidate."""

    def work() -> dict[str, Any]:
        read = _ablated(read_config(config, overrides), ablate)
        from features.periods import parse_as_of
        from training.train_command import train as trained

        return trained(read, parse_as_of(as_of, read.time_zone) if as_of is not None else None, overrides or ())

    run(work, as_json, debug)


def tune(
    config: ConfigPath,
    overrides: Overrides = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="As for `train`; the tests end there.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Look for better settings of the trees. Can be interrupted and taken up; exit code 130 after Ctrl-C."""
    told: dict[str, Any] = {}

    def work() -> dict[str, Any]:
        read = read_config(config, overrides)
        from features.periods import parse_as_of
        from training.tune_command import tune as tuned

        sets = [part for text in overrides or () for part in ("--set", text)]
        again = shlex.join(["forecastle", "tune", str(config), *sets, *(("--as-of", as_of) if as_of else ())])
        told.update(tuned(read, parse_as_of(as_of, read.time_zone) if as_of is not None else None, again))
        return told

    try:
        run(work, as_json, debug)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    if told.get("interrupted"):
        raise SystemExit(130)


def backtest(
    config: ConfigPath,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
    overrides: Overrides = None,
    ablate: Ablate = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write how right the model would have been. Walks forward through the past, beside every baseline."""

    def work() -> dict[str, Any]:
        read = _ablated(read_config(config, overrides), ablate)
        from training.commands import backtest as tested

        return tested(read, out)

    run(work, as_json, debug)


def noise_floor(
    wins: Annotated[
        list[float] | None,
        typer.Option("--wins", help="Deals won in a period. Repeatable.", show_default="30, 100, 300, 1000"),
    ] = None,
    amount_cv: Annotated[
        float, typer.Option("--amount-cv", help="Standard deviation of amounts over their mean.")
    ] = 1.0,
    shock: Annotated[float, typer.Option("--shock", help="Of a whole period, in log-odds.")] = 0.15,
    period_weeks: Annotated[int, typer.Option("--period-weeks", help="Weeks in a period.")] = 13,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 7,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say by how much even an oracle would miss a period's bookings at a company's size. Needs no data."""

    def work() -> dict[str, Any]:
        from dataclasses import asdict

        from training.floor_by_size import SIZES, floor_table, text_of

        table = floor_table(wins or SIZES, amount_cv, shock, period_weeks, seed)
        typer.echo(text_of(table))
        return asdict(table)

    run(work, as_json, debug)


def _ablated(config: Config, ablate: bool) -> Config:
    """Return the config with every ablation asked for, where the flag was given; the model and its hash stay."""
    from configs.vocab import Ablation

    if not ablate:
        return config
    return config.model_copy(update={"backtest": config.backtest.model_copy(update={"ablations": tuple(Ablation)})})


def promote(
    config: ConfigPath,
    overrides: Overrides = None,
    force: Annotated[bool, typer.Option("--force", help="Also where a gate failed; needs --reason.")] = False,
    reason: Annotated[str | None, typer.Option("--reason", help="Why it is forced; kept for good.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make the candidate live. Ends with exit code 3 and the table if it did not pass its gates."""

    def work() -> dict[str, Any]:
        read = read_config(config, overrides)
        from training.promote_command import promote as promoted

        return promoted(read, force, reason)

    run(work, as_json, debug)


def rollback(config: ConfigPath, overrides: Overrides = None, as_json: Json = False, debug: Debug = False) -> None:
    """Make the model live again that was live before. Again: the one before that."""

    def work() -> dict[str, Any]:
        read = read_config(config, overrides)
        from training.promote_command import rollback as rolled_back

        return rolled_back(read)

    run(work, as_json, debug)


def sync(config: ConfigPath, overrides: Overrides = None, as_json: Json = False, debug: Debug = False) -> None:
    """Tell MLflow what it could not be told before. Every train, promote and rollback does so too."""

    def work() -> dict[str, Any]:
        read = read_config(config, overrides)
        from training.promote_command import sync as synced

        return synced(read)

    run(work, as_json, debug)


def reproduce(
    run_id: Annotated[str, typer.Argument(help="Run id that `train` printed.", metavar="RUN", show_default=False)],
    config: Annotated[
        Path | None, typer.Option("--config", help="Config that says where the state and the data are now.")
    ] = None,
    state_dir: Annotated[Path | None, typer.Option("--state-dir", help="Folder of all state.")] = None,
    overrides: Overrides = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train again as a run did and compare the files. Exit code 1 where one differs; says which, and why."""
    told: dict[str, Any] = {}

    def work() -> dict[str, Any]:
        from configs.errors import UsageError

        if overrides and config is None:
            raise UsageError.at("--set", "given without --config", expected="--config CONFIG, which it changes")
        read = read_config(config, overrides) if config is not None else None
        from training.reproduce import reproduce as reproduced

        folder = state_dir or (read.state_dir if read is not None else Path(".forecastle"))
        told.update(reproduced(folder, run_id, read))
        return told

    run(work, as_json, debug)
    if not told["identical"]:
        raise SystemExit(1)
