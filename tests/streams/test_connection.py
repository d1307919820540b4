"""What is made of Redis' failures, on the event loop that serves."""

import asyncio
import socket
import struct

import pytest
import uvloop

from streams.connection import connect, translated
from streams.errors import StreamsUnavailable
from tests.support.waiting import wait_until

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: on, no time. A close is then a RST."""


async def write_after_a_reset() -> None:
    """Write to a stream whose peer has reset it, once the event loop knows."""

    def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()

    async with await asyncio.start_server(reset, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await wait_until(lambda: reader.exception() is not None or reader.at_eof(), description="the reset came")
        async with translated("setting up the connection"):
            writer.writelines([b"PING\r\n"])
            await writer.drain()


def test_a_connection_that_broke_between_two_awaits_is_redis_being_away() -> None:
    """For uvloop raises RuntimeError then, which would end a background task, and the server with it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pytest.raises(StreamsUnavailable):
        runner.run(write_after_a_reset())


async def test_other_runtime_errors_are_not_taken_for_weather() -> None:
    """They are mistakes of ours, and have to show."""
    with pytest.raises(RuntimeError, match="a mistake"):
        async with translated("something"):
            raise RuntimeError("a mistake")


def test_a_url_of_another_kind_says_what_to_write() -> None:
    """Before anything is opened."""
    with pytest.raises(ValueError, match="redis://"):
        connect("http://localhost")
