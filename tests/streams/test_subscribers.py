"""Subscribers, positions and the ledger in Redis."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from streams.connection import Script
from streams.cursor import Cursor
from streams.errors import StreamsUnavailable
from streams.keys import Keys
from streams.ledger import LONGEST_PAUSE, SHARE_OF_REDIS, SHORTEST_PAUSE, Ledger, pause_after
from streams.processes import RELEASED
from streams.receipts import HandedOver, News, Receipt, Refusal
from streams.subscribers import Opened, Subscriber, SubscriberInvalid, Subscribers
from tests.support.floor import PHONE, ProcessFloor
from tests.support.running import in_background
from tests.support.waiting import wait_until

HEAD = Cursor.parse("1000-0")


@pytest.fixture
async def floor(database: AsyncEngine, redis: Redis) -> ProcessFloor:
    """A process without its loops."""
    return ProcessFloor(database, redis)


@pytest.fixture
def subscribers(floor: ProcessFloor) -> Subscribers:
    """The positions of shard 0."""
    return floor.subscribers


@pytest.fixture
async def ledger(floor: ProcessFloor) -> AsyncIterator[Ledger]:
    """A ledger that the test flushes itself."""
    yield floor.ledger
    assert len(floor.ledger) == 0


async def add_entries(redis: Redis, *ids: str) -> list[Cursor]:
    """Put bare entries into the stream."""
    for entry_id in ids:
        await redis.xadd(Keys().stream, {"activity_id": "1"}, id=entry_id)
    return [Cursor.parse(entry_id) for entry_id in ids]


def receipt(
    opened: Opened, position: str | Cursor | None = None, *, handed: dict[Cursor, int] | None = None
) -> Receipt:
    """A receipt of that stream; what is handed over is released at once."""
    at = opened.position if position is None else Cursor.parse(position) if isinstance(position, str) else position
    made = Receipt(opened.subscriber, opened.epoch, lambda _: None, at, at)
    if handed:
        made.news = News({cursor: HandedOver(RELEASED, deliveries) for cursor, deliveries in handed.items()})
        made.floor = min(at, *(Cursor(cursor - 1) for cursor in handed))
        made.held, made.last_held = len(handed), max(handed)
    return made


def pending(opened: Opened) -> list[tuple[Cursor, int]]:
    """What is pending, and how often it was handed over."""
    return [(one.cursor, one.deliveries) for one in opened.pending]


@pytest.mark.parametrize("device", ["", "a:b", "a b", "é", "x" * 65, "a\n", "../x"])
def test_device_that_could_be_mistaken_is_refused(device: str) -> None:
    """A device ID is short and plain."""
    with pytest.raises(SubscriberInvalid):
        Subscriber.of("ada", device)


@given(st.text(min_size=1), st.text(min_size=1), st.from_regex(r"[a-z0-9.-]{1,9}", fullmatch=True))
def test_no_user_reaches_another_users_position(user: str, other: str, device: str) -> None:
    """Two users never share a name in Redis, colons and percent signs included."""
    if user != other:
        assert Subscriber.of(user, device).name != Subscriber.of(other, device).name
        assert not Subscriber.of(user, device).name.startswith(Subscriber.of(other, "x").name[:-1])


async def test_new_subscriber_starts_at_the_head(subscribers: Subscribers) -> None:
    """Nobody who comes for the first time is sent the past; `feed` shows it."""
    opened = await subscribers.open(PHONE, since=None, head=HEAD)

    assert (opened.position, opened.pending, opened.lost) == (HEAD, (), False)


async def test_position_is_kept_between_streams(subscribers: Subscribers, ledger: Ledger) -> None:
    """A device that returns without a cursor continues where it was confirmed, with a higher epoch."""
    first = await subscribers.open(PHONE, since=None, head=HEAD)
    ledger.record(receipt(first, "2000-5"))
    await ledger.flush()

    second = await subscribers.open(PHONE, since=None, head=Cursor.parse("9000-0"))

    assert Cursor.parse("2000-5") == second.position
    assert second.epoch > first.epoch


async def test_clients_own_cursor_is_the_truth(subscribers: Subscribers, ledger: Ledger) -> None:
    """With `since` a device may go back as well as forward."""
    ledger.record(receipt(await subscribers.open(PHONE, since=None, head=HEAD), "2000-0"))
    await ledger.flush()

    back = await subscribers.open(PHONE, since=Cursor.parse("1500-0"), head=HEAD)

    assert Cursor.parse("1500-0") == back.position == await subscribers.position(PHONE)


async def test_devices_of_one_user_have_their_own_positions(subscribers: Subscribers, ledger: Ledger) -> None:
    """What the phone has confirmed the tablet still gets."""
    tablet = Subscriber("ada", "tablet")
    phone = await subscribers.open(PHONE, since=None, head=HEAD)
    await subscribers.open(tablet, since=None, head=HEAD)
    ledger.record(receipt(phone, "2000-0"))
    await ledger.flush()

    assert await subscribers.position(tablet) == HEAD


async def test_positions_only_move_forward(subscribers: Subscribers, ledger: Ledger) -> None:
    """A late receipt of the same stream does not take its subscriber back."""
    opened = await subscribers.open(PHONE, since=None, head=HEAD)
    for position in ("2000-10", "2000-9", "1999-11"):
        ledger.record(receipt(opened, position))
        await ledger.flush()

    assert Cursor.parse("2000-10") == await subscribers.position(PHONE)


async def test_receipts_of_a_stream_that_was_taken_over_do_not_count(subscribers: Subscribers, ledger: Ledger) -> None:
    """The older of two streams of a device, in whatever process, neither moves the position nor stays unaware."""
    told: list[Refusal] = []
    older = await subscribers.open(PHONE, since=None, head=HEAD)
    await subscribers.open(PHONE, since=None, head=HEAD)
    late = receipt(older, "5000-0")
    late.refused = told.append
    ledger.record(late)

    await ledger.flush()

    assert told == [Refusal.SUPERSEDED]
    assert await subscribers.position(PHONE) == HEAD


async def test_what_was_handed_over_is_pending_until_confirmed(
    subscribers: Subscribers, ledger: Ledger, redis: Redis
) -> None:
    """The group is made with the first exception, shows it with its count, and is empty after the confirmation."""
    [_, second] = await add_entries(redis, "2000-0", "2000-1")
    opened = await subscribers.open(PHONE, since=None, head=HEAD)
    assert not await redis.xinfo_groups(Keys().stream)
    ledger.record(receipt(opened, "2000-1", handed={second: 1}))
    await ledger.flush()

    again = await subscribers.open(PHONE, since=None, head=HEAD)
    assert [(second, 1)] == pending(again)
    assert second == again.position

    confirmed = receipt(again)
    confirmed.news = News(confirmed={second})
    ledger.record(confirmed)
    await ledger.flush()
    assert (await subscribers.open(PHONE, since=None, head=HEAD)).pending == ()


async def test_position_stays_before_an_entry_that_cannot_be_pending(subscribers: Subscribers, ledger: Ledger) -> None:
    """An entry that Redis has trimmed is not passed over: it is delivered again as missed."""
    opened = await subscribers.open(PHONE, since=None, head=HEAD)
    cursor = Cursor.parse("3000-0")
    ledger.record(receipt(opened, cursor, handed={cursor: 1}))

    await ledger.flush()

    position = await subscribers.position(PHONE)
    assert position is not None
    assert HEAD <= position < cursor


async def test_retried_flush_counts_once(subscribers: Subscribers, ledger: Ledger, redis: Redis) -> None:
    """A flush whose answer was lost is written again without counting a delivery twice."""
    [cursor] = await add_entries(redis, "2000-0")
    opened = await subscribers.open(PHONE, since=None, head=HEAD)
    for _ in range(3):
        ledger.record(receipt(opened, cursor, handed={cursor: 2}))
        await ledger.flush()

    assert [(cursor, 2)] == pending(await subscribers.open(PHONE, since=None, head=HEAD))


async def test_receipts_wait_while_redis_is_away(floor: ProcessFloor, redis: Redis) -> None:
    """What could not be written is kept, merged with what came later, and written when Redis answers."""
    subscribers, ledger = floor.subscribers, floor.ledger
    opened = await subscribers.open(PHONE, since=None, head=HEAD)
    ledger._advance = Script(Redis(host="127.0.0.1", port=9), "advance")
    ledger.record(receipt(opened, "2000-0"))
    with pytest.raises(StreamsUnavailable):
        await ledger.flush()
    ledger.record(receipt(opened, "2500-0"))
    assert len(ledger) == 1

    ledger._advance = Script(redis, "advance")
    async with in_background(ledger.run()):
        await wait_until(lambda: len(ledger) == 0, description="written")

    assert Cursor.parse("2500-0") == await subscribers.position(PHONE)


@given(st.floats(0, 100))
def test_flushes_take_at_most_a_tenth_of_redis(took: float) -> None:
    """The pause is ten times the flush, between 50 ms and 2 s."""
    pause = pause_after(took)

    assert SHORTEST_PAUSE.total_seconds() <= pause <= LONGEST_PAUSE.total_seconds()
    assert took <= pause * SHARE_OF_REDIS * 1.001 or pause == LONGEST_PAUSE.total_seconds()
