"""Who may claim what, and what is left when Redis loses its memory: I2, I3 and I8 for a device without a cursor."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.activities import Activity
from streams.consumer import Consumer
from streams.cursor import START, Cursor
from streams.in_flight import PEL_IDLE
from streams.keys import Keys
from streams.processes import DEAD_AFTER
from streams.signals import Signal, SignalKind, Signals
from streams.steps import Closed, Confirmation, Delivery
from tests.support.floor import PHONE, TABLET, ProcessFloor
from tests.support.running import in_background
from tests.support.waiting import wait_until


@pytest.fixture
async def floor(database: AsyncEngine, redis: Redis) -> ProcessFloor:
    """A process without its loops."""
    return ProcessFloor(database, redis)


@pytest.fixture
async def other(database: AsyncEngine, redis: Redis) -> ProcessFloor:
    """Another process beside it."""
    return ProcessFloor(database, redis)


async def take(consumer: Consumer[Activity], count: int) -> list[tuple[Cursor, int]]:
    """Cursor and attempt of the next deliveries."""
    taken: list[tuple[Cursor, int]] = []
    async with asyncio.timeout(10):
        while len(taken) < count:
            step = await anext(consumer)
            assert isinstance(step, Delivery), step
            taken.append((step.entry.cursor, step.attempt))
    return taken


async def leave_pending(floor: ProcessFloor, count: int, *, owner: str) -> list[Cursor]:
    """Have the phone leave entries pending that `owner` answers for."""
    opened = await floor.open()
    published = await floor.publish(count)
    await floor.catch_up()
    async with floor.consumer(opened, confirmation=Confirmation.CLIENT) as consumer:
        await take(consumer, count)
    await floor.ledger.flush()
    await floor.redis.xclaim(Keys().stream, PHONE.group, owner, 0, [str(cursor) for cursor in published], justid=True)
    return published


async def test_what_a_dead_process_owned_is_claimed_at_once(floor: ProcessFloor, other: ProcessFloor) -> None:
    """A process without a heartbeat answers for nothing."""
    published = await leave_pending(floor, 2, owner=floor.processes.name)
    await other.processes.beat()

    async with other.consumer(await other.open()) as consumer:
        assert [(cursor, 2) for cursor in published] == await take(consumer, 2)


async def test_what_a_living_process_owns_is_waited_for_and_then_picked_up_live(
    floor: ProcessFloor, other: ProcessFloor
) -> None:
    """What is new comes meanwhile; when the other process gives its entries up, they come too."""
    published = await leave_pending(floor, 2, owner=floor.processes.name)
    await floor.processes.beat()
    await other.processes.beat()
    new = await floor.publish(1)

    async with other.consumer(await other.open()) as consumer:
        assert [(new[0], 1)] == await take(consumer, 1)
        await floor.redis.xclaim(Keys().stream, PHONE.group, "released", 0, [str(published[0])], justid=True)
        consumer.look_again()
        assert [published[0]] == [cursor for cursor, _ in await take(consumer, 1)]
        await floor.processes.resign()
        await other.processes.beat()
        consumer.look_again()
        assert [published[1]] == [cursor for cursor, _ in await take(consumer, 1)]


async def test_what_a_living_process_left_idle_for_a_minute_is_claimed(
    floor: ProcessFloor, other: ProcessFloor, redis: Redis
) -> None:
    """PEL_IDLE, as XCLAIM's min-idle-time in the seed."""
    [cursor] = await leave_pending(floor, 1, owner=floor.processes.name)
    await floor.processes.beat()
    await other.processes.beat()
    idle = int(PEL_IDLE.total_seconds() * 1_000)
    await redis.xclaim(
        Keys().stream, PHONE.group, floor.processes.name, 0, [str(cursor)], idle=idle, retrycount=1, justid=True
    )

    async with other.consumer(await other.open()) as consumer:
        assert [(cursor, 2)] == await take(consumer, 1)
        await other.ledger.flush()
        [pending] = await other.subscribers.pending(PHONE)
        assert other.processes.name == pending.owner


async def test_trimmed_entries_come_from_postgresql_and_stay_accounted_for(floor: ProcessFloor, redis: Redis) -> None:
    """Claiming a trimmed entry takes it out of the PEL: the position goes back before it, so it is missed, not lost."""
    published = await leave_pending(floor, 3, owner="released")
    await redis.xtrim(Keys().stream, maxlen=0, approximate=False)

    async with floor.consumer(await floor.open(), confirmation=Confirmation.CLIENT) as consumer:
        assert [(cursor, 2) for cursor in published] == await take(consumer, 3)
        await floor.ledger.flush()
        assert consumer.closed is Closed.REWOUND
    await floor.ledger.flush()

    async with floor.consumer(await floor.open(), confirmation=Confirmation.CLIENT) as consumer:
        assert published == [cursor for cursor, _ in await take(consumer, 3)]


async def test_flush_between_two_streams_costs_no_position(floor: ProcessFloor, redis: Redis) -> None:
    """I8: Redis is empty; PostgreSQL has the checkpoint of the stream's end, and what was missed comes from there."""
    opened = await floor.open()
    await floor.publish(2)
    await floor.catch_up()
    async with floor.consumer(opened) as consumer:
        await take(consumer, 2)
    await floor.ledger.flush()
    await floor.checkpoints.save(everything=False)
    missed = await floor.publish(2)
    await redis.flushdb()

    again = await floor.open()

    assert not again.lost
    async with floor.consumer(again) as consumer:
        taken = [cursor for cursor, _ in await take(consumer, 3)]
    assert missed == taken[-2:]


async def test_flush_before_the_first_checkpoint_costs_no_position_either(floor: ProcessFloor, redis: Redis) -> None:
    """A device is introduced to PostgreSQL before its first stream begins."""
    await floor.open()
    missed = await floor.publish(2)
    floor.restart()
    await redis.flushdb()

    async with floor.consumer(await floor.open()) as consumer:
        assert missed == [cursor for cursor, _ in await take(consumer, 2)]


async def test_flush_while_entries_are_pending_brings_them_back(floor: ProcessFloor, redis: Redis) -> None:
    """A stream that relies on the PEL learns from its receipt that the PEL is gone; its next one starts before them."""
    published = await leave_pending(floor, 3, owner="released")
    async with floor.consumer(await floor.open(), confirmation=Confirmation.CLIENT) as consumer:
        await take(consumer, 1)
        await redis.flushdb()
        await floor.ledger.flush()
        assert consumer.closed is Closed.REWOUND
    floor.restart()

    async with floor.consumer(await floor.open()) as consumer:
        assert published == [cursor for cursor, _ in await take(consumer, 3)]


async def test_stale_replica_without_what_became_pending_costs_nothing(floor: ProcessFloor, redis: Redis) -> None:
    """A failover to a state before the hand-over: the stream's receipts must not pass what that state does not hold."""
    opened = await floor.open()
    published = await floor.publish(3)
    await floor.catch_up()
    stream, positions = [await redis.dump(key) for key in (Keys().stream, Keys().positions)]
    async with floor.consumer(opened, confirmation=Confirmation.CLIENT) as consumer:
        await take(consumer, 3)
        consumer._clock = lambda: asyncio.get_running_loop().time() + PEL_IDLE.total_seconds()
        await take(consumer, 1)  # now all three are pending, and the position is past them
        await floor.ledger.flush()
        await redis.flushdb()
        assert stream is not None
        assert positions is not None
        await redis.restore(Keys().stream, 0, stream)
        await redis.restore(Keys().positions, 0, positions)
        consumer._record()
        await floor.ledger.flush()
        assert consumer.closed is Closed.REWOUND
    floor.restart()

    async with floor.consumer(await floor.open()) as consumer:
        assert published == [cursor for cursor, _ in await take(consumer, 3)]


async def test_position_that_nobody_knows_is_lost_aloud(floor: ProcessFloor, redis: Redis) -> None:
    """Redis is empty and PostgreSQL away: the stream starts at the head, and says so."""
    await floor.open()
    await floor.publish(1)
    await redis.flushdb()
    await floor.catch_up()
    await floor.engine.dispose()

    async def away(*_: object) -> None:
        raise OSError("PostgreSQL is away")

    floor.checkpoints._store.introduce = away  # type: ignore[assignment, method-assign]
    opened = await floor.subscribers.open(PHONE, since=None, head=floor.tail.head)

    assert opened.lost
    assert floor.tail.head == opened.position


async def test_devices_that_come_together_are_introduced_together(floor: ProcessFloor) -> None:
    """One statement for all that arrive while another is under way."""
    asked: list[int] = []
    introduce = floor.checkpoints._store.introduce

    async def counted(newcomers: dict[str, Cursor]) -> object:
        asked.append(len(newcomers))
        return await introduce(newcomers)

    floor.checkpoints._store.introduce = counted  # type: ignore[assignment, method-assign]
    await asyncio.gather(*(floor.checkpoints.introduce(f"user:{k}", position=START) for k in range(50)))

    assert sum(asked) == 50
    assert len(asked) <= 2


@pytest.fixture
async def heard(redis: Redis) -> AsyncIterator[list[Signal]]:
    """What is said between processes from now on."""
    found: list[Signal] = []
    signals = Signals(redis=redis, heard=found.append)
    async with in_background(signals.run()):
        await wait_until(lambda: signals._last is not None, description="listening")
        yield found


async def test_take_over_is_heard_by_the_process_with_the_older_stream(
    floor: ProcessFloor, other: ProcessFloor, heard: list[Signal]
) -> None:
    """Not only with its next receipt, which may be long in coming."""
    await floor.open()
    newer = await other.open()

    await wait_until(lambda: bool(heard), description="a signal")
    assert Signal(SignalKind.TAKEN_OVER, PHONE.name, str(newer.epoch)) == heard[0]


async def test_older_stream_in_another_process_releases_what_it_owns(
    floor: ProcessFloor, other: ProcessFloor, heard: list[Signal]
) -> None:
    """Its receipt no longer counts, but its pending entries are for the newer stream, which is told."""
    await leave_pending(floor, 1, owner=floor.processes.name)
    await floor.processes.beat()
    opened = await floor.open()
    async with floor.consumer(opened, confirmation=Confirmation.CLIENT) as older:
        await take(older, 1)
        await floor.ledger.flush()
        await other.processes.beat()
        newer = await other.open()
    await floor.ledger.flush()

    await wait_until(lambda: any(one.kind is SignalKind.RELEASED for one in heard), description="released")
    assert older.closed is Closed.SUPERSEDED
    assert newer.pending[0].owner == floor.processes.name
    async with other.consumer(newer) as consumer:
        consumer.look_again()
        assert [newer.pending[0].cursor] == [cursor for cursor, _ in await take(consumer, 1)]


async def test_processes_know_who_lives(floor: ProcessFloor, other: ProcessFloor, redis: Redis) -> None:
    """A heartbeat a second; five seconds without one are a death, an orderly end is one at once."""
    await other.processes.beat()
    await floor.processes.beat()
    assert not floor.processes.gives_up(other.processes.name)
    assert floor.processes.gives_up(floor.processes.name)
    assert floor.processes.gives_up("released")

    # A millisecond more: both beats may fall into the same one.
    await redis.zincrby(Keys().processes, -DEAD_AFTER.total_seconds() * 1_000 - 1, other.processes.name)
    await floor.processes.beat()
    assert floor.processes.gives_up(other.processes.name)


async def test_devices_do_not_see_each_others_pending_entries(floor: ProcessFloor) -> None:
    """A group for each device, not for each user."""
    await floor.open(TABLET)
    published = await leave_pending(floor, 1, owner="released")

    tablet = await floor.open(TABLET)

    assert tablet.pending == ()
    async with floor.consumer(tablet) as consumer:
        assert [(published[0], 1)] == await take(consumer, 1)
