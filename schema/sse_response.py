"""One event stream over HTTP: the request's task watches the client and keeps time, the stream's task sends."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from datetime import timedelta

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from schema import incidents, sse
from schema.acceptance import SentBytes
from schema.streams import OpenStreams

log = logging.getLogger("divisionbell.schema")

LAST_WORD = timedelta(milliseconds=100)
"""Between the last bytes and an end without `complete`: graphql-sse 2.6.1 misses an end that arrives together with an
event, and then neither fails nor reconnects."""


class SseResponse:
    """An ASGI application that sends `opening` at once, then each of `chunks`, with heartbeats in the silences between.

    The next chunk is asked for when the connection has taken the one before: a generator knows by being resumed that
    its last one was sent. When the client leaves, the generator is cancelled where it waits, in its own task, which no
    scope of the request reaches; `streams` owns that task. However the stream ends, `chunks` is closed.
    """

    def __init__(
        self,
        *,
        opening: bytes,
        chunks: AsyncGenerator[bytes, None],
        streams: OpenStreams,
        sent: SentBytes,
        name: str,
        heartbeat: timedelta,
        stalled: timedelta = timedelta(seconds=10),
        over: Callable[[], None] = lambda: None,
    ) -> None:
        """`heartbeat` is the longest silence; a connection that takes nothing for `stalled` is cut.

        `over` is called once, when all is cleaned up.
        """
        self._over = over
        self._opening = opening
        self._chunks = chunks
        self._streams = streams
        self._sent = sent
        self._stalled = stalled.total_seconds()
        self._name = name
        self._heartbeat = heartbeat.total_seconds()
        self._turn = asyncio.Lock()  # ASGI does not promise that two tasks may send at the same time
        self._sent_at = 0.0
        self._completed = False
        self._blocked_since: float | None = None
        self._taken = 0
        self._waiting: asyncio.Timeout | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (ASGI's signature)
        stream: asyncio.Task[None] | None = None
        try:
            await send({"type": "http.response.start", "status": 200, "headers": Headers(sse.HEADERS).raw})
            await self._send(send, self._opening)
            stream = self._streams.start(self._run(send), name=self._name)
            stream.add_done_callback(self._wake)
            left = await self._watch(receive, send, stream)
        finally:
            try:
                if stream is not None:
                    await self._streams.stop(stream)
            finally:
                self._over()
        if not left:
            await self._end(send)

    async def _run(self, send: Send) -> None:
        try:
            async with aclosing(self._chunks) as chunks:
                async for chunk in chunks:
                    await self._send(send, chunk)
                    self._completed = chunk == sse.COMPLETE
                    # Sending to a client that has just left succeeds silently. One turn of the loop lets the request's
                    # task notice before the next chunk is asked for, and gives other streams a chance during a replay.
                    await asyncio.sleep(0)
        except OSError:
            return  # how servers of newer ASGI versions say that the client left
        except Exception as error:  # noqa: BLE001 (recorded; the client sees an end without `complete`)
            notice = sse.encode_comment(incidents.message(incidents.record(error, during=self._name)))
            with suppress(OSError):
                await self._send(send, notice)

    async def _watch(self, receive: Receive, send: Send, stream: asyncio.Task[None]) -> bool:
        """Return when the client has left (True) or the stream has ended (False)."""
        while not stream.done():
            try:
                async with asyncio.timeout_at(self._next_look()) as self._waiting:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return True
            except TimeoutError:
                if self._is_stalled() or not (stream.done() or await self._beat(send)):
                    self._cut()
                    return True
            finally:
                self._waiting = None
        return False

    async def _end(self, send: Send) -> None:
        if not self._completed:
            await asyncio.sleep(LAST_WORD.total_seconds())
        if not await self._send_patiently(send, b"", more=False):
            self._cut()

    async def _beat(self, send: Send) -> bool:
        """Send a heartbeat if it is time. False when the client takes nothing."""
        now = asyncio.get_running_loop().time()
        if self._turn.locked():
            self._sent_at = now  # a chunk is on its way: the client is slow, not the stream silent
        elif now >= self._sent_at + self._heartbeat:
            return await self._send_patiently(send, sse.HEARTBEAT)
        return True

    async def _send_patiently(self, send: Send, data: bytes, *, more: bool = True) -> bool:
        """Send from the request's task, which nobody watches. False when the client takes nothing for `stalled`."""
        while True:
            before = self._sent.taken()
            try:
                async with asyncio.timeout(self._stalled):
                    await self._send(send, data, more=more)
                    return True
            except TimeoutError:  # in front of a full socket nothing of `data` was written: it can be sent again
                if self._sent.taken() <= before:
                    return False

    async def _send(self, send: Send, data: bytes, *, more: bool = True) -> None:
        async with self._turn:
            self._blocked_since = asyncio.get_running_loop().time()
            try:
                await send({"type": "http.response.body", "body": data, "more_body": more})
            finally:
                self._blocked_since = None
            self._sent.wrote(len(data))
            self._sent_at = asyncio.get_running_loop().time()

    def _next_look(self) -> float:
        since = self._blocked_since
        return self._sent_at + self._heartbeat if since is None else since + self._stalled

    def _is_stalled(self) -> bool:
        if self._blocked_since is None:
            return False
        now, taken = asyncio.get_running_loop().time(), self._sent.taken()
        if taken > self._taken:  # slow, but alive
            self._taken, self._blocked_since = taken, now
        return now >= self._blocked_since + self._stalled

    def _cut(self) -> None:
        log.info("cutting %s: its client has taken nothing for %g s", self._name, self._stalled)
        self._sent.abort()

    def _wake(self, _stream: asyncio.Task[None]) -> None:
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time())
