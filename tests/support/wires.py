"""Connections whose both ends a test holds."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.types import Message, Scope

from schema.wire import EXTENSION


@dataclass(slots=True)
class Peer:
    """The client's end, a bare socket; `received` is what it has read."""

    socket: socket.socket
    received: bytes = b""

    async def read_until(self, ending: bytes, within: float = 10) -> bytes:
        """Read until `ending` has come; everything received so far."""
        async with asyncio.timeout(within):
            while ending not in self.received:
                if not (data := await asyncio.get_running_loop().sock_recv(self.socket, 65_536)):
                    raise EOFError(self.received)
                self.received += data
        return self.received

    async def read_to_the_end(self, within: float = 10) -> bytes:
        """Read until the server closes; everything received."""
        async with asyncio.timeout(within):
            while data := await asyncio.get_running_loop().sock_recv(self.socket, 65_536):
                self.received += data
        return self.received

    def leave(self) -> None:
        """Close it."""
        self.socket.close()


@dataclass(slots=True)
class Connection:
    """The server's end, as a server would give it away."""

    transport: asyncio.Transport
    chunked: bool = False
    messages: list[Message] = field(default_factory=list)

    def detach(self) -> tuple[asyncio.Transport, bool]:
        """See `schema.wire.Detachable`."""
        return self.transport, self.chunked

    def scope(self) -> Scope:
        """Of a request on this connection."""
        return {"type": "http", "extensions": {EXTENSION: self}}

    async def send(self, message: Message) -> None:
        """ASGI's: the body goes out plainly."""
        self.messages.append(message)
        if message.get("body"):
            self.transport.write(message["body"])

    async def receive(self) -> Message:
        """ASGI's: nothing comes."""
        return await asyncio.Event().wait()  # type: ignore[return-value]  # never returns


@asynccontextmanager
async def connected(*, receive_buffer: int = 65_536, chunked: bool = False) -> AsyncIterator[tuple[Connection, Peer]]:
    """Both ends of a TCP connection on loopback."""
    with socket.socket() as listener, socket.socket() as peer:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        peer.connect(listener.getsockname())
        peer.setblocking(False)
        accepted, _ = listener.accept()
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(asyncio.Protocol, accepted)
        yield Connection(transport, chunked), Peer(peer)
        transport.abort()
