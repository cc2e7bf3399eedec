"""Access tokens: real keys, real signatures, and what an attacker would send instead. All of it gets the same 401."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import string
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from configs.errors import StateError
from configs.oauth import OAuth
from configs.vocab import TokenAlgorithm
from serving.principal import Scope
from serving.tokens import LONGEST, Token, Tokens, is_token, read_issuer_keys, subject_key
from tests.issuer import AUDIENCE, ISSUER, SUBJECT, Issuer, ec, public, rsa, seconds
from tests.service.conftest import NOW, Serve, Served

pytestmark = pytest.mark.timeout(120)  # the first of them makes the session's world

Attack = Callable[[Issuer], str]
LEEWAY, HOUR = 60, 3600
FAR = 10**400


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path / "jwks.json", seconds(NOW))


def segment(value: object) -> str:
    """A part of a token: JSON, or a text as it is."""
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def signed(header: object, claims: object) -> str:
    """A token of any words that the issuer's RSA key did sign."""
    head = f"{segment(header)}.{segment(claims)}"
    signature = jwt.get_algorithm_by_name("RS256").sign(head.encode(), rsa("r1"))
    return f"{head}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def by_secret(issuer: Issuer, secret: bytes, **header: Any) -> str:
    """A token with an HMAC of a text that everybody knows, such as the public key."""
    head = f"{segment({'alg': 'HS256', 'kid': 'r1', **header})}.{segment(issuer.claims())}"
    digest = hmac.new(secret, head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def check(issuer: Issuer, token: str, at: int = 0, **oauth: Any) -> Token | None:
    """What a token allows, so many seconds after the issuer's now; nothing may be complained of."""
    complaints: list[str] = []
    told = Tokens(issuer.oauth(**oauth), complaints.append).check(token, datetime.fromtimestamp(issuer.now + at, UTC))
    assert complaints == []
    return told


@pytest.mark.parametrize(
    ("algorithm", "kid", "key"),
    [("RS256", "r1", rsa("r1")), ("PS256", "r1", rsa("r1")), ("ES256", "e1", ec("e1"))],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt", "application/at+jwt"])
def test_a_good_token_counts(issuer: Issuer, algorithm: str, kid: str, key: Any, typ: str | None) -> None:
    token = jwt.encode(issuer.claims(), key, algorithm, headers={"kid": kid, "typ": typ})
    assert is_token(token)
    found = check(issuer, token)
    assert found is not None
    assert found.scopes == {Scope.SCORE, Scope.READ}
    assert (found.principal.key, found.principal.teams) == (subject_key(ISSUER, SUBJECT), {"West"})
    others = [str(one) for one in TokenAlgorithm if one != algorithm]
    assert check(issuer, token, algorithms=others) is None


ATTACKS: dict[str, Attack] = {
    "no signature": lambda issuer: issuer.token().rpartition(".")[0] + ".",
    "alg none": lambda issuer: f"{segment({'alg': 'none', 'kid': 'r1'})}.{segment(issuer.claims())}.",
    "alg none by PyJWT": lambda issuer: jwt.encode(issuer.claims(), "", "none", headers={"kid": "r1"}),
    "alg nOnE": lambda issuer: f"{segment({'alg': 'nOnE', 'kid': 'r1'})}.{segment(issuer.claims())}.",
    "no alg": lambda issuer: signed({"kid": "r1"}, issuer.claims()),
    "alg a list": lambda issuer: signed({"kid": "r1", "alg": ["RS256"]}, issuer.claims()),
    "public key as secret, PEM": lambda issuer: by_secret(issuer, pem()),
    "public key as secret, JWK": lambda issuer: by_secret(issuer, json.dumps(issuer.keys[0]).encode()),
    "public key as secret, no kid": lambda issuer: by_secret(issuer, pem(), kid=None),
    "empty secret": lambda issuer: by_secret(issuer, b""),
    "another RSA key": lambda issuer: jwt.encode(issuer.claims(), rsa("thief"), "RS256", headers={"kid": "r1"}),
    "another EC key": lambda issuer: jwt.encode(issuer.claims(), ec("thief"), "ES256", headers={"kid": "e1"}),
    "RSA signature, EC kid": lambda issuer: issuer.token({"kid": "e1"}),
    "EC signature, RSA kid": lambda issuer: jwt.encode(issuer.claims(), ec("e1"), "ES256", headers={"kid": "r1"}),
    "RS256 said to be PS256": lambda issuer: signed({"kid": "r1", "alg": "PS256"}, issuer.claims()),
    "RS256 said to be ES256": lambda issuer: signed({"kid": "e1", "alg": "ES256"}, issuer.claims()),
    "RS512": lambda issuer: jwt.encode(issuer.claims(), rsa("r1"), "RS512", headers={"kid": "r1"}),
    "ES256 all zero": lambda issuer: (
        f"{segment({'alg': 'ES256', 'kid': 'e1'})}.{segment(issuer.claims())}.{'A' * 86}"
    ),
    "no kid": lambda issuer: jwt.encode(issuer.claims(), rsa("r1"), "RS256"),
    "unknown kid": lambda issuer: issuer.token({"kid": "r2"}),
    "kid a path": lambda issuer: by_secret(issuer, b"", kid="../../dev/null"),
    "kid SQL": lambda issuer: by_secret(issuer, b"x", kid="r1' UNION SELECT 'x"),
    "kid a number": lambda issuer: signed({"alg": "RS256", "kid": 1}, issuer.claims()),
    "kid an object": lambda issuer: signed({"alg": "RS256", "kid": {"r1": 1}}, issuer.claims()),
    "its own key in the head": lambda issuer: jwt.encode(
        issuer.claims(), rsa("thief"), "RS256", headers={"kid": "thief", "jwk": public("thief", rsa("thief"))}
    ),
    "an address of keys in the head": lambda issuer: jwt.encode(
        issuer.claims(), rsa("thief"), "RS256", headers={"kid": "thief", "jku": "http://127.0.0.1:1/jwks.json"}
    ),
    "crit": lambda issuer: signed({"alg": "RS256", "kid": "r1", "crit": ["exp"], "exp": 1}, issuer.claims()),
    "b64 false": lambda issuer: signed({"alg": "RS256", "kid": "r1", "crit": ["b64"], "b64": False}, issuer.claims()),
    "typ of a logout token": lambda issuer: issuer.token({"typ": "logout+jwt"}),
    "typ a number": lambda issuer: signed({"alg": "RS256", "kid": "r1", "typ": 1}, issuer.claims()),
    "claims changed": lambda issuer: ".".join(
        (issuer.token().split(".")[0], segment(issuer.claims(teams=["East"])), issuer.token().split(".")[2])
    ),
    "alg twice": lambda issuer: signed('{"alg": "none", "kid": "r1", "alg": "RS256"}', issuer.claims()),
    "scope twice": lambda issuer: signed({"alg": "RS256", "kid": "r1"}, twice(issuer, "scope", "events")),
    "exp twice": lambda issuer: signed({"alg": "RS256", "kid": "r1"}, twice(issuer, "exp", issuer.now + 60)),
    "nested twice": lambda issuer: signed(
        {"alg": "RS256", "kid": "r1"}, json.dumps(issuer.claims())[:-1] + ', "x": {"y": 1, "y": 2}}'
    ),
    "NaN": lambda issuer: signed({"alg": "RS256", "kid": "r1"}, issuer.claims(exp=float("nan"))),
    "claims a list": lambda issuer: signed({"alg": "RS256", "kid": "r1"}, [issuer.claims()]),
    "head a list": lambda issuer: signed(["RS256"], issuer.claims()),
    "no JSON": lambda issuer: signed({"alg": "RS256", "kid": "r1"}, "{"),
    "nested deep": lambda issuer: signed({"alg": "RS256", "kid": "r1"}, '{"x":' + "[" * 3000 + "]" * 3000 + "}"),
    "a number of 5,000 digits": lambda issuer: signed({"alg": "RS256", "kid": "r1"}, '{"exp": ' + "9" * 5000 + "}"),
    "huge": lambda issuer: issuer.token(teams=["West", *(f"{n:0200}" for n in range(50))]),
    "padding and junk": lambda issuer: issuer.token() + "!!",
    "a line break": lambda issuer: issuer.token().replace(".", ".\n", 1),
    "no part": lambda issuer: "..",
    "no issuer": lambda issuer: issuer.token(iss=None),
    "another issuer": lambda issuer: issuer.token(iss=ISSUER.rstrip("/")),
    "issuers": lambda issuer: signed({"alg": "RS256", "kid": "r1"}, issuer.claims(iss=[ISSUER])),
    "no audience": lambda issuer: issuer.token(aud=None),
    "another audience": lambda issuer: issuer.token(aud="forecastle2"),
    "case of the audience": lambda issuer: issuer.token(aud="Forecastle"),
    "for others too": lambda issuer: issuer.token(aud=[AUDIENCE, "wiki"]),
    "audience an object": lambda issuer: issuer.token(aud={AUDIENCE: 1}),
    "no subject": lambda issuer: issuer.token(sub=None),
    "an empty subject": lambda issuer: issuer.token(sub=""),
    "subject a number": lambda issuer: signed({"alg": "RS256", "kid": "r1"}, issuer.claims(sub=4711)),
    "no exp": lambda issuer: issuer.token(exp=None),
    "no iat": lambda issuer: issuer.token(iat=None),
    "exp a text": lambda issuer: issuer.token(exp=str(issuer.now + HOUR)),
    "exp true": lambda issuer: issuer.token(exp=True),
    "exp beyond numbers": lambda issuer: issuer.token(exp=FAR),
    "exp infinite": lambda issuer: signed(
        {"alg": "RS256", "kid": "r1"}, json.dumps(issuer.claims(exp=0)).replace('"exp": 0', '"exp": 1e999')
    ),
    "iat a text": lambda issuer: issuer.token(iat="0"),
    "nbf a text": lambda issuer: issuer.token(nbf="0"),
    "nbf null": lambda issuer: signed({"alg": "RS256", "kid": "r1"}, issuer.claims() | {"nbf": None}),
    "exp before iat": lambda issuer: issuer.token(iat=issuer.now + 30, exp=issuer.now + 20),
    "lives too long": lambda issuer: issuer.token(exp=issuer.now + 24 * HOUR + 1),
    "bound to a key": lambda issuer: issuer.token(cnf={"jkt": "x"}),
    "scopes a number": lambda issuer: issuer.token(scope=1),
    "scopes an object": lambda issuer: issuer.token(scope={"read": True}),
    "a scope no text": lambda issuer: issuer.token(scope=["read", 1]),
    "teams a text": lambda issuer: issuer.token(teams="West"),
    "teams null": lambda issuer: signed({"alg": "RS256", "kid": "r1"}, issuer.claims() | {"teams": None}),
    "a team no text": lambda issuer: issuer.token(teams=["West", ["East"]]),
    "an empty team": lambda issuer: issuer.token(teams=[" "]),
    "a team with a line break": lambda issuer: issuer.token(teams=["a\nb"]),
    "all and some": lambda issuer: issuer.token(teams=["*", "West"]),
    "all teams and some": lambda issuer: issuer.token(all_teams=True),
    "all teams a text": lambda issuer: issuer.token(all_teams="true", teams=None),
    "all teams 1": lambda issuer: issuer.token(all_teams=1, teams=None),
    "all and not all": lambda issuer: issuer.token(teams="*", all_teams=False),
}


def pem() -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return rsa("r1").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def twice(issuer: Issuer, name: str, value: object) -> str:
    """Claims in which a member stands a second time."""
    return json.dumps(issuer.claims())[:-1] + f", {json.dumps(name)}: {json.dumps(value)}}}"


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_no_good_token_does_not_count(issuer: Issuer, attack: str) -> None:
    assert check(issuer, issuer.token()) is not None
    assert check(issuer, ATTACKS[attack](issuer)) is None


def test_the_helper_that_signs_attacks_signs_what_counts(issuer: Issuer) -> None:
    """Else the table would pass for its signatures alone."""
    assert check(issuer, signed({"alg": "RS256", "kid": "r1"}, issuer.claims())) is not None
    assert check(issuer, signed({"alg": "RS256", "kid": "r1"}, json.dumps(issuer.claims()))) is not None


@pytest.fixture
def tokened(serve: Serve, issuer: Issuer) -> Served:
    """The app, taking tokens."""
    return serve(oauth=issuer.oauth())


def test_every_refusal_is_the_same_answer(tokened: Served, issuer: Issuer) -> None:
    """Byte for byte that of a wrong key, of no key, and of a token in a place where only keys count."""

    def told(headers: dict[str, str]) -> tuple[int, bytes, Any]:
        answer = tokened.client.get("/v1/status", headers={"X-Request-Id": "same"} | headers)
        return answer.status_code, answer.content, answer.headers

    expected = told({})
    assert expected[0] == 401
    assert told({"Authorization": "Bearer fc_00000000_no"}) == expected
    assert told({"X-API-Key": issuer.token(scope="status")}) == expected
    assert told({"Cookie": f"token={issuer.token(scope='status')}"}) == expected
    for name, attack in ATTACKS.items():
        token = attack(issuer)
        if "\n" not in token:  # which no client sends
            assert told({"Authorization": f"Bearer {token}"}) == expected, name
    assert "access token" in json.loads(expected[1])["detail"]
    assert {line["status"] for line in tokened.lines} == {401}
    assert told({"Authorization": f"Bearer {issuer.token(scope='status')}"})[0] == 200


@pytest.mark.parametrize(
    ("claims", "at", "counts"),
    [
        ({}, 3600 + LEEWAY - 1, True),
        ({}, 3600 + LEEWAY, False),
        ({}, -LEEWAY, True),
        ({}, -LEEWAY - 1, False),
        ({"nbf": 100}, 100 - LEEWAY, True),
        ({"nbf": 100}, 100 - LEEWAY - 1, False),
        ({"exp": 24 * HOUR}, 0, True),
        ({"exp": 24 * HOUR + 0.5}, 0, False),
        ({"iat": -24 * HOUR, "exp": 0}, 0, True),
        ({"iat": -23 * HOUR, "exp": -LEEWAY}, 0, False),
    ],
)
def test_times_to_the_second(issuer: Issuer, claims: dict[str, float], at: int, counts: bool) -> None:
    token = issuer.token(**{name: issuer.now + value for name, value in claims.items()})
    assert (check(issuer, token, at) is not None) is counts


def test_a_config_sets_leeway_and_life(issuer: Issuer) -> None:
    token = issuer.token()
    assert check(issuer, token, 3600, leeway_seconds=0) is None
    assert check(issuer, token, 3599, leeway_seconds=0) is not None
    assert check(issuer, token, max_life_hours=0.99) is None


@pytest.mark.parametrize(
    ("claims", "oauth", "scopes", "teams"),
    [
        ({"scope": None}, {}, set(), {"West"}),
        ({"scope": ""}, {}, set(), {"West"}),
        ({"scope": "openid score Read admin"}, {}, {"score"}, {"West"}),
        ({"scope": ["score", "status"]}, {}, {"score", "status"}, {"West"}),
        ({"scope": "score,read"}, {}, set(), {"West"}),
        ({"scope": "fc:score read fc:fc:read"}, {"scope_prefix": "fc:"}, {"score"}, {"West"}),
        ({"scp": "read"}, {"scope_claim": "scp"}, {"read"}, {"West"}),
        ({"https://x/teams": ["A", "B"]}, {"teams_claim": "https://x/teams"}, {"score", "read"}, {"A", "B"}),
        ({"teams": None}, {}, {"score", "read"}, set()),
        ({"teams": []}, {}, {"score", "read"}, set()),
        ({"teams": ["*"]}, {}, {"score", "read"}, None),
        ({"teams": "*"}, {}, {"score", "read"}, None),
        ({"teams": None, "all_teams": True}, {}, {"score", "read"}, None),
        ({"teams": ["*"], "all_teams": True}, {}, {"score", "read"}, None),
        ({"all_teams": False}, {}, {"score", "read"}, {"West"}),
        ({"aud": [AUDIENCE]}, {}, {"score", "read"}, {"West"}),
    ],
    ids=str,
)
def test_what_a_token_allows(
    issuer: Issuer, claims: dict[str, Any], oauth: dict[str, Any], scopes: set[str], teams: set[str] | None
) -> None:
    found = check(issuer, issuer.token(**claims), **oauth)
    assert found is not None
    assert {str(scope) for scope in Scope if found.may(scope)} == scopes
    assert found.principal.teams == teams


def test_the_name_in_logs_is_a_digest_of_issuer_and_subject() -> None:
    names = {subject_key(*pair) for pair in [("a", "bc"), ("ab", "c"), ("a", "b"), ('a","b', ""), ("a", "\ud800")]}
    assert len(names) == 5
    assert all(re.fullmatch(r"jwt_[0-9a-f]{32}", name) for name in names)


def test_log_and_answers_show_no_subject(tokened: Served, issuer: Issuer) -> None:
    headers = {"Authorization": f"Bearer {issuer.token(scope='status')}"}
    answers = [tokened.client.get(path, headers=headers) for path in ("/v1/status", "/v1/deals")]
    assert [answer.status_code for answer in answers] == [200, 403]
    assert "token lacks the scope read" in answers[1].json()["detail"]
    assert [line["key"] for line in tokened.lines] == [subject_key(ISSUER, SUBJECT)] * 2
    assert SUBJECT not in json.dumps(tokened.lines) + "".join(answer.text for answer in answers)


@pytest.mark.parametrize(("switched_on", "status"), [(True, 200), (False, 401)])
def test_keys_count_beside_tokens_and_tokens_only_where_they_are_switched_on(
    serve: Serve, issuer: Issuer, switched_on: bool, status: int
) -> None:
    served = serve(oauth=issuer.oauth() if switched_on else None)
    headers = {"Authorization": f"Bearer {issuer.token(scope='status')}"}
    assert served.client.get("/v1/status", headers=served.headers).status_code == 200
    assert served.client.get("/v1/status", headers=headers).status_code == status


def test_a_rate_is_of_one_client(serve: Serve, issuer: Issuer) -> None:
    """However many tokens it has."""
    served = serve(oauth=issuer.oauth(), rate_per_second=0.001, rate_burst=1)

    def ask(subject: str, **more: Any) -> int:
        token = issuer.token(sub=subject, scope="score", **more)
        return served.client.post("/v1/deals/score", headers={"Authorization": f"Bearer {token}"}).status_code

    assert [ask("a"), ask("a", exp=issuer.now + 60), ask("b"), ask("b")] == [415, 429, 415, 429]


def test_another_file_of_keys_counts_at_once(issuer: Issuer) -> None:
    complaints: list[str] = []
    tokens = Tokens(issuer.oauth(), complaints.append)
    old, new = issuer.token(), jwt.encode(issuer.claims(), rsa("r2"), "RS256", headers={"kid": "r2"})

    def counts() -> list[bool]:
        return [tokens.check(token, NOW) is not None for token in (old, new)]

    assert counts() == [True, False]
    issuer.publish(public("r2", rsa("r2")))
    assert counts() == [True, True]
    issuer.keys = [public("r2", rsa("r2"))]
    issuer.publish()
    assert counts() == [False, True]
    issuer.jwks_file.write_text("{")
    assert (counts(), counts(), complaints) == ([False] * 2, [False] * 2, ["state_error"])
    issuer.jwks_file.unlink()
    assert counts() == [False, False]
    issuer.publish()
    assert (counts(), complaints) == ([False, True], ["state_error"])


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ([], "no key with a kid"),
        ([public(None, rsa("r1"))], "no key with a kid"),
        ([public("r1", rsa("small", 1024))], "no key with a kid"),
        ([public("e1", ec("384"))], "no key with a kid"),
        ([public("r1", rsa("r1"), use="enc")], "no key with a kid"),
        ([public("r1", rsa("r1"), key_ops=["encrypt"])], "no key with a kid"),
        ([public("r1", rsa("r1"), alg="RS512")], "no key with a kid"),
        ([public("r1", rsa("r1")), public("r1", rsa("r2"))], "two keys of one kid"),
        ([public("r1", rsa("r1")), {"kty": "oct", "kid": "s", "k": "c2VjcmV0"}], "private or secret"),
        ([public("r1", rsa("r1"), d="AQAB")], "private or secret"),
        ([1], "not a set"),
        ({"r1": public("r1", rsa("r1"))}, "not a set"),
        ([public("r1", rsa("r1")) | {"n": 5}], "not a set"),
        ([public("e1", ec("e1")) | {"x": "AA"}], "not a set"),
    ],
)
def test_a_file_that_is_no_set_of_public_keys_is_named(tmp_path: Path, keys: Any, word: str) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": keys}))
    with pytest.raises(StateError, match=word) as told:
        read_issuer_keys(path, TokenAlgorithm)
    assert str(path) in str(told.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": [], "keys": []}', "\ud800" * 2, " " * 1_000_001])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(StateError, match="not a set of public keys"):
        read_issuer_keys(path, TokenAlgorithm)
    with pytest.raises(StateError):
        read_issuer_keys(tmp_path, TokenAlgorithm)


def test_keys_for_other_uses_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    others = [public("x", rsa("r2"), use="enc"), public("y", ec("384")), {"kty": "OKP", "kid": "z", "crv": "Ed25519"}]
    path.write_text(json.dumps({"keys": [*others, public("r1", rsa("r1"), alg="PS256", use="sig")]}))
    assert set(read_issuer_keys(path, TokenAlgorithm)) == {("r1", "PS256")}


ALPHABET = string.ascii_letters + string.digits + "-_=.é"


@given(st.text(ALPHABET, max_size=60), st.integers(0, 700), st.integers(0, 700))
@example("", 0, LONGEST)
def test_a_token_with_a_change_anywhere_does_not_count(
    tmp_path_factory: pytest.TempPathFactory, other: str, start: int, end: int
) -> None:
    """Nor does it raise."""
    issuer = Issuer(tmp_path_factory.getbasetemp() / "changed.json", seconds(NOW))
    token = issuer.token()
    changed = token[:start] + other + token[max(start, end) :]
    for text in (changed, other, f"{other}.{other}.{other}"):
        assert check(issuer, text) is None or text.rstrip("=") == token


@pytest.mark.parametrize(
    "wrong",
    [
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"algorithms": []},
        {"algorithms": ["RS256", "RS256"]},
        {"issuer": ""},
        {"audience": ""},
        {"leeway_seconds": 301},
        {"max_life_hours": 0},
        {"jwks_url": "https://id.example/jwks"},
    ],
    ids=str,
)
def test_a_config_that_would_open_a_door_is_refused(issuer: Issuer, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        issuer.oauth(**wrong)


def test_without_pyjwt_the_service_runs_and_a_config_with_tokens_says_what_to_install(tmp_path: Path) -> None:
    """It is no part of the serving set."""
    script = """
import sys
sys.modules["jwt"] = None
import serving.app
from configs.errors import UsageError
from configs.oauth import OAuth
from serving.tokens import Tokens
try:
    Tokens(OAuth(issuer="i", audience="a", jwks_file="none.json"), print)
except UsageError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "forecastle[oauth]" in run.stdout
    assert OAuth(issuer="i", audience="a", jwks_file=tmp_path).algorithms == (TokenAlgorithm.RS256,)
