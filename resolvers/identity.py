"""Who asks: bearer tokens, read and issued."""

import base64
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import jwt
from jwt.algorithms import HMACAlgorithm

from resolvers.errors import Forbidden, Unauthenticated

ALGORITHM = "HS256"
SHORTEST_SECRET = 32
"""Bytes, as RFC 7518 section 3.2 asks for HS256."""
LONGEST_USER = 128


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


class Tokens:
    """Issues and reads HS256 tokens with the claims `sub`, `exp` and `scope` (space-separated)."""

    def __init__(self, *, secret: str) -> None:
        """Raises ValueError for a secret that is too short to be one."""
        if len(secret.encode()) < SHORTEST_SECRET:
            raise ValueError(
                f"AUTH_SECRET must be at least {SHORTEST_SECRET} bytes; make one with:"
                " python -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
        self._secret = secret
        encoded = base64.urlsafe_b64encode(secret.encode()).decode()
        self._key = jwt.PyJWK({"kty": "oct", "k": encoded, "alg": ALGORITHM})
        self._key.Algorithm = PreparedHmac()

    def issue(self, *, user: str, scopes: frozenset[Scope], lasts: timedelta) -> str:
        """A token for `user`. Raises ValueError for a user name that a token cannot carry."""
        if not _is_user(user):
            raise ValueError(f"a user is 1 to {LONGEST_USER} printable characters")
        claims = {
            "sub": user,
            "exp": datetime.now(UTC) + lasts,
            "scope": " ".join(sorted(scopes)),
        }
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def read(self, authorization: str | None) -> Viewer:
        """The viewer of an `Authorization` header. Raises Unauthenticated; unknown scopes count for nothing."""
        if not authorization:
            raise Unauthenticated("Send your token in the header 'Authorization: Bearer <token>'.")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("The Authorization header must read 'Bearer <token>'.")
        try:
            claims = jwt.decode(token.strip(), self._key, algorithms=[ALGORITHM], options={"require": ["sub", "exp"]})
        except jwt.ExpiredSignatureError as error:
            raise Unauthenticated("Your token has expired. Get a new one and try again.") from error
        except jwt.InvalidTokenError as error:
            raise Unauthenticated("Your token is not valid here. Get a new one and try again.") from error
        if not _is_user(claims["sub"]):
            raise Unauthenticated("Your token names no user.")
        asked = str(claims.get("scope", "")).split()
        return Viewer(
            user=claims["sub"],
            scopes=frozenset(scope for scope in Scope if scope in asked),
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )


class Verified:
    """Tokens that were read a moment ago: a client that polls sends the same one, and a signature costs 70 us.

    The last `most` of them, each for `trusted` at most, and never beyond its end.
    """

    def __init__(
        self, read: Callable[[str | None], Viewer], *, trusted: timedelta = timedelta(minutes=1), most: int = 20_000
    ) -> None:
        self._read = read
        self._trusted = trusted
        self._most = most
        self._kept: OrderedDict[str, tuple[Viewer, datetime]] = OrderedDict()

    def __call__(self, authorization: str | None) -> Viewer:
        """As `Tokens.read`."""
        now = datetime.now(UTC)
        if authorization and (kept := self._kept.get(authorization)) and now < kept[1]:
            return kept[0]
        viewer = self._read(authorization)
        if authorization:
            self._kept.pop(authorization, None)
            self._kept[authorization] = (viewer, min(viewer.expires_at, now + self._trusted))
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return viewer


def _is_user(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= LONGEST_USER and name.isprintable()
