"""The load client against a server that follows a script: what the benchmark's figures rest on."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.benchmarks.building import CompilerMissing, build
from tests.benchmarks.client import Target, load, settled
from tests.benchmarks.wire import data, event, subscribe

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
COUNT = 20
Script = Callable[[int, bytes], Sequence[bytes]]


@pytest.fixture(autouse=True)
def _compiled() -> None:
    try:
        build("client")
    except CompilerMissing as missing:
        pytest.skip(str(missing))


def frame(sequence: int, *, published: int = 0, end: str = "\n") -> bytes:
    """An event as the server writes it."""
    shown = f"Division @@{sequence}:{published}@"
    lines = [f"id: 17-{sequence}", "event: next", f'data: {{"title":"{shown}"}}', "", ""]
    return end.join(lines).encode()


def chunked(body: bytes, size: int) -> bytes:
    """The body in chunks of `size` bytes, without a last one."""
    pieces = [body[first : first + size] for first in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[int]:
    """A server that writes what `script` says to its n-th request, piece by piece; an empty piece ends it."""
    opened = 0
    release = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        opened += 1
        pieces = script(opened, body)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if not pieces or pieces[-1] != b"":
            await release.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        release.set()
        server.close()


def split(data: bytes, size: int) -> list[bytes]:
    """In pieces of `size` bytes, the way a network may deliver them."""
    return [data[first : first + size] for first in range(0, len(data), size)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("written", [1, 7, 100_000])
@pytest.mark.parametrize("chunk", [None, 1, 5, 64])
async def test_events_are_counted_however_they_are_cut(chunk: int | None, written: int, end: str) -> None:
    """Every event counts once, whatever the chunks, the segments and the line ends."""
    body = b": open\n\n" + b"".join(frame(k, end=end) for k in range(1, 21))
    answer = HEAD + b"Connection: close\r\n\r\n" + body
    if chunk is not None:
        answer = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, chunk)
    async with (
        scripted(lambda _, __: split(answer, written)) as port,
        load([Target(port, [subscribe()] * 3, ": open")], core=None) as clients,
    ):
        await clients.expect(1, 20)
        opened = await clients.open()
        report = await settled(clients, 60, within=10)

    assert (opened.open, opened.failed) == (3, 0)
    assert (report.deliveries, report.missing, report.duplicates, report.incomplete) == (60, 0, 0, 0)


async def test_what_is_missing_or_repeated_is_counted() -> None:
    """A hole, a repetition and an end that never came are told apart."""
    sequences = [1, 2, 2, 5, 6, 1]
    answer = HEAD + b"\r\n: open\n\n" + b"".join(map(frame, sequences))

    async with (
        scripted(lambda _, __: [answer]) as port,
        load([Target(port, [subscribe()], ": open")], core=None) as clients,
    ):
        await clients.expect(1, 8)
        await clients.open()
        report = await settled(clients, 4, within=10)

    assert report.deliveries == 4
    assert report.duplicates == 2
    assert report.missing == 4  # 3 and 4, 7 and 8
    assert report.incomplete == 1


async def test_arrival_is_when_the_last_connection_has_it() -> None:
    """An event has arrived when every connection has counted it, not before."""
    answer = HEAD + b"\r\n: open\n\n" + frame(1)
    short = HEAD + b"\r\n: open\n\n"

    async with (
        scripted(lambda n, _: [answer if n < 3 else short]) as port,
        load([Target(port, [subscribe()] * 3, ": open")], core=None) as clients,
    ):
        await clients.expect(1, 1)
        await clients.open()
        report = await settled(clients, 2, within=10)
        with pytest.raises(TimeoutError):
            await clients.arrival(1, within=0.2)

    assert (report.deliveries, report.missing, report.incomplete) == (2, 1, 1)


async def test_cut_connection_resumes_with_its_last_whole_event() -> None:
    """The cursor sent is that of the last event whose blank line came; the request keeps its length."""
    bodies: list[bytes] = []
    unfinished = frame(3)[:-1]

    def script(n: int, body: bytes) -> list[bytes]:
        bodies.append(body)
        start = HEAD + b"\r\n: open\n\n"
        if n == 1:
            return [start + frame(1) + frame(2) + unfinished, b""]
        return [start + frame(3) + frame(4)]

    request = subscribe(subscriber="phone")
    async with (
        scripted(script) as port,
        load([Target(port, [request], ": open")], core=None, reconnect=True) as clients,
    ):
        await clients.expect(1, 4)
        await clients.open()
        report = await settled(clients, 4, within=10)

    assert b'"since":null' in bodies[0]
    assert b'"since":"17-2"' in bodies[1]
    assert len(bodies[0]) == len(bodies[1])
    assert (report.missing, report.reopened, report.lost) == (0, 1, 1)


async def test_client_that_backs_off_comes_back_later_and_says_how_long_it_waited() -> None:
    """Full jitter above a quarter of a second; the wait for the first event counts from its own connect."""
    came: list[float] = []

    def script(n: int, _: bytes) -> list[bytes]:
        came.append(time.time())
        start = HEAD + b"\r\n: open\n\n"
        return [start + frame(1), b""] if n <= COUNT else [start + frame(2)]

    async with (
        scripted(script) as port,
        load([Target(port, [subscribe()] * COUNT, ": open")], core=None, reconnect=True, backoff=True) as clients,
    ):
        await clients.expect(1, 2)
        await clients.open()
        await settled(clients, 2 * COUNT, within=20)
        resumed, waited = await clients.resumed(0)
        later, from_later_on = await clients.resumed(max(came) + 60)

    first, again = came[:COUNT], came[COUNT:]
    assert resumed == later == COUNT
    assert min(again) - min(first) > 0.2
    assert max(again) - min(again) > 0.2
    assert 0 <= waited.quantile(0.99) < (max(again) - min(first)) * 1_000
    assert from_later_on.quantile(1) == 0


async def test_jitter_cuts_everybody_in_turn_and_times_what_they_missed() -> None:
    """A wait ends when a connection has all that anybody had seen when it came back, and counts from its return."""
    bodies: list[bytes] = []

    def script(n: int, body: bytes) -> list[bytes]:  # each that opens is told one activity more than the one before
        bodies.append(body)
        return [HEAD + b"\r\n: open\n\n" + b"".join(frame(k) for k in range(1, n + 1))]

    async with (
        scripted(script) as port,
        load([Target(port, [subscribe()] * 2, ": open")], core=None, reconnect=True) as clients,
    ):
        await clients.expect(1, 50)
        await clients.open()
        await settled(clients, 3, within=10)
        await clients.jitter(0.4, 0.1)
        async with asyncio.timeout(10):
            while (found := await clients.replayed()).waits.counts.total() < 4:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        await clients.jitter(0, 0.1)
        ended = await clients.replayed()
        report = await clients.report()

    assert b'"since":"17-1"' in bodies[2]
    assert found.cuts >= 4
    assert found.waiting == found.nothing == 0
    assert found.waits.quantile(1) < 10_000
    assert ended.cuts - found.cuts <= 2
    assert report.lost == ended.cuts


async def test_refused_open_is_tried_again_and_counted() -> None:
    """A 503 is no stream; the next attempt may be one."""
    refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"

    def script(n: int, _: bytes) -> list[bytes]:
        return [refusal] if n == 1 else [HEAD + b"\r\n: open\n\n"]

    async with scripted(script) as port, load([Target(port, [subscribe()], ": open")], core=None) as clients:
        opened = await clients.open()

    assert (opened.open, opened.refused) == (1, 1)
    assert opened.failure.startswith("HTTP/1.1 503")


async def test_frames_are_of_the_agreed_size() -> None:
    """What all servers send is about 450 bytes, so that ratios compare the same work."""
    assert 380 <= len(b"id: 1795527974982-7\nevent: next\ndata: " + data(7)) + 2 <= 500
    assert event(7)["activity"]["title"].count("@@7:") == 1
