"""The commands that give answers, and those that keep them. Heavy imports happen inside a command."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from configs.options import ConfigPath, Debug, Json, Overrides, read_config, run
from serving.cli_keys import keys_app

if TYPE_CHECKING:
    from configs.schema import Config

AsOfs = Annotated[
    list[str],
    typer.Option(
        "--as-of", help="Day (its 00:00 in the config's time zone) or timestamp; may be repeated.", show_default=False
    ),
]
AsOf = Annotated[str, typer.Option("--as-of", help="Day or timestamp, as in `score`.", show_default=False)]
Model = Annotated[str, typer.Option("--model", help="live, candidate, or a run id.")]
InSample = Annotated[bool, typer.Option("--in-sample", help="Allow an as-of before the model's trained_as_of.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the front door."""
    app.command("score")(score)
    app.command("score-leads")(score_leads)
    app.command("forecast")(forecast)
    app.command("explain")(explain)
    app.command("refresh")(refresh)
    app.command("replay")(replay)
    app.command("report")(report)
    app.command("serve")(serve)
    app.command("example-request")(example_request)
    app.add_typer(keys_app, name="keys")


def score(
    config: ConfigPath,
    as_of: AsOfs,
    out: Annotated[Path, typer.Option("--out", help="File to write: .csv or .parquet.", show_default=False)],
    override: Overrides = None,
    model: Model = "live",
    in_sample: InSample = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Score every open deal, with reasons. Writes a row per deal and as-of."""

    def work() -> dict[str, Any]:
        from configs.console import say
        from features.periods import parse_as_of
        from serving.batch import score_file

        settings = _about("deals", config, override, "score-leads")
        instants = [parse_as_of(text, settings.time_zone) for text in as_of]
        written = score_file(settings, instants, out, model, in_sample, say)
        say(f"{sum(written.rows):,} rows in {out}")
        return written.told() | {
            "flags": {code: {"raised": t.raised, "shown": t.shown} for code, t in written.flags.items()}
        }

    run(work, as_json, debug)


def score_leads(
    config: ConfigPath,
    as_of: AsOfs,
    out: Annotated[Path, typer.Option("--out", help="File to write: .csv or .parquet.", show_default=False)],
    capacity: Annotated[
        int | None,
        typer.Option("--capacity", min=1, help="Leads that can be worked this week, instead of leads.weekly_capacity."),
    ] = None,
    override: Overrides = None,
    model: Model = "live",
    in_sample: InSample = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Score every open lead, with reasons, grades and the queue of the week. Writes a row per lead and as-of."""

    def work() -> dict[str, Any]:
        from configs.console import say
        from features.periods import parse_as_of
        from serving.leads import score_leads_file

        settings = _about("leads", config, override, "score")
        instants = [parse_as_of(text, settings.time_zone) for text in as_of]
        written = score_leads_file(settings, instants, out, capacity, model, in_sample, say)
        say(f"{sum(written.rows):,} rows in {out}")
        return written.told() | {"queued": sum(written.queued), "opted_out": written.opted_out}

    run(work, as_json, debug)


def forecast(
    config: ConfigPath,
    as_of: AsOfs,
    out: Annotated[Path, typer.Option("--out", help="File to write: .csv or .parquet.", show_default=False)],
    level: Annotated[str | None, typer.Option("--level", help="company, team or rep; all without it.")] = None,
    periods: Annotated[int, typer.Option("--periods", min=1, max=8, help="Fiscal periods from the running one.")] = 1,
    months: Annotated[bool, typer.Option("--months", help="The months of those periods instead.")] = False,
    win_rate: Annotated[
        float, typer.Option("--win-rate", min=0, max=10, help="What if: factor on every open deal's chance.")
    ] = 1.0,
    arrivals: Annotated[
        float, typer.Option("--arrivals", min=0, max=10, help="What if: factor on deals to come.")
    ] = 1.0,
    lose: Annotated[list[str] | None, typer.Option("--lose", help="What if: this deal is lost. Repeatable.")] = None,
    leaves: Annotated[
        list[str] | None,
        typer.Option("--leaves", metavar="REP=SHARE", help="What if: a rep leaves, a successor keeps so much, 0-1."),
    ] = None,
    override: Overrides = None,
    model: Model = "live",
    in_sample: InSample = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Forecast bookings by company, team and rep. Writes a row per node, window and as-of."""

    def work() -> dict[str, Any]:
        from configs.console import say
        from features.periods import parse_as_of
        from models.scenarios import Scenario
        from serving.forecast import Asked, checked_level, forecast_file, read_leaving, told_json, told_lines

        settings = _about("deals", config, override, "score-leads")
        scenario = Scenario(win_rate, arrivals, frozenset(lose or ()), read_leaving(leaves or ()))
        asked = Asked(checked_level(level), periods, months, scenario)
        instants = [parse_as_of(text, settings.time_zone) for text in as_of]
        written, outcomes = forecast_file(settings, instants, out, asked, model, in_sample, say)
        for line in told_lines(outcomes, settings.time_zone):
            typer.echo(line)
        say(f"{sum(written.rows):,} rows in {out}")
        return written.told() | {"windows": [told_json(one, settings.time_zone) for one in outcomes]}

    run(work, as_json, debug)


def explain(
    config: ConfigPath,
    deal_id: Annotated[str, typer.Argument(metavar="DEAL_ID", help="As in `score`.", show_default=False)],
    as_of: AsOf,
    earlier: Annotated[
        str | None, typer.Option("--from", help="An earlier day or timestamp: why the score moved since.")
    ] = None,
    override: Overrides = None,
    model: Model = "live",
    in_sample: InSample = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Explain the score of one open deal. With --from: why it moved since then."""

    def work() -> dict[str, Any]:
        from configs.console import printable, say
        from features.periods import parse_as_of
        from serving.explain_command import document, explain_deal, lines

        settings = _about("deals", config, override, "score-leads")
        zone = settings.time_zone
        since = None if earlier is None else parse_as_of(earlier, zone)
        told = explain_deal(settings, deal_id, parse_as_of(as_of, zone), since, model, in_sample, say)
        if not as_json:
            for line in lines(told):
                typer.echo(printable(line))
        return document(told)

    run(work, as_json, debug)


def refresh(
    config: ConfigPath,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Day or timestamp, as in `score`; now without it.", show_default=False)
    ] = None,
    allow_vanished: Annotated[
        bool, typer.Option("--allow-vanished", help="Take deals that left the source for deleted, however many.")
    ] = False,
    override: Overrides = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Store the source's facts, scores of all open deals, and the forecast. Scores only what changed or is of another
    day. Of a config of leads: the scores of all open leads, and their funnel.
    """

    def work() -> dict[str, Any]:
        from configs.console import say
        from configs.vocab import Target
        from features.periods import parse_as_of
        from serving.api import clock
        from serving.lead_refresh import refresh_leads
        from serving.refresh_command import refresh as refreshed

        settings = read_config(config, override)
        instant = None if as_of is None else parse_as_of(as_of, settings.time_zone)
        if settings.target is Target.CONVERTED:
            leads = refresh_leads(settings, instant, clock(), say)
            say(leads.line())
            return leads.told()
        done = refreshed(settings, instant, clock(), allow_vanished, say)
        say(
            f"{done.scored:,} scored, {done.unchanged:,} unchanged, {done.closed:,} closed, {done.tombstoned:,} gone, "
            f"{done.not_known:,} not known yet, {done.refused:,} refused; {done.forecast:,} rows of forecast"
        )
        return done.told()

    run(work, as_json, debug)


def replay(
    config: ConfigPath,
    request: Annotated[str | None, typer.Option("--request", help="Only this request id.")] = None,
    deal: Annotated[str | None, typer.Option("--deal", help="Only this deal.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only what was asked since this day or timestamp.")
    ] = None,
    override: Overrides = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compute scores of the ledger again and compare them bit for bit. Exit code 1 where one differs."""

    def work() -> dict[str, Any]:
        from configs.console import say
        from features.periods import parse_as_of
        from serving.replay import replay as replayed

        settings = _about("deals", config, override)
        tally = replayed(
            settings, request, deal, None if since is None else parse_as_of(since, settings.time_zone), say
        )
        told = tally.told()
        say(f"{tally.rows:,} rows: {tally.agree:,} agree, {told['cannot_be_rebuilt']:,} cannot be rebuilt")
        return told

    run(work, as_json, debug)


def report(
    config: ConfigPath,
    out: Annotated[
        Path, typer.Option("--out", help="Folder to write; an earlier report is replaced.", show_default=False)
    ],
    team: Annotated[
        list[str] | None, typer.Option("--team", help="Only deals of this team; may be repeated.", show_default=False)
    ] = None,
    deal: Annotated[
        list[str] | None,
        typer.Option("--deal", help="A page for this deal too, flagged or not; may be repeated.", show_default=False),
    ] = None,
    language: Annotated[
        str, typer.Option("--language", help="How numbers, money and days are written: en-GB, de-DE, ...")
    ] = "en",
    override: Overrides = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write the manager's pages as a folder of files that needs no server: of every team, or of some."""

    def work() -> dict[str, Any]:
        from configs.console import say
        from serving.api import clock
        from serving.report_command import Wanted, write_report

        settings = _about("deals", config, override)
        wanted = Wanted(out, tuple(dict.fromkeys(team or ())), tuple(deal or ()), language)
        written = write_report(settings, wanted, clock, say)
        say(f"{written.files:,} files, {written.deals:,} deals: open {out / 'index.html'}")
        return written.told()

    run(work, as_json, debug)


def serve(
    config: ConfigPath,
    override: Overrides = None,
    port: Annotated[int | None, typer.Option("--port", help="Port, instead of serving.port.", min=1, max=65535)] = None,
    debug: Debug = False,
) -> None:
    """Serve the live model over HTTP until stopped."""

    def work() -> dict[str, Any]:
        from configs.console import say
        from configs.errors import StoreError, StoreVersionError
        from configs.load import leads_of
        from configs.vocab import LedgerMode
        from serving.auth import keys_file, read_keys
        from serving.environment import refuse_taken_port, serve_command, worker_environment
        from serving.fits import load_fitting
        from serving.refresh import refresh_reference
        from serving.store.engine import open_store
        from serving.tokens import read_issuer_keys, require_pyjwt
        from serving.watch import prepare_leads, prove

        said = [*(override or ()), *([f"serving.port={port}"] if port is not None else [])]
        settings = _about("deals", config, said)
        refuse_taken_port(settings.serving.host, settings.serving.port)
        oauth = settings.serving.oauth
        if oauth is not None:
            require_pyjwt()
            read_issuer_keys(oauth.jwks_file, oauth.algorithms)
        leads = leads_of(settings)
        prove(settings)
        bundle = load_fitting(settings, tell=say)
        try:
            open_store(settings).close()  # made or migrated before any worker needs it; a wrong URL is said here
        except StoreVersionError:
            raise
        except StoreError as error:
            if settings.serving.ledger is LedgerMode.DURABLE:
                raise
            say(f"WARNING: no stored deal can be read and no event taken until the store works again: {error}")
        facts = refresh_reference(settings, bundle, say)
        say(f"model {bundle.version}; reference facts of the {facts.origin}")
        if leads is not None:
            prepare_leads(leads, say)
        now = datetime.now(UTC)
        if oauth is None and not any(key.works_at(now) for key in read_keys(keys_file(settings))):
            say(f"no API key works yet, so every request is refused: forecastle keys create {config} --name NAME")
        environment = worker_environment(settings, config, said, os.environ)
        command = serve_command(settings)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(command[0], command, environment)  # noqa: S606 -- the server takes this process over, signals included

    run(work, False, debug)


def example_request(
    config: ConfigPath,
    as_of: AsOf,
    out: Annotated[Path, typer.Option("--out", help="JSON file to write.", show_default=False)],
    deals: Annotated[int, typer.Option("--deals", help="Open deals or leads to ask about.", min=1)] = 3,
    override: Overrides = None,
    model: Model = "live",
    in_sample: InSample = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a request body from the source. Holds some open deals, or leads, with all that was known of them."""

    def work() -> dict[str, Any]:
        from configs.console import say
        from configs.vocab import Target
        from configs.writing import write_text
        from features.periods import parse_as_of
        from serving.batch import check_as_of, check_out
        from serving.example import example_request as example
        from serving.fits import load_fitting
        from serving.refresh import sourced

        settings = read_config(config, override)
        many = "leads" if settings.target is Target.CONVERTED else "deals"
        instant = parse_as_of(as_of, settings.time_zone)
        check_out(out)
        bundle = load_fitting(settings, model, say)
        check_as_of(bundle, [instant], in_sample)
        body = example(sourced(settings, bundle), bundle, instant, deals, in_sample)
        write_text(out, json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        say(f"{len(body[many])} {many} in {out}")
        return {"out": str(out), many: len(body[many]), "as_of": body["as_of"]}

    run(work, as_json, debug)


def _about(what: str, config: Path, override: list[str] | None, instead: str | None = None) -> Config:
    """Read a config that must be about "deals" or "leads". Raises UsageError; instead: the command for the other."""
    from configs.errors import UsageError
    from configs.vocab import Target

    settings = read_config(config, override)
    found = "leads" if settings.target is Target.CONVERTED else "deals"
    if found != what:
        named = "name the config of the deals, and this one there as serving.leads"
        remedy = f"use `forecastle {instead}`, or another config" if instead else named
        raise UsageError.at(
            "target", f"{settings.target}: a config about {found}", expected=f"about {what}", remedy=remedy
        )
    return settings
