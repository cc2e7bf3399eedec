"""The commands of API keys: made, listed, rotated, revoked. Heavy imports happen inside a command."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from configs.options import ConfigPath, Debug, Json, Overrides, read_config, run

if TYPE_CHECKING:
    from serving.auth import ApiKey

Name = Annotated[str, typer.Option("--name", help="Who the key is for.", show_default=False)]

keys_app = typer.Typer(no_args_is_help=True, help="API keys of the service.")


@keys_app.command("create")
def keys_create(
    config: ConfigPath,
    name: Name,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", help="score, read, override, events or status; repeatable; score and status without it."
        ),
    ] = None,
    team: Annotated[
        list[str] | None, typer.Option("--team", help="With read: show this team's stored deals. Repeatable.")
    ] = None,
    all_teams: Annotated[
        bool, typer.Option("--all-teams", help="With read: show every stored deal. Events need it.")
    ] = False,
    expires: Annotated[str | None, typer.Option("--expires", help="Day or timestamp after which it stops.")] = None,
    override: Overrides = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make an API key and print it, once: only its hash is kept."""

    def work() -> dict[str, Any]:
        from configs.console import say
        from serving.auth import create_key, keys_file
        from serving.principal import checked_rights

        settings = read_config(config, override)
        until = _expiry(expires, settings.time_zone) if expires is not None else None
        path, rights = keys_file(settings), checked_rights(scope or (), team or (), all_teams)
        key = create_key(path, name, datetime.now(UTC), until, rights)
        if not as_json:
            typer.echo(key)
        say(f"key {name!r} is in {path} as a hash; the key itself is shown this once")
        told = {"key": key, "name": name, "prefix": key.split("_")[1], "expires": until.isoformat() if until else None}
        return told | {"scopes": sorted(rights.scopes), "teams": _teams(rights.teams)}

    run(work, as_json, debug)


@keys_app.command("list")
def keys_list(config: ConfigPath, override: Overrides = None, as_json: Json = False, debug: Debug = False) -> None:
    """List the API keys: prefix, name, when made, whether they work, what they may do."""

    def work() -> dict[str, Any]:
        from configs.console import say
        from serving.auth import keys_file, read_keys

        now = datetime.now(UTC)
        keys = read_keys(keys_file(read_config(config, override)))
        if not as_json:
            for key in keys:
                until = f", until {key.expires}" if key.expires else ""
                teams = "all teams" if key.all_teams else f"{len(key.teams)} teams"
                may = f"{', '.join(key.scopes)}; {teams}"
                typer.echo(f"{key.prefix}  {key.state(now):<8}  {key.created}{until}  {key.name}  ({may})")
            if not keys:
                say("there are no API keys")
        return {"keys": [_told(key, now) for key in keys]}

    run(work, as_json, debug)


@keys_app.command("revoke")
def keys_revoke(
    config: ConfigPath,
    key: Annotated[str, typer.Argument(help="Prefix or name of the key.", show_default=False)],
    override: Overrides = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Revoke an API key; running services refuse it at once."""

    def work() -> dict[str, Any]:
        from configs.console import say
        from serving.auth import keys_file, revoke_key

        revoked = revoke_key(keys_file(read_config(config, override)), key, datetime.now(UTC))
        for one in revoked:
            say(f"key {one.prefix} ({one.name!r}) is revoked")
        return {"revoked": [{"prefix": one.prefix, "name": one.name, "revoked": one.revoked} for one in revoked]}

    run(work, as_json, debug)


@keys_app.command("rotate")
def keys_rotate(
    config: ConfigPath,
    key: Annotated[str, typer.Argument(help="Prefix or name of a key that works.", show_default=False)],
    overlap: Annotated[int, typer.Option("--overlap", help="Days for which the old key works on.", min=0, max=365)] = 7,
    override: Overrides = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Make a new key with the name and rights of an old one, which works on for some days, and print it, once."""

    def work() -> dict[str, Any]:
        from configs.console import say
        from serving.auth import keys_file, rotate_key

        path = keys_file(read_config(config, override))
        fresh, old = rotate_key(path, key, datetime.now(UTC), timedelta(days=overlap))
        if not as_json:
            typer.echo(fresh)
        say(f"key {old.prefix} ({old.name!r}) works until {old.expires}; the new key is shown this once")
        return {"key": fresh, "name": old.name, "prefix": fresh.split("_")[1]} | {
            "old": {"prefix": old.prefix, "expires": old.expires}
        }

    run(work, as_json, debug)


def _told(key: ApiKey, now: datetime) -> dict[str, Any]:
    """Return a key as a list tells it."""
    told: dict[str, Any] = {"prefix": key.prefix, "name": key.name, "created": key.created, "expires": key.expires}
    return told | {"state": key.state(now), "scopes": list(key.scopes), "teams": _teams(key.principal.teams)}


def _teams(teams: frozenset[str] | None) -> list[str] | str:
    """Return whose deals may be seen as it is told: names, or ``all``."""
    return "all" if teams is None else sorted(teams)


def _expiry(text: str, zone: str) -> datetime:
    """Read --expires: a day (its 00:00 in the zone) or a timestamp. Raises UsageError."""
    from configs.errors import UsageError
    from features.periods import parse_as_of
    from serving.answers import EPOCH, MICROSECOND

    try:
        return EPOCH + parse_as_of(text, zone) * MICROSECOND
    except UsageError:
        raise UsageError.at("--expires", repr(text), expected="a day such as 2027-03-31, or a timestamp") from None
