"""Streams that the server ends for what their client does not do, and pending entries that nobody has any more."""

import pytest
import sqlalchemy as sa
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from streams.consumer import STALLED
from streams.in_flight import LIVED
from streams.steps import Closed, Confirmation, Lack, Missing
from tests.streams.test_attempts import Clock, delivered, passes, step_of
from tests.support.floor import ProcessFloor


class TakesNothing:
    """A connection into which ten bytes a step go, and none of them ever leaves."""

    def __init__(self) -> None:
        self._sent = 0

    def sent(self) -> int:
        """For the consumer."""
        self._sent += 10
        return self._sent

    def taken(self) -> int:
        """For the consumer."""
        return 0


async def test_connection_that_takes_nothing_for_ten_seconds_is_given_up(database: AsyncEngine, redis: Redis) -> None:
    """I7: it is closed as stalled; what it was given is pending, and counted as a failure."""
    floor, clock = ProcessFloor(database, redis), Clock()
    opened = await floor.open()
    [cursor] = await floor.publish(1)
    await floor.catch_up()
    async with clock.drive(floor.consumer(opened, acceptance=TakesNothing())) as consumer:
        assert (cursor, 1) == await delivered(consumer)
        await passes(consumer, lambda: consumer._live)
        assert consumer.closed is None
        clock.now += STALLED.total_seconds() + 0.1
        with pytest.raises(StopAsyncIteration):
            await step_of(consumer)
        assert consumer.closed is Closed.STALLED
    await floor.ledger.flush()

    assert [one.cursor for one in (await floor.open()).pending] == [cursor]
    assert floor.metrics.flow.failures["SPEECH", "recovered", "stalled"] == 1
    assert floor.metrics.flow.unaccounted == 0


async def test_stream_that_falls_out_of_the_ring_is_given_up(database: AsyncEngine, redis: Redis) -> None:
    """It was live and reads too slowly: its next stream begins with the past, at its own pace."""
    floor = ProcessFloor(database, redis, ring_size=4)
    clock = Clock()
    [first] = await floor.publish(1)
    await floor.catch_up()
    async with clock.drive(floor.consumer()) as consumer:
        assert (first, 1) == await delivered(consumer)
        await passes(consumer, lambda: consumer._live)
        missed = await floor.publish(20)
        await floor.catch_up()
        assert floor.tail.ring.floor > first
        with pytest.raises(StopAsyncIteration):
            await step_of(consumer)
        assert consumer.closed is Closed.LAGGING
    assert floor.metrics.flow.unaccounted == 0

    async with clock.drive(floor.consumer(start=first)) as consumer:
        assert [await delivered(consumer) for _ in missed] == [(cursor, 1) for cursor in missed]
        assert consumer.closed is None


async def test_pending_entry_that_nobody_has_any_more_is_told(database: AsyncEngine, redis: Redis) -> None:
    """Removed from PostgreSQL itself while a device was away: a gap, once, and then what comes next."""
    floor, clock = ProcessFloor(database, redis), Clock()
    opened = await floor.open()
    gone, kept = await floor.publish(2)
    await floor.catch_up()
    async with clock.drive(floor.consumer(opened, confirmation=Confirmation.CLIENT)) as consumer:
        assert (gone, 1) == await delivered(consumer)
        clock.now += LIVED.total_seconds() / 2
    await floor.ledger.flush()
    floor.restart()
    async with database.begin() as connection:
        await connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        await connection.execute(sa.text("DELETE FROM activities WHERE cursor = :at"), {"at": int(gone)})

    async with clock.drive(floor.consumer(await floor.open())) as consumer:
        assert Missing(gone, gone, Lack.GONE) == await step_of(consumer)
        assert (kept, 1) == await delivered(consumer)
        await passes(consumer, lambda: consumer.books.in_flight == 0)
    await floor.ledger.flush()

    again = await floor.open()
    assert (again.pending, again.position) == ((), kept)
    assert floor.metrics.flow.gapped == 1
    assert floor.metrics.flow.unaccounted == 0
