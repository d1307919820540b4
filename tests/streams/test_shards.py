"""Several shards in a real cluster: one log in all of them, each subscriber in one."""

from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio.cluster import RedisCluster
from redis.crc import key_slot
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.activities import ActivityId
from streams.connection import connect
from streams.cursor import Cursor
from streams.janitor import Janitor
from streams.keys import Keys, index_of, keys_of, shard_of
from streams.pending import answering, read_pending
from streams.processes import DEAD_AFTER
from streams.rates import Rates
from streams.signals import Signal, SignalKind, Signals
from streams.subscribers import Subscriber
from telemetry.metrics import Metrics
from tests.streams.test_consumer import places, take
from tests.support.feeding import Feeding
from tests.support.floor import ProcessFloor
from tests.support.parliament import insert_activities
from tests.support.running import assert_stream_is_the_log, assign_all, in_background, whole_log
from tests.support.waiting import wait_until

SHARDS = 3
DEVICES = [Subscriber("ada", f"device-{k}") for k in range(12)]


def of_shard(shard: int) -> Subscriber:
    """A device that belongs to it."""
    return next(device for device in DEVICES if shard_of(device.name, SHARDS) == shard)


@pytest.fixture
async def floor(database: AsyncEngine, cluster: RedisCluster) -> ProcessFloor:
    """A process without its loops, on three shards."""
    return ProcessFloor(database, cluster, shards=SHARDS)


def test_three_shards_are_in_different_thirds_of_the_slots() -> None:
    """A cluster of three primaries, made as everybody makes it, has one shard on each."""
    assert [3 * key_slot(keys.stream.encode()) // 16_384 for keys in keys_of(3)] == [0, 1, 2]


def test_all_keys_of_a_shard_are_in_one_slot() -> None:
    """Every script takes keys of one shard only, so none is refused as CROSSSLOT."""
    for keys in keys_of(8):
        names = [getattr(keys, name) for name in dir(Keys) if isinstance(getattr(Keys, name), property)]
        of_all = [name for name in names if isinstance(name, str)] + index_of(keys)
        of_all += [keys.connections_of("p1"), keys.connects("ada"), keys.rate("asks", "ada", 1)]
        assert len({key_slot(name.encode()) for name in of_all}) == 1


async def test_every_shard_has_the_whole_log(floor: ProcessFloor, cluster: RedisCluster) -> None:
    """Same entries, same IDs, whichever shard a process reads; a shard that was lost is filled again."""
    await floor.publish(5)
    await cluster.delete(Keys(1).stream)
    floor.publisher.forget()
    await floor.publish(3)

    for shard in range(SHARDS):
        await assert_stream_is_the_log(cluster, floor.log, shard=shard)
    assert await answering(cluster, shards=SHARDS) == SHARDS


async def test_a_tail_reads_one_shard_and_any_will_do(floor: ProcessFloor) -> None:
    """Tails of different processes follow different streams and have the same ring."""
    for shard in range(SHARDS):
        floor.tail._shard = shard
        async with in_background(floor.tail._follow()):
            published = await floor.publish(2)
            await wait_until(lambda last=published[-1]: floor.tail.head == last, description="followed")  # type: ignore[misc]
    assert await whole_log(floor.log) == list(floor.tail.ring.after(floor.tail.ring.floor, 100) or ())


async def test_a_device_is_known_in_its_shard_only(floor: ProcessFloor, cluster: RedisCluster) -> None:
    """Position, pending entries and group are where its name says, and it goes on from there after a restart."""
    opened = [await floor.open(device) for device in DEVICES]
    published = await floor.publish(4)
    await floor.catch_up()
    for one in opened:
        async with floor.consumer(one) as consumer:
            assert published[:3] == places(await take(consumer, 3))
    await floor.shared.ledger.flush()

    for shard in range(SHARDS):
        expected = {device.name.encode() for device in DEVICES if shard_of(device.name, SHARDS) == shard}
        assert expected
        assert expected == set(await cluster.hgetall(Keys(shard).positions))
    assert len(DEVICES) == (await read_pending(cluster, shards=SHARDS)).total  # the third of each was in flight

    floor.restart()
    for device in DEVICES:
        again = await floor.open(device)
        assert [published[2]] == [pending.cursor for pending in again.pending]
        async with floor.consumer(again) as consumer:
            assert published[2:] == places(await take(consumer, 2))


async def test_a_device_confirms_in_its_shard(floor: ProcessFloor) -> None:
    """`acknowledge` finds the pending entries of every device."""
    published = await floor.publish(2)
    await floor.catch_up()
    for device in DEVICES:
        async with floor.consumer(await floor.open(device, since=published[0])) as consumer:
            await take(consumer, 1)
    await floor.shared.ledger.flush()

    for device in DEVICES:
        acknowledged = await floor.subscribers.acknowledge(device, published[-1])
        assert acknowledged is not None
        assert (published[-1], 0) == (acknowledged.position, acknowledged.pending)


async def test_the_janitor_looks_after_every_shard(floor: ProcessFloor, cluster: RedisCluster) -> None:
    """What absent devices have pending is parked, and dead processes are forgotten, in all of them."""
    published = await floor.publish(1)
    await floor.catch_up()
    await floor.processes.beat()
    for device in DEVICES:
        async with floor.consumer(await floor.open(device, since=Cursor(published[0] - 1))) as consumer:
            await take(consumer, 1)
    await floor.shared.ledger.flush()
    assert len(DEVICES) == (await read_pending(cluster, shards=SHARDS)).total
    for keys in keys_of(SHARDS):
        await cluster.zincrby(keys.processes, -DEAD_AFTER.total_seconds() * 1_000 - 1, floor.processes.name)

    await Janitor(
        redis=cluster,
        publisher=floor.publisher,
        dead_letters=floor.dead_letters,
        letters=floor.letters,
        leadership=None,  # type: ignore[arg-type]  # its round is called by hand
        metrics=floor.metrics,
        park_after=timedelta(0),
        shards=SHARDS,
    ).round()

    assert (await read_pending(cluster, shards=SHARDS)).total == 0
    assert [await cluster.zcard(keys.processes) for keys in keys_of(SHARDS)] == [0] * SHARDS


async def test_a_process_lives_if_any_shard_has_heard_it(floor: ProcessFloor, cluster: RedisCluster) -> None:
    """A shard that lost its memory does not make the dead of all who live."""
    other = ProcessFloor(floor.engine, cluster, shards=SHARDS)
    await other.processes.beat()
    await cluster.delete(Keys(0).processes, Keys(0).signals)
    await floor.processes.beat()

    assert not floor.processes.gives_up(other.processes.name)
    await other.processes.resign()
    await floor.processes.beat()
    assert floor.processes.gives_up(other.processes.name)


async def test_a_signal_is_heard_whichever_shard_it_is_said_in(cluster: RedisCluster) -> None:
    """Each process follows the signals of all shards."""
    heard: list[Signal] = []
    all_signals = [Signals(redis=cluster, heard=heard.append, shard=shard) for shard in range(SHARDS)]
    async with in_background(*(signals.run() for signals in all_signals)):
        await wait_until(lambda: all(one._last is not None for one in all_signals), description="they follow")
        said = [Signal(SignalKind.READ, f"user-{shard}", "1") for shard in range(SHARDS)]
        for signals, signal in zip(all_signals, said, strict=True):
            await signals.say(signal)

        await wait_until(lambda: len(heard) == SHARDS, description="all are heard")
    assert said == sorted(heard, key=lambda signal: signal.name)


async def test_rates_are_counted_together_in_every_shard(cluster: RedisCluster) -> None:
    """What one process counted of any user, another knows after an exchange."""
    here, there = (
        Rates(redis=cluster, metrics=Metrics(), most={"asks": 3}, now=lambda: 60_000.0, shards=SHARDS) for _ in range(2)
    )
    users = [f"user-{k}" for k in range(12)]
    for user in users:
        assert [here.hit("asks", user) for _ in range(3)] == [None] * 3
        assert there.hit("asks", user) is None
    await here.exchange()
    await there.exchange()

    assert all(there.hit("asks", user) is not None for user in users)


async def test_read_marks_are_in_the_slots_of_their_users(database: AsyncEngine, cluster: RedisCluster) -> None:
    """Marked, shown and compared for many users at once, in a cluster where no script may take two of them."""
    feeding = Feeding(database, cluster)
    ids = await insert_activities(database, 5)
    await assign_all(feeding.log)
    await feeding.catch_up()
    users = [f"user-{k}" for k in range(8)]
    for user in users:
        await feeding.reading.mark(user, [ActivityId(ids[1]), ActivityId(ids[3])])
        seen = await feeding.reading.look(user, low=1, high=5, head=5)
        assert seen is not None
        assert {2, 4} == {n for n in range(1, 6) if seen.is_read(n)}

    assert await feeding.bits.compare(dict.fromkeys(users, 1)) == 0
    assert len(users) == await feeding.bits.compare(dict.fromkeys(users, 7))
    assert len(set((await feeding.bits.identity()).split())) == 2 * SHARDS


async def test_a_url_names_nodes_and_the_client_finds_the_others(cluster_url: str, cluster: RedisCluster) -> None:
    """Two of three nodes are in the URL; all answer."""
    client: Any = connect(cluster_url)
    await client.initialize()

    assert len(client.get_primaries()) == 3
    await client.aclose()
