"""A transport that can be made to go silent, as a stuck proxy between us and a client does. For the demo only."""

import asyncio
from collections.abc import Callable
from typing import Any

from schema.wire import Detachable

MOST_HELD = 1024 * 1024
"""Bytes a silent transport keeps for later; the connection is cut when there are more."""


class FaultyTransport(asyncio.Transport):
    """Passes everything on to `transport`, until it is silenced: it then takes bytes and keeps them for itself.

    What it keeps counts as taken by the peer, which is what a proxy does that reads from us and passes nothing on. A
    client that keeps its cursor loses nothing by it.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._held: list[bytes] | None = None
        self._size = 0

    def silence(self) -> None:
        """Pass nothing on from now on."""
        if self._held is None:
            self._held = []

    def speak(self) -> None:
        """Pass on what was kept, and all that comes."""
        held, self._held, self._size = self._held or (), None, 0
        if not self._transport.is_closing():
            for data in held:
                self._transport.write(data)

    def write(self, data: Any) -> None:  # noqa: ANN401 - whatever the base class takes
        if self._held is None:
            self._transport.write(data)
            return
        self._held.append(bytes(data))
        self._size += len(data)
        if self._size > MOST_HELD:
            self.abort()

    def close(self) -> None:
        self.speak()
        self._transport.close()

    def abort(self) -> None:
        self._held = None
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as in the base class
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)


class FaultyConnection:
    """A server's connection that hands out a transport with faults; `taken` is shown it."""

    def __init__(self, connection: Detachable, taken: Callable[[FaultyTransport], None]) -> None:
        self._connection = connection
        self._taken = taken

    def detach(self) -> tuple[asyncio.Transport, bool]:
        """As `Detachable`."""
        transport, chunked = self._connection.detach()
        faulty = FaultyTransport(transport)
        self._taken(faulty)
        return faulty, chunked
