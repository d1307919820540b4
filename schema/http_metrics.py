"""Counting and timing requests."""

import time
from functools import cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from telemetry.metrics import Metrics

_ROUTES = frozenset({"/graphql", "/livez", "/readyz", "/health/sse", "/metrics"})


class HttpMetrics:
    """ASGI middleware. The time is that to the first byte: a stream's last byte says nothing."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        # `labels` costs as much as five increments. Methods and routes are of our choosing, so these are few.
        self._requests = cache(metrics.http_requests_total.labels)
        self._durations = cache(metrics.http_request_duration_seconds.labels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass through, observing the start of the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        path = scope["path"]
        # Labels of our choosing only: a scanner's thousand paths must not become a thousand series.
        route = path if path in _ROUTES else "/graphiql" if path.startswith("/graphiql") else "other"

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in {"GET", "POST", "OPTIONS", "HEAD"} else "other"
                self._requests(method, route, message["status"]).inc()
                self._durations(route).observe(time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, observed)
