"""The tail: every entry of the log once, in order, whatever the stream does."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.activities import Activity
from resolvers.database.log import PostgresLog
from resolvers.errors import Unavailable
from streams.cursor import START, Cursor
from streams.keys import Keys
from streams.publisher import Publisher
from streams.tail import Tail
from tests.support.parliament import insert_activities
from tests.support.running import assign_all, in_background, make_tail, whole_log
from tests.support.waiting import wait_until

QUICKLY = timedelta(milliseconds=50)
NEVER = timedelta(hours=1)


async def publish(engine: AsyncEngine, redis: Redis, log_of_record: PostgresLog, count: int) -> None:
    """Insert, sequence and append."""
    await insert_activities(engine, count)
    await assign_all(log_of_record)
    await Publisher(redis=redis, log_of_record=log_of_record).publish()


async def assert_tail_has_the_log(tail: Tail[Activity], log_of_record: PostgresLog) -> None:
    """Wait until the ring holds all of the log, and nothing else."""
    log = await whole_log(log_of_record)
    await wait_until(lambda: tail.head >= log[-1].cursor, description="the tail has the end of the log")

    assert log == list(tail.ring.after(START, 100_000) or ())


async def test_tail_starts_with_the_past_and_follows(
    database: AsyncEngine, redis: Redis, log_of_record: PostgresLog
) -> None:
    """A new process has the ring's worth of history, then everything that is appended."""
    await publish(database, redis, log_of_record, 3)
    tail = make_tail(redis, log_of_record, compare_every=NEVER)
    async with in_background(tail.run()):
        await tail.ready.wait()
        await publish(database, redis, log_of_record, 3)

        await assert_tail_has_the_log(tail, log_of_record)


async def test_tail_wakes_its_listeners_after_the_ring_has_grown(
    database: AsyncEngine, redis: Redis, log_of_record: PostgresLog
) -> None:
    """Whoever is woken finds the new entry in the ring, and is not woken after it has left."""
    tail = make_tail(redis, log_of_record)
    heads: list[int] = []
    stop = tail.listen(lambda: heads.append(tail.head))
    async with in_background(tail.run()):
        await tail.ready.wait()
        await publish(database, redis, log_of_record, 1)
        head = (await log_of_record.head()).cursor
        await wait_until(lambda: head in heads, description="woken with the new head")

        stop()
        await publish(database, redis, log_of_record, 1)
        await assert_tail_has_the_log(tail, log_of_record)
        assert heads[-1] == head


async def test_entry_missing_from_the_stream_is_read_from_postgresql(
    database: AsyncEngine, redis: Redis, log_of_record: PostgresLog
) -> None:
    """The next entry's `prev` gives the hole away, even to a tail that never compares heads."""
    tail = make_tail(redis, log_of_record, compare_every=NEVER)
    await tail._fill()
    await publish(database, redis, log_of_record, 4)
    raw: Any = await redis.xrange(Keys().stream)
    await redis.xdel(Keys().stream, raw[1][0], raw[2][0])

    async with in_background(tail._follow()):
        await assert_tail_has_the_log(tail, log_of_record)


async def test_unreadable_entry_is_read_from_postgresql(
    database: AsyncEngine, redis: Redis, log_of_record: PostgresLog
) -> None:
    """An entry that somebody garbled neither stops the tail nor is left out."""
    tail = make_tail(redis, log_of_record, compare_every=NEVER)
    await tail._fill()
    await publish(database, redis, log_of_record, 2)
    raw: Any = await redis.xrange(Keys().stream)
    await redis.delete(Keys().stream)
    for entry_id, fields in raw:
        await redis.xadd(Keys().stream, {**fields, b"data": b"{"}, id=entry_id)

    async with in_background(tail._follow()):
        await assert_tail_has_the_log(tail, log_of_record)


async def test_unreadable_entry_that_postgresql_never_had_is_passed_over(
    database: AsyncEngine, redis: Redis, log_of_record: PostgresLog
) -> None:
    """Garbage that somebody added to the stream is not read again and again."""
    await publish(database, redis, log_of_record, 1)
    tail = make_tail(redis, log_of_record, compare_every=NEVER)
    async with in_background(tail.run()):
        await tail.ready.wait()
        await redis.xadd(Keys().stream, {"garbage": "1"})
        garbage: Any = await redis.xinfo_stream(Keys().stream)
        await Publisher(redis=redis, log_of_record=log_of_record).publish()

        await wait_until(
            lambda: str(tail.head).encode() == garbage["last-generated-id"], description="past the garbage"
        )


async def test_what_gets_a_place_before_an_unreadable_entry_is_not_passed_over(
    database: AsyncEngine, redis: Redis, log_of_record: PostgresLog
) -> None:
    """Garbage takes its ID from Redis' clock: a sequencer whose clock is behind may have places before it to give."""
    await publish(database, redis, log_of_record, 1)
    publisher = Publisher(redis=redis, log_of_record=log_of_record)
    await publisher.publish()
    tail = make_tail(redis, log_of_record, compare_every=NEVER)
    async with in_background(tail.run()):
        await tail.ready.wait()
        unread = tail._metrics.stream_repairs_total.labels(reason="unreadable")
        garbage: Any = await redis.xadd(Keys().stream, {"garbage": "1"})
        for _ in range(2):
            await insert_activities(database, 2)
            assert await log_of_record.assign(now_ms=0, limit=10) == 2
            await publisher.publish()
        await wait_until(lambda: tail.head >= Cursor.parse(garbage), description="past the garbage")

        await assert_tail_has_the_log(tail, log_of_record)
        assert unread._value.get() == 1


async def test_silent_stream_is_not_waited_for(database: AsyncEngine, redis: Redis, log_of_record: PostgresLog) -> None:
    """What nobody appended to the stream arrives all the same, from PostgreSQL."""
    tail = make_tail(redis, log_of_record, compare_every=QUICKLY)
    async with in_background(tail.run()):
        await tail.ready.wait()
        assert not tail.lagging
        await insert_activities(database, 3)
        await assign_all(log_of_record)

        await wait_until(lambda: tail.lagging, description="the tail says that the stream is behind")
        await assert_tail_has_the_log(tail, log_of_record)
        await wait_until(lambda: not tail.lagging, description="it has caught up")
        assert tail.follows  # Redis answers: that is lag, not an outage


async def test_flushed_stream_does_not_stop_the_tail(
    database: AsyncEngine, redis: Redis, log_of_record: PostgresLog
) -> None:
    """I8: entries before and after a FLUSHALL are all there, once."""
    tail = make_tail(redis, log_of_record, compare_every=NEVER)
    async with in_background(tail.run()):
        await tail.ready.wait()
        for _ in range(3):
            await publish(database, redis, log_of_record, 2)
            await assert_tail_has_the_log(tail, log_of_record)
            await redis.flushdb()
        await publish(database, redis, log_of_record, 1)

        await assert_tail_has_the_log(tail, log_of_record)


async def test_unreachable_redis_leaves_postgresql(database: AsyncEngine, log_of_record: PostgresLog) -> None:
    """With Redis down from the start the tail is ready, says so, and goes on from PostgreSQL."""
    nowhere: Redis = Redis(host="127.0.0.1", port=9, socket_connect_timeout=0.2)
    tail = make_tail(nowhere, log_of_record, compare_every=QUICKLY)
    async with in_background(tail.run()):
        await tail.ready.wait()
        await insert_activities(database, 3)
        await assign_all(log_of_record)

        await assert_tail_has_the_log(tail, log_of_record)
        await wait_until(lambda: not tail.follows, description="it says so")
    await nowhere.aclose()


async def test_tail_that_cannot_repair_a_hole_says_so(
    database: AsyncEngine, redis: Redis, log_of_record: PostgresLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hole in the stream and PostgreSQL away: nothing comes through, and health must hear of it."""
    tail = make_tail(redis, log_of_record, compare_every=QUICKLY)
    await tail._fill()
    await publish(database, redis, log_of_record, 3)
    raw: Any = await redis.xrange(Keys().stream)
    await redis.xdel(Keys().stream, raw[0][0])

    async def away(*_: object) -> None:
        raise Unavailable("PostgreSQL is away")

    with monkeypatch.context() as patched:
        patched.setattr(log_of_record, "after", away)
        async with in_background(tail._follow()):
            await wait_until(lambda: not tail.follows, description="the tail says that it is stuck")
    async with in_background(tail._follow()):
        await assert_tail_has_the_log(tail, log_of_record)
        await wait_until(lambda: tail.follows, description="and that it goes on")


async def test_tail_that_is_cancelled_while_it_connects_ends(log_of_record: PostgresLog, redis: Redis) -> None:
    """A client library may swallow the cancellation; a server must be able to stop at any moment all the same."""
    tail = make_tail(redis, log_of_record)
    running = asyncio.create_task(tail.run())
    await tail.ready.wait()
    running.cancel()

    done, _ = await asyncio.wait([running], timeout=5)

    assert running in done
