"""A connection in the middle of an event stream: bytes go out, and nothing more is expected to come in."""

import asyncio
import fcntl
import struct
import sys
import termios
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

from starlette.types import Scope

EXTENSION = "divisionbell.connection"
"""Where `schema.serving.Connection` puts itself into the ASGI scope."""

WRITE_BUFFER = 64 * 1024
"""Bytes a connection may keep unsent before its stream leaves the fan-out and waits; a hundred activities or so."""


class Detachable(Protocol):
    """A server's connection that can be taken out of its hands."""

    def detach(self) -> tuple[asyncio.Transport, bool]:
        """The transport, and whether the rest of the response must be chunked. The server forgets the connection."""
        ...


class ConnectionCut(ConnectionError):
    """The connection is gone, or was cut because its peer took nothing."""


class Wire(asyncio.Protocol):
    """Writes what is left of a response past ASGI: no task, no message and no flow control stand between.

    A stream on ASGI costs two tasks and a dozen frames of coroutines; this is one object with a transport. What is in
    neither the transport's buffer nor the socket's send queue has been acknowledged by the peer's kernel (SIOCOUTQ in
    tcp(7)); `send` alone "accepts" thousands of frames for a client that reads none. Behind a proxy, the peer is the
    proxy.
    """

    __slots__ = (
        "_asked",
        "_fd",
        "_lost",
        "_paused",
        "_room",
        "_sent",
        "_silent",
        "_silent_since",
        "_stalled",
        "_taken",
        "_transport",
        "chunked",
        "starved",
    )

    def __init__(
        self,
        connection: Detachable,
        *,
        lost: Callable[[], None],
        paused: Callable[[], None],
        stalled: timedelta = timedelta(seconds=10),
    ) -> None:
        """Take the connection over. `lost` is called once, when it is gone; `paused` when the peer does not keep up."""
        self._lost = lost
        self._paused = paused
        self._stalled = stalled.total_seconds()
        self._sent = self._taken = 0
        self._silent = self._silent_since = 0
        self._asked = -1
        self.starved = False
        self._room: asyncio.Future[None] | None = None
        self._transport, self.chunked = connection.detach()
        socket: Any = self._transport.get_extra_info("socket")
        self._fd = socket.fileno() if socket is not None else -1
        if self._transport.is_closing():  # the client left meanwhile
            asyncio.get_running_loop().call_soon(self.connection_lost, None)
        else:
            self._transport.set_protocol(self)
            self._transport.set_write_buffer_limits(high=WRITE_BUFFER)

    def write(self, data: bytes) -> None:
        """Send bytes that are framed already; whatever the peer does not take now waits in the transport."""
        self._sent += len(data)
        try:  # noqa: SIM105 - free of charge, which contextlib.suppress is not
            self._transport.write(data)
        except RuntimeError:
            pass  # uvloop's word for a connection that is closed; `lost` is about to be called

    async def send(self, data: bytes) -> None:
        """Send, and wait until there is room for more.

        Raises ConnectionCut when the connection is gone, or its peer takes nothing for `stalled`.
        """
        if self.is_gone:
            raise ConnectionCut
        self.write(data)
        while self._room is not None:
            before = self.taken()
            try:
                async with asyncio.timeout(self._stalled):
                    await asyncio.shield(self._room)
            except TimeoutError:
                if self.taken() <= before:
                    self.starve()
                    raise ConnectionCut from None

    def sent(self) -> int:
        """Bytes given so far."""
        return self._sent

    def taken(self) -> int:
        """How many of them the peer has for certain. Never goes back; stays where it was once the connection closes."""
        transport = self._transport
        if not transport.is_closing():
            self._taken = max(self._taken, self._sent - transport.get_write_buffer_size() - _send_queue(self._fd))
        return self._taken

    @property
    def is_gone(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport.is_closing()

    @property
    def is_full(self) -> bool:
        """Whether the peer does not keep up."""
        return self._room is not None

    def silent_for(self) -> int:
        """How many times this was asked since something was sent."""
        if self._silent_since != self._sent:
            self._silent, self._silent_since = 0, self._sent
        else:
            self._silent += 1
        return self._silent

    def stands_still(self) -> bool:
        """Whether bytes have waited in this process since this was asked last, and the peer has taken none."""
        before, self._asked = self._asked, self.taken() if self._transport.get_write_buffer_size() else -1
        return self._asked >= 0 and before == self._asked

    def finish(self) -> None:
        """End the response and close the connection once everything is sent."""
        if not self._transport.is_closing():
            if self.chunked:
                self._transport.write(b"0\r\n\r\n")
            self._transport.close()

    def abort(self) -> None:
        """Close the connection without waiting for what it has not taken."""
        self._transport.abort()

    def starve(self) -> None:
        """Cut it because its peer takes nothing; whoever cleans up counts what it was given as failed."""
        self.starved = True
        self.abort()

    def pause_writing(self) -> None:
        """The transport keeps more than WRITE_BUFFER."""
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
            self._paused()

    def resume_writing(self) -> None:
        """The transport has sent nearly all it kept."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter
        """The client has left, or we have."""
        self.resume_writing()
        lost = self._lost
        # Whoever owns this object is let go: in a circle with it, it would wait for a full collection, which
        # `settle_garbage_collector` made rare.
        self._lost = self._paused = _nothing
        lost()


def _nothing() -> None:
    """Of a connection that is gone there is no news."""


def frame(data: bytes, *, chunked: bool) -> bytes:
    """What `Wire.write` takes, from a piece of the response's body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if chunked else data


def connection_of(scope: Scope) -> Detachable:
    """The connection of a request. Raises RuntimeError under another server than `schema.serving.Server`."""
    connection: Detachable | None = (scope.get("extensions") or {}).get(EXTENSION)
    if connection is None:
        raise RuntimeError("event streams need the server of `python -m cli serve`")
    return connection


def _send_queue(fd: int) -> int:
    """Bytes in the socket's send queue: not sent, or not acknowledged."""
    if not sys.platform.startswith("linux"):
        return 0
    try:
        return int(struct.unpack("i", fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0\0\0\0"))[0])  # the number of SIOCOUTQ
    except (OSError, ValueError):
        return 2**31  # closed meanwhile: nothing is certain
