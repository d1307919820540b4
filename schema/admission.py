"""How many streams may be open, and how fast they may be opened; who comes beyond that is asked to come later."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from resolvers.identity import Viewer
from schema.refusals import HttpRefusal
from streams.connections import Connections
from telemetry.metrics import Metrics

TRY_AGAIN = timedelta(seconds=10)


@dataclass(slots=True)
class Admission:
    """Limits on streams, checked before one starts. Streams that are open are never ended for them.

    `per_process` and `per_second` are this process's; `per_user` and those of `connections` hold for all processes
    together, and for this one alone while Redis is away.
    """

    connections: Connections
    metrics: Metrics
    per_process: int
    per_user: int
    per_second: int
    _open: int = 0
    _of_user: Counter[str] = field(default_factory=Counter)
    _second: int = 0
    _opened: int = 0

    def __post_init__(self) -> None:
        self.metrics.sse_connections_active.set_function(lambda: self._open)
        self.metrics.sse_users_active.set_function(lambda: len(self._of_user))

    async def admit(self, viewer: Viewer) -> Callable[[], None]:
        """Count a stream in; call what it returns when the stream is over.

        Raises HttpRefusal: 503 when the process is full or busy, or all are; 429 when the user has or opens too many.
        """
        self._check_process()
        user = viewer.user
        if self._of_user[user] >= self.per_user:
            raise self._refused("user_limit", TRY_AGAIN)
        # Counted before Redis is asked, or a flood would pass while it answers.
        self._enter(user)
        try:
            full = await self.connections.enter(user)
        except BaseException:
            self._leave(user)
            raise
        if full is not None:
            self._leave(user)
            raise self._refused(full.limit, full.wait)

        def release() -> None:
            self._leave(user)
            self.connections.leave(user)

        return release

    def _check_process(self) -> None:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._opened = second, 0
        self._opened += 1
        if self._open >= self.per_process:
            raise self._refused("process_limit", TRY_AGAIN)
        if self._opened > self.per_second:
            raise self._refused("process_rate", timedelta(seconds=1))

    def _enter(self, user: str) -> None:
        self._open += 1
        self._of_user[user] += 1

    def _leave(self, user: str) -> None:
        self._open -= 1
        self._of_user[user] -= 1
        if self._of_user[user] <= 0:
            del self._of_user[user]

    def _refused(self, limit: str, wait: timedelta) -> HttpRefusal:
        self.metrics.sse_connections_refused_total.labels(reason=limit).inc()
        sentences = {
            "process_limit": "This server has all the streams it can hold. Poll, or try again.",
            "process_rate": "Too many streams are being opened at once. Try again in a moment.",
            "global_limit": "All streams are taken. Poll, or try again.",
            "user_limit": f"You have {self.per_user} streams open. Close one, or share one between your tabs.",
            "connect_rate": "You open streams too often. Wait, and back off between attempts.",
        }
        of_user = limit in {"user_limit", "connect_rate"}
        code = {"user_limit": "TOO_MANY_STREAMS", "connect_rate": "TOO_MANY_CONNECTS"}.get(limit, "OVERLOADED")
        return HttpRefusal(429 if of_user else 503, code, sentences[limit], retry_after=wait)
