"""Tokens that somebody else signs: the public keys of an identity provider, fetched, kept and renewed."""

import asyncio
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import jwt

from resolvers.errors import Unauthenticated, Unavailable
from resolvers.identity import Expected, Viewer
from telemetry.metrics import Metrics

log = logging.getLogger("divisionbell.identity")

ALGORITHMS = ("RS256", "ES256")
RENEW_EVERY = timedelta(minutes=10)
FETCH_WITHIN = timedelta(seconds=5)
ASK_AGAIN = timedelta(seconds=10)
"""Between two fetches that a token asked for: keys that nobody has cost the identity provider six requests a minute."""
MOST_VERIFIED = 10_000
"""Tokens whose signature is known to be good: 2 KB each. One RS256 check takes 40 µs, one of ES256 80."""


class SigningKeys:
    """Reads tokens signed with `algorithm` by one of the keys at `url`, found by the token's `kid`.

    `run` renews the keys; a token with a key that is not known has them fetched early. While the provider does not
    answer, the keys that are known go on counting. Fetching is done in a thread, so nobody else waits for it.
    """

    def __init__(
        self,
        url: str,
        *,
        algorithm: str,
        expected: Expected,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ValueError for settings under which anybody could sign."""
        _check(url, algorithm=algorithm, expected=expected)
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=FETCH_WITHIN.total_seconds())
        self._algorithm = algorithm
        self._expected = expected
        self._metrics = metrics
        self._clock = clock
        self._published: object = None
        self._keys: dict[str, jwt.PyJWK] = {}
        self._verified: OrderedDict[str, Viewer] = OrderedDict()
        self._fetching: asyncio.Task[None] | None = None
        self._fetched_at: float | None = None

    def known(self) -> bool:
        """Whether there is any key to check a token with."""
        return bool(self._keys)

    async def run(self) -> None:
        """Renew the keys until cancelled, sooner while none are known."""
        while True:
            await self._fetch()
            pause = RENEW_EVERY if self._keys else ASK_AGAIN
            await asyncio.sleep(pause.total_seconds() * random.uniform(0.9, 1.0))  # noqa: S311 - not all at once

    async def read(self, token: str) -> Viewer:
        """The viewer of a token. Raises Unauthenticated, and Unavailable while no key is known at all."""
        known = self._verified.get(token)
        if known is not None and datetime.now(UTC) < known.expires_at:
            return known
        viewer = self._expected.viewer(token, await self._key_of(token), self._algorithm)
        self._verified[token] = viewer
        if len(self._verified) > MOST_VERIFIED:
            self._verified.popitem(last=False)
        return viewer

    async def _key_of(self, token: str) -> jwt.PyJWK:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise Unauthenticated("Your token is not valid here. Get a new one and try again.") from error
        name = header.get("kid")
        if not isinstance(name, str) or header.get("alg") != self._algorithm:
            raise Unauthenticated(f"Your token must be signed with {self._algorithm} and name its key (kid).")
        if name not in self._keys and self._may_ask():
            await self._fetch()
        if not self._keys:
            raise Unavailable("Tokens cannot be checked now: the identity provider does not answer. Try again soon.")
        if name not in self._keys:
            raise Unauthenticated("Your token is signed with a key that is not known here. Get a new one.")
        return self._keys[name]

    def _may_ask(self) -> bool:
        asked = self._fetched_at
        return self._fetching is not None or asked is None or self._clock() - asked >= ASK_AGAIN.total_seconds()

    async def _fetch(self) -> None:
        """Fetch the keys, once for all who wait. Never raises for what the provider does."""
        if self._fetching is None:
            self._fetched_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch_now(), name="signing-keys")
            self._fetching.add_done_callback(lambda _: setattr(self, "_fetching", None))
        await asyncio.shield(self._fetching)

    async def _fetch_now(self) -> None:
        try:
            published = await asyncio.to_thread(self._client.fetch_data)
            keys = self._usable(published)
        except (jwt.PyJWTError, OSError, ValueError, AttributeError, TypeError) as error:
            log.warning("signing keys cannot be fetched", extra={"error": repr(error), "known": len(self._keys)})
            self._metrics.signing_key_fetches_total.labels(result="failed").inc()
            return
        if published != self._published:
            log.info("signing keys", extra={"keys": sorted(keys)})
            self._verified.clear()  # a key that was withdrawn counts no longer, for whatever it signed
            self._published = published
        self._keys = keys
        self._metrics.signing_key_fetches_total.labels(result="fetched").inc()

    def _usable(self, published: Any) -> dict[str, jwt.PyJWK]:  # noqa: ANN401 - JSON
        """The keys to check signatures of our algorithm with, by `kid`. Raises ValueError if there is none."""
        kind = {"RS256": "RSA", "ES256": "EC"}[self._algorithm]
        keys = {
            key.key_id: key
            for key in jwt.PyJWKSet.from_dict(published).keys
            if key.key_id
            and key.key_type == kind
            and key.algorithm_name == self._algorithm
            and key.public_key_use in (None, "sig")
        }
        if not keys:
            raise ValueError(f"no key for {self._algorithm} that has a kid")
        return keys


def _check(url: str, *, algorithm: str, expected: Expected) -> None:
    parts = urlsplit(url)
    local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise ValueError("AUTH_JWKS_URL must start with https://: who changes the keys on their way can be anybody.")
    if algorithm not in ALGORITHMS:
        raise ValueError(f"AUTH_ALGORITHM must be {' or '.join(ALGORITHMS)} with AUTH_JWKS_URL, not {algorithm}.")
    if not expected.issuer or not expected.audience:
        raise ValueError(
            "AUTH_JWKS_URL needs AUTH_ISSUER and AUTH_AUDIENCE: an identity provider signs tokens for others too."
        )
