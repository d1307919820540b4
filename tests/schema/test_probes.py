"""Probes: a process that cannot serve says why, and gets no traffic until it can."""

import asyncio

import pytest
from httpx import ASGITransport, AsyncClient, Response
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from schema.probes import Readiness, probes
from telemetry.health import HealthSampler


async def fine() -> bool:
    """A dependency that answers."""
    return True


async def away() -> bool:
    """A dependency that does not."""
    raise ConnectionError


@pytest.fixture
async def readiness() -> Readiness:
    """Of a process that is well."""
    health = HealthSampler(probes={"redis": fine, "database": fine, "tail": fine})
    await health.sample()
    return Readiness(health=health, draining=asyncio.Event())


async def ask(readiness: Readiness, path: str = "/readyz") -> Response:
    """What a probe is told."""
    app = Starlette(routes=probes(readiness=readiness, registry=CollectorRegistry()))
    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://bell") as client:
        return await client.get(path)


async def test_process_that_is_well_is_ready(readiness: Readiness) -> None:
    """Nothing is in the way."""
    answer = await ask(readiness)

    assert (answer.status_code, answer.json()) == (200, {"ready": True, "problems": []})


async def test_process_without_signing_keys_is_not_ready_until_it_has_some(readiness: Readiness) -> None:
    """It would answer 503 to everybody, whatever their token; alive it is, a restart would not help."""
    known = False
    readiness.can_check_tokens = lambda: known
    without = await ask(readiness)
    alive = await ask(readiness, "/livez")
    known = True
    again = await ask(readiness)

    assert without.status_code == 503
    [problem] = without.json()["problems"]
    assert "AUTH_JWKS_URL" in problem
    assert (alive.status_code, again.status_code) == (200, 200)


async def test_each_problem_is_told(readiness: Readiness) -> None:
    """Shutting down, no PostgreSQL, a Redis that may evict the stream, no keys: one sentence each, all at once."""
    readiness.health.probes = {"redis": fine, "database": away, "tail": fine}
    await readiness.health.sample()
    readiness.draining.set()
    readiness.eviction_policy = "allkeys-lru"
    readiness.can_check_tokens = lambda: False
    answer = await ask(readiness)

    assert answer.status_code == 503
    problems = answer.json()["problems"]
    assert len(problems) == 4
    for word, problem in zip(("shutting down", "PostgreSQL", "allkeys-lru", "signing keys"), problems, strict=True):
        assert word in problem


async def test_redis_being_away_is_no_reason_to_send_nobody(readiness: Readiness) -> None:
    """The process answers polls then; `/health/sse` says what is wrong."""
    readiness.health.probes = {"redis": away, "database": fine, "tail": fine}
    await readiness.health.sample()

    assert (await ask(readiness)).status_code == 200
    health = await ask(readiness, "/health/sse")
    assert (health.status_code, health.json()["redis"]) == (503, False)
