"""A server of several processes, struck and stopped."""

import asyncio
import contextlib
import json
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.parliament import insert_activities
from tests.support.server import Client, ServerProcess, Stream
from tests.support.waiting import wait_until

STREAMS = 12
DRAIN_SECONDS = 5


def workers(server: ServerProcess) -> list[psutil.Process]:
    """The server's workers; multiprocessing's own helper is none."""
    children = psutil.Process(server.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def connections(worker: psutil.Process) -> int:
    """How many clients a worker has."""
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port_of(worker) for one in tcp(worker))


def tcp(worker: psutil.Process) -> list[Any]:
    """Its TCP sockets."""
    return list(worker.net_connections("tcp"))


def port_of(worker: psutil.Process) -> int:
    """Where it listens."""
    return next(int(one.laddr.port) for one in tcp(worker) if one.status == psutil.CONN_LISTEN)


def serving(server: ServerProcess) -> bool:
    """Whether both listen."""
    living = workers(server)
    with contextlib.suppress(psutil.NoSuchProcess):
        return [any(one.status == psutil.CONN_LISTEN for one in tcp(worker)) for worker in living] == [True] * 2
    return False


async def metric(server: ServerProcess, name: str) -> float:
    """The sum of a metric, as whatever worker answers shows it."""
    async with Client(server.url) as client:
        lines = (await client.text("/metrics")).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if re.split(r"[{ ]", line)[0] == name)


@asynccontextmanager
async def streams_on_both(server: ServerProcess) -> AsyncIterator[list[Stream]]:
    """STREAMS or more streams, opened one after another until each worker has some."""
    async with AsyncExitStack() as stack:
        opened: list[Stream] = []
        while len(opened) < STREAMS or not all(connections(worker) for worker in workers(server)):
            assert len(opened) < 10 * STREAMS
            client = await stack.enter_async_context(Client(server.url, user=f"reader{len(opened)}"))
            stream = await stack.enter_async_context(client.subscribe())
            await stream.hello()
            opened.append(stream)
        yield opened


@pytest.fixture
async def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """Two workers."""
    made = start_server(WORKERS="2", DRAIN_SECONDS=str(DRAIN_SECONDS))
    return await made.start()


async def test_insert_reaches_the_streams_of_all_workers_and_their_metrics_add_up(
    server: ServerProcess, database: AsyncEngine
) -> None:
    """Both workers have streams, one INSERT reaches every one, and any worker shows the deliveries of both."""
    async with streams_on_both(server) as opened:
        await insert_activities(database, 1, title="for all")

        assert [["for all 0"]] * len(opened) == await asyncio.gather(*(stream.titles(1) for stream in opened))

        async def adds_up() -> bool:
            return await metric(server, "sse_delivery_success_total") == len(opened)

        await wait_until(adds_up, description="deliveries of both workers", every=0.1)
        for _ in range(8):  # whoever answers
            assert await metric(server, "sse_connections_active") == len(opened)
            assert await metric(server, "sse_entries_unaccounted") == 0
            assert await metric(server, "activities_created_total") == 1
            assert await metric(server, "workers_active") == 2


async def test_sigterm_drains_every_worker(server: ServerProcess) -> None:
    """All streams hear CLOSING, the parent exits 0 within DRAIN_SECONDS, and no process is left."""
    left = workers(server)
    async with streams_on_both(server) as opened:
        started = time.monotonic()
        server.signal(signal.SIGTERM)
        closings = await asyncio.gather(*(closing(stream) for stream in opened))

        assert all(closings)
        assert await server.wait() == 0
        assert time.monotonic() - started <= DRAIN_SECONDS
    assert not any(worker.is_running() for worker in left)


async def closing(stream: Stream) -> bool:
    """Whether the stream ends with CLOSING."""
    last: dict[str, object] = {}
    with contextlib.suppress(StopAsyncIteration, httpx.HTTPError):
        while True:
            last = await stream.event()
    return last.get("kind") == "CLOSING"


async def test_killed_worker_is_replaced_and_clients_with_cursors_lose_nothing(
    server: ServerProcess, database: AsyncEngine
) -> None:
    """What is published while a worker is dead reaches its clients when they are back, and totals do not go back."""
    async with streams_on_both(server) as opened:
        await insert_activities(database, 3, title="before")
        await asyncio.gather(*(stream.titles(3) for stream in opened))
        await wait_for(server, "sse_delivery_success_total", 3 * len(opened))
        victim = workers(server)[0]
        lost = connections(victim)
        victim.kill()
        await insert_activities(database, 3, title="after")
        titles = await asyncio.gather(*(after(stream, server, f"reader{k}") for k, stream in enumerate(opened)))

        assert [[f"after {k}" for k in range(3)]] * len(opened) == titles
        await wait_until(lambda: serving(server), description="the replacement serves")
        assert victim.pid not in [worker.pid for worker in workers(server)]
        assert await metric(server, "workers_replaced_total") == 1
        assert await metric(server, "sse_delivery_success_total") >= 3 * len(opened)
        await wait_for(server, "sse_connections_active", len(opened) - lost)
    assert "worker ended, replacing it" in server.output


async def after(stream: Stream, server: ServerProcess, user: str) -> list[str]:
    """The next three titles, on a new connection from the stream's cursor where the stream breaks."""
    found: list[str] = []
    with contextlib.suppress(httpx.HTTPError, StopAsyncIteration):
        while len(found) < 3:
            found += await stream.titles(1)
    while len(found) < 3:
        with contextlib.suppress(httpx.HTTPError, StopAsyncIteration):
            async with Client(server.url, user) as client, client.subscribe(since=stream.cursor) as again:
                found += await again.titles(3 - len(found))
    return found


async def wait_for(server: ServerProcess, name: str, value: float) -> None:
    """Until a metric has a value."""

    async def has() -> bool:
        return await metric(server, name) == value

    await wait_until(has, description=f"{name} is {value}", every=0.1)


async def test_one_worker_sequences_and_its_death_moves_the_lead(server: ServerProcess, database: AsyncEngine) -> None:
    """Exactly one of two leads; when it is killed the other goes on, and every row gets its place."""
    await wait_until(lambda: leaders(server) != [], description="a leader")
    [leader] = leaders(server)
    async with Client(server.url) as client:
        head = (await client.ask("{ feed { head } }"))["feed"]["head"]
    await insert_activities(database, 5, title="before")
    await wait_for(server, "activities_created_total", 5)
    by_number = dict(sorted_by_number(server))
    by_number[leader].kill()
    await insert_activities(database, 5, title="after")
    await wait_until(lambda: len(leaders(server)) == 2, description="another leader")
    await wait_for(server, "activities_created_total", 10)

    async with Client(server.url) as client, client.subscribe(since=head) as stream:
        titles = await stream.titles(10)
    assert [f"{when} {k}" for when in ("before", "after") for k in range(5)] == titles
    assert leaders(server)[0] == leader


def log_lines(server: ServerProcess) -> list[dict[str, object]]:
    """What the server logged."""
    return [json.loads(line) for line in server.output.splitlines() if line.startswith("{")]


def leaders(server: ServerProcess) -> list[int]:
    """Numbers of the workers that began to sequence, in turn."""
    return [int(str(line["worker"])) for line in log_lines(server) if line["message"] == "leading: sequencer"]


def sorted_by_number(server: ServerProcess) -> list[tuple[int, psutil.Process]]:
    """Workers are started in the order of their numbers."""
    return list(enumerate(sorted(workers(server), key=lambda worker: worker.create_time())))


async def test_workers_end_with_their_parent(server: ServerProcess) -> None:
    """A parent that is killed leaves no worker behind."""
    left = workers(server)
    assert len(left) == 2

    await server.kill()

    await wait_until(lambda: not any(worker.is_running() for worker in left), description="the workers are gone")
    assert Counter(line["message"] for line in log_lines(server))["background task failed"] == 2


async def test_second_signal_cuts(start_server: Callable[..., ServerProcess]) -> None:
    """Who does not want to wait for the drain says so again, and the exit status tells that it was cut."""
    server = await start_server(WORKERS="2", DRAIN_SECONDS="60").start()  # paced: the streams end over 21 s
    left = workers(server)
    async with streams_on_both(server):
        server.signal(signal.SIGTERM)
        await wait_until(lambda: not any(listening(worker) for worker in left), description="draining")
        server.signal(signal.SIGINT)

        assert await server.wait(within=10) == 128 + signal.SIGINT
    assert not any(worker.is_running() for worker in left)


def listening(worker: psutil.Process) -> bool:
    """Whether it takes connections."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return any(one.status == psutil.CONN_LISTEN for one in tcp(worker))
    return False


async def test_workers_that_cannot_start_end_the_server(start_server: Callable[..., ServerProcess]) -> None:
    """No restart storm: a clear line and an exit status."""
    server = start_server(WORKERS="2", AUTH_SECRET="too short")
    with pytest.raises(AssertionError, match="the server ended"):
        await server.start()

    assert await server.wait() == 3
    assert "worker failed to start, stopping" in server.output
    assert "cannot serve" in server.output


async def test_doctor_says_when_the_workers_need_more_connections_than_there_are(
    start_server: Callable[..., ServerProcess],
) -> None:
    """PostgreSQL would refuse them one by one, under load."""
    doctor = start_server("doctor", WORKERS="64", DATABASE_POOL="100")
    with pytest.raises(AssertionError, match="may open 12928 connections, PostgreSQL allows"):
        await doctor.start()

    assert await doctor.wait() == 1
