"""What machines ask over HTTP: alive, ready, healthy, and the metrics."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from telemetry.health import HealthSampler


@dataclass(slots=True)
class Readiness:
    """Whether this process should get traffic. Redis may be away: it then answers polls, which is its job.

    `can_check_tokens`: whether any key is known that a token could be checked with.
    """

    health: HealthSampler
    draining: asyncio.Event
    eviction_policy: str | None = None
    can_check_tokens: Callable[[], bool] = lambda: True

    def problems(self) -> list[str]:
        """What is in the way, each a sentence; empty when ready."""
        found = []
        if self.draining.is_set():
            found.append("The server is shutting down.")
        if not self.health.now.database:
            found.append("PostgreSQL does not answer.")
        if self.eviction_policy and self.eviction_policy.startswith("allkeys-"):
            found.append(
                f"Redis' maxmemory-policy is {self.eviction_policy}, which evicts the stream: set it to noeviction."
            )
        if not self.can_check_tokens():
            found.append("No signing keys are known: fetch AUTH_JWKS_URL from here, it has to answer with usable keys.")
        return found


def probes(*, readiness: Readiness, registry: CollectorRegistry) -> list[Route]:
    """`/livez`, `/readyz`, `/health/sse` and `/metrics`."""

    async def livez(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        problems = readiness.problems()
        return JSONResponse({"ready": not problems, "problems": problems}, 503 if problems else 200)

    async def health(_: Request) -> Response:
        sample = readiness.health.now
        return JSONResponse(
            {
                "healthy": sample.healthy,
                "redis": sample.redis,
                "database": sample.database,
                "recommendation": sample.advice.mode.value.lower(),
                "reason": sample.advice.reason,
                "pollIntervalSeconds": int(sample.advice.poll_interval.total_seconds()),
            },
            200 if sample.healthy else 503,
            {"Cache-Control": "no-store"},
        )

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    routes: dict[str, Callable[[Request], Awaitable[Response]]] = {
        "/livez": livez,
        "/readyz": readyz,
        "/health/sse": health,
        "/metrics": metrics,
    }
    return [Route(path, endpoint, methods=["GET"]) for path, endpoint in routes.items()]
