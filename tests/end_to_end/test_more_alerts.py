"""The other failures that wake somebody, each provoked on a real server: what the runbooks were walked through with."""

import asyncio
import contextlib
import json
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from httpx_sse import aconnect_sse
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from telemetry.tasks import end
from tests.end_to_end.test_alerts import address, server, watching
from tests.support.parliament import insert_activities
from tests.support.prometheus import Prometheus, prometheus
from tests.support.server import REPOSITORY, Client, ServerProcess, token
from tests.support.waiting import wait_until

__all__ = ["server", "watching"]  # fixtures
CONFIRMING = "subscription ($device: ID) { activityAdded(subscriber: $device, confirm: CLIENT) { __typename cursor } }"
ACKNOWLEDGE = (
    "mutation ($through: Cursor!, $device: ID!) { acknowledge(through: $through, subscriber: $device) { __typename } }"
)
BIG = "x" * 20_000


@asynccontextmanager
async def device(server: ServerProcess, name: str, seen: list[str]) -> AsyncIterator[None]:
    """A device that confirms by itself, and does not; the cursors of activities it has got are in `seen`."""
    ready = asyncio.Event()

    async def read(client: Client) -> None:
        body = {"query": CONFIRMING, "variables": {"device": name}}
        async with aconnect_sse(client._http, "POST", "/graphql", json=body) as source:
            async for sent in source.aiter_sse():
                if sent.event != "next" or not sent.data:
                    continue
                ready.set()
                event: dict[str, Any] = sent.json()["data"]["activityAdded"]
                if event["__typename"] == "ActivityAdded":
                    seen.append(event["cursor"])

    async with Client(server.url) as client:
        reading = asyncio.create_task(read(client))
        try:
            await wait_until(ready.is_set, description="the device is connected")
            yield
        finally:
            await end([reading])


async def test_redis_that_is_nearly_full_and_then_full_fires(
    server: ServerProcess, database: AsyncEngine, redis: Redis, watching: Prometheus
) -> None:
    """Near its limit: a ticket. At the limit writes are refused; the stream is behind the log until there is room."""
    alerts = ("RedisMemoryNearLimit", "StreamBehindLog")

    async def publish() -> None:
        while True:
            await insert_activities(database, 1)
            await asyncio.sleep(0.7)  # a parliament at work: what is behind shows when something happens

    used = (await redis.info("memory"))["used_memory"]
    publishing = asyncio.create_task(publish())
    try:
        await redis.config_set("maxmemory", int(used * 1.05))
        await watching.fires("RedisMemoryNearLimit")
        await redis.config_set("maxmemory", used // 2)
        await watching.fires("StreamBehindLog")
    finally:
        await redis.config_set("maxmemory", 0)
        await end([publishing])
    await watching.resolves(*alerts)


async def test_log_without_leader_and_view_that_is_locked_fire(
    start_server: Callable[..., ServerProcess], database_url: str, tmp_path: Path
) -> None:
    """Somebody else has the sequencer's lock; somebody changes the view and does not commit."""
    holder = await asyncpg.connect(database_url)
    try:
        await holder.execute("SELECT pg_advisory_lock($1)", zlib.crc32(b"divisionbell:sequencer"))
        server = await start_server(VIEW_REFRESH="2").start()
        async with prometheus(tmp_path / "prometheus", targets=[address(server)]) as watching:
            await watching.fires("SequencerWithoutLeader")
            await holder.execute("SELECT pg_advisory_unlock_all()")
            await watching.resolves("SequencerWithoutLeader")

            await holder.execute("BEGIN; ALTER MATERIALIZED VIEW recent_activities SET (autovacuum_enabled = true)")
            await watching.fires("FeedViewStale")
            await holder.execute("ROLLBACK")
            await watching.resolves("FeedViewStale")
    finally:
        await holder.close()


async def test_entries_that_nobody_can_account_for_and_a_server_that_is_gone_fire(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    """A bug is put into the books of a server; it is killed, and a good one takes its address."""
    (tmp_path / "sitecustomize.py").write_text(
        "from telemetry.flow import Flow\nFlow.unaccounted = property(lambda _: 2)\n", encoding="utf-8"
    )
    broken = await start_server(PYTHONPATH=f"{tmp_path}:{REPOSITORY}", VIEW_REFRESH="2").start()
    async with prometheus(tmp_path / "prometheus", targets=[address(broken)]) as watching:
        await watching.fires("UnaccountedEntries")
        await broken.kill()
        await watching.fires("ServerDown")
        await start_server(PORT=address(broken).split(":")[1], VIEW_REFRESH="2").start()
        await watching.resolves("ServerDown", "UnaccountedEntries")


async def test_devices_that_never_confirm_fill_the_pel_until_they_do(
    server: ServerProcess, database: AsyncEngine, watching: Prometheus
) -> None:
    """1,200 entries count as pending after a minute: many, grown fast, and older than (hurried) an hour."""
    alerts = ("HighPELCount", "RapidPELGrowth", "StalePELMessages")
    seen: dict[str, list[str]] = {"phone": [], "tablet": []}  # a device is handed 1,000 at most
    async with device(server, "phone", seen["phone"]), device(server, "tablet", seen["tablet"]):
        await insert_activities(database, 600)
        await watching.fires(*alerts, within=120)

        async with Client(server.url) as client:
            for name, cursors in seen.items():
                newest = max(cursors, key=lambda cursor: tuple(map(int, cursor.split("-"))))
                answer = await client.ask(ACKNOWLEDGE, through=newest, device=name)
                assert answer["acknowledge"]["__typename"] == "Acknowledged"
        await watching.resolves(*alerts)


@pytest.mark.timeout(280)
async def test_rounds_of_repairs_that_do_not_end_fire(redis: Redis, watching: Prometheus) -> None:
    """Redis accepts and does not answer, for longer than the (hurried) five minutes: the leader hangs, which shows."""
    await redis.client_pause(110_000)

    await watching.fires("RepairsWaiting", within=150)
    await watching.resolves("RepairsWaiting")


@contextlib.contextmanager
def deaf(server: ServerProcess, user: str) -> Iterator[None]:
    """A stream whose client never reads: its kernel takes some kilobytes."""
    host, port = address(server).split(":")
    body = json.dumps(
        {"query": "subscription { activityAdded { cursor ... on ActivityAdded { activity { summary } } } }"}
    )
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect((host, int(port)))
        head = f"POST /graphql HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token(user)}\r\n"
        more = f"Accept: text/event-stream\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall((head + more + body).encode())
        yield


async def test_network_that_takes_nothing_fires(
    server: ServerProcess, database: AsyncEngine, watching: Prometheus
) -> None:
    """Streams that nobody reads are cut after ten seconds; what they were given has failed, and burns the budget."""
    alerts = ("LowSSEDeliverySuccessRate", "SSESuccessBudgetBurn")

    async def streams() -> float:
        async with Client(server.url) as client:
            lines = (await client.text("/metrics")).splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("sse_connections_active "))

    with deaf(server, "alice"), deaf(server, "bob"):
        await wait_until(lambda: _is(streams, 2), description="both are open", every=0.1)
        await insert_activities(database, 400, summary=BIG)
        await watching.fires(*alerts, within=120)
    await watching.resolves(*alerts)


async def _is(measure: Callable[[], Awaitable[float]], wanted: float) -> bool:
    return await measure() == wanted


async def test_too_many_dead_letters_halt_dead_lettering(
    start_server: Callable[..., ServerProcess], database: AsyncEngine, tmp_path: Path
) -> None:
    """Fourteen devices fail at the same activity: ten letters are free, the next reaches the limit."""
    server = await start_server(MAX_DELIVERY_ATTEMPTS="1", VIEW_REFRESH="2").start()
    names = [f"device{number}" for number in range(14)]
    async with prometheus(tmp_path / "prometheus", targets=[address(server)]) as watching:
        got: list[str] = []
        async with contextlib.AsyncExitStack() as stack:
            for name in names:
                await stack.enter_async_context(device(server, name, got))
            await insert_activities(database, 1, title="unbearable")
            await wait_until(lambda: len(got) == len(names), description="all have it")
            judged = asyncio.get_running_loop().time() + 5.5  # an attempt lived for five seconds and confirmed nothing
            await wait_until(lambda: asyncio.get_running_loop().time() > judged, description="five seconds", every=0.1)
        async with contextlib.AsyncExitStack() as stack:
            for name in names:
                await stack.enter_async_context(device(server, name, got))
            await watching.fires("DeadLetterLimitReached")
        await watching.fires("DeadLettersWaiting")
