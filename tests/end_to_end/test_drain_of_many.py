"""SIGTERM with thousands of open streams."""

import asyncio
import json
import resource
import signal
import time
from collections.abc import Callable

import pytest

from tests.support.server import SUBSCRIPTION, Client, ServerProcess, token
from tests.support.waiting import wait_until

STREAMS = 5_000
DRAIN_SECONDS = 20


class Ending(asyncio.Protocol):
    """A connection that opens a stream and remembers how it ended: cheap enough for thousands in one process."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._received = b""
        self.open = False
        self.closing = False
        self.complete = False
        self.ended: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Look for the words that matter."""
        self._received = (self._received + data)[-4_000:]
        self.open = self.open or b"HELLO" in self._received
        self.closing = self.closing or b"CLOSING" in self._received
        self.complete = self.complete or b"event: complete" in self._received

    def connection_lost(self, _: Exception | None) -> None:
        """When."""
        self.ended = time.monotonic()


def request(user: str) -> bytes:
    """The bytes of a subscription by `user`."""
    body = json.dumps({"query": SUBSCRIPTION, "variables": {"subscriber": "phone"}}).encode()
    return (
        b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
        b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s" % (token(user).encode(), len(body), body)
    )


@pytest.mark.timeout(240)
async def test_sigterm_ends_five_thousand_streams_in_time(start_server: Callable[..., ServerProcess]) -> None:
    """Every stream hears CLOSING and no `complete`, spread over the time there is; the process exits 0 within it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 3 * STREAMS)), hard))
    server = await start_server(
        DRAIN_SECONDS=str(DRAIN_SECONDS), MAX_CONNECTS_PER_SECOND="100000", MAX_STREAMS="20000"
    ).start()
    host, port = server.url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    streams: list[Ending] = []
    for first in range(0, STREAMS, 250):
        opened = [
            await loop.create_connection(lambda k=k: Ending(request(f"reader{k}")), host, int(port))  # type: ignore[misc]
            for k in range(first, first + 250)
        ]
        streams += [stream for _, stream in opened]
        await wait_until(
            lambda opened=opened: all(stream.open for _, stream in opened),  # type: ignore[misc]
            description="open",
            within=60,
            every=0.05,
        )
    async with Client(server.url) as client:
        assert f"sse_connections_active {float(STREAMS)}" in await client.text("/metrics")

    started = time.monotonic()
    server.signal(signal.SIGTERM)

    assert await server.wait(within=DRAIN_SECONDS + 5) == 0
    assert time.monotonic() - started <= DRAIN_SECONDS
    await wait_until(lambda: all(one.ended for one in streams), description="all have ended")
    assert all(one.closing and not one.complete for one in streams)
    ends = sorted(one.ended or 0 for one in streams)
    assert ends[-1] - ends[0] > 1  # not all in one moment
    assert "not written at the end" not in server.output
