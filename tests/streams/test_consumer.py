"""One subscription: I2, nothing is lost silently, and I3, at least once."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.activities import Activity
from streams.consumer import Consumer
from streams.cursor import START, Cursor
from streams.keys import Keys
from streams.steps import Bookmark, Closed, Delivery
from tests.support.floor import PHONE, ProcessFloor
from tests.support.running import cursors, in_background, start_over, whole_log
from tests.support.waiting import wait_until


@pytest.fixture
async def floor(database: AsyncEngine, redis: Redis) -> ProcessFloor:
    """A process without its loops."""
    return ProcessFloor(database, redis)


async def take(consumer: Consumer[Activity], count: int) -> list[Delivery[Activity]]:
    """The next `count` deliveries; the last one is then in flight."""
    taken: list[Delivery[Activity]] = []
    async with asyncio.timeout(10):
        while len(taken) < count:
            step = await anext(consumer)
            assert isinstance(step, Delivery)
            taken.append(step)
    return taken


def places(taken: list[Delivery[Activity]]) -> list[Cursor]:
    """The cursors of deliveries."""
    return [delivery.entry.cursor for delivery in taken]


async def test_stream_with_a_cursor_gets_everything_after_it(floor: ProcessFloor) -> None:
    """From any place of the log on: the past, then what comes while connected, each once and in order."""
    published = await floor.publish(5)
    await floor.catch_up()
    async with floor.consumer(start=published[1]) as consumer, in_background(floor.tail._follow()):
        assert published[2:] == places(await take(consumer, 3))

        next_ones = asyncio.create_task(take(consumer, 3))
        await wait_until(lambda: consumer._live, description="caught up")
        live = await floor.publish(3)

        taken = await next_ones
        assert live == places(taken)
        assert all(delivery.live and delivery.attempt == 1 for delivery in taken)


async def test_only_what_matches_is_delivered_and_the_position_moves_on(floor: ProcessFloor) -> None:
    """A filter hides entries from the client, not from its position."""
    opened = await floor.open()
    await floor.publish(2, type="VOTE")
    [wanted] = await floor.publish(1, type="SPEECH")
    tail = await floor.publish(2, type="VOTE")
    await floor.catch_up()
    async with floor.consumer(opened, matches=lambda activity: activity.type == "SPEECH") as consumer:
        assert [wanted] == places(await take(consumer, 1))
        waiting = asyncio.create_task(anext(consumer))
        await wait_until(lambda: consumer.position == tail[-1], description="past what does not match")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await floor.ledger.flush()

    assert tail[-1] == await floor.subscribers.position(PHONE)


async def test_device_without_a_cursor_continues_where_it_was(floor: ProcessFloor) -> None:
    """The server keeps the position: what was confirmed is not repeated, what was missed is delivered."""
    opened = await floor.open()
    first = await floor.publish(3)
    await floor.catch_up()
    async with floor.consumer(opened) as consumer:
        await take(consumer, 3)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(consumer)
    await floor.ledger.flush()
    missed = await floor.publish(2)

    again = await floor.open()
    async with floor.consumer(again) as consumer:
        assert missed == places(await take(consumer, 2))
    assert again.position == first[-1]


async def test_delivery_in_flight_comes_again_with_its_attempt(floor: ProcessFloor) -> None:
    """What was handed over and never confirmed is pending, and is the first thing the next stream gets."""
    opened = await floor.open()
    published = await floor.publish(3)
    await floor.catch_up()
    async with floor.consumer(opened) as consumer:
        await take(consumer, 2)
    await floor.ledger.flush()

    for attempt in (2, 3):
        again = await floor.open()
        async with floor.consumer(again) as consumer:
            [redelivered] = await take(consumer, 1)
        await floor.ledger.flush()
        assert (published[1], attempt) == (redelivered.entry.cursor, redelivered.attempt)

    async with floor.consumer(await floor.open()) as consumer:
        assert [delivery.attempt for delivery in await take(consumer, 2)] == [4, 1]
    await floor.ledger.flush()
    assert [published[2]] == [pending.cursor for pending in (await floor.open()).pending]


async def stands(floor: ProcessFloor, position: Cursor) -> None:
    """Wait until the phone's position is that."""

    async def there() -> bool:
        await floor.ledger.flush()
        return await floor.subscribers.position(PHONE) == position

    await wait_until(there, description=f"the phone stands at {position}")


class Peer:
    """A client's side that takes as many bytes as the test lets it; every delivery is ten."""

    def __init__(self) -> None:
        self.given = -10  # the first step is asked for before anything was sent
        self.has = 0

    def sent(self) -> int:
        """Ten more for each delivery that was driven out."""
        self.given += 10
        return self.given

    def taken(self) -> int:
        """What the test says."""
        return self.has


async def test_only_what_the_peer_has_taken_is_confirmed(floor: ProcessFloor) -> None:
    """I3: the position stays before what lies in buffers; at the end that is pending, and comes again."""
    opened, peer = await floor.open(), Peer()
    published = await floor.publish(5)
    await floor.catch_up()
    async with floor.consumer(opened, acceptance=peer) as consumer:
        await take(consumer, 5)
        peer.has = 20
        next_one = asyncio.create_task(anext(consumer))
        await stands(floor, published[1])
        peer.has = 30
        await stands(floor, published[2])  # asked again without an event
        next_one.cancel()
        await asyncio.gather(next_one, return_exceptions=True)
    await floor.ledger.flush()

    again = await floor.open()
    assert published[3:] == [pending.cursor for pending in again.pending]
    async with floor.consumer(again) as consumer:
        assert [(published[3], 2), (published[4], 2)] == [
            (delivery.entry.cursor, delivery.attempt) for delivery in await take(consumer, 2)
        ]


async def test_more_than_can_be_pending_comes_again_as_missed(
    floor: ProcessFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that ends with too much in its buffers leaves the position before it: nothing is lost."""
    monkeypatch.setattr("streams.in_flight.MOST_HELD", 2)
    opened = await floor.open()
    published = await floor.publish(4)
    await floor.catch_up()
    async with floor.consumer(opened, acceptance=Peer()) as consumer:
        await take(consumer, 4)
    await floor.ledger.flush()

    again = await floor.open()
    assert not again.pending
    async with floor.consumer(again) as consumer:
        assert published == places(await take(consumer, 4))


async def test_killed_process_costs_duplicates_not_losses(floor: ProcessFloor) -> None:
    """After kill -9 with receipts unwritten, the device gets everything after its last written position."""
    opened = await floor.open()
    first = await floor.publish(2)
    await floor.catch_up()
    async with floor.consumer(opened) as consumer:
        await take(consumer, 2)
        floor.restart()
    await floor.publish(1)

    again = await floor.open()
    async with floor.consumer(again) as consumer:
        assert first == places(await take(consumer, 2))


async def test_client_that_goes_back_gets_pending_entries_in_their_place(floor: ProcessFloor) -> None:
    """An older cursor of the client's own brings everything after it, in order, with the attempts counted so far."""
    opened = await floor.open()
    published = await floor.publish(3)
    await floor.catch_up()
    async with floor.consumer(opened) as consumer:
        await take(consumer, 3)
    await floor.ledger.flush()

    async with floor.consumer(await floor.open(since=published[0])) as consumer:
        taken = await take(consumer, 2)

    assert published[1:] == places(taken)
    assert [delivery.attempt for delivery in taken] == [1, 2]


async def test_past_beyond_the_ring_comes_from_redis_and_beyond_that_from_postgresql(
    database: AsyncEngine, redis: Redis
) -> None:
    """The three sources join without a hole, whichever of them still has what."""
    floor = ProcessFloor(database, redis, ring_size=10)
    published = await floor.publish(60)
    await redis.xtrim(Keys().stream, maxlen=30, approximate=False)
    await floor.tail._fill()

    async with floor.consumer() as consumer:
        assert published == places(await take(consumer, 60))


async def test_stream_with_a_hole_is_not_believed(database: AsyncEngine, redis: Redis) -> None:
    """An entry that is gone from the middle of the stream is read from PostgreSQL."""
    floor = ProcessFloor(database, redis, ring_size=2)
    published = await floor.publish(20)
    await redis.xdel(Keys().stream, str(published[4]), str(published[0]))
    await floor.tail._fill()

    async with floor.consumer() as consumer:
        assert published == places(await take(consumer, 20))


async def test_quiet_stream_gets_bookmarks(floor: ProcessFloor) -> None:
    """A client learns how far its stream has come though nothing matches."""
    [cursor] = await floor.publish(1)
    await floor.catch_up()
    async with floor.consumer(matches=lambda _: False, bookmark_every=timedelta(milliseconds=20)) as consumer:
        bookmarks = [await anext(consumer) for _ in range(2)]

    assert [Bookmark(cursor, cursor)] * 2 == bookmarks


async def test_closed_consumer_ends_after_what_is_in_flight(floor: ProcessFloor) -> None:
    """Draining ends the iteration at the next step, also of one that waits for something to happen."""
    await floor.publish(2)
    await floor.catch_up()
    async with floor.consumer() as consumer:
        await take(consumer, 1)
        consumer.close(Closed.DRAINING)
        assert [step async for step in consumer] == []
    async with floor.consumer(start=floor.tail.head) as consumer:
        waiting = asyncio.create_task(anext(consumer))
        await asyncio.sleep(0)
        consumer.close(Closed.SUPERSEDED)
        with pytest.raises(StopAsyncIteration):
            await waiting
    assert consumer.closed is Closed.SUPERSEDED


STEPS = st.lists(
    st.sampled_from(
        ["publish", "take", "drop", "kill", "reconnect with cursor", "flush ledger", "flush redis", "trim"]
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_whatever_happens_a_client_with_a_cursor_gets_each_activity_in_order(  # noqa: C901 - a case a step
    steps: list[str], database: AsyncEngine, redis: Redis
) -> None:
    """I2: drops, crashes, trims and flushes only ever repeat what the client's cursor lets it recognise."""
    await start_over(database, redis)
    floor = ProcessFloor(database, redis, ring_size=3)
    seen: list[Cursor] = []
    opened = await floor.open(since=START)
    consumer = await floor.consumer(opened).__aenter__()
    for step in [*steps, "publish", "drop"]:
        match step:
            case "publish":
                await floor.publish(2)
                await floor.catch_up()
            case "take" if (seen[-1] if seen else START) < floor.tail.head:
                for delivery in await take(consumer, 1):
                    seen += [] if seen and delivery.entry.cursor <= seen[-1] else [delivery.entry.cursor]
            case "kill":
                floor.restart()
                consumer = await floor.consumer(await floor.open(since=seen[-1] if seen else START)).__aenter__()
            case "drop":
                await consumer.__aexit__()
                consumer = await floor.consumer(await floor.open(since=seen[-1] if seen else START)).__aenter__()
            case "flush ledger":
                await floor.ledger.flush()
            case "flush redis":
                await redis.flushdb()
            case "trim":
                await redis.xtrim(Keys().stream, maxlen=2, approximate=False)
    while not seen or seen[-1] < floor.tail.head:
        for delivery in await take(consumer, 1):
            seen += [] if seen and delivery.entry.cursor <= seen[-1] else [delivery.entry.cursor]

    assert cursors(await whole_log(floor.log)) == seen
