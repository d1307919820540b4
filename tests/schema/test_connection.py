"""A connection within bounds: what brings too much, too slowly, or is one too many is told so and closed."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from schema.connection import Bounds, Connection, Whole, bounded, forget_the_silent, sweep
from schema.serving import Server
from tests.support.waiting import wait_until

HEAD = 1_000
BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
"""A head that promises ten bytes."""


def get(path: str = "/", *, padding: int = 0) -> bytes:
    """A whole request, `padding` bytes larger."""
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Padding: {'x' * padding}\r\n\r\n".encode()


@dataclass
class Running:
    """A server within bounds of which a test sees the requests it got, and why it cut connections."""

    most: int = 100
    asked: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    answer: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        bounds = Bounds(
            head=HEAD,
            head_within=timedelta(seconds=20),
            body_within=timedelta(seconds=60),
            most=self.most,
            cut=self.cut.append,
        )
        config = uvicorn.Config(
            self.app,
            port=0,
            interface="asgi3",
            http=bounded(bounds),
            lifespan="off",
            log_config=None,
            timeout_keep_alive=60,
        )
        self.server = Server(config, drain=self.drained, linger=timedelta(milliseconds=200))

    async def drained(self) -> None:
        """No stream is open here."""

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads the whole body, then answers; `/early` begins to answer before, `/late` waits until it may `answer`."""
        self.asked.append(scope["path"])
        start = {"type": "http.response.start", "status": 200, "headers": []}
        if scope["path"] == "/early":
            await send(start)
            await send({"type": "http.response.body", "body": b"early", "more_body": True})
        while (await receive()).get("more_body"):
            pass
        if scope["path"] == "/late":
            await self.answer.wait()
        if scope["path"] != "/early":
            await send(start)
        await send({"type": "http.response.body", "body": b"whole"})

    def sweep(self, *, after: float) -> None:
        """What the server does once a second, as if these seconds were over."""
        sweep(self.server.server_state.connections, asyncio.get_running_loop().time() + after)

    @asynccontextmanager
    async def connection(self, sent: bytes = b"") -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection that the server knows of, on which this was sent."""
        known = len(self.server.server_state.connections)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await wait_until(
                lambda: len(self.server.server_state.connections) > known or bool(self.cut), description="accepted"
            )
            writer.write(sent)
            yield reader, writer
        finally:
            writer.close()


@asynccontextmanager
async def serving(most: int = 100) -> AsyncIterator[Running]:
    """The server on a free port of loopback, in this test's event loop."""
    running = Running(most)
    task = asyncio.create_task(running.server._serve())
    await wait_until(lambda: running.server.started or task.done(), description="serving")
    yield running
    running.answer.set()
    running.server.should_exit = True
    async with asyncio.timeout(10):
        await task


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """A running server."""
    async with serving() as server:
        yield server


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server closes."""
    received = b""
    async with asyncio.timeout(10):
        try:
            while some := await reader.read(65_536):
                received += some
        except ConnectionError:
            pass  # aborted: what had arrived is the answer
    return received


async def answered(reader: asyncio.StreamReader) -> bytes:
    """The head of the next whole answer of a connection that stays open."""
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"0\r\n\r\n")
    return head


async def is_served(running: Running) -> bool:
    """Whether the next request, on a connection of its own, gets its answer."""
    async with running.connection(get("/next")) as (reader, _):
        return (await answered(reader)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("end", [b"\r\n\r\n", b""], ids=["whole", "without an end"])
async def test_head_that_is_too_large_is_told_so(running: Running, end: bytes) -> None:
    """431 and the end, whether it came whole or goes on for ever; nothing of it reaches the application."""
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Large: " + b"x" * HEAD + end
    async with running.connection(head) as (reader, _):
        answer = await end_of(reader)

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert running.cut == ["head_size"]
    assert await is_served(running)
    assert running.asked == ["/next"]


async def test_address_counts_as_part_of_the_head(running: Running) -> None:
    """Where a GET carries its query, it can be too large as well."""
    async with running.connection(get(f"/?query={'x' * HEAD}")) as (reader, _):
        assert (await end_of(reader)).startswith(b"HTTP/1.1 431 ")


async def test_what_follows_a_refused_head_is_not_read(running: Running) -> None:
    """A second request in the same bytes is not answered: it may be what the first one smuggled in."""
    async with running.connection(get(padding=HEAD) + get("/smuggled")) as (reader, _):
        answer = await end_of(reader)

    assert answer.count(b"HTTP/1.1 ") == 1
    assert running.asked == []
    assert running.cut == ["head_size"]


async def test_each_head_of_a_connection_is_measured_by_itself(running: Running) -> None:
    """A client that keeps its connection may send heads within the bound for as long as it likes, in pieces too."""
    async with running.connection() as (reader, writer):
        [connection] = running.server.server_state.connections
        assert isinstance(connection, Connection)
        for _ in range(5):
            head = get(padding=HEAD - 100)
            writer.write(head[:500])
            await wait_until(lambda: connection._in_head and connection._head_bytes > 0, description="a piece is there")
            writer.write(head[500:])
            assert (await answered(reader)).startswith(b"HTTP/1.1 200 ")
        writer.write(get(padding=HEAD))
        assert (await end_of(reader)).startswith(b"HTTP/1.1 431 ")

    assert running.cut == ["head_size"]


@pytest.mark.parametrize("sent", [b"", b"GE", b"GET / HTTP/1.1\r\nX-Slow: "], ids=["nothing", "a word", "half a head"])
async def test_head_that_does_not_come_in_time_is_given_up(running: Running, sent: bytes) -> None:
    """408 when its time is over, not before; and who comes next is served."""
    async with running.connection(sent) as (reader, _):
        running.sweep(after=15)
        assert running.cut == []
        running.sweep(after=21)
        answer = await end_of(reader)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert running.cut == ["head_time"]
    assert await is_served(running)


async def test_second_head_of_a_connection_has_its_own_time(running: Running) -> None:
    """Between two requests nothing is overdue; from the first byte of the next one it can be."""
    async with running.connection(get()) as (reader, writer):
        await answered(reader)
        running.sweep(after=3_600)
        assert running.cut == []
        writer.write(b"GET /")

        async def cut() -> bool:
            running.sweep(after=21)
            return bool(running.cut)

        await wait_until(cut, description="the half head is overdue")
        assert (await end_of(reader)).startswith(b"HTTP/1.1 408 ")

    assert running.cut == ["head_time"]


async def test_body_that_does_not_come_in_time_is_given_up(running: Running) -> None:
    """A head that came in time buys a longer one for the body, and then it is 408."""
    async with running.connection(BODY + b"half") as (reader, _):
        await wait_until(lambda: running.asked == ["/"], description="its head is there")
        running.sweep(after=50)
        assert running.cut == []
        running.sweep(after=61)
        answer = await end_of(reader)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert running.cut == ["body_time"]
    assert await is_served(running)


async def test_answer_that_has_begun_is_cut_without_a_second_status(running: Running) -> None:
    """A 408 in the middle of a body would be read as part of it: the connection is aborted."""
    async with running.connection(BODY.replace(b"POST /", b"POST /early")) as (reader, _):
        received = await reader.readuntil(b"early")
        running.sweep(after=61)
        received += await end_of(reader)

    assert received.count(b"HTTP/1.1 ") == 1
    assert b" 408 " not in received
    assert running.cut == ["body_time"]


async def test_answer_may_take_as_long_as_it_takes(running: Running) -> None:
    """Bounds are the client's: a request that is there, body and all, is not cut for what the server does with it."""
    async with running.connection(get("/late")) as (reader, _):
        await wait_until(lambda: running.asked == ["/late"], description="asked")
        running.sweep(after=3_600)
        running.answer.set()
        assert (await answered(reader)).startswith(b"HTTP/1.1 200 ")

    assert running.cut == []


async def test_connection_beyond_the_number_is_refused_and_the_others_are_not() -> None:
    """503 before it has sent a byte; when one of the others has left, the next is let in."""
    async with serving(most=2) as running, running.connection():
        async with running.connection() as (reader, writer):
            async with running.connection() as (refused, _):
                assert (await end_of(refused)).startswith(b"HTTP/1.1 503 ")
            assert running.cut == ["connections"]
            writer.write(get())
            assert (await answered(reader)).startswith(b"HTTP/1.1 200 ")
        await wait_until(lambda: len(running.server.server_state.connections) == 1, description="one has left")

        assert await is_served(running)
        assert running.cut == ["connections"]


class Recorder(asyncio.Transport):
    """A transport that keeps what is written to it, piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.closed = True


@dataclass
class Answering:
    """Of a response, what its transport looks at."""

    transport: asyncio.Transport
    response_started: bool = False


@pytest.mark.parametrize(
    ("body", "turns", "pieces"),
    [([b"body"], 0, [b"headbody"]), ([b"a", b"b"], 0, [b"heada", b"b"]), ([b"body"], 1, [b"head", b"body"])],
    ids=["whole", "in parts", "later"],
)
async def test_head_goes_out_with_what_follows_it_at_once(body: list[bytes], turns: int, pieces: list[bytes]) -> None:
    """One packet for a whole answer; a head alone does not wait longer than a turn of the loop."""
    recorder = Recorder()
    cycle = Answering(recorder)
    whole = Whole(cycle, asyncio.get_running_loop())  # type: ignore[arg-type]  # a part of uvicorn's
    whole.write(b"continue")
    cycle.response_started = True

    whole.write(b"head")
    for _ in range(turns):
        await asyncio.sleep(0)
    for part in body:
        whole.write(part)
    await asyncio.sleep(0)

    assert recorder.pieces == [b"continue", *pieces]


async def test_head_without_a_body_goes_out_before_the_end() -> None:
    """What has been written is sent before the connection closes."""
    recorder = Recorder()
    whole = Whole(Answering(recorder, response_started=True), asyncio.get_running_loop())  # type: ignore[arg-type]

    whole.write(b"head")
    whole.close()

    assert (recorder.pieces, recorder.closed) == ([b"head"], True)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
def test_connections_forget_a_peer_that_falls_silent() -> None:
    """What is accepted has TCP_USER_TIMEOUT from its listener, and 30 s it is."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        forget_the_silent(listener)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
