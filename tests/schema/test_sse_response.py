"""One stream's conversation with its connection: who is cut, what is cleaned up, and when the end is sent."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from itertools import pairwise

import anyio
import pytest

from schema import sse
from schema.sse_response import LAST_WORD, TURN_AFTER, SseResponse
from schema.streams import OpenStreams
from schema.wire import Wire
from tests.support.waiting import wait_until
from tests.support.wires import connected

SOON = timedelta(milliseconds=50)


class Events:
    """A source of what a generator yields. `seats` says whether it takes a seat when the generator has ended."""

    def __init__(self, *rounds: Callable[[], AsyncGenerator[bytes, None]], seats: bool = False) -> None:
        self._rounds = iter(rounds)
        self._seats = seats
        self.seated: Wire | None = None
        self.resume: Callable[[], None] = lambda: None
        self.risen = 0
        self.closed = 0

    async def chunks(self, _: Wire) -> AsyncGenerator[bytes, None]:
        """The next round."""
        async with aclosing(next(self._rounds)()) as chunks:
            async for chunk in chunks:
                yield chunk

    def sit(self, wire: Wire, resume: Callable[[], None]) -> bool:
        """Once, if it may."""
        seats, self._seats = self._seats, False
        if seats:
            self.seated, self.resume = wire, resume
        return seats

    def rise(self) -> None:
        """The peer does not keep up."""
        self.risen += 1

    async def close(self) -> None:
        """Over."""
        await asyncio.sleep(0)
        self.closed += 1


def then(event: bytes, after: Callable[[], Awaitable[object]]) -> Callable[[], AsyncGenerator[bytes, None]]:
    """One event, then whatever `after` does."""

    async def generate() -> AsyncGenerator[bytes, None]:
        yield event
        await after()

    return generate


async def nothing() -> None:
    """Nothing more."""


def response(source: Events, streams: OpenStreams, over: Callable[[], None] = lambda: None) -> SseResponse:
    """A response with short times."""
    return SseResponse(opening=b": open\n\n", source=source, streams=streams, name="test", stalled=SOON, over=over)


async def test_value_that_cannot_be_written_ends_the_stream_without_complete(caplog: pytest.LogCaptureFixture) -> None:
    """It is told as an ID after the events before it, with a pause before the end, and closes the source."""

    async def fail() -> None:
        sse.encode_next({"data": {"n": 2**80}})

    streams, source = OpenStreams(), Events(then(b"e", fail))
    async with connected() as (connection, peer):
        await response(source, streams)(connection.scope(), connection.receive, connection.send)
        await peer.read_until(b"Report this ID")
        told_at = asyncio.get_running_loop().time()
        body = await peer.read_to_the_end()

    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert body.endswith(f"Report this ID: {record.__dict__['incident']}\n\n".encode())
    assert b"complete" not in body
    assert asyncio.get_running_loop().time() - told_at >= LAST_WORD.total_seconds() * 0.9
    assert source.closed == 1


async def test_complete_is_followed_by_the_end_at_once() -> None:
    """A client that was told it is over needs no pause; a chunked response gets its last chunk."""
    streams = OpenStreams()
    async with connected(chunked=True) as (connection, peer):
        await response(Events(then(sse.COMPLETE, nothing)), streams)(
            connection.scope(), connection.receive, connection.send
        )
        await peer.read_until(b"complete")
        completed_at = asyncio.get_running_loop().time()
        body = await peer.read_to_the_end()

    assert body.endswith(b"\r\n0\r\n\r\n")
    assert asyncio.get_running_loop().time() - completed_at < LAST_WORD.total_seconds() / 2


async def test_long_replay_lets_others_have_their_turns() -> None:
    """A source that never waits gives way after every TURN_AFTER pieces, and none of them is lost."""
    turns: list[int] = []
    sent = 0

    async def replay() -> AsyncGenerator[bytes, None]:
        nonlocal sent
        for _ in range(10 * TURN_AFTER):
            sent += 1
            yield b"piece "
        yield sse.COMPLETE

    async def other() -> None:
        while sent < 10 * TURN_AFTER:
            turns.append(sent)
            await asyncio.sleep(0)

    streams = OpenStreams()
    async with connected() as (connection, peer):
        await response(Events(replay), streams)(connection.scope(), connection.receive, connection.send)
        await other()
        body = await peer.read_to_the_end()

    assert body.count(b"piece ") == 10 * TURN_AFTER
    assert max(later - earlier for earlier, later in pairwise(turns)) == TURN_AFTER


async def test_cleanup_survives_a_cancel_scope_around_the_request() -> None:
    """A middleware's scope cancels each await of the request's task again and again, but not the stream's."""
    cleaned = False

    async def source() -> AsyncGenerator[bytes, None]:
        nonlocal cleaned
        try:
            yield b"e"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            cleaned = True

    streams = OpenStreams()
    async with connected() as (connection, peer):
        async with anyio.create_task_group() as group:
            group.start_soon(response(Events(source), streams), connection.scope(), connection.receive, connection.send)
            await peer.read_until(b"e")
            group.cancel_scope.cancel()
        peer.leave()
        await wait_until(lambda: len(streams) == 0, description="the stream is over")

    assert cleaned


async def test_stream_in_its_seat_costs_no_task_and_goes_on_when_it_rises() -> None:
    """Heartbeats and disconnects need no task either."""
    streams = OpenStreams(heartbeat=SOON)
    source = Events(then(b"caught up", nothing), then(b"alone again", nothing), seats=True)
    before = len(asyncio.all_tasks())
    async with connected() as (connection, peer):
        await response(source, streams)(connection.scope(), connection.receive, connection.send)
        await peer.read_until(sse.HEARTBEAT)
        assert source.seated is not None
        assert (len(asyncio.all_tasks()) - before, len(streams), source.closed) == (0, 1, 0)

        source.seated.write(b"shared")
        source.resume()

        assert b"shared" in await peer.read_until(b"alone again")
        await peer.read_to_the_end()
        assert source.closed == 1


async def test_stream_in_its_seat_is_cleaned_up_when_its_client_leaves() -> None:
    """Once, though no task was there to notice."""
    streams, source, over = OpenStreams(), Events(then(b"caught up", nothing), seats=True), list[None]()
    async with connected() as (connection, peer):
        await response(source, streams, lambda: over.append(None))(
            connection.scope(), connection.receive, connection.send
        )
        await peer.read_until(b"caught up")
        peer.leave()
        await wait_until(lambda: len(streams) == 0 and source.closed == 1, description="cleaned up")

    assert len(over) == 1


async def test_stream_in_its_seat_rises_when_its_client_does_not_keep_up() -> None:
    """The fan-out waits for nobody: whoever is behind goes on alone."""
    streams, source = OpenStreams(), Events(then(b"caught up", nothing), seats=True)
    async with connected(receive_buffer=4_096) as (connection, peer):
        await response(source, streams)(connection.scope(), connection.receive, connection.send)
        await peer.read_until(b"caught up")
        assert source.seated is not None
        source.seated.write(b"x" * 8_000_000)

        assert source.risen == 1


async def test_idle_stream_in_front_of_a_full_socket_is_cut() -> None:
    """The heartbeat's timer sees that nothing moves, when no event does."""
    streams = OpenStreams(heartbeat=SOON)
    source = Events(then(b"x" * 60_000, asyncio.Event().wait))
    async with connected(receive_buffer=4_096) as (connection, _):
        connection.transport.get_extra_info("socket").setsockopt(1, 7, 4_096)  # SOL_SOCKET, SO_SNDBUF
        await response(source, streams)(connection.scope(), connection.receive, connection.send)

        await wait_until(lambda: source.closed == 1, description="cut and cleaned up")
    assert len(streams) == 0


async def test_request_under_another_server_is_refused_and_released() -> None:
    """Nothing is sent, and who counted the stream in hears that it is over."""
    over = list[None]()
    with pytest.raises(RuntimeError):
        await response(Events(), OpenStreams(), lambda: over.append(None))({"type": "http"}, _never, _nobody)
    assert len(over) == 1


async def _never() -> dict[str, object]:
    raise AssertionError


async def _nobody(_: object) -> None:
    raise AssertionError
