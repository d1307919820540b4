"""I3 and I4: what is not confirmed is handed over again, and given up after three failed attempts."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.activities import Activity
from resolvers.database.letters import LetterState
from resolvers.errors import Unavailable
from streams.consumer import Consumer
from streams.cursor import START, Cursor
from streams.dead_letters import Limit
from streams.in_flight import LIVED, PEL_IDLE
from streams.janitor import Janitor
from streams.keys import Keys
from streams.pending import read_pending
from streams.steps import Closed, Confirmation, Delivery, Healed, Lack, Missing, Step
from streams.subscribers import Subscriber
from tests.support.floor import PHONE, ProcessFloor
from tests.support.waiting import wait_until


class Clock:
    """The loop's clock as a consumer sees it, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def drive(self, consumer: Consumer[Activity]) -> Consumer[Activity]:
        """Have a consumer live by this clock."""
        consumer._clock = self
        consumer._next_bookmark = self.now + 1e9
        return consumer


@pytest.fixture
async def floor(database: AsyncEngine, redis: Redis) -> ProcessFloor:
    """A process without its loops."""
    return ProcessFloor(database, redis)


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


async def step_of(consumer: Consumer[Activity]) -> Step[Activity]:
    """The next step."""
    async with asyncio.timeout(10):
        return await anext(consumer)


async def delivered(consumer: Consumer[Activity]) -> tuple[Cursor, int]:
    """Cursor and attempt of the next step, which is a delivery."""
    step = await step_of(consumer)
    assert isinstance(step, Delivery), step
    return step.entry.cursor, step.attempt


async def passes(consumer: Consumer[Activity], condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Drive a consumer that has nothing to yield until something holds."""
    driving = asyncio.create_task(anext(consumer))
    await wait_until(condition, description="what the consumer does by itself")
    driving.cancel()
    await asyncio.gather(driving, return_exceptions=True)


async def fail(floor: ProcessFloor, clock: Clock, *, lived: float = LIVED.total_seconds()) -> Step[Activity]:
    """One stream of the phone whose client confirms nothing for `lived` seconds; its first step."""
    async with clock.drive(floor.consumer(await floor.open(), confirmation=Confirmation.CLIENT)) as consumer:
        first = await step_of(consumer)
        clock.now += lived
    await floor.ledger.flush()
    return first


async def test_client_confirms_by_acknowledging(floor: ProcessFloor) -> None:
    """CLIENT: bytes taken mean nothing; what is acknowledged is delivered, what is not comes again as pending."""
    opened = await floor.open()
    published = await floor.publish(3)
    await floor.catch_up()
    async with floor.consumer(opened, confirmation=Confirmation.CLIENT) as consumer:
        assert [published[k] for k in range(3)] == [(await delivered(consumer))[0] for _ in range(3)]
        consumer.acknowledge(published[1])
    await floor.ledger.flush()

    again = await floor.open()
    assert [(published[2], 1)] == [(one.cursor, one.deliveries) for one in again.pending]
    assert floor.metrics.flow.delivered == [2, 0, 0, 0]
    age = floor.metrics.registry.get_sample_value("sse_confirmation_latency_ms_sum", {"activity_type": "SPEECH"})
    assert age is not None
    assert 0 < age < 60_000 * 2


async def test_what_is_still_to_come_again_is_known_when_a_gap_is_told(floor: ProcessFloor, clock: Clock) -> None:
    """I2: a client confirms a gap by its cursor, which must not lie behind entries that it has yet to get."""
    await floor.open()
    published = await floor.publish(3)
    for _ in range(3):
        async with clock.drive(floor.consumer(await floor.open(), confirmation=Confirmation.CLIENT)) as consumer:
            assert published == [(await delivered(consumer))[0] for _ in range(3)]
            clock.now += LIVED.total_seconds()
        await floor.ledger.flush()

    async with clock.drive(floor.consumer(await floor.open(), confirmation=Confirmation.CLIENT)) as consumer:
        assert Missing(START, published[0], Lack.DEAD) == await step_of(consumer)
        assert consumer.recovers
        assert [published[1], published[2]] == [(await delivered(consumer))[0] for _ in range(2)]
        assert not consumer.recovers


async def test_acknowledgement_that_overtakes_the_sending_counts(floor: ProcessFloor) -> None:
    """A client may answer before the server knows that its own sending is over."""
    opened = await floor.open()
    [cursor] = await floor.publish(1)
    await floor.catch_up()
    async with floor.consumer(opened, confirmation=Confirmation.CLIENT) as consumer:
        await delivered(consumer)
        consumer.acknowledge(cursor)
        await passes(consumer, lambda: consumer.books.in_flight == 0)

    assert floor.metrics.flow.delivered == [1, 0, 0, 0]


async def test_acknowledgement_at_another_process_reaches_position_and_pel(floor: ProcessFloor) -> None:
    """The mutation may arrive anywhere: Redis is told, and the process with the stream hears of it."""
    opened = await floor.open()
    published = await floor.publish(3)
    await floor.catch_up()
    async with floor.consumer(opened, confirmation=Confirmation.CLIENT) as consumer:
        for _ in range(3):
            await delivered(consumer)
    await floor.ledger.flush()
    other = ProcessFloor(floor.engine, floor.redis)

    done = await other.subscribers.acknowledge(PHONE, published[1])

    assert done is not None
    assert (published[2], 1) == (done.position, done.pending)
    assert [published[2]] == [one.cursor for one in await floor.subscribers.pending(PHONE)]
    assert await other.subscribers.acknowledge(Subscriber("ada", "toaster"), published[1]) is None


async def test_what_a_client_does_not_confirm_for_a_minute_comes_again_on_the_same_stream(
    floor: ProcessFloor, clock: Clock
) -> None:
    """PEL_IDLE: it becomes pending, owned by the process, and is handed over with the next attempt."""
    opened = await floor.open()
    [cursor] = await floor.publish(1)
    await floor.catch_up()
    async with clock.drive(floor.consumer(opened, confirmation=Confirmation.CLIENT)) as consumer:
        assert (cursor, 1) == await delivered(consumer)
        await passes(consumer, lambda: consumer._live)
        await floor.ledger.flush()
        assert await floor.subscribers.pending(PHONE) == ()  # younger than a minute: it does not count as pending
        clock.now += PEL_IDLE.total_seconds()
        assert (cursor, 2) == await delivered(consumer)
        await floor.ledger.flush()
        [pending] = await floor.subscribers.pending(PHONE)
        assert (cursor, 2, floor.processes.name) == (pending.cursor, pending.deliveries, pending.owner)
        consumer.acknowledge(cursor)
        await passes(consumer, lambda: consumer.books.in_flight == 0)
        await floor.ledger.flush()
        assert await floor.subscribers.pending(PHONE) == ()


async def test_after_three_failed_attempts_an_entry_is_dead_for_that_subscriber_alone(
    floor: ProcessFloor, clock: Clock, redis: Redis
) -> None:
    """Letter, acknowledgement and the note to the client in one step; the stream goes on with what comes next."""
    await floor.open()
    first, second = await floor.publish(2)
    for attempt in (1, 2, 3):
        step = await fail(floor, clock)
        assert isinstance(step, Delivery)
        assert (first, attempt) == (step.entry.cursor, step.attempt)

    async with clock.drive(floor.consumer(await floor.open())) as consumer:
        assert Missing(START, first, Lack.DEAD) == await step_of(consumer)
        assert (second, 1) == await delivered(consumer)
        await passes(consumer, lambda: consumer._live)
    await floor.ledger.flush()

    [stored] = await floor.letters.page(first=10, before=None)
    assert (first, PHONE.name, 3, LetterState.DEAD) == (
        stored.letter.cursor,
        stored.letter.subscriber,
        stored.letter.attempts,
        stored.state,
    )
    assert stored.letter.first_ms <= stored.letter.last_ms
    copies: Any = await redis.xrange(Keys().dead_letters)
    [(_, copy)] = copies
    assert (str(first).encode(), b"ada:phone") == (copy[b"id"], copy[b"subscriber"])
    assert await redis.xlen(Keys().stream) == 2  # never deleted from the stream: it is everybody's
    assert (await floor.open()).pending == ()
    assert floor.metrics.flow.dead == 1
    assert floor.metrics.flow.unaccounted == 0
    tablet = await floor.open(Subscriber("ada", "tablet"), since=START)
    async with floor.consumer(tablet, since=START) as consumer:
        assert (first, 1) == await delivered(consumer)


async def test_streams_that_end_soon_are_no_attempts(floor: ProcessFloor, clock: Clock) -> None:
    """Lost connections say nothing about an entry, however many: nothing is given up for them."""
    await floor.open()
    [cursor] = await floor.publish(1)
    for _ in range(6):
        await fail(floor, clock, lived=LIVED.total_seconds() - 0.1)

    async with floor.consumer(await floor.open()) as consumer:
        assert (cursor, 7) == await delivered(consumer)


async def test_stream_that_confirmed_something_else_is_no_attempt(floor: ProcessFloor, clock: Clock) -> None:
    """The client is slow, not stuck: what it has not got to yet is not to blame."""
    await floor.open()
    published = await floor.publish(8)
    for k in range(6):
        async with clock.drive(floor.consumer(await floor.open(), confirmation=Confirmation.CLIENT)) as consumer:
            await delivered(consumer)
            await delivered(consumer)
            clock.now += 1
            consumer.acknowledge(published[k])
            clock.now += LIVED.total_seconds() - 0.5
        await floor.ledger.flush()

    assert (await floor.open()).suspect is None
    assert not await floor.letters.page(first=10, before=None)


async def test_confirmation_clears_the_suspicion(floor: ProcessFloor, clock: Clock) -> None:
    """Two failed attempts, then a success: the next entry starts from none."""
    await floor.open()
    await floor.publish(1)
    for _ in range(2):
        await fail(floor, clock)
    assert (await floor.open()).suspect is not None
    async with floor.consumer(await floor.open()) as consumer:
        await delivered(consumer)
        await passes(consumer, lambda: consumer._live)
    await floor.ledger.flush()

    assert (await floor.open()).suspect is None


async def test_client_is_told_of_a_dead_letter_until_it_has_the_note(floor: ProcessFloor, clock: Clock) -> None:
    """A crash between the burial and the note costs a repetition, not the note."""
    await floor.open()
    [cursor] = await floor.publish(1)
    for _ in range(3):
        await fail(floor, clock)
    consumer = await floor.consumer(await floor.open()).__aenter__()
    assert Missing(START, cursor, Lack.DEAD) == await step_of(consumer)
    floor.restart()

    opened = await floor.open()
    assert opened.pending == ()
    async with floor.consumer(opened) as consumer:
        assert Missing(START, cursor, Lack.DEAD) == await step_of(consumer)
        await passes(consumer, lambda: consumer._live)
    await floor.ledger.flush()
    assert (await floor.open()).mail == ()


async def test_redriven_letter_heals_when_the_device_comes_back(
    floor: ProcessFloor, clock: Clock, redis: Redis
) -> None:
    """It is delivered once as healed; a flush in between does not lose it."""
    await floor.open()
    [cursor] = await floor.publish(1)
    for _ in range(3):
        await fail(floor, clock)
    async with floor.consumer(await floor.open()) as consumer:
        await step_of(consumer)
        await passes(consumer, lambda: consumer._live)
    await floor.ledger.flush()
    [stored] = await floor.letters.page(first=1, before=None)
    await floor.letters.settle(stored.id, LetterState.REDRIVEN)
    await floor.dead_letters.redrive(PHONE.name, stored.id, cursor)
    await redis.flushdb()
    await janitor(floor).remail()

    async with floor.consumer(await floor.open()) as consumer:
        healed = await step_of(consumer)
        assert isinstance(healed, Healed)
        assert [cursor] == [entry.cursor for entry in healed.entries]

        async def settled() -> bool:
            return not await floor.letters.to_heal()

        await passes(consumer, settled)
    await floor.ledger.flush()
    assert (await floor.open()).mail == ()


async def test_stream_that_ends_while_an_entry_is_given_up_keeps_its_books(
    floor: ProcessFloor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I5: the entry is in nobody's care until it is known whether it is dead; it stays pending, and comes again."""
    await floor.open()
    [cursor] = await floor.publish(1)
    for _ in range(3):
        await fail(floor, clock)
    writing = asyncio.Event()

    async def hangs(_: object) -> bool:
        writing.set()
        return await asyncio.Future()

    with monkeypatch.context() as patched:
        patched.setattr(floor.letters, "write", hangs)
        async with clock.drive(floor.consumer(await floor.open())) as consumer:
            driving = asyncio.create_task(anext(consumer))
            await writing.wait()
            assert floor.metrics.flow.unaccounted == 0
            driving.cancel()
            await asyncio.gather(driving, return_exceptions=True)
    assert floor.metrics.flow.unaccounted == 0

    await floor.ledger.flush()
    async with clock.drive(floor.consumer(await floor.open())) as consumer:
        assert Missing(START, cursor, Lack.DEAD) == await step_of(consumer)
    assert floor.metrics.flow.unaccounted == 0


async def test_stream_that_cannot_read_what_is_overdue_leaves_it_to_the_next(
    floor: ProcessFloor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I5: out of the ring, and PostgreSQL away: the stream ends with an error and releases the entry."""
    opened = await floor.open()
    [cursor] = await floor.publish(1)
    await floor.catch_up()

    async def away(_: Cursor) -> None:
        assert floor.metrics.flow.unaccounted == 0
        raise Unavailable("PostgreSQL is away")

    with monkeypatch.context() as patched:
        async with clock.drive(floor.consumer(opened, confirmation=Confirmation.CLIENT)) as consumer:
            assert (cursor, 1) == await delivered(consumer)
            await passes(consumer, lambda: consumer._live)
            clock.now += PEL_IDLE.total_seconds()
            patched.setattr(floor.history, "at", away)
            with pytest.raises(Unavailable):
                await step_of(consumer)
    assert floor.metrics.flow.unaccounted == 0

    await floor.ledger.flush()
    async with clock.drive(floor.consumer(await floor.open())) as consumer:
        assert (cursor, 2) == await delivered(consumer)
    assert floor.metrics.flow.unaccounted == 0


async def test_limit_halts_dead_lettering(database: AsyncEngine, redis: Redis, clock: Clock) -> None:
    """When too much fails, the entry stays first in line instead of going to the dead letters."""
    floor = ProcessFloor(database, redis, limit=Limit(rate=0))
    await floor.open()
    [cursor] = await floor.publish(1)
    for attempt in range(1, 6):
        step = await fail(floor, clock)
        assert isinstance(step, Delivery)
        assert (cursor, attempt) == (step.entry.cursor, step.attempt)

    assert floor.dead_letters.halted
    assert not await floor.letters.page(first=1, before=None)


def test_limit_lets_a_few_through_and_halts_at_its_share_and_rate() -> None:
    """Ten letters a minute are free, of more at most 5 % of what was handed over, and never more than a hundred."""
    few, share, rate = Limit(), Limit(), Limit()

    def allowed(limit: Limit, *, handed_over: int) -> int:
        count = 0
        while limit.allows(now=0.0, handed_over=handed_over if count else 0):
            limit.count(now=0.0, handed_over=0)
            count += 1
        return count

    assert allowed(few, handed_over=0) == 10
    assert allowed(share, handed_over=1_000) == 50
    assert allowed(rate, handed_over=1_000_000) == 100


def test_limit_is_not_called_halted_when_nothing_fails_any_more() -> None:
    """Health recovers two minutes after the last refusal, not only with the next letter that is written."""
    limit = Limit(rate=0)
    assert not limit.halted(now=0.0)
    assert not limit.allows(now=100.0, handed_over=0)

    assert [limit.halted(now=now) for now in (100.0, 220.0, 220.1)] == [True, True, False]


async def test_entry_that_cannot_be_shown_is_given_up_once_for_everybody(floor: ProcessFloor) -> None:
    """The stream tells a gap in its place; others, replays included, do so without trying."""
    bad, good = await floor.publish(2)
    await floor.catch_up()
    async with floor.consumer() as consumer:
        step = await step_of(consumer)
        assert isinstance(step, Delivery)
        assert Missing(START, bad, Lack.DEAD) == await consumer.condemn(step, "boom")
        assert (good, 1) == await delivered(consumer)
    async with floor.consumer() as consumer:
        assert Missing(START, bad, Lack.DEAD) == await step_of(consumer)
        assert (good, 1) == await delivered(consumer)

    [stored] = await floor.letters.page(first=10, before=None)
    assert (stored.letter.subscriber, stored.letter.error) == ("*", "boom")
    assert floor.metrics.flow.gapped == 2
    assert floor.metrics.flow.unaccounted == 0
    floor.restart()
    await floor.dead_letters.load()
    assert bad in floor.dead_letters.poison


async def test_stream_ends_when_what_cannot_be_shown_cannot_be_given_up_either(
    database: AsyncEngine, redis: Redis
) -> None:
    """A bad deploy halts streams, which resume later, instead of burying everything."""
    floor = ProcessFloor(database, redis, limit=Limit(rate=0))
    await floor.publish(1)
    await floor.catch_up()
    async with floor.consumer() as consumer:
        step = await step_of(consumer)
        assert isinstance(step, Delivery)
        assert await consumer.condemn(step, "boom") is None
        with pytest.raises(StopAsyncIteration):
            await step_of(consumer)

    assert consumer.closed is Closed.HALTED


async def test_what_halts_a_stream_is_what_the_next_one_begins_with(database: AsyncEngine, redis: Redis) -> None:
    """I2, I3: no byte of it was sent, so it is not confirmed, and the halted stream's cursor stays before it."""
    floor = ProcessFloor(database, redis, limit=Limit(rate=0))
    opened = await floor.open()
    good, bad = await floor.publish(2)
    await floor.catch_up()
    async with floor.consumer(opened) as consumer:
        assert (good, 1) == await delivered(consumer)
        step = await step_of(consumer)
        assert isinstance(step, Delivery)
        assert step.entry.cursor == bad
        assert await consumer.condemn(step, "boom") is None
        assert consumer.position == good
        with pytest.raises(StopAsyncIteration):
            await step_of(consumer)
    await floor.ledger.flush()

    assert floor.metrics.flow.unaccounted == 0
    async with floor.consumer(await floor.open()) as consumer:
        assert (bad, 1) == await delivered(consumer)


def janitor(floor: ProcessFloor) -> Janitor:
    """A janitor that leads nobody."""
    return Janitor(
        redis=floor.redis,
        publisher=floor.publisher,
        dead_letters=floor.dead_letters,
        letters=floor.letters,
        leadership=None,  # type: ignore[arg-type]  # its rounds are called by hand
        metrics=floor.metrics,
    )


async def test_index_of_pending_entries_follows_the_pels(floor: ProcessFloor, redis: Redis) -> None:
    """Total, subscribers and age, kept by the scripts that change the PELs."""
    opened = await floor.open()
    await floor.publish(2)
    await floor.catch_up()
    assert (await read_pending(redis)).total == 0
    async with floor.consumer(opened, confirmation=Confirmation.CLIENT) as consumer:
        await delivered(consumer)
        await delivered(consumer)
    await floor.ledger.flush()

    found = await read_pending(redis)
    assert (found.total, found.subscribers) == (2, 1)
    assert 0 <= found.oldest.total_seconds() < 60
    assert found.memory > 0

    await floor.subscribers.acknowledge(PHONE, floor.tail.head)
    found = await read_pending(redis)
    assert (found.total, found.subscribers, found.oldest.total_seconds()) == (0, 0, 0)
