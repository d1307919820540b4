"""Tokens that an identity provider signs: its keys are kept, renewed, and never waited for by others."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from jwt.algorithms import ECAlgorithm

from resolvers import signing_keys
from resolvers.errors import Unauthenticated, Unavailable
from resolvers.identity import Expected, Scope
from resolvers.signing_keys import SigningKeys
from telemetry.metrics import Metrics
from tests.support.identity_provider import EC, EXPECTED, RSA, Clock, Provider, keys, public, signed


async def test_token_of_the_provider_counts(provider: Provider) -> None:
    """Its keys are fetched for the first token, once for all that come together."""
    known = keys(provider)
    viewers = await asyncio.gather(*(known.read(signed(sub=f"user {n}")) for n in range(5)))

    assert [viewer.user for viewer in viewers] == [f"user {n}" for n in range(5)]
    assert viewers[0].scopes == {Scope.READ}
    assert provider.fetches == 1


async def test_es256_keys_count_where_they_are_pinned(provider: Provider) -> None:
    """The algorithm is the settings', never the token's."""
    published = ECAlgorithm.to_jwk(EC.public_key(), as_dict=True) | {"kid": "curve"}
    provider.keys = [public("first"), published]
    token = signed("curve", algorithm="ES256", key=EC)

    assert (await keys(provider, algorithm="ES256").read(token)).user == "ada"
    with pytest.raises(Unauthenticated, match="RS256"):
        await keys(provider).read(token)


async def test_rotated_key_is_found_and_a_withdrawn_one_counts_no_longer(provider: Provider) -> None:
    """A key that is not known has the keys fetched, though not more than once in ten seconds."""
    clock = Clock()
    known = keys(provider, clock)
    await known.read(signed())
    provider.keys = [public("second")]
    for _ in range(20):
        with pytest.raises(Unauthenticated, match="key that is not known"):
            await known.read(signed("second"))

    clock.at += 11
    assert (await known.read(signed("second"))).user == "ada"
    assert provider.fetches == 2
    with pytest.raises(Unauthenticated, match="key that is not known"):
        await known.read(signed())


async def test_known_keys_count_while_the_provider_is_away(provider: Provider) -> None:
    """An outage of the provider keeps nobody out whose key is known."""
    clock, metrics = Clock(), Metrics()
    known = keys(provider, clock, metrics=metrics)
    await known.read(signed())
    provider.broken = True
    clock.at += 11

    with pytest.raises(Unauthenticated):
        await known.read(signed("second"))
    assert (await known.read(signed(sub="eve"))).user == "eve"
    assert metrics.registry.get_sample_value("signing_key_fetches_total", {"result": "failed"}) == 1


@pytest.mark.parametrize("published", [[], [{"kty": "oct", "k": "AAAA", "kid": "first"}], [{"kid": "first"}], "x"])
async def test_without_any_key_tokens_cannot_be_checked(provider: Provider, published: Any) -> None:
    """That is the server's trouble, not the token's: it may be sent again. A shared secret is no public key."""
    provider.keys = published
    known = keys(provider)

    for _ in range(2):
        with pytest.raises(Unavailable):
            await known.read(signed())
    assert provider.fetches == 1


async def test_slow_provider_holds_nobody_up(provider: Provider) -> None:
    """While keys are fetched, tokens whose key is known are read, and the loop goes on."""
    clock = Clock()
    known = keys(provider, clock)
    await known.read(signed())
    clock.at += 11
    provider.answer.clear()
    waiting = asyncio.create_task(known.read(signed("second")))
    await asyncio.sleep(0)

    assert (await known.read(signed(sub="eve"))).user == "eve"
    assert not waiting.done()
    provider.answer.set()
    with pytest.raises(Unauthenticated):
        await waiting


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        "a.b.c",
        signed(exp=datetime.now(UTC) - timedelta(hours=1)),
        signed(aud="another service"),
        signed(iss="https://evil.example"),
        signed("first", key=RSA["second"]),
        jwt.encode({"sub": "ada", "exp": 9e9}, "s" * 40, algorithm="HS256", headers={"kid": "first"}),
        jwt.encode({"sub": "ada", "exp": 9e9}, "", algorithm="none", headers={"kid": "first"}),
        jwt.encode({"sub": "ada", "exp": 9e9}, RSA["first"], algorithm="RS256"),
    ],
)
async def test_token_that_does_not_count_is_refused(provider: Provider, token: str) -> None:
    """Expired, for somebody else, by somebody else, by another algorithm, or by a key without a name."""
    known = keys(provider)
    await known.read(signed())

    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await known.read(token)


async def test_it_is_known_whether_tokens_can_be_checked(provider: Provider) -> None:
    """Not before the first keys, nor while there are none; and still while the provider is away."""
    clock, provider.broken = Clock(), True
    known = keys(provider, clock)
    before = known.known()
    with pytest.raises(Unavailable):
        await known.read(signed())
    without = known.known()
    provider.broken = False
    clock.at += 11
    await known.read(signed())
    provider.broken = True
    clock.at += 11
    with pytest.raises(Unauthenticated):
        await known.read(signed("second"))

    assert (before, without, known.known()) == (False, False, True)


async def test_verified_tokens_are_bounded(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that are known to be good, the oldest is checked again."""
    monkeypatch.setattr(signing_keys, "MOST_VERIFIED", 3)
    known = keys(provider)
    for number in range(10):
        await known.read(signed(sub=f"user {number}"))

    assert len(known._verified) == 3


@pytest.mark.parametrize(
    ("url", "more", "sentence"),
    [
        ("http://id.example/keys", {}, "must start with https://"),
        ("file:///etc/passwd", {}, "must start with https://"),
        ("https://id.example/keys", {"algorithm": "HS256"}, "AUTH_ALGORITHM must be"),
        ("https://id.example/keys", {"expected": Expected(issuer="x")}, "needs AUTH_ISSUER and AUTH_AUDIENCE"),
        ("https://id.example/keys", {"expected": Expected(audience="x")}, "needs AUTH_ISSUER and AUTH_AUDIENCE"),
    ],
)
def test_settings_under_which_anybody_could_sign_are_refused(url: str, more: dict[str, Any], sentence: str) -> None:
    """The server does not start, and says what to set."""
    with pytest.raises(ValueError, match=sentence):
        SigningKeys(url, **{"algorithm": "RS256", "expected": EXPECTED, "metrics": Metrics(), **more})
