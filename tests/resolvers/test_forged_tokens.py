"""A server with an identity provider's keys under attack: only what the provider signed, for us, lets anybody in."""

import base64
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from jwt.algorithms import RSAAlgorithm

from resolvers.errors import Unauthenticated
from tests.support.identity_provider import RSA, Clock, Provider, keys, provider_on_loopback, public, signed


def forged(claims: dict[str, Any] | None = None, *, secret: bytes = b"", **header: Any) -> str:
    """A token of the provider's claims under any header, signed by HMAC if there is a secret, else not at all.

    PyJWT refuses to make most of these.
    """
    usual = jwt.decode(signed(), options={"verify_signature": False}) | (claims or {})
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, usual)]
    body = b".".join(parts)
    signature = hmac.digest(secret, body, "sha256") if secret else b""
    return (body + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def spellings_of_the_public_key() -> dict[str, bytes]:
    """What an attacker knows of the key, as it could be taken for a shared secret."""
    key = RSA["first"].public_key()
    formats = serialization.PublicFormat
    return {
        "PEM": key.public_bytes(serialization.Encoding.PEM, formats.SubjectPublicKeyInfo),
        "PEM without its last line feed": key.public_bytes(
            serialization.Encoding.PEM, formats.SubjectPublicKeyInfo
        ).rstrip(),
        "PKCS 1": key.public_bytes(serialization.Encoding.PEM, formats.PKCS1),
        "DER": key.public_bytes(serialization.Encoding.DER, formats.SubjectPublicKeyInfo),
        "SSH": key.public_bytes(serialization.Encoding.OpenSSH, formats.OpenSSH),
        "JWK": json.dumps(public("first")).encode(),
        "modulus": public("first")["n"].encode(),
    }


@pytest.mark.parametrize("spelling", spellings_of_the_public_key())
@pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
async def test_public_key_is_no_secret_to_sign_with(provider: Provider, spelling: str, algorithm: str) -> None:
    """However it is written, and whatever algorithm the token says it was: what is published signs nothing."""
    known = keys(provider)
    await known.read(signed())
    token = forged(secret=spellings_of_the_public_key()[spelling], alg=algorithm, kid="first")

    with pytest.raises(Unauthenticated):
        await known.read(token)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, ["RS256", "none"], "rs256", "RS512"])
async def test_token_does_not_choose_its_algorithm(provider: Provider, algorithm: Any) -> None:
    """Only the one of the settings counts, in its one spelling; no signature is not one of them."""
    known = keys(provider)
    await known.read(signed())
    head, claims, signature = signed().split(".")
    renamed = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": "first"}).encode()).rstrip(b"=").decode()

    for token in (forged(alg=algorithm, kid="first"), f"{renamed}.{claims}.{signature}", f"{head}.{claims}."):
        with pytest.raises(Unauthenticated):
            await known.read(token)


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "file:///etc/passwd",
        "https://evil.example/keys",
        "x' OR '1'='1",
        "|/bin/sh",
        "first\0",
        "First",
        " first",
        "",
        "k" * 4_000,
        None,
        7,
        True,
        ["first"],
        {"first": 1},
    ],
    ids=lambda kid: repr(kid)[:30],
)
async def test_name_of_a_key_is_looked_up_and_nothing_else(provider: Provider, kid: Any) -> None:
    """It is no path, no address and no query; what is not among the published names is 401, and costs one fetch."""
    known = keys(provider)
    await known.read(signed())

    for secret in (b"", b"s" * 32):
        with pytest.raises(Unauthenticated):
            await known.read(forged(secret=secret, alg="RS256", kid=kid))
    assert provider.fetches == 1


async def test_keys_that_a_token_brings_along_are_not_used(provider: Provider) -> None:
    """Neither a key in the header, nor an address of keys, nor a certificate: only what is at our URL counts."""
    with provider_on_loopback() as evil:
        own = RSAAlgorithm.to_jwk(RSA["second"].public_key(), as_dict=True) | {"kid": "first"}
        known = keys(provider)
        for header in ({"jwk": own}, {"jku": evil.url}, {"x5u": evil.url}, {"x5c": ["AAAA"]}, {"iss": evil.url}):
            claims = jwt.decode(signed(), options={"verify_signature": False}) | {"jku": evil.url}
            token = jwt.encode(claims, RSA["second"], algorithm="RS256", headers={"kid": "first", **header})
            with pytest.raises(Unauthenticated):
                await known.read(token)

        assert evil.fetches == 0


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://id.example/"},
        {"iss": "https://id.example.evil.example"},
        {"iss": ["https://id.example"]},
        {"iss": ""},
        {"iss": None},
        {"aud": "divisionbell2"},
        {"aud": ""},
        {"aud": []},
        {"aud": ["another service"]},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"nbf": 4_000_000_000},
    ],
    ids=str,
)
async def test_token_for_others_does_not_count(provider: Provider, claims: dict[str, Any]) -> None:
    """Signed by the provider's own key, but of another issuer, for another audience, or for nobody."""
    known = keys(provider)
    usual = jwt.decode(signed(), options={"verify_signature": False})
    given = {name: value for name, value in (usual | claims).items() if value is not None}
    token = jwt.api_jws.encode(json.dumps(given).encode(), RSA["first"], algorithm="RS256", headers={"kid": "first"})

    with pytest.raises(Unauthenticated):
        await known.read(token)
    assert (await known.read(signed(aud=["another service", "divisionbell"]))).user == "ada"


async def test_key_that_changes_under_its_name_counts_as_the_new_one(provider: Provider) -> None:
    """After the keys are renewed, tokens of the old key are refused, those that were read before too."""
    clock = Clock()
    known = keys(provider, clock)
    old = signed()
    await known.read(old)
    provider.keys = [public("second") | {"kid": "first"}, public("second")]
    clock.at += 11
    await known.read(signed("second"))

    assert (await known.read(signed("first", key=RSA["second"]))).user == "ada"
    with pytest.raises(Unauthenticated):
        await known.read(old)
