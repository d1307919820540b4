"""An identity provider on loopback: the keys it publishes, and the tokens it signs."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import RSAAlgorithm

from resolvers.identity import Expected
from resolvers.signing_keys import SigningKeys
from telemetry.metrics import Metrics

EXPECTED = Expected(issuer="https://id.example", audience="divisionbell")
RSA = {name: rsa.generate_private_key(public_exponent=65_537, key_size=2_048) for name in ("first", "second")}
EC = ec.generate_private_key(ec.SECP256R1())


def public(name: str) -> dict[str, Any]:
    """The public half of an RSA key, as it is published."""
    return RSAAlgorithm.to_jwk(RSA[name].public_key(), as_dict=True) | {"kid": name, "use": "sig", "alg": "RS256"}


def signed(name: str = "first", *, algorithm: str = "RS256", key: Any = None, **claims: Any) -> str:
    """A token as the provider signs it."""
    usual = {
        "sub": "ada",
        "exp": datetime.now(UTC) + timedelta(hours=1),
        "scope": "read",
        "iss": "https://id.example",
        "aud": "divisionbell",
    }
    return jwt.encode(usual | claims, key or RSA[name], algorithm=algorithm, headers={"kid": name})


class Provider(ThreadingHTTPServer):
    """Publishes `keys`; `broken` answers 500. Each fetch waits until it may `answer`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys: list[dict[str, Any]] = [public("first")]
        self.broken = False
        self.fetches = 0
        self.answer = threading.Event()
        self.answer.set()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/keys"


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        self.server.fetches += 1
        self.server.answer.wait(5)
        self.send_response(500 if self.server.broken else 200)
        self.end_headers()
        self.wfile.write(json.dumps({"keys": self.server.keys}).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@contextmanager
def provider_on_loopback() -> Iterator[Provider]:
    """An identity provider that answers until the end of the block."""
    with Provider() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.answer.set()
        server.shutdown()
        thread.join()


class Clock:
    """Seconds, as a test sets them."""

    at = 0.0

    def __call__(self) -> float:
        return self.at


def keys(provider: Provider, clock: Clock | None = None, **more: Any) -> SigningKeys:
    """What the server makes of its settings."""
    return SigningKeys(
        provider.url,
        **{"algorithm": "RS256", "expected": EXPECTED, "metrics": Metrics(), "clock": clock or Clock(), **more},
    )
