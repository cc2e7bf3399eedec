"""An identity provider of the tests: real keys, the file of their public halves, and tokens that it signs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as made_ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as made_rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from configs.oauth import OAuth
from configs.vocab import TokenAlgorithm
from serving.principal import Rights

ISSUER, AUDIENCE, SUBJECT = "https://id.example/tenant-1/", "forecastle", "crm-client-4711"
PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey


@cache
def rsa(name: str, bits: int = 2048) -> RSAPrivateKey:
    """An RSA key, one for each name."""
    return made_rsa(65_537, bits)


@cache
def ec(name: str) -> EllipticCurvePrivateKey:
    """A P-256 key, or P-384 for the name ``384``, one for each name."""
    return made_ec(SECP384R1() if name == "384" else SECP256R1())


def public(kid: str | None, key: PrivateKey, **more: Any) -> dict[str, Any]:
    """The public half of a key as an entry of a key set."""
    algorithm = RSAAlgorithm if isinstance(key, RSAPrivateKey) else ECAlgorithm
    told = algorithm.to_jwk(key.public_key(), as_dict=True)
    return {name: value for name, value in told.items() if name != "key_ops"} | ({"kid": kid} if kid else {}) | more


@dataclass
class Issuer:
    """Signs with the keys of its file. now: seconds since 1970."""

    jwks_file: Path
    now: int
    keys: list[dict[str, Any]] = field(default_factory=lambda: [public("r1", rsa("r1")), public("e1", ec("e1"))])

    def __post_init__(self) -> None:
        self.publish()

    def publish(self, *more: dict[str, Any]) -> None:
        """Write the file of public keys."""
        self.jwks_file.write_text(json.dumps({"keys": [*self.keys, *more]}))

    def oauth(self, **more: Any) -> OAuth:
        """The section of a config that believes it."""
        told = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": self.jwks_file, "algorithms": [*TokenAlgorithm]}
        return OAuth(**(told | more))

    def claims(self, **more: Any) -> dict[str, Any]:
        """Good claims with others in their place; None: left out."""
        told = {"iss": ISSUER, "aud": AUDIENCE, "sub": SUBJECT, "iat": self.now, "exp": self.now + 3600}
        told |= {"scope": "score read", "teams": ["West"]} | more
        return {name: value for name, value in told.items() if value is not None}

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token signed by the RSA key."""
        return jwt.encode(self.claims(**claims), rsa("r1"), "RS256", headers={"kid": "r1"} | (header or {}))

    def headers(self, rights: Rights, subject: str = SUBJECT) -> dict[str, str]:
        """The headers of a request with a token of these rights."""
        teams: Any = {"all_teams": True, "teams": None} if rights.teams is None else {"teams": sorted(rights.teams)}
        token = self.token(sub=subject, scope=" ".join(sorted(rights.scopes)), **teams)
        return {"Authorization": f"Bearer {token}"}


def seconds(moment: datetime) -> int:
    """A moment as a NumericDate."""
    return round(moment.astimezone(UTC).timestamp())
