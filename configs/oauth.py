"""The section of a config about access tokens of an identity provider, beside API keys."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from configs.base import Distinct, Strict
from configs.vocab import TokenAlgorithm

Claim = Annotated[str, Field(min_length=1, max_length=200)]


class OAuth(Strict):
    """Who may issue access tokens (JWT) for the service, and how they say what a client may do.

    Nothing is fetched: the issuer's public keys are in a file.
    """

    issuer: str = Field(min_length=1, max_length=500, description="the claim iss, to the letter")
    audience: str = Field(
        min_length=1, max_length=500, description="the claim aud, to the letter; a token for others too is refused"
    )
    jwks_file: Path = Field(
        description="the issuer's public keys as a JSON Web Key Set, relative to the working directory; another "
        "file in its place counts at once"
    )
    algorithms: Annotated[tuple[TokenAlgorithm, ...], Distinct] = Field(
        default=(TokenAlgorithm.RS256,), min_length=1, description="signatures that are taken"
    )
    leeway_seconds: float = Field(
        default=60.0, ge=0, le=300, description="how far the issuer's clock and this one may differ"
    )
    max_life_hours: float = Field(
        default=24.0, gt=0, le=720, description="longest time from iat to exp; a token that lasts longer is refused"
    )
    scope_claim: Claim = Field(
        default="scope", description="claim with the scopes: words with spaces between, or a list of them"
    )
    scope_prefix: str = Field(
        default="", max_length=200, description="what stands before each scope, such as forecastle: in forecastle:read"
    )
    teams_claim: Claim = Field(
        default="teams", description='claim with the list of teams whose deals may be seen; "*" for all'
    )
    all_teams_claim: Claim = Field(default="all_teams", description="claim that is true for all teams")
