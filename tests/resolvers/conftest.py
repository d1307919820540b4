"""Fixtures of several test modules here."""

from collections.abc import Iterator

import pytest

from tests.support.identity_provider import Provider, provider_on_loopback


@pytest.fixture
def provider() -> Iterator[Provider]:
    """An identity provider on loopback."""
    with provider_on_loopback() as server:
        yield server
