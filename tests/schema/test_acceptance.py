"""I3, at least once: what the peer's kernel has taken, and what it has not."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from schema.acceptance import SentBytes
from tests.support.waiting import wait_until


@asynccontextmanager
async def connection(*, receive_buffer: int) -> AsyncIterator[tuple[SentBytes, asyncio.WriteTransport, socket.socket]]:
    """A transport of ours over TCP on loopback, and its peer's bare socket."""
    with socket.socket() as listener, socket.socket() as peer:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        peer.connect(listener.getsockname())
        accepted, _ = listener.accept()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, accepted)
        yield SentBytes(transport), transport, peer
        transport.abort()


async def test_what_a_reading_peer_gets_is_taken() -> None:
    """A few bytes to a peer that is there are acknowledged in a moment."""
    async with connection(receive_buffer=65_536) as (sent, transport, _):
        transport.write(b"x" * 1_000)
        sent.wrote(1_000)

        await wait_until(lambda: sent.taken() == sent.sent() == 1_000, description="acknowledged")


async def test_what_lies_in_our_buffers_is_not_taken() -> None:
    """The kernel accepts megabytes for a peer that reads none: only what its own kernel holds counts."""
    async with connection(receive_buffer=4_096) as (sent, transport, peer):
        transport.write(b"x" * 2_000_000)
        sent.wrote(2_000_000)
        await asyncio.sleep(0)

        assert sent.taken() < 200_000

        peer.setblocking(False)
        received = 0
        while received < 2_000_000:
            received += len(await asyncio.get_running_loop().sock_recv(peer, 100_000))
        await wait_until(lambda: sent.taken() == 2_000_000, description="all acknowledged")


async def test_closed_connection_takes_no_more() -> None:
    """What was not acknowledged before the end never is."""
    async with connection(receive_buffer=4_096) as (sent, transport, _):
        transport.write(b"x" * 2_000_000)
        sent.wrote(2_000_000)
        before = sent.taken()

        sent.abort()
        await asyncio.sleep(0)

        assert before <= sent.taken() < 2_000_000


async def test_without_a_transport_sent_is_taken() -> None:
    """A server that does not tell its transport leaves nothing better to believe."""
    sent = SentBytes.of({"type": "http"})
    sent.wrote(5)
    sent.abort()

    assert sent.taken() == 5
