"""What the leader clears away, and what it must leave alone."""

from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from streams.connection import connect
from streams.connections import Connections, Limits
from streams.janitor import Janitor
from streams.keys import Keys
from streams.pending import read_pending
from tests.streams.test_recovery import leave_pending, take
from tests.support.floor import PHONE, ProcessFloor

LIMITS = Limits(per_user=2, all_users=3, connects=100, window=timedelta(minutes=1))


@pytest.fixture
async def floor(database: AsyncEngine, redis: Redis) -> ProcessFloor:
    """A process without its loops."""
    return ProcessFloor(database, redis)


def janitor(floor: ProcessFloor, **times: Any) -> Janitor:
    """A janitor that leads nobody."""
    return Janitor(
        redis=floor.redis,
        publisher=floor.publisher,
        dead_letters=floor.dead_letters,
        letters=floor.letters,
        leadership=None,  # type: ignore[arg-type]  # its rounds are called by hand
        metrics=floor.metrics,
        **times,
    )


async def test_entries_of_an_absent_subscriber_become_missed_again(floor: ProcessFloor, redis: Redis) -> None:
    """One lost phone does not hold "oldest pending" for ever; when it comes back it gets them, in order."""
    published = await leave_pending(floor, 3, owner="released")
    later = await floor.publish(1)

    assert await janitor(floor, park_after=timedelta(0)).park() == 3

    assert (await read_pending(redis)).total == 0
    opened = await floor.open()
    assert opened.pending == ()
    async with floor.consumer(opened) as consumer:
        assert [*published, *later] == [cursor for cursor, _ in await take(consumer, 4)]


async def test_entries_of_a_connected_subscriber_are_not_parked(floor: ProcessFloor) -> None:
    """Nor those that have not been pending for long."""
    await leave_pending(floor, 1, owner="released")
    assert await janitor(floor).park() == 0

    await floor.processes.beat()
    await floor.open()

    assert await janitor(floor, park_after=timedelta(0)).park() == 0


async def test_consumer_of_a_dead_process_goes_when_nothing_is_pending_for_it(
    floor: ProcessFloor, redis: Redis
) -> None:
    """Its entries are released first; deleting a consumer would otherwise drop what is pending for it."""
    published = await leave_pending(floor, 2, owner="p1-dead")

    await janitor(floor).sweep()

    names = [consumer["name"] for consumer in await redis.xinfo_consumers(Keys().stream, PHONE.group)]
    assert b"p1-dead" not in names
    assert [(cursor, "released") for cursor in published] == [
        (one.cursor, one.owner) for one in await floor.subscribers.pending(PHONE)
    ]


async def test_consumer_of_a_living_process_stays(floor: ProcessFloor, redis: Redis) -> None:
    """What it answers for is its own."""
    await floor.processes.beat()
    await leave_pending(floor, 1, owner=floor.processes.name)

    await janitor(floor).sweep()

    assert [floor.processes.name] == [one.owner for one in await floor.subscribers.pending(PHONE)]


async def test_unused_group_goes_and_its_position_is_kept_in_postgresql(floor: ProcessFloor, redis: Redis) -> None:
    """After 30 days; whoever comes back later continues from the checkpoint."""
    await leave_pending(floor, 1, owner="released")
    await floor.subscribers.acknowledge(PHONE, floor.tail.head)
    await floor.checkpoints.save()
    cleaning = janitor(floor, unused_after=timedelta(0))

    await cleaning.sweep()
    assert not await redis.xinfo_groups(Keys().stream)
    assert not await redis.zcard(Keys().groups)
    await cleaning.forget()
    assert not await redis.hlen(Keys().positions)

    missed = await floor.publish(1)
    async with floor.consumer(await floor.open()) as consumer:
        assert missed == [cursor for cursor, _ in await take(consumer, 2)][-1:]


async def test_group_with_pending_entries_is_not_removed(floor: ProcessFloor, redis: Redis) -> None:
    """However long it has not been used."""
    await leave_pending(floor, 1, owner="released")
    cleaning = janitor(floor, unused_after=timedelta(0))

    await cleaning.sweep()
    await cleaning.forget()

    assert len(await redis.xinfo_groups(Keys().stream)) == 1
    assert await redis.hlen(Keys().positions) == 1


async def test_index_that_has_drifted_is_put_right(floor: ProcessFloor, redis: Redis) -> None:
    """An operator's XACK, or a bug, does not stay in the figures for ever."""
    published = await leave_pending(floor, 3, owner="released")
    await redis.xack(Keys().stream, PHONE.group, str(published[0]))
    await redis.incrby(Keys().pending_total, 40)
    assert (await read_pending(redis)).total == 43

    await janitor(floor).sweep()

    found = await read_pending(redis)
    assert (found.total, found.subscribers) == (2, 1)
    assert floor.metrics.registry.get_sample_value("janitor_repairs_total", {"what": "index"}) == 1


async def test_limits_hold_over_all_processes_and_a_dead_ones_share_comes_back(
    floor: ProcessFloor, redis: Redis
) -> None:
    """A user's streams in two processes count together; what a killed process had counted is taken back."""
    first, second = (Connections(redis=redis, process=name, limits=LIMITS) for name in ("p1", "p2"))
    assert [await one.enter("ada") for one in (first, second)] == [None, None]
    full = await first.enter("ada")
    assert full is not None
    assert full.limit == "user_limit"
    assert await first.enter("bob") is None
    full = await second.enter("eve")
    assert full is not None
    assert full.limit == "global_limit"

    await redis.zadd(Keys().processes, {"p1": 1})
    await janitor(floor).bury_processes()

    assert await redis.hgetall(Keys().connections) == {b"ada": b"1", b"*": b"1"}
    second.leave("ada")
    await second.settle()
    assert await redis.hgetall(Keys().connections) == {}


async def test_user_who_connects_too_often_is_told_how_long_to_wait(redis: Redis) -> None:
    """A window of time, the same for all processes; others are not affected."""
    limits = Limits(per_user=100, all_users=100, connects=2, window=timedelta(seconds=30))
    connections = Connections(redis=redis, process="p1", limits=limits)
    assert [await connections.enter("ada") for _ in range(2)] == [None, None]

    full = await connections.enter("ada")

    assert full is not None
    assert full.limit == "connect_rate"
    assert timedelta(0) < full.wait <= timedelta(seconds=30)
    assert await connections.enter("bob") is None


async def test_nobody_is_refused_because_redis_is_away() -> None:
    """The limits of all processes together fail open; those of the process remain."""
    connections = Connections(redis=connect("redis://127.0.0.1:9/0"), process="p1", limits=LIMITS)

    assert [await connections.enter("ada") for _ in range(5)] == [None] * 5


async def test_counts_after_a_flush_never_fall_below_nothing(redis: Redis) -> None:
    """Streams that were counted before the flush leave without taking others' counts away."""
    connections = Connections(redis=redis, process="p1", limits=LIMITS)
    await connections.enter("ada")
    await redis.flushdb()
    await connections.enter("ada")
    connections.leave("ada")
    connections.leave("ada")
    await connections.settle()

    assert await redis.hgetall(Keys().connections) == {}
