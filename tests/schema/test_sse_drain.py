"""How open streams end: by themselves, by being cancelled, within bounds; and a whole process that is told to stop."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from schema.streams import OpenStreams

CLOCK_SLACK = 1.0
"""Seconds a loaded machine may add to a bound."""


async def _stubborn(cleaned: list[str], cleanup: float = 0.0) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(cleanup)
        cleaned.append("cancelled")


async def test_drain_lets_streams_end_and_cancels_those_that_do_not() -> None:
    """Who watches `draining` says goodbye; who does not is cancelled and cleans up, all within the time given."""
    streams, ended = OpenStreams(), list[str]()

    async def polite() -> None:
        await streams.draining.wait()
        ended.append("by itself")

    streams.start(polite(), name="polite")
    streams.start(_stubborn(ended), name="stubborn")
    await asyncio.sleep(0)
    await streams.drain(timedelta(milliseconds=400))

    assert ended == ["by itself", "cancelled"]
    assert len(streams) == 0


async def test_drain_does_not_wait_for_a_cleanup_that_hangs(caplog: pytest.LogCaptureFixture) -> None:
    """It is cancelled a second time, and named in the log."""
    streams, ended = OpenStreams(), list[str]()
    task = streams.start(_stubborn(ended, cleanup=3600), name="hanging")
    await asyncio.sleep(0)

    began = time.monotonic()
    await streams.drain(timedelta(milliseconds=200))

    assert time.monotonic() - began < 0.2 + CLOCK_SLACK
    assert "hanging" in caplog.text
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert ended == []
    assert len(streams) == 0


async def test_stream_that_starts_after_the_drain_never_runs() -> None:
    """A request that was under way when the drain began cannot leave a stream behind."""
    streams, ended = OpenStreams(), list[str]()
    await streams.drain(timedelta(milliseconds=10))

    task = streams.start(_stubborn(ended), name="late")
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert task.cancelled()
    assert ended == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_process_told_to_stop_exits_with_0_in_time(number: signal.Signals, repository: Path) -> None:
    """With a stream that ends itself, one that does not, and a client that reads nothing; each cleans up."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.stream_process",
        cwd=repository,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    writers = []
    try:
        port = int(await process.stdout.readline())
        for query in ("polite", "deaf", "flood"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_000)
            writers.append(writer)
            body = b'{"query": "subscription { %s }"}' % query.encode()
            writer.write(
                b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            await reader.readuntil(b"event: next")

        began = time.monotonic()
        process.send_signal(number)
        rest = await asyncio.wait_for(process.stdout.read(), 20)
        code = await process.wait()
    finally:
        for writer in writers:
            writer.transport.abort()
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert code == 0
    assert sorted(rest.split()) == [b"deaf", b"flood", b"polite"]
    assert time.monotonic() - began < 1.0 + 0.5 + 2 * CLOCK_SLACK  # drain, linger, uvicorn's own pauses
