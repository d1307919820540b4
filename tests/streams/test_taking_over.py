"""A primary is killed and its replica takes over, in a cluster and under a Sentinel: I1 to I5 and I8 hold."""

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

from streams.connection import connect
from streams.errors import StreamsUnavailable
from streams.keys import Keys, keys_of, shard_of
from streams.pending import answering
from streams.subscribers import Subscriber
from tests.streams.test_consumer import places, take
from tests.support.floor import PHONE, ProcessFloor
from tests.support.running import assert_stream_is_the_log, in_background, whole_log
from tests.support.sentinel import watched_by_sentinel
from tests.support.valkey_cluster import ValkeyCluster, valkey_cluster
from tests.support.waiting import wait_until

SHARDS = 3
DEVICES = [Subscriber("ada", f"device-{k}") for k in range(9)]


@pytest.fixture
async def cluster() -> AsyncIterator[ValkeyCluster]:
    """A cluster that may be broken: three primaries, a replica each."""
    async with valkey_cluster() as made:
        yield made


@pytest.fixture
async def floor(database: AsyncEngine, cluster: ValkeyCluster) -> AsyncIterator[ProcessFloor]:
    """A process without its loops, on three shards."""
    client = connect(cluster.url)
    assert isinstance(client, RedisCluster)
    yield ProcessFloor(database, client, shards=SHARDS)
    await client.aclose()


async def until_it_works(floor: ProcessFloor, *, within: float = 20.0) -> None:
    """Publish what is missing until every shard takes it."""

    async def works() -> bool:
        try:
            floor.publisher.forget()
            await floor.append()
        except StreamsUnavailable:
            return False
        return True

    await wait_until(works, description="all shards take entries", within=within, every=0.1)


async def test_the_other_shards_go_on_while_one_has_no_primary(cluster: ValkeyCluster, floor: ProcessFloor) -> None:
    """They get what is published meanwhile, their devices confirm, and the one that lost its primary is completed."""
    published = await floor.publish(2)
    await floor.catch_up()
    opened = [await floor.open(device, since=published[0]) for device in DEVICES]
    lost = await cluster.primary_of(1)
    cluster.children[lost].kill()

    with pytest.raises(StreamsUnavailable):
        published += await floor.publish(2)
    published = [entry.cursor for entry in await whole_log(floor.log)]
    assert len(published) == 4
    for shard in (0, 2):
        await assert_stream_is_the_log(floor.redis, floor.log, shard=shard)
    await floor.catch_up()
    for one in opened:
        async with floor.consumer(one, since=published[0]) as consumer:
            assert published[1:] == places(await take(consumer, 3))
    with pytest.raises(StreamsUnavailable):
        await floor.shared.ledger.flush()
    for device in DEVICES:
        if shard_of(device.name, SHARDS) != 1:
            assert published[2] <= (await floor.subscribers.position(device) or 0)

    await until_it_works(floor)
    await floor.shared.ledger.flush()
    for shard in range(SHARDS):
        await assert_stream_is_the_log(floor.redis, floor.log, shard=shard)
    for device in DEVICES:
        assert published[2] <= (await floor.subscribers.position(device) or 0)


async def test_a_tail_whose_shard_is_away_follows_another(cluster: ValkeyCluster, floor: ProcessFloor) -> None:
    """What is published while its primary is dead comes by a stream, and it needs no failover for that."""
    floor.tail._shard = 1
    floor.tail._compare_every = timedelta(hours=1).total_seconds()
    await floor.publish(1)
    cluster.children[await cluster.primary_of(1)].kill()

    floor.tail._compare_every = 0.02
    async with in_background(floor.tail._follow()):
        with pytest.raises(StreamsUnavailable):
            await floor.publish(2)
        log = await whole_log(floor.log)
        await wait_until(lambda: floor.tail.head == log[-1].cursor, description="it has the end of the log")
    assert floor.tail.key != Keys(1).stream
    assert floor.tail.follows


async def test_pending_entries_and_positions_survive_a_failover(cluster: ValkeyCluster, floor: ProcessFloor) -> None:
    """What a replica had of a device is there afterwards; what it had not is told as lost, or comes again."""
    opened = [await floor.open(device) for device in DEVICES]
    published = await floor.publish(4)
    await floor.catch_up()
    for one in opened:
        async with floor.consumer(one) as consumer:
            await take(consumer, 2)
    await floor.shared.ledger.flush()
    await floor.checkpoints.save()
    await cluster.fail_over(shard_of(DEVICES[0].name, SHARDS))
    await until_it_works(floor)

    floor.restart()
    for device in DEVICES:
        again = await floor.open(device)
        async with floor.consumer(again) as consumer:
            assert published[1:] == places(await take(consumer, 3))[-3:]
        await floor.shared.ledger.flush()
        assert floor.metrics.flow.unaccounted == 0
    assert await answering(floor.redis, shards=SHARDS) == SHARDS


async def test_a_shard_that_hangs_is_told_from_one_that_answers(cluster: ValkeyCluster, floor: ProcessFloor) -> None:
    """A frozen primary costs the sample of health less than a second, and speaks for its own shard only."""
    assert await answering(floor.redis, shards=SHARDS) == SHARDS
    lost = await cluster.primary_of(2)
    cluster.children[lost].signal(signal.SIGSTOP)
    try:
        async with asyncio.timeout(1.5):
            assert await answering(floor.redis, shards=SHARDS) == SHARDS - 1
    finally:
        cluster.children[lost].signal(signal.SIGCONT)


async def test_a_client_that_failed_closes_all_its_connections(cluster: ValkeyCluster) -> None:
    """Also between the failure and the next command, which would ask for the nodes anew."""
    client: Any = connect(cluster.url)
    await asyncio.gather(*(client.exists(keys.stream) for keys in keys_of(SHARDS)))
    nodes = client.get_nodes()
    cluster.children[await cluster.primary_of(0)].kill()
    with pytest.raises(RedisConnectionError):
        await client.exists(Keys(0).stream)

    await client.aclose()

    assert not [one for node in nodes for one in node._connections if one.is_connected]


async def test_a_sentinel_says_who_the_new_primary_is(database: AsyncEngine, tmp_path: Path) -> None:
    """REDIS_URL names Sentinels; when the primary dies, the same client goes on with the replica."""
    with watched_by_sentinel(tmp_path) as servers:
        floor = ProcessFloor(database, connect(servers.url))
        opened = await floor.open(PHONE)
        published = await floor.publish(3)
        await floor.catch_up()
        async with floor.consumer(opened) as consumer:
            await take(consumer, 2)
        await floor.ledger.flush()
        replica = connect(servers.replica.url)

        async def replicated() -> bool:
            return bool(await replica.hexists(Keys().positions, PHONE.name))

        await wait_until(replicated, description="the replica has it")
        servers.primary.kill()
        with pytest.raises(StreamsUnavailable):
            published += await floor.publish(1)

        await until_it_works(floor)

        await assert_stream_is_the_log(replica, floor.log)
        published = [entry.cursor for entry in await whole_log(floor.log)]
        await floor.catch_up()
        async with floor.consumer(await floor.open(PHONE)) as consumer:
            assert published[1:] == places(await take(consumer, 3))
        await replica.aclose()
        await floor.redis.aclose()
