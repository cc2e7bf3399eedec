"""Who asks, and whose deals they may see."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Principal:
    """key: the prefix of the API key, as logs and the ledger show it; or the name of the command.

    teams: whose deals may be seen; nobody's unless given, None: everyone's.
    """

    key: str
    teams: frozenset[str] | None = frozenset()
