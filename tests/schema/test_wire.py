"""I3, at least once: what the peer's kernel has taken and what it has not; and who is cut."""

import asyncio
from datetime import timedelta

import pytest

from schema.wire import WRITE_BUFFER, ConnectionCut, Wire, connection_of, frame
from tests.support.waiting import wait_until
from tests.support.wires import Connection, connected

SOON = timedelta(milliseconds=50)


class Told:
    """What a wire calls."""

    def __init__(self) -> None:
        self.lost = 0
        self.paused = 0

    def wire(self, connection: Connection) -> Wire:
        """A wire that tells this."""
        return Wire(connection, lost=self._lost, paused=self._paused, stalled=SOON)

    def _lost(self) -> None:
        self.lost += 1

    def _paused(self) -> None:
        self.paused += 1


async def test_what_a_reading_peer_gets_is_taken() -> None:
    """A few bytes to a peer that is there are acknowledged in a moment."""
    async with connected() as (connection, _):
        wire = Told().wire(connection)
        wire.write(b"x" * 1_000)

        await wait_until(lambda: wire.taken() == wire.sent() == 1_000, description="acknowledged")


async def test_what_lies_in_our_buffers_is_not_taken() -> None:
    """The kernel accepts megabytes for a peer that reads none: only what its own kernel holds counts."""
    async with connected(receive_buffer=4_096) as (connection, peer):
        told = Told()
        wire = told.wire(connection)
        wire.write(b"x" * 8_000_000)
        await asyncio.sleep(0)

        assert wire.taken() < 200_000
        assert (told.paused, wire.is_full) == (1, True)

        while len(peer.received) < 8_000_000:
            peer.received += await asyncio.get_running_loop().sock_recv(peer.socket, 500_000)
        await wait_until(lambda: wire.taken() == 8_000_000, description="all acknowledged")
        assert not wire.is_full


async def test_closed_connection_takes_no_more() -> None:
    """What was not acknowledged before the end never is, and nobody minds what is still written."""
    async with connected(receive_buffer=4_096) as (connection, _):
        told = Told()
        wire = told.wire(connection)
        wire.write(b"x" * 2_000_000)
        before = wire.taken()

        wire.abort()
        await wait_until(lambda: told.lost == 1, description="told")
        wire.write(b"more")

        assert before <= wire.taken() < 2_000_000
        assert wire.is_gone
        with pytest.raises(ConnectionCut):
            await wire.send(b"more")


async def test_peer_that_leaves_is_noticed() -> None:
    """Though nothing is read from it any more."""
    async with connected() as (connection, peer):
        told = Told()
        told.wire(connection)
        peer.leave()

        await wait_until(lambda: told.lost == 1, description="told")


async def test_peer_that_left_before_is_noticed_too() -> None:
    """Between the request and the handing over."""
    async with connected() as (connection, _):
        connection.transport.abort()
        told = Told()
        told.wire(connection)

        await wait_until(lambda: told.lost == 1, description="told")


async def test_sending_waits_for_room_and_cuts_who_makes_none() -> None:
    """Whoever takes something is waited for, however slowly; whoever takes nothing for its time is cut."""
    async with connected(receive_buffer=4_096) as (connection, peer):
        wire = Told().wire(connection)
        sending = asyncio.create_task(wire.send(b"x" * (WRITE_BUFFER + 8_000_000)))

        async def trickled() -> bool:
            peer.received += await asyncio.get_running_loop().sock_recv(peer.socket, 50_000)
            return len(peer.received) > 1_000_000

        await wait_until(trickled, description="several limits have passed", every=0.01)
        assert not sending.done()

        with pytest.raises(ConnectionCut):
            await sending
        assert wire.is_gone
        assert wire.starved


async def test_bytes_that_wait_in_vain_are_noticed() -> None:
    """A full socket that takes nothing between two looks stands still; an idle one, and one that moves, do not."""
    async with connected(receive_buffer=4_096) as (connection, peer):
        wire = Told().wire(connection)
        assert not wire.stands_still()
        assert not wire.stands_still()

        wire.write(b"x" * 8_000_000)
        await asyncio.sleep(0)
        assert not wire.stands_still()
        before = wire.taken()

        async def moved() -> bool:
            peer.received += await asyncio.get_running_loop().sock_recv(peer.socket, 500_000)
            return wire.taken() > before

        await wait_until(moved, description="the peer has taken something")
        assert not wire.stands_still()
        await wait_until(wire.stands_still, description="nothing moves")


async def test_frames_are_chunked_where_the_response_is() -> None:
    """HTTP/1.1's chunks are part of the shared bytes; HTTP/1.0 has none."""
    assert frame(b"0123456789abcdef!", chunked=True) == b"11\r\n0123456789abcdef!\r\n"
    assert frame(b"plain", chunked=False) == b"plain"


def test_other_servers_are_told_from_ours() -> None:
    """A stream needs the connection itself, and says so."""
    with pytest.raises(RuntimeError, match="python -m cli serve"):
        connection_of({"type": "http"})
