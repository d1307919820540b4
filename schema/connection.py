"""uvicorn's HTTP/1.1 connection, within bounds, and one from which a response that has begun can be taken over."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from schema.wire import EXTENSION

TAKES_NOTHING = timedelta(seconds=30)


class Detached(Exception):
    """Why uvicorn has lost a connection that is still open."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a connection may take until its request is there, for which httptools and uvicorn have no limits.

    `head` is in bytes, the request line included; `head_within` and `body_within` count from the first byte (of a new
    connection, from its start) to the last. `most` are the connections that are open and hold no stream. `cut` is told
    why one was closed: `head_size`, `head_time`, `body_time` or `connections`.
    """

    head: int = 32 * 1024
    head_within: timedelta = timedelta(seconds=10)
    body_within: timedelta = timedelta(seconds=30)
    most: int = 10_000
    cut: Callable[[str], None] = lambda _: None


USUAL = Bounds()


class Whole:
    """A connection's transport as one response sees it: its head goes out together with its body.

    uvicorn writes the two one after the other, and uvloop sends each at once: two packets, and a client that is woken
    for the first to wait for the second. A head that nothing follows is sent at the end of this turn of the loop.
    """

    __slots__ = ("_cycle", "_head", "_loop", "_transport")

    def __init__(self, cycle: RequestResponseCycle, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = cycle.transport
        self._cycle: RequestResponseCycle | None = cycle  # until the head: it leads to this object, and to the request
        self._loop = loop
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._cycle is None or not self._cycle.response_started:  # 100 Continue is no response yet
            if self._head:
                data, self._head = self._head + data, b""
            self._transport.write(data)
            return
        self._cycle, self._head = None, data
        self._loop.call_soon(self.flush)

    def flush(self) -> None:
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class Connection(HttpToolsProtocol):
    """A connection that is cut when it brings too much, or too little in too much time; see `schema.wire.Wire` too.

    Each knows only since when it has been waiting and for what; `sweep` looks at all of them once a second, which
    spares every request two timers.
    """

    bounds = USUAL
    _since: float | None = None
    _in_head = True
    _head_bytes = 0
    _piece = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called once a connection is accepted."""
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > self.bounds.most:
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "connections")

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left, or the connection was taken over: nothing of the last request is kept.

        The scope leads to this object, and so does the cycle: together they would wait for a full collection.
        """
        super().connection_lost(exc)
        if self.cycle is not None:
            self.cycle.transport = self.transport  # what stands for it leads back to a cycle that has not answered
        self.cycle, self.scope = None, {}  # type: ignore[assignment, typeddict-item]  # uvicorn never unsets them

    def data_received(self, data: bytes) -> None:
        """Called for whatever arrives."""
        if self.transport.is_closing():
            return  # refused: what was on its way is not read
        self._piece = len(data)
        super().data_received(data)
        if self._in_head and self._since is not None:
            self._head_bytes += len(data)
            if self._head_bytes > self.bounds.head:
                self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_size")

    def on_message_begin(self) -> None:
        """Called by the parser for each request of the connection."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        if self._since is None and not self.transport.is_closing():  # a refused one is waited for no more
            self._since = self.loop.time()
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]  # an object of ours

    def on_headers_complete(self) -> None:
        """Called by the parser. A head that came whole, in one piece, is measured here, if that piece is too large."""
        if self.transport.is_closing():
            return
        if self._head_bytes + self._piece > self.bounds.head and self._head_size() > self.bounds.head:
            self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_size")
            return
        self._in_head, self._since = False, self.loop.time()
        super().on_headers_complete()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        """Called by the parser; not for what follows a head that was refused."""
        if not self._in_head:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if not self._in_head:
            self._since = None
            super().on_message_complete()

    def overdue(self, now: float) -> str | None:
        """What has taken too long; None if nothing has."""
        if self._since is None:
            return None
        what, within = (
            ("head_time", self.bounds.head_within) if self._in_head else ("body_time", self.bounds.body_within)
        )
        return what if now - self._since > within.total_seconds() else None

    def refuse(self, status: HTTPStatus, reason: str) -> None:
        """Answer with a status, unless an answer has begun, and close."""
        self.bounds.cut(reason)
        self._since = None
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(
                b"HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, status.phrase.encode())
            )
            self.transport.close()
        else:
            self.transport.abort()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.transport = Whole(cycle, self.loop)  # type: ignore[assignment]  # all of a transport that a response uses
        super()._start_asgi_task(cycle, app)

    def detach(self) -> tuple[asyncio.Transport, bool]:
        """Give the transport away: uvicorn forgets the connection as if its client had left."""
        chunked = bool(self.cycle.chunked_encoding)
        self._unset_keepalive_if_required()
        self.flow.resume_reading()  # or nobody would notice that the client leaves
        self.connection_lost(Detached())
        return self.transport, chunked


def forget_the_silent(listener: socket.socket) -> None:
    """A peer that acknowledges nothing for TAKES_NOTHING is gone, however long its machine keeps silent.

    Connections have this from their listener, which spares each of them a system call.
    """
    if listener.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TAKES_NOTHING // timedelta(milliseconds=1))


def sweep(connections: Iterable[object], now: float) -> None:
    """Cut what is overdue. `now` is the loop's time."""
    for connection in [one for one in connections if isinstance(one, Connection)]:
        if (what := connection.overdue(now)) is not None:
            connection.refuse(HTTPStatus.REQUEST_TIMEOUT, what)


def bounded(bounds: Bounds) -> type[Connection]:
    """The class of connections within `bounds`, as uvicorn wants it."""
    return type("BoundedConnection", (Connection,), {"bounds": bounds})
