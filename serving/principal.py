"""Who asks, what they may do, and whose deals they may see."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from configs.errors import UsageError

LONGEST_TEAM = 200


class Scope(StrEnum):
    """What a key may be allowed to do."""

    SCORE = "score"  # have deals scored that it gives itself
    READ = "read"  # see what is stored, of its teams
    EVENTS = "events"  # push facts about any deal
    OVERRIDE = "override"  # set a word of one's own beside a score on the pages
    STATUS = "status"  # see the model, its facts, limits and metrics


@dataclass(frozen=True)
class Rights:
    """What a key may do. teams: whose stored deals it may see; None: everyone's. Nobody's unless given."""

    scopes: frozenset[Scope] = frozenset({Scope.SCORE, Scope.STATUS})
    teams: frozenset[str] | None = frozenset()


@dataclass(frozen=True)
class Principal:
    """key: as logs and the ledger show it: the prefix of the API key, a digest for a token, or the name of the command.

    teams: whose deals may be seen; nobody's unless given, None: everyone's.
    """

    key: str
    teams: frozenset[str] | None = frozenset()


def checked_rights(scopes: Collection[str], teams: Collection[str], all_teams: bool) -> Rights:
    """Return the rights that a command asks for; without scopes, those of `Rights`.

    Raises UsageError where they are unknown, contradict each other or would allow nothing.
    """
    for word in scopes:
        if word not in set(Scope):
            raise UsageError.at("--scope", repr(word), expected=f"one of {', '.join(Scope)}")
    if any(not team.strip() or len(team) > LONGEST_TEAM or not team.isprintable() for team in teams):
        raise UsageError.at("--team", "a name that is empty, too long or not printable", expected="a team's name")
    if teams and all_teams:
        raise UsageError.at("--team", "with --all-teams", expected="one or the other")
    wanted = frozenset(map(Scope, scopes)) or Rights().scopes
    if Scope.READ in wanted and not teams and not all_teams:
        raise UsageError.at("--scope read", "no team, so it would see nothing", remedy="say --team NAME or --all-teams")
    if Scope.OVERRIDE in wanted and Scope.READ not in wanted:
        raise UsageError.at(
            "--scope override", "without read, so there is no page to do it on", remedy="add --scope read"
        )
    if Scope.EVENTS in wanted and not all_teams:
        remedy = "say --all-teams: whoever pushes facts decides whose deal it is"
        raise UsageError.at("--scope events", "without --all-teams", remedy=remedy)
    if (teams or all_teams) and wanted.isdisjoint({Scope.READ, Scope.EVENTS}):
        raise UsageError.at("--team", "nothing to see with it", remedy="add --scope read, or leave the teams out")
    return Rights(wanted, None if all_teams else frozenset(teams))
