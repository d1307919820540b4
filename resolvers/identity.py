"""Who asks: bearer tokens, read and issued."""

import base64
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import jwt
from jwt.algorithms import HMACAlgorithm

from resolvers.errors import Forbidden, Unauthenticated

ALGORITHM = "HS256"
SHORTEST_SECRET = 32
"""Bytes, as RFC 7518 section 3.2 asks for HS256."""
FEWEST_CHARACTERS = 8
"""Different ones in a secret: 32 times the same letter is long and no secret."""
LONGEST_USER = 128
LONGEST_TOKEN = 8_192


class Scope(StrEnum):
    """What a token lets its bearer do."""

    READ = "read"
    PUBLISH = "publish"
    OPS = "ops"


@dataclass(frozen=True, slots=True)
class Viewer:
    """The bearer of a token that counts until `expires_at` (aware)."""

    user: str
    scopes: frozenset[Scope]
    expires_at: datetime

    def require(self, scope: Scope) -> None:
        """Raise Forbidden unless the token carries `scope`."""
        if scope not in self.scopes:
            raise Forbidden(f"This needs a token with the scope '{scope}'.")


class PreparedHmac(HMACAlgorithm):
    """HS256 with a key that was prepared before.

    PyJWT prepares it for each token: it tries to read it as a PEM file, as an SSH key, as a certificate and as JSON, at
    the price of the rest of the verification.
    """

    def __init__(self) -> None:
        super().__init__(HMACAlgorithm.SHA256)

    def prepare_key(self, key: str | bytes) -> bytes:
        """The key of a PyJWK, which is prepared."""
        return key.encode() if isinstance(key, str) else key


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say beside its signature: `iss` and `aud` if given, its times within `leeway`.

    `scope_claim` names the claim with the scopes, space-separated or a list.
    """

    issuer: str | None = None
    audience: str | None = None
    leeway: timedelta = timedelta(seconds=30)
    scope_claim: str = "scope"

    def viewer(self, token: str, key: jwt.PyJWK, algorithm: str) -> Viewer:
        """The bearer of a token that `key` signed with `algorithm`. Raises Unauthenticated.

        Unknown scopes count for nothing.
        """
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                options={"require": ["sub", "exp"]},
                audience=self.audience,
                issuer=self.issuer,
                leeway=self.leeway.total_seconds(),
            )
            return self._viewer(claims)
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("Your token has expired. Get a new one and try again.") from error
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
            # Beside what PyJWT refuses: an expiry that no clock reaches, JSON nested without end.
            raise Unauthenticated("Your token is not valid here. Get a new one and try again.") from error

    def _viewer(self, claims: Mapping[str, Any]) -> Viewer:
        if not _is_user(claims["sub"]):
            raise Unauthenticated("Your token names no user.")
        asked = claims.get(self.scope_claim, "")
        given = asked if isinstance(asked, list) else str(asked).split()
        return Viewer(
            user=claims["sub"],
            scopes=frozenset(scope for scope in Scope if scope in given),
            expires_at=datetime.fromtimestamp(int(claims["exp"]), UTC),
        )


ANY = Expected()


def bearer(authorization: str | None) -> str:
    """The token of an `Authorization` header. Raises Unauthenticated."""
    if not authorization:
        raise Unauthenticated("Send your token in the header 'Authorization: Bearer <token>'.")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("The Authorization header must read 'Bearer <token>'.")
    if len(token) > LONGEST_TOKEN:
        raise Unauthenticated(f"A token has at most {LONGEST_TOKEN} characters.")
    return token.strip()


class Tokens:
    """Issues and reads HS256 tokens with the claims `sub`, `exp` and `scope` (space-separated)."""

    def __init__(self, *, secret: str, expected: Expected = ANY) -> None:
        """Raises ValueError for a secret that can be guessed."""
        if len(secret.encode()) < SHORTEST_SECRET or len(set(secret)) < FEWEST_CHARACTERS:
            raise ValueError(
                f"AUTH_SECRET must be at least {SHORTEST_SECRET} bytes, and not one that can be guessed; make one with:"
                " python -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
        self._secret = secret
        self._expected = expected
        encoded = base64.urlsafe_b64encode(secret.encode()).decode()
        self._key = jwt.PyJWK({"kty": "oct", "k": encoded, "alg": ALGORITHM})
        self._key.Algorithm = PreparedHmac()

    def issue(self, *, user: str, scopes: frozenset[Scope], lasts: timedelta) -> str:
        """A token for `user`. Raises ValueError for a user name that a token cannot carry."""
        if not _is_user(user):
            raise ValueError(f"a user is 1 to {LONGEST_USER} printable characters")
        expected = self._expected
        claims = {
            "sub": user,
            "exp": datetime.now(UTC) + lasts,
            expected.scope_claim: " ".join(sorted(scopes)),
            **({"iss": expected.issuer} if expected.issuer else {}),
            **({"aud": expected.audience} if expected.audience else {}),
        }
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    async def read(self, token: str) -> Viewer:
        """The viewer of a token of ours. Raises Unauthenticated; unknown scopes count for nothing."""
        return self._expected.viewer(token, self._key, ALGORITHM)


class Verified:
    """Tokens that were read a moment ago: a client that polls sends the same one, and a signature costs 70 us.

    The last `most` of them, each for `trusted` at most, and never beyond its end.
    """

    def __init__(
        self,
        read: Callable[[str], Awaitable[Viewer]],
        *,
        trusted: timedelta = timedelta(minutes=1),
        most: int = 20_000,
    ) -> None:
        self._read = read
        self._trusted = trusted
        self._most = most
        self._kept: OrderedDict[str, tuple[Viewer, datetime]] = OrderedDict()

    async def read(self, token: str) -> Viewer:
        """As `Tokens.read`."""
        now = datetime.now(UTC)
        if (kept := self._kept.get(token)) and now < kept[1]:
            return kept[0]
        viewer = await self._read(token)
        self._kept.pop(token, None)
        self._kept[token] = (viewer, min(viewer.expires_at, now + self._trusted))
        self._forget(now)
        return viewer

    def _forget(self, now: datetime) -> None:
        """The oldest first: those that are trusted no more, and those that are too many."""
        while self._kept and (len(self._kept) > self._most or next(iter(self._kept.values()))[1] <= now):
            self._kept.popitem(last=False)


def _is_user(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= LONGEST_USER and name.isprintable()
