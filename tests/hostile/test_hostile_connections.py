"""Connections that bring too little in too much time, or are too many: the others are served meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import psutil
import pytest

from tests.hostile.over_http import FINE
from tests.hostile.wire import Answer, exchange, operation, request
from tests.support.server import Client, ServerProcess
from tests.support.waiting import wait_until

STREAM = request(
    headers={"Accept": "text/event-stream"},
    body=b'{"query":"subscription { activityAdded { cursor } }"}',
)
FLOOD = 1_000


@asynccontextmanager
async def connection(url: str, first: bytes = b"") -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which `first` was sent."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(first)
        await writer.drain()
        yield reader, writer
    finally:
        writer.close()


async def end_of(reader: asyncio.StreamReader) -> Answer:
    """What the server says before it closes."""
    try:
        async with asyncio.timeout(15):
            return Answer.read(await reader.read())
    except ConnectionError:
        return Answer(None, b"")


@pytest.mark.parametrize(
    "first", [b"", b"POST /gra", request(body=FINE)[:120]], ids=["nothing", "half a line", "half a head"]
)
async def test_a_head_that_does_not_come_is_not_waited_for(
    start_server: Callable[..., ServerProcess], first: bytes
) -> None:
    """A connection without a whole head ends after HEADERS_WITHIN, whatever little it brought."""
    server = await start_server(HEADERS_WITHIN="1").start()
    async with connection(server.url, first) as (reader, _):
        answer = await end_of(reader)

    assert answer.status in {408, None}


async def test_a_head_that_drips_is_cut_in_the_same_time(start_server: Callable[..., ServerProcess]) -> None:
    """A byte now and then buys no more time: slow-loris."""
    server = await start_server(HEADERS_WITHIN="2").start()
    async with connection(server.url, b"GET /livez HTTP/1.1\r\nX: ") as (reader, writer):
        dripping = asyncio.create_task(drip(writer), name="drip")
        try:
            answer = await end_of(reader)
        finally:
            dripping.cancel()

    assert answer.status in {408, None}


async def test_a_body_that_drips_is_cut(start_server: Callable[..., ServerProcess]) -> None:
    """Of a body only what comes within BODY_WITHIN counts, and the next request is served."""
    server = await start_server(BODY_WITHIN="2").start()
    head = request(headers={"Content-Length": "5000"})
    async with connection(server.url, head) as (reader, writer):
        dripping = asyncio.create_task(drip(writer), name="drip")
        try:
            answer = await end_of(reader)
        finally:
            dripping.cancel()
    after = await exchange(server.url, request(body=FINE))

    assert answer.status in {408, None}
    assert after.status == 200


async def test_a_flood_of_idle_connections_hinders_nobody(start_server: Callable[..., ServerProcess]) -> None:
    """While a thousand connections say nothing others are served; then they are cut, and counted."""
    server = await start_server(HEADERS_WITHIN="5").start()
    before = psutil.Process(server.pid).memory_info().rss
    async with AsyncExitStack() as stack, Client(server.url) as client:
        readers = [(await stack.enter_async_context(connection(server.url)))[0] for _ in range(FLOOD)]
        during = await exchange(server.url, request(body=FINE))
        grown = psutil.Process(server.pid).memory_info().rss - before
        await asyncio.gather(*(end_of(reader) for reader in readers))

        async def counted() -> bool:
            lines = (await client.text("/metrics")).splitlines()
            return any(
                line.startswith('connections_cut_total{reason="head_time"}') and float(line.split()[-1]) >= FLOOD
                for line in lines
            )

        await wait_until(counted, description="every connection that was cut is counted", every=0.1)

    assert during.status == 200
    assert grown < FLOOD * 40 * 1024


async def test_streams_beyond_the_users_number_are_refused_with_advice(
    start_server: Callable[..., ServerProcess],
) -> None:
    """The user's third stream is 429 with a code; another user's first one opens."""
    server = await start_server(MAX_STREAMS_PER_USER="2").start()
    async with AsyncExitStack() as stack:
        for _ in range(2):
            reader, _ = await stack.enter_async_context(connection(server.url, STREAM))
            assert b" 200 " in await reader.readline()
        third = await exchange(server.url, STREAM)
        other = request(
            headers={"Accept": "text/event-stream"},
            body=b'{"query":"subscription { activityAdded { cursor } }"}',
            user="bob",
        )
        of_bob, _ = await stack.enter_async_context(connection(server.url, other))
        opened = await of_bob.readline()

    assert (third.status, third.code) == (429, "TOO_MANY_STREAMS")
    assert b" 200 " in opened


async def test_who_asks_too_often_is_told_to_wait_and_others_are_not(
    start_server: Callable[..., ServerProcess],
) -> None:
    """Beyond the operations of a minute a user gets 429; another user is served."""
    server = await start_server(MAX_OPERATIONS_PER_MINUTE="10").start()
    answers = [await exchange(server.url, operation("{ __typename }")) for _ in range(25)]
    other = await exchange(server.url, request(body=FINE, user="bob"))

    assert {answer.status for answer in answers} == {200, 429}
    assert {answer.code for answer in answers if answer.status == 429} == {"RATE_LIMITED"}
    assert other.status == 200


async def drip(writer: asyncio.StreamWriter) -> None:
    """A byte every now and then, until the connection is lost."""
    while not writer.is_closing():
        writer.write(b"a")
        await asyncio.sleep(0.2)
