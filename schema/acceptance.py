"""What a connection was given, and how much of it has left for good."""

import fcntl
import struct
import sys
import termios
from asyncio import WriteTransport
from typing import Any

from starlette.types import Scope

EXTENSION = "divisionbell.transport"
"""Where `schema.serving.Connection` puts the connection's transport into the ASGI scope."""


class SentBytes:
    """Counts the bytes of one response against those still waiting in the server and in its kernel.

    `send` returning means little: it "accepts" thousands of frames for a client that reads none. What is in neither
    the transport's buffer nor the socket's send queue has been acknowledged by the peer's kernel (SIOCOUTQ in tcp(7)).
    Behind a proxy, the peer is the proxy. Where no transport is known, sent counts as taken.
    """

    def __init__(self, transport: WriteTransport | None = None) -> None:
        self._transport = transport
        self._sent = 0
        self._taken = 0

    @classmethod
    def of(cls, scope: Scope) -> "SentBytes":
        """For the response to a request."""
        return cls((scope.get("extensions") or {}).get(EXTENSION))

    def wrote(self, count: int) -> None:
        """Note that `count` more bytes were given to the connection."""
        self._sent += count

    def sent(self) -> int:
        """Bytes given so far."""
        return self._sent

    def taken(self) -> int:
        """How many of them the peer has for certain. Never goes back; stays where it was once the connection closes.

        What waits includes the framing of HTTP, which `sent` does not, so this errs on the side of too few.
        """
        if self._transport is None:
            return self._sent
        if not self._transport.is_closing():
            waiting = self._transport.get_write_buffer_size() + _send_queue(self._transport)
            self._taken = max(self._taken, self._sent - waiting)
        return self._taken

    def abort(self) -> None:
        """Close the connection without waiting for what it has not taken."""
        if self._transport is not None:
            self._transport.abort()


def _send_queue(transport: WriteTransport) -> int:
    """Bytes in the socket's send queue: not sent, or not acknowledged."""
    if not sys.platform.startswith("linux"):
        return 0
    socket: Any = transport.get_extra_info("socket")
    try:
        answer = fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")  # the same number as SIOCOUTQ
    except (OSError, ValueError):
        return 2**31  # closed meanwhile: nothing is certain
    return int(struct.unpack("i", answer)[0])
