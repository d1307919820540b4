"""One stream's conversation with its connection: who is cut, what is cleaned up, and when the end is sent."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import anyio
import pytest
from starlette.types import Message, Scope

from schema import sse
from schema.acceptance import SentBytes
from schema.sse_response import LAST_WORD, SseResponse
from schema.streams import OpenStreams
from tests.support.waiting import wait_until

SCOPE: Scope = {"type": "http"}
SOON = timedelta(milliseconds=50)


class Socket(SentBytes):
    """What is known of a peer that has taken `reached` bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = 0
        self.aborted = False

    def taken(self) -> int:
        return self.reached

    def abort(self) -> None:
        self.aborted = True


@dataclass(slots=True)
class Peer:
    """The other end: takes everything while `open`, and leaves when `gone` is set."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    body: bytes = b""
    ended_at: float | None = None
    last_at: float = 0.0
    events: int = 0

    def __post_init__(self) -> None:
        self.open.set()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.open.wait()
        now = asyncio.get_running_loop().time()
        if message.get("body"):
            self.body += message["body"]
            self.last_at = now
        if message.get("more_body") is False:
            self.ended_at = now


def response(chunks: AsyncGenerator[bytes, None], streams: OpenStreams, socket: SentBytes | None = None) -> SseResponse:
    """A response with short times."""
    return SseResponse(
        opening=b": open\n\n",
        chunks=chunks,
        streams=streams,
        sent=socket or Socket(),
        name="test",
        heartbeat=SOON,
        stalled=SOON,
    )


async def then(event: bytes, after: Callable[[], Awaitable[object]]) -> AsyncGenerator[bytes, None]:
    """One event, then whatever `after` does."""
    yield event
    await after()


async def test_idle_stream_in_front_of_a_full_socket_is_cut() -> None:
    """The heartbeat meets the full socket when no event does, and must not wait for it for ever."""
    streams, peer, socket = OpenStreams(), Peer(), Socket()
    answering = asyncio.create_task(
        response(then(b"e", asyncio.Event().wait), streams, socket)(SCOPE, peer.receive, peer.send)
    )
    await wait_until(lambda: peer.body.endswith(b"e"), description="the event is sent")

    peer.open.clear()
    await asyncio.wait_for(answering, 10)

    assert socket.aborted
    assert len(streams) == 0


async def test_slow_client_that_takes_something_is_not_cut() -> None:
    """Whoever takes a byte now and then is slow, not gone."""
    streams, peer, socket = OpenStreams(), Peer(), Socket()
    answering = asyncio.create_task(
        response(then(b"e", asyncio.Event().wait), streams, socket)(SCOPE, peer.receive, peer.send)
    )
    await wait_until(lambda: peer.body.endswith(b"e"), description="the event is sent")

    peer.open.clear()
    until = asyncio.get_running_loop().time() + 5 * SOON.total_seconds()

    def trickled() -> bool:
        socket.reached += 1
        return asyncio.get_running_loop().time() > until

    await wait_until(trickled, description="several limits have passed", every=0.005)
    assert not socket.aborted
    peer.open.set()
    peer.gone.set()
    await asyncio.wait_for(answering, 10)
    assert not socket.aborted


async def test_end_of_a_stream_does_not_wait_for_a_full_socket() -> None:
    """A stream that ended while its client reads nothing gives its connection up."""
    streams, peer, socket = OpenStreams(), Peer(), Socket()
    release = asyncio.Event()
    answering = asyncio.create_task(response(then(b"e", release.wait), streams, socket)(SCOPE, peer.receive, peer.send))
    await wait_until(lambda: peer.body.endswith(b"e"), description="the event is sent")

    peer.open.clear()
    release.set()
    await asyncio.wait_for(answering, 10)

    assert socket.aborted
    assert peer.ended_at is None


async def test_value_that_cannot_be_written_ends_the_stream_without_complete(caplog: pytest.LogCaptureFixture) -> None:
    """It is told as an ID after the events before it, with a pause before the end, and closes the source."""

    async def fail() -> None:
        sse.encode_next({"data": {"n": 2**80}})

    streams, peer = OpenStreams(), Peer()
    await response(then(b"e", fail), streams)(SCOPE, peer.receive, peer.send)

    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert peer.body.endswith(f"Report this ID: {record.__dict__['incident']}\n\n".encode())
    assert b"complete" not in peer.body
    assert peer.ended_at is not None
    assert peer.ended_at - peer.last_at >= LAST_WORD.total_seconds() * 0.9


async def test_complete_is_followed_by_the_end_at_once() -> None:
    """A client that was told it is over needs no pause."""

    async def nothing() -> None: ...

    streams, peer = OpenStreams(), Peer()
    await response(then(sse.COMPLETE, nothing), streams)(SCOPE, peer.receive, peer.send)

    assert peer.ended_at is not None
    assert peer.ended_at - peer.last_at < LAST_WORD.total_seconds() / 2


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

    streams, peer = OpenStreams(), Peer()
    async with anyio.create_task_group() as group:
        group.start_soon(response(source(), streams), SCOPE, peer.receive, peer.send)
        await wait_until(lambda: peer.body.endswith(b"e"), description="the event is sent")
        group.cancel_scope.cancel()

    await wait_until(lambda: len(streams) == 0, description="the stream is over")
    assert cleaned


async def test_next_event_is_not_asked_for_when_the_client_left_during_the_last() -> None:
    """Being resumed means "sent" to the source, and sending to somebody who has just left succeeds silently."""
    resumed = False

    async def source() -> AsyncGenerator[bytes, None]:
        nonlocal resumed
        yield b"first"
        resumed = True

    class Leaving(Peer):
        async def send(self, message: Message) -> None:
            await super().send(message)
            if message.get("body") == b"first":
                self.gone.set()

    streams, peer = OpenStreams(), Leaving()
    await response(source(), streams)(SCOPE, peer.receive, peer.send)

    assert b"first" in peer.body
    assert not resumed


async def test_idle_stream_costs_two_tasks() -> None:
    """The request's, which the server made, and the stream's: heartbeats and disconnects need none of their own."""
    streams, peer = OpenStreams(), Peer()
    before = len(asyncio.all_tasks())
    answering = asyncio.create_task(response(then(b"e", asyncio.Event().wait), streams)(SCOPE, peer.receive, peer.send))
    await wait_until(lambda: peer.body.count(sse.HEARTBEAT) > 1, description="two heartbeats")

    assert len(asyncio.all_tasks()) - before == 2

    peer.gone.set()
    await answering
