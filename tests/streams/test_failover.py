"""I8, Redis can be rebuilt: a replica that is promoted with less than the primary had."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.activities import Activity
from resolvers.database.log import PostgresLog
from resolvers.embedded import Child, start_valkey
from streams.connection import connect_alone as connect
from streams.keys import Keys
from streams.publisher import Publisher
from tests.support.parliament import insert_activities
from tests.support.running import (
    assert_stream_is_the_log,
    assign_all,
    in_background,
    make_tail,
    whole_log,
    whole_stream,
)
from tests.support.waiting import wait_until


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def primary_and_replica(tmp_path: Path) -> Iterator[tuple[Child, Child]]:
    """Two Valkey servers on loopback, the second following the first."""
    port = free_port()
    listening = {"port": str(port), "bind": "127.0.0.1", "repl-diskless-sync-delay": "0"}
    with (
        start_valkey(tmp_path / "primary", durable=False, settings=listening) as primary,
        start_valkey(tmp_path / "replica", durable=False, settings={"replicaof": f"127.0.0.1 {port}"}) as replica,
    ):
        yield primary, replica


async def test_stale_replica_that_is_promoted_is_completed(
    primary_and_replica: tuple[Child, Child], database: AsyncEngine, log_of_record: PostgresLog
) -> None:
    """The stream is continued from where the new primary's copy ends, and no tail misses or repeats an entry."""
    primary, replica = [connect(server.url) for server in primary_and_replica]

    async def publish(redis: Redis, count: int) -> None:
        await insert_activities(database, count)
        await assign_all(log_of_record)
        publisher: Publisher[Activity] = Publisher(redis=redis, log_of_record=log_of_record)
        await publisher.publish()

    async def replicated() -> bool:
        return bool(await replica.xlen(Keys().stream) == 3)

    await publish(primary, 3)
    await wait_until(replicated, description="the replica has the first entries")
    await replica.replicaof("NO", "ONE")
    await publish(primary, 3)
    tail = make_tail(replica, log_of_record)
    async with in_background(tail.run()):
        await tail.ready.wait()
        primary_and_replica[0].kill()

        await publish(replica, 2)

        await assert_stream_is_the_log(replica, log_of_record)
        assert len(await whole_stream(replica)) == 8
        log = await whole_log(log_of_record)
        await wait_until(lambda: tail.head == log[-1].cursor, description="the tail has it all")
        assert log == list(tail.ring.after(log[0].prev, 100) or ())
    await primary.aclose()
    await replica.aclose()
