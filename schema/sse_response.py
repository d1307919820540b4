"""One subscription's response: a task while something is to be said to this client alone, none while it has a seat."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from schema import incidents, sse
from schema.streams import OpenStreams
from schema.wire import ConnectionCut, Detachable, Wire, connection_of, frame

LAST_WORD = timedelta(milliseconds=100)
"""Between the last bytes and an end without `complete`: graphql-sse 2.6.1 misses an end that arrives together with an
event, and then neither fails nor reconnects."""

TURN_AFTER = 8
"""Pieces that are written between two turns of the event loop, which sends them together: about 0.3 ms of a replay."""
_HEADERS = Headers(sse.HEADERS).raw


class Source(Protocol):
    """What a response sends."""

    def chunks(self, wire: Wire) -> AsyncGenerator[bytes, None]:
        """Pieces of the body until the stream is over, or has caught up; called again when it goes on.

        The next piece is asked for when the connection has taken the one before.
        """
        ...

    def sit(self, wire: Wire, resume: Callable[[], None]) -> bool:
        """Caught up: let the stream go on without a task, if it can. `resume` has it driven again."""
        ...

    def rise(self) -> None:
        """The peer does not keep up: go on alone, if the stream has a seat."""
        ...

    async def close(self) -> None:
        """The response is over; called once."""
        ...


@dataclass(frozen=True, slots=True)
class SseResponse:
    """An ASGI application that sends `opening` at once, and then takes the connection over for what `source` says.

    However the response ends, `source` is closed in a task of its own, which no scope of the request reaches; `streams`
    owns it. A connection that takes nothing for `stalled` is cut. `over` is called once, when all is cleaned up.
    """

    opening: bytes
    source: Source
    streams: OpenStreams
    name: str
    stalled: timedelta = timedelta(seconds=10)
    over: Callable[[], None] = lambda: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (ASGI's signature)
        try:
            connection = connection_of(scope)
            await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            await send({"type": "http.response.body", "body": self.opening, "more_body": True})
        except BaseException:
            self.over()
            raise
        Streaming(self, connection).drive()


class Streaming:
    """The rest of a response, after ASGI."""

    __slots__ = ("_completed", "_ending", "_name", "_over", "_source", "_streams", "_task", "_wire")

    def __init__(self, response: SseResponse, connection: Detachable) -> None:
        self._source = response.source
        self._streams = response.streams
        self._name = response.name
        self._over = response.over
        self._completed = False
        self._ending = False
        self._task: asyncio.Task[None] | None = None
        self._wire = Wire(connection, lost=self._lost, paused=response.source.rise, stalled=response.stalled)
        self._streams.add(self._wire)

    def drive(self) -> None:
        """Send what the source has, in a task."""
        self._task = self._streams.start(self._run(), name=self._name)

    async def _run(self) -> None:
        try:
            async with aclosing(self._source.chunks(self._wire)) as chunks:
                turn = cycle((False,) * (TURN_AFTER - 1) + (True,))
                async for chunk in chunks:
                    await self._send(chunk)
                    self._completed = chunk == sse.COMPLETE
                    if next(turn):  # others have a chance during a replay, and who has left is noticed
                        await asyncio.sleep(0)
            if self._source.sit(self._wire, self.drive):
                self._task = None
                return
            await self._end()
        except ConnectionCut:
            pass
        except Exception as error:  # noqa: BLE001 (recorded; the client sees an end without `complete`)
            notice = sse.encode_comment(incidents.message(incidents.record(error, during=self._name)))
            self._wire.write(frame(notice, chunked=self._wire.chunked))
            await self._end()
        finally:
            if self._task is not None:
                await self._clean_up()

    async def _send(self, chunk: bytes) -> None:
        try:
            await self._wire.send(frame(chunk, chunked=self._wire.chunked))
        except ConnectionCut:
            self._ending = True  # the news that the connection is lost must not interrupt the cleanup
            raise

    async def _end(self) -> None:
        if not self._completed:
            await asyncio.sleep(LAST_WORD.total_seconds())
        self._wire.finish()

    async def _clean_up(self) -> None:
        self._ending = True
        self._streams.discard(self._wire)
        try:
            await self._source.close()
        finally:
            self._over()
            if not self._wire.is_gone:
                self._wire.abort()
            self._task = None  # a task that was cancelled keeps its frame, and so this object

    def _lost(self) -> None:
        """The connection is gone: the task, if there is one, ends where it waits, and cleans up."""
        if self._ending:
            return
        if self._task is not None:
            self._task.cancel()
        else:
            self._task = self._streams.start(self._clean_up(), name=self._name)
