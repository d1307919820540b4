"""How many streams a process, and a user of it, may have open; who comes beyond that is asked to come later."""

from dataclasses import dataclass
from datetime import timedelta

from resolvers.identity import Viewer
from resolvers.live import LiveFeed
from schema.refusals import HttpRefusal
from telemetry.metrics import Metrics

TRY_AGAIN = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Admission:
    """Limits on open streams of this process. Streams that are open are never ended for it."""

    live: LiveFeed
    metrics: Metrics
    per_process: int
    per_user: int

    def admit(self, viewer: Viewer) -> None:
        """Raise HttpRefusal, 503 when the process is full and 429 when the user is, before a stream starts."""
        if self.live.open_streams() >= self.per_process:
            self._count("process_limit")
            raise HttpRefusal(
                503,
                "OVERLOADED",
                "This server has all the streams it can hold. Poll, or try again.",
                retry_after=TRY_AGAIN,
            )
        if self.live.open_streams(viewer.user) >= self.per_user:
            self._count("user_limit")
            raise HttpRefusal(
                429,
                "TOO_MANY_STREAMS",
                f"You have {self.per_user} streams open here. Close one, or share one between your tabs.",
                retry_after=TRY_AGAIN,
            )

    def _count(self, reason: str) -> None:
        self.metrics.sse_connections_refused_total.labels(reason=reason).inc()
