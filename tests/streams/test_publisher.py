"""I1, one log: the stream becomes the log, whatever happened to it."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.activities import Activity
from resolvers.database.log import PostgresLog
from resolvers.database.queries import Database
from streams.cursor import START, Cursor
from streams.errors import StreamsUnavailable
from streams.keys import Keys
from streams.publisher import Publisher
from streams.sequencer import wall_clock_ms
from telemetry.metrics import Metrics
from tests.support.parliament import insert_activities
from tests.support.running import (
    KillAt,
    Killed,
    assert_stream_is_the_log,
    assign_all,
    cursors,
    make_deadly,
    make_tail,
    start_over,
    whole_log,
    whole_stream,
)

NOW_MS = wall_clock_ms()


@pytest.fixture
def publisher(redis: Redis, log_of_record: PostgresLog) -> Publisher[Activity]:
    """A publisher as the leader has it."""
    return Publisher(redis=redis, log_of_record=log_of_record)


@pytest.mark.parametrize("step", range(1, 17))
async def test_killed_between_any_two_steps_every_row_is_published_once(
    step: int, database: AsyncEngine, redis: Redis
) -> None:
    """A leader that dies at any point leaves a state from which its successor makes the stream the log."""
    for title in ("before", "during"):
        log_of_record = PostgresLog(database=Database(engine=database, metrics=Metrics()))
        publisher: Publisher[Activity] = Publisher(redis=redis, log_of_record=log_of_record)
        await insert_activities(database, 3, title=title)
        if title == "during":
            make_deadly(log_of_record, publisher, KillAt(step))
        try:
            await log_of_record.assign(now_ms=NOW_MS, limit=2)
            await publisher.publish()
            await log_of_record.assign(now_ms=NOW_MS, limit=2)
            await publisher.publish()
        except Killed:
            pass
    successor = PostgresLog(database=Database(engine=database, metrics=Metrics()))
    await assign_all(successor)
    await Publisher(redis=redis, log_of_record=successor).publish()

    await assert_stream_is_the_log(redis, successor)
    assert len(await whole_stream(redis)) == 6


async def test_stream_that_ends_elsewhere_is_continued_from_where_it_ends(
    database: AsyncEngine, redis: Redis, log_of_record: PostgresLog, publisher: Publisher[Activity]
) -> None:
    """A second publisher that wrote meanwhile is noticed by the comparison, not appended over."""
    zombie: Publisher[Activity] = Publisher(redis=redis, log_of_record=log_of_record)
    for one in (zombie, publisher, zombie, publisher):
        await insert_activities(database, 2)
        await assign_all(log_of_record)
        await one.publish()

    await assert_stream_is_the_log(redis, log_of_record)


async def test_flushed_stream_is_refilled_with_the_next_activity(
    database: AsyncEngine, redis: Redis, log_of_record: PostgresLog, publisher: Publisher[Activity]
) -> None:
    """I8: after FLUSHALL the first append brings everything back, not only what is new."""
    await insert_activities(database, 5)
    await assign_all(log_of_record)
    await publisher.publish()
    await redis.flushdb()
    await insert_activities(database, 1)
    await assign_all(log_of_record)

    await publisher.publish()

    await assert_stream_is_the_log(redis, log_of_record)


async def test_flushed_stream_is_refilled_without_waiting_for_an_activity(
    database: AsyncEngine, redis: Redis, log_of_record: PostgresLog, publisher: Publisher[Activity]
) -> None:
    """I8: a publisher that looks again finds an emptied stream by itself."""
    await insert_activities(database, 5)
    await assign_all(log_of_record)
    await publisher.publish()
    await redis.flushdb()

    publisher.forget()
    await publisher.publish()

    await assert_stream_is_the_log(redis, log_of_record)


async def test_refill_stays_within_the_longest_stream(
    database: AsyncEngine, redis: Redis, log_of_record: PostgresLog
) -> None:
    """A log of years does not go into Redis because Redis was emptied; the first entry names its real predecessor."""
    await insert_activities(database, 30)
    await assign_all(log_of_record)

    await Publisher(redis=redis, log_of_record=log_of_record, longest=10).publish()

    log, stream = await whole_log(log_of_record), await whole_stream(redis)
    assert log[20:] == stream
    assert log[19].cursor == stream[0].prev


async def test_postgresql_that_lost_its_tail_continues_after_what_redis_saw(
    database: AsyncEngine, redis: Redis, log_of_record: PostgresLog, publisher: Publisher[Activity]
) -> None:
    """After a restore to an earlier point, no cursor that clients may hold is given a second time."""
    ghost = Cursor.parse("1890000000000-3")
    await redis.xadd(Keys().stream, {"prev": "0-0"}, id=str(ghost))
    await insert_activities(database, 2)

    await publisher.publish()
    await assign_all(log_of_record)
    await publisher.publish()

    assert all(cursor > ghost for cursor in cursors(await whole_log(log_of_record)))
    raw: Any = await redis.xrange(Keys().stream)
    assert len(raw) == 3


async def test_trim_drops_the_old_and_keeps_the_end(
    database: AsyncEngine, redis: Redis, log_of_record: PostgresLog
) -> None:
    """Trimming shortens the stream from its beginning, and the next append still fits."""
    publisher: Publisher[Activity] = Publisher(redis=redis, log_of_record=log_of_record, longest=100)
    for _ in range(4):
        await insert_activities(database, 100)
        await assign_all(log_of_record)
        await publisher.publish()

    await publisher.trim()
    await insert_activities(database, 1)
    await assign_all(log_of_record)
    await publisher.publish()

    log, stream = await whole_log(log_of_record), await whole_stream(redis)
    assert len(stream) < 300
    assert log[-len(stream) :] == stream


FAULTS = st.sampled_from(
    ["insert", "assign", "a", "b", "a dies", "a answers late", "flush", "remember", "stale", "clock back", "read"]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faults=st.lists(FAULTS, max_size=25))
async def test_random_faults_leave_the_stream_and_every_tail_complete(  # noqa: C901 - one case a fault
    faults: list[str], database: AsyncEngine, redis: Redis
) -> None:
    """Leader and zombie, crashes, lost replies, flushes, stale replicas, clock steps: no row missed, none twice."""
    await start_over(database, redis)
    log_of_record = PostgresLog(database=Database(engine=database, metrics=Metrics()))
    publishers = {name: Publisher(redis=redis, log_of_record=log_of_record) for name in "ab"}
    tail = make_tail(redis, log_of_record, ring_size=1_000)
    await tail._fill()
    replica: bytes | None = None
    now_ms = NOW_MS
    for fault in [*faults, "insert", "assign", "b", "a", "read"]:
        match fault:
            case "insert":
                await insert_activities(database, 2)
            case "assign":
                await assign_all(log_of_record, now_ms=now_ms)
            case "a" | "b":
                await publishers[fault].publish()
            case "a dies":
                publishers["a"] = Publisher(redis=redis, log_of_record=log_of_record)
            case "a answers late":
                await _publish_without_hearing(redis, log_of_record)
            case "flush":
                await redis.flushdb()
            case "remember":
                replica = await redis.dump(Keys().stream)
            case "stale" if replica:
                await redis.restore(Keys().stream, 0, replica, replace=True)
            case "clock back":
                now_ms -= 3_600_000
            case "read":
                await _read_once(tail, redis)

    await assert_stream_is_the_log(redis, log_of_record)
    assert await whole_log(log_of_record) == list(tail.ring.after(START, 1_000) or ())


async def _publish_without_hearing(redis: Redis, log_of_record: PostgresLog) -> None:
    publisher: Publisher[Activity] = Publisher(redis=redis, log_of_record=log_of_record)
    answered = publisher._append

    async def unheard(**call: Any) -> Any:
        await answered(**call)
        raise StreamsUnavailable("timed out")

    publisher._append = unheard  # type: ignore[assignment]  # a fault of our making
    with pytest.raises(StreamsUnavailable):
        await publisher.publish()


async def _read_once(tail: Any, redis: Redis) -> None:
    reply: Any = await redis.xread({Keys().stream: str(tail.ring.head)}, count=3)
    while reply:
        for _, raw in reply:
            await tail._take(raw)
        reply = await redis.xread({Keys().stream: str(tail.ring.head)}, count=3)
