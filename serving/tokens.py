"""Access tokens: what an identity provider signed for a program (OAuth 2 client credentials), as a JWT.

PyJWT checks signature, issuer and audience; what it leaves open is decided here, always for no: the key is found by
``kid`` and algorithm together among those that the config allows, so that nothing in a token chooses how it is checked;
no member may stand twice; the times are held against the service's own clock. No address is ever fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from configs.errors import StateError, UsageError
from configs.oauth import OAuth
from configs.vocab import TokenAlgorithm
from serving.principal import LONGEST_TEAM, Principal, Scope
from serving.reread import Reread

if TYPE_CHECKING:
    from jwt import PyJWK

LONGEST = 8_192  # characters: a token of more teams than that should be one for all teams
LARGEST_FILE = 1_000_000
RSA_BITS = 2_048  # the least that RFC 7518 allows
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})  # no id token, no logout token, nothing made for others
EVERYONE = "*"
_FAMILY = {TokenAlgorithm.RS256: "RSA", TokenAlgorithm.PS256: "RSA", TokenAlgorithm.ES256: "EC"}

IssuerKeys = Mapping[tuple[str, str], "PyJWK"]
"""Public keys by kid and algorithm."""


@dataclass(frozen=True)
class Token:
    """A token that counts. scopes: the words of it that are ours."""

    principal: Principal
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Whether the token has a scope."""
        return scope in self.scopes


def is_token(given: str) -> bool:
    """Whether a bearer's text looks like a signed JWT; no API key holds a dot."""
    return given.count(".") == 2


def subject_key(issuer: str, subject: str) -> str:
    """Return how logs and the ledger name a client: a digest, so that neither shows the subject itself."""
    said = json.dumps([issuer, subject], ensure_ascii=True).encode()
    return f"jwt_{hashlib.sha256(said).hexdigest()[:32]}"


class Tokens:
    """Tells which tokens count. complain: gets the code of a file of keys that can't be read, once for each change.

    Raises UsageError where PyJWT is not installed.
    """

    def __init__(self, oauth: OAuth, complain: Callable[[str], None]) -> None:
        require_pyjwt()
        self._oauth = oauth
        self._keys: Reread[IssuerKeys] = Reread(
            oauth.jwks_file, partial(read_issuer_keys, algorithms=oauth.algorithms), {}, complain
        )

    def check(self, given: str, now: datetime) -> Token | None:
        """Return what a token allows at an instant, None where it does not count.

        Why is told to nobody: to its sender it would be a hint.
        """
        try:
            return _token(_claims(given, self._keys.now(), self._oauth, now.timestamp()), self._oauth)
        except ValueError:
            return None


def require_pyjwt() -> None:
    """Raise UsageError where PyJWT or what it verifies with is not installed."""
    try:
        import cryptography  # noqa: F401
        import jwt  # noqa: F401
    except ImportError:
        remedy = "pip install 'forecastle[oauth]', or leave serving.oauth out"
        raise UsageError.at("serving.oauth", "PyJWT or cryptography is not installed", remedy=remedy) from None


def read_issuer_keys(path: Path, algorithms: Collection[TokenAlgorithm]) -> IssuerKeys:
    """Return the keys of a JSON Web Key Set that may check these algorithms. Others in it are left alone.

    Raises StateError where it can't be read, has no such key with a kid, two with the same, or a private one.
    """
    from jwt import PyJWK, PyJWTError

    try:
        text = path.read_bytes()
        if len(text) > LARGEST_FILE:
            raise ValueError(f"over {LARGEST_FILE:,} bytes")
        found: dict[tuple[str, str], PyJWK] = {}
        for entry in _object(text)["keys"]:
            for algorithm in (one for one in algorithms if _fits(entry, one)):
                name = (entry["kid"], str(algorithm))
                if name in found:
                    raise ValueError("two keys of one kid")
                found[name] = PyJWK(entry, algorithm)
        if not found:
            raise ValueError("no key with a kid for serving.oauth.algorithms")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, PyJWTError) as error:
        why = (isinstance(error, ValueError) and str(error)) or type(error).__name__
        raise StateError.at(
            str(path),
            f"not a set of public keys ({why})",
            expected="a JSON Web Key Set, each key with a kid of its own",
            remedy="fetch the issuer's jwks_uri anew",
        ) from None
    return found


def _fits(entry: Mapping[str, Any], algorithm: TokenAlgorithm) -> bool:
    """Whether a key may check an algorithm. Raises ValueError for a private key, which belongs in no such file."""
    if "d" in entry or "k" in entry:
        raise ValueError("it holds a private or secret key")
    if not isinstance(entry.get("kid"), str) or entry.get("kty") != _FAMILY[algorithm]:
        return False
    if entry.get("alg", algorithm) != algorithm:
        return False
    if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ["verify"]):
        return False
    if entry["kty"] == "EC":
        return bool(entry.get("crv") == "P-256")
    modulus = int.from_bytes(_decoded(_word(entry.get("n"))))
    return modulus.bit_length() >= RSA_BITS


def _claims(given: str, keys: IssuerKeys, oauth: OAuth, now: float) -> Mapping[str, Any]:
    """Return the claims of a token whose signature, issuer, audience and times are right. Raises ValueError."""
    import jwt

    if len(given) > LONGEST or not is_token(given):
        raise ValueError("no token")
    head, body, _ = given.split(".")
    header, claims = _object(_decoded(head)), _object(_decoded(body))
    key = keys.get((_word(header.get("kid")), _word(header.get("alg"))))
    if key is None or "crit" in header or _word(header.get("typ", "JWT")).lower() not in TYPES:
        raise ValueError("another key or kind")
    try:
        jwt.decode(
            given,
            key,
            algorithms=[key.algorithm_name],
            audience=oauth.audience,
            issuer=oauth.issuer,
            options={
                "require": ["iss", "aud", "sub", "exp", "iat"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.PyJWTError:
        raise ValueError("not by the issuer for us") from None
    if claims["aud"] not in (oauth.audience, [oauth.audience]) or "cnf" in claims:  # cnf: bound to a key we don't ask
        raise ValueError("for others, or bound to a key")
    _check_times(claims, oauth, now)
    return claims


def _check_times(claims: Mapping[str, Any], oauth: OAuth, now: float) -> None:
    issued, ends = _seconds(claims["iat"]), _seconds(claims["exp"])
    begins = _seconds(claims["nbf"]) if "nbf" in claims else issued
    leeway = oauth.leeway_seconds
    if max(issued, begins) > now + leeway or ends <= now - leeway:
        raise ValueError("not now")
    if not 0 < ends - issued <= oauth.max_life_hours * 3600:
        raise ValueError("lives too long or no time")


def _token(claims: Mapping[str, Any], oauth: OAuth) -> Token:
    """Return what checked claims allow. Raises ValueError where they are of no kind that is known."""
    said = claims.get(oauth.scope_claim, "")
    words = said.split(" ") if isinstance(said, str) else _words(said)
    ours = {word.removeprefix(oauth.scope_prefix) for word in words if word.startswith(oauth.scope_prefix)}
    subject = _word(claims["sub"])
    principal = Principal(subject_key(oauth.issuer, subject), _teams(claims, oauth))
    return Token(principal, frozenset(scope for scope in Scope if scope in ours))


def _teams(claims: Mapping[str, Any], oauth: OAuth) -> frozenset[str] | None:
    """Return whose deals may be seen, None: everyone's. Raises ValueError where two claims contradict each other."""
    listed, everyone = claims.get(oauth.teams_claim, []), claims.get(oauth.all_teams_claim)
    if everyone is not None and not isinstance(everyone, bool):
        raise ValueError("neither true nor false")
    if listed in (EVERYONE, [EVERYONE]):
        if everyone is False:
            raise ValueError("all and not all")
        return None
    teams = _words(listed)
    if EVERYONE in teams or (everyone and teams):
        raise ValueError("all and some")
    if any(not team.strip() or len(team) > LONGEST_TEAM or not team.isprintable() for team in teams):
        raise ValueError("no name of a team")
    return None if everyone else frozenset(teams)


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def _object(text: bytes) -> dict[str, Any]:
    """Return a JSON object in which no member stands twice. Raises ValueError."""
    try:
        told = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise ValueError("no JSON in which each member stands once") from None
    if not isinstance(told, dict):
        raise ValueError("no JSON object")
    return told


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("twice")
    return members


def _no_number(_: str) -> NoReturn:
    raise ValueError("no number")


def _word(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("no text")
    return value


def _words(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError("no list of texts")
    return value


def _seconds(value: object) -> float:
    """Return a NumericDate: seconds since 1970. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e12:  # nor is NaN below it
        raise ValueError("no time")
    return float(value)
