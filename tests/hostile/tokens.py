"""Tokens that must not count: forged, confused, expired, too early, without end."""

import base64
import time
from typing import Any

import jwt
import orjson

from tests.hostile.wire import Hostile, request
from tests.support.server import SECRET, token

BODY = b'{"query":"{ __typename }"}'
NO, NOT_ALLOWED = "UNAUTHENTICATED", "FORBIDDEN"


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


def _claims(**changes: Any) -> dict[str, Any]:
    claims = {"sub": "alice", "scope": "read", "exp": int(time.time()) + 3600} | changes
    return {name: value for name, value in claims.items() if value is not ...}


def _signed(key: str = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **changes: Any) -> str:
    return jwt.encode(_claims(**changes), key, algorithm=algorithm, headers=headers)


def _unsigned(header: object, signature: str = "") -> str:
    return f"{_part(header)}.{_part(_claims())}.{signature}"


def _with(authorization: str | bytes) -> bytes:
    return request(headers={"Authorization": authorization}, body=BODY, user=None)


def forged() -> list[Hostile]:
    """Nothing but HS256 by our secret is a signature, whatever a token says of itself."""
    head, claims, signature = token("alice").split(".")
    other = _part(_claims(sub="bob", scope="read publish ops"))
    public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----".replace("KEY", "K")
    kids: dict[str, object] = {
        "a path": "../../../../dev/null",
        "SQL": "x' UNION SELECT 'secret",
        "a command": "|/bin/sh",
        "an address": "https://evil.example/jwks.json",
        "an object": {"a": 1},
        "a null byte": "\0",
    }
    tokens = {
        "alg none": _unsigned({"alg": "none", "typ": "JWT"}),
        "alg None": _unsigned({"alg": "None"}),
        "alg NONE with a signature": _unsigned({"alg": "NONE"}, signature),
        "alg left out": _unsigned({"typ": "JWT"}, signature),
        "alg null": _unsigned({"alg": None}, signature),
        "alg a list": _unsigned({"alg": ["HS256", "none"]}, signature),
        "alg unknown": _unsigned({"alg": "HS9000"}, signature),
        "alg RS256 on our signature": _unsigned({"alg": "RS256"}, signature),
        "alg ES256 with an empty signature": _unsigned({"alg": "ES256"}),
        "ES256 of zeros": _unsigned({"alg": "ES256"}, base64.urlsafe_b64encode(bytes(64)).rstrip(b"=").decode()),
        "HS384 by our secret": _signed(SECRET * 2, "HS384"),
        "HS512 by our secret": _signed(SECRET * 2, "HS512"),
        "another secret": _signed("a secret of somebody else, long enough it is"),
        "a public key as secret": _signed(public),
        "no secret at all": _unsigned({"alg": "HS256"}),
        "changed claims": f"{head}.{other}.{signature}",
        "a changed header": f"{_part({'alg': 'HS256', 'x': 1})}.{claims}.{signature}",
        "a shortened signature": f"{head}.{claims}.{signature[:-4]}",
        "its own key": _unsigned({"alg": "HS256", "jwk": {"kty": "oct", "k": "YQ"}}, signature),
        "the address of its keys": _unsigned({"alg": "HS256", "jku": "https://evil.example/"}, signature),
        "critical extensions": _signed(headers={"crit": ["exp-else"], "exp-else": 1}),
        "an encrypted token": _unsigned({"alg": "dir", "enc": "A256GCM"}) + "..",
        "a payload that is a list": f"{head}.{_part([1])}.{signature}",
        "a payload that is no JSON": f"{head}.YQ.{signature}",
        "four parts": f"{head}.{claims}.{signature}.{signature}",
        "two parts": f"{head}.{claims}",
        "dots": ".....",
        "no base64": "a.b.c",
        "a header nested deeply": base64.urlsafe_b64encode(b"[" * 3_000).rstrip(b"=").decode()
        + f".{claims}.{signature}",
    }
    return [
        *(Hostile(f"token: {name}", _with(f"Bearer {one}"), 401, NO) for name, one in tokens.items()),
        *(
            Hostile(f"kid: {name}", _with(f"Bearer {_unsigned({'alg': 'HS256', 'kid': kid}, signature)}"), 401, NO)
            for name, kid in kids.items()
        ),
    ]


def claimed() -> list[Hostile]:
    """A good signature under claims that do not hold."""
    now = int(time.time())
    claims: dict[str, dict[str, Any]] = {
        "expired": {"exp": now - 3600},
        "expired in 1970": {"exp": 0},
        "of no expiry": {"exp": ...},
        "expiry null": {"exp": None},
        "expiry as words": {"exp": "tomorrow"},
        "expiry beyond all clocks": {"exp": 10**30},
        "expiry infinite": {"exp": "Infinity"},
        "expiry negative": {"exp": -(10**18)},
        "not yet valid": {"nbf": now + 3600},
        "issued in the future": {"iat": now + 3600},
        "valid from words": {"nbf": "soon"},
        "of nobody": {"sub": ...},
        "of the empty user": {"sub": ""},
        "of a numbered user": {"sub": 7},
        "of a listed user": {"sub": ["alice"]},
        "of a user of 10,000 letters": {"sub": "a" * 3_000},
        "of a user with a line feed": {"sub": "alice\nbob"},
        "of a user with a null byte": {"sub": "alice\0"},
        "of a user written backwards": {"sub": "alice\u202e"},
        "for another audience": {"aud": "somebody else"},
    }
    scopes: dict[str, object] = {
        "no scope": "",
        "an unknown scope": "root",
        "a scope in capitals": "READ",
        "scopes in commas": "read,ops",
        "scopes as an object": {"read": True},
        "scopes null": None,
        "scopes of numbers": [1, 2],
    }
    return [
        *(Hostile(f"token {name}", _with(f"Bearer {_signed_raw(**one)}"), 401, NO) for name, one in claims.items()),
        *(
            Hostile(f"token with {name}", _with(f"Bearer {_signed(scope=one)}"), 403, NOT_ALLOWED)
            for name, one in scopes.items()
        ),
    ]


def _signed_raw(**changes: Any) -> str:
    """Signed past PyJWT's own checks of what it signs."""
    return jwt.api_jws.encode(orjson.dumps(_claims(**changes)) if _small(changes) else _big(changes), SECRET, "HS256")


def _small(changes: dict[str, Any]) -> bool:
    return not any(isinstance(value, int) and abs(value) > 2**63 for value in changes.values())


def _big(changes: dict[str, Any]) -> bytes:
    import json

    return json.dumps(_claims(**changes)).encode()


def carried() -> list[Hostile]:
    """Ways to bring a token that are none."""
    good = token("alice")
    ways: dict[str, str | bytes] = {
        "no scheme": good,
        "Basic": "Basic YWxpY2U6YWxpY2U=",
        "the scheme alone": "Bearer",
        "an empty token": "Bearer ",
        "two schemes": f"Bearer Bearer {good}",
        "a token and more": f"Bearer {good}, Bearer {good}",
        "quotes": f'Bearer "{good}"',
        "bytes beyond ASCII": b"Bearer \xff\xfe\xfd",
        "20 KB of it": "Bearer " + "a" * 20_000,
        "JSON": 'Bearer {"sub":"alice"}',
    }
    return [
        *(Hostile(f"authorization: {name}", _with(way), 401, NO) for name, way in ways.items()),
        Hostile("no token", request(body=BODY, user=None), 401, NO),
        Hostile(
            "a token in the address", request("POST", f"/graphql?access_token={good}", body=BODY, user=None), 401, NO
        ),
        Hostile("a token in a cookie", request(headers={"Cookie": f"token={good}"}, body=BODY, user=None), 401, NO),
        Hostile(
            "a token in the body",
            request(body=b'{"query":"{ a }","token":"' + good.encode() + b'"}', user=None),
            401,
            NO,
        ),
        Hostile(
            "a user by header", request(headers={"X-User": "alice", "X-Scopes": "ops"}, body=BODY, user=None), 401, NO
        ),
    ]
