"""One subscription: I2, nothing is lost silently, and I3, at least once."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.activities import Activity, decode
from resolvers.database.log import PostgresLog
from resolvers.database.queries import Database
from streams.consumer import Acceptance, Bookmark, Closed, Consumer, Delivery
from streams.cursor import START, Cursor
from streams.entries import stream_key
from streams.history import History
from streams.ledger import Ledger
from streams.publisher import Publisher
from streams.subscribers import Opened, Subscriber, Subscribers
from streams.tail import Tail
from telemetry.metrics import Metrics
from tests.support.parliament import insert_activities
from tests.support.running import assign_all, cursors, in_background, make_tail, start_over, whole_log
from tests.support.waiting import wait_until

PHONE = Subscriber("ada", "phone")


class Floor:
    """The streams of one process, driven by hand."""

    def __init__(self, engine: AsyncEngine, redis: Redis, *, ring_size: int = 1_000) -> None:
        self.engine = engine
        self.redis = redis
        self.metrics = Metrics()
        self.log = PostgresLog(database=Database(engine=engine, metrics=self.metrics))
        self.publisher: Publisher[Activity] = Publisher(redis=redis, log_of_record=self.log)
        self.ledger = Ledger(redis=redis, metrics=self.metrics)
        self.subscribers = Subscribers(redis=redis)
        self.ring_size = ring_size
        self.restart()

    def restart(self) -> None:
        """Forget everything in memory, as kill -9 does."""
        self.tail: Tail[Activity] = make_tail(self.redis, self.log, ring_size=self.ring_size)
        self.history = History(tail=self.tail, redis=self.redis, log_of_record=self.log, decode=decode)
        self.ledger = Ledger(redis=self.redis, metrics=self.metrics)

    async def publish(self, count: int, **columns: Any) -> list[Cursor]:
        """Insert, sequence and append activities; return their cursors."""
        before = (await self.log.head()).cursor
        await insert_activities(self.engine, count, **columns)
        await assign_all(self.log)
        await self.publisher.publish()
        return cursors(await self.log.after(before, 1_000))

    async def catch_up(self) -> None:
        """Have the tail read all there is."""
        await self.tail._read_log()
        await self.tail._extend([])

    async def open(self, *, since: Cursor | None = None) -> Opened:
        """Connect the phone."""
        await self.catch_up()
        return await self.subscribers.open(PHONE, since=since, head=self.tail.head)

    def consumer(
        self,
        opened: Opened | None = None,
        *,
        start: Cursor = START,
        matches: Callable[[Activity], bool] = lambda _: True,
        bookmark_every: timedelta = timedelta(hours=1),
        acceptance: Acceptance | None = None,
    ) -> Consumer[Activity]:
        """A consumer of this process."""
        return Consumer(
            tail=self.tail,
            history=self.history,
            ledger=self.ledger,
            start=opened.position if opened else start,
            opened=opened,
            matches=matches,
            acceptance=acceptance,
            bookmark_every=bookmark_every,
        )


@pytest.fixture
async def floor(database: AsyncEngine, redis: Redis) -> Floor:
    """A process without its loops."""
    return Floor(database, redis)


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


async def test_stream_with_a_cursor_gets_everything_after_it(floor: Floor) -> None:
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


async def test_only_what_matches_is_delivered_and_the_position_moves_on(floor: Floor) -> None:
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


async def test_device_without_a_cursor_continues_where_it_was(floor: Floor) -> None:
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


async def test_delivery_in_flight_comes_again_with_its_attempt(floor: Floor) -> None:
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


class Peer:
    """A client's side that takes as many bytes as the test lets it; every delivery is ten."""

    def __init__(self) -> None:
        self.given = 0
        self.has = 0

    def sent(self) -> int:
        """Ten more for each delivery that was driven out."""
        self.given += 10
        return self.given

    def taken(self) -> int:
        """What the test says."""
        return self.has


async def test_only_what_the_peer_has_taken_is_confirmed(floor: Floor) -> None:
    """I3: the position stays before what lies in buffers; at the end that is pending, and comes again."""
    opened, peer = await floor.open(), Peer()
    published = await floor.publish(5)
    await floor.catch_up()
    async with floor.consumer(opened, acceptance=peer) as consumer:
        await take(consumer, 5)
        peer.has = 20
        next_one = asyncio.create_task(anext(consumer))
        await wait_until(lambda: len(floor.ledger) > 0, description="a receipt")
        await floor.ledger.flush()
        assert await floor.subscribers.position(PHONE) == published[1]
        peer.has = 30
        await wait_until(lambda: len(floor.ledger) > 0, description="asked again without an event")
        next_one.cancel()
        await asyncio.gather(next_one, return_exceptions=True)
    await floor.ledger.flush()

    again = await floor.open()
    assert published[3:] == [pending.cursor for pending in again.pending]
    async with floor.consumer(again) as consumer:
        assert [(published[3], 2), (published[4], 2)] == [
            (delivery.entry.cursor, delivery.attempt) for delivery in await take(consumer, 2)
        ]


async def test_more_than_can_be_pending_comes_again_as_missed(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that ends with too much in its buffers leaves the position before it: nothing is lost."""
    monkeypatch.setattr("streams.consumer.MOST_HANDED_OVER", 2)
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


async def test_killed_process_costs_duplicates_not_losses(floor: Floor) -> None:
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


async def test_client_that_goes_back_gets_pending_entries_in_their_place(floor: Floor) -> None:
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
    floor = Floor(database, redis, ring_size=10)
    published = await floor.publish(60)
    await redis.xtrim(stream_key(), maxlen=30, approximate=False)
    await floor.tail._fill()

    async with floor.consumer() as consumer:
        assert published == places(await take(consumer, 60))


async def test_stream_with_a_hole_is_not_believed(database: AsyncEngine, redis: Redis) -> None:
    """An entry that is gone from the middle of the stream is read from PostgreSQL."""
    floor = Floor(database, redis, ring_size=2)
    published = await floor.publish(20)
    await redis.xdel(stream_key(), str(published[4]), str(published[0]))
    await floor.tail._fill()

    async with floor.consumer() as consumer:
        assert published == places(await take(consumer, 20))


async def test_quiet_stream_gets_bookmarks(floor: Floor) -> None:
    """A client learns how far its stream has come though nothing matches."""
    [cursor] = await floor.publish(1)
    await floor.catch_up()
    async with floor.consumer(matches=lambda _: False, bookmark_every=timedelta(milliseconds=20)) as consumer:
        bookmarks = [await anext(consumer) for _ in range(2)]

    assert [Bookmark(cursor, cursor)] * 2 == bookmarks


async def test_closed_consumer_ends_after_what_is_in_flight(floor: Floor) -> None:
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
    floor = Floor(database, redis, ring_size=3)
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
                await redis.xtrim(stream_key(), maxlen=2, approximate=False)
    while not seen or seen[-1] < floor.tail.head:
        for delivery in await take(consumer, 1):
            seen += [] if seen and delivery.entry.cursor <= seen[-1] else [delivery.entry.cursor]

    assert cursors(await whole_log(floor.log)) == seen
