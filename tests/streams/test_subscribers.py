"""Subscribers, positions and the ledger in Redis."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from streams.cursor import START, Cursor
from streams.entries import stream_key
from streams.errors import StreamsUnavailable
from streams.ledger import LONGEST_PAUSE, SHARE_OF_REDIS, SHORTEST_PAUSE, Ledger, Receipt, pause_after
from streams.subscribers import Opened, Pending, Subscriber, SubscriberInvalid, Subscribers
from telemetry.metrics import Metrics
from tests.support.running import in_background
from tests.support.waiting import wait_until

PHONE = Subscriber("ada", "phone")
HEAD = Cursor.parse("1000-0")


@pytest.fixture
def subscribers(redis: Redis) -> Subscribers:
    """The positions of shard 0."""
    return Subscribers(redis=redis)


@pytest.fixture
async def ledger(redis: Redis, metrics: Metrics) -> AsyncIterator[Ledger]:
    """A ledger that the test flushes itself."""
    ledger = Ledger(redis=redis, metrics=metrics)
    yield ledger
    assert len(ledger) == 0


async def add_entries(redis: Redis, *ids: str) -> list[Cursor]:
    """Put bare entries into the stream."""
    for entry_id in ids:
        await redis.xadd(stream_key(), {"activity_id": "1"}, id=entry_id)
    return [Cursor.parse(entry_id) for entry_id in ids]


def receipt(opened: Opened, position: str | None = None) -> Receipt:
    """A receipt of that stream."""
    made = Receipt(opened.subscriber, opened.epoch, lambda: None)
    made.position = Cursor.parse(position) if position else START
    return made


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

    assert Opened(PHONE, HEAD, 1, known=False, pending=()) == opened


async def test_position_is_kept_between_streams(subscribers: Subscribers, ledger: Ledger) -> None:
    """A device that returns without a cursor continues where it was confirmed, with a higher epoch."""
    first = await subscribers.open(PHONE, since=None, head=HEAD)
    ledger.record(receipt(first, "2000-5"))
    await ledger.flush()

    second = await subscribers.open(PHONE, since=None, head=Cursor.parse("9000-0"))

    assert (Cursor.parse("2000-5"), 2) == (second.position, second.epoch)


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


async def test_receipts_of_a_stream_that_was_taken_over_do_not_count(
    subscribers: Subscribers, redis: Redis, metrics: Metrics
) -> None:
    """The older of two streams of a device, in whatever process, neither moves the position nor stays unaware."""
    told: list[str] = []
    older = await subscribers.open(PHONE, since=None, head=HEAD)
    await subscribers.open(PHONE, since=None, head=HEAD)
    elsewhere = Ledger(redis=redis, metrics=metrics)
    elsewhere.record(Receipt(PHONE, older.epoch, lambda: told.append("superseded"), Cursor.parse("5000-0")))

    await elsewhere.flush()

    assert told == ["superseded"]
    assert await subscribers.position(PHONE) == HEAD


async def test_what_was_handed_over_is_pending_until_confirmed(
    subscribers: Subscribers, ledger: Ledger, redis: Redis
) -> None:
    """The group is made with the first exception, shows it with its count, and is empty after the confirmation."""
    [_, second] = await add_entries(redis, "2000-0", "2000-1")
    opened = await subscribers.open(PHONE, since=None, head=HEAD)
    assert not await redis.xinfo_groups(stream_key())
    handed_over = receipt(opened, "2000-1")
    handed_over.handed_over[second] = 1
    ledger.record(handed_over)
    await ledger.flush()

    again = await subscribers.open(PHONE, since=None, head=HEAD)
    assert (Pending(second, 1),) == again.pending
    assert second == again.position

    confirmed = receipt(again)
    confirmed.confirmed.add(second)
    ledger.record(confirmed)
    await ledger.flush()
    assert (await subscribers.open(PHONE, since=None, head=HEAD)).pending == ()


async def test_position_stays_before_an_entry_that_cannot_be_pending(subscribers: Subscribers, ledger: Ledger) -> None:
    """An entry that Redis has trimmed is not passed over: it is delivered again as missed."""
    opened = await subscribers.open(PHONE, since=None, head=HEAD)
    trimmed = receipt(opened, "3000-0")
    trimmed.handed_over[Cursor.parse("3000-0")] = 1
    ledger.record(trimmed)

    await ledger.flush()

    assert await subscribers.position(PHONE) == HEAD


async def test_retried_flush_counts_once(subscribers: Subscribers, ledger: Ledger, redis: Redis) -> None:
    """A flush whose answer was lost is written again without counting a delivery twice."""
    [cursor] = await add_entries(redis, "2000-0")
    opened = await subscribers.open(PHONE, since=None, head=HEAD)
    for _ in range(3):
        handed_over = receipt(opened)
        handed_over.handed_over[cursor] = 2
        ledger.record(handed_over)
        await ledger.flush()

    assert (Pending(cursor, 2),) == (await subscribers.open(PHONE, since=None, head=HEAD)).pending


async def test_receipts_wait_while_redis_is_away(subscribers: Subscribers, redis: Redis, metrics: Metrics) -> None:
    """What could not be written is kept, merged with what came later, and written when Redis answers."""
    opened = await subscribers.open(PHONE, since=None, head=HEAD)
    ledger = Ledger(redis=Redis(host="127.0.0.1", port=9), metrics=metrics)
    ledger.record(receipt(opened, "2000-0"))
    with pytest.raises(StreamsUnavailable):
        await ledger.flush()
    ledger.record(receipt(opened, "2500-0"))
    assert len(ledger) == 1

    ledger._write = Ledger(redis=redis, metrics=metrics)._write
    async with in_background(ledger.run()):
        await wait_until(lambda: len(ledger) == 0, description="written")

    assert Cursor.parse("2500-0") == await subscribers.position(PHONE)


@given(st.floats(0, 100))
def test_flushes_take_at_most_a_tenth_of_redis(took: float) -> None:
    """The pause is ten times the flush, between 50 ms and 2 s."""
    pause = pause_after(took)

    assert SHORTEST_PAUSE.total_seconds() <= pause <= LONGEST_PAUSE.total_seconds()
    assert took <= pause * SHARE_OF_REDIS * 1.001 or pause == LONGEST_PAUSE.total_seconds()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["move", "hand over", "confirm", "reopen", "flush"]), st.integers(0, 9), st.integers(0, 1)
        ),
        max_size=30,
    )
)
async def test_position_and_pel_account_for_every_entry(
    steps: list[tuple[str, int, int]], redis: Redis, metrics: Metrics
) -> None:
    """Whatever two devices report in whatever order: what is confirmed nowhere is pending or after the position."""
    await redis.flushdb()
    entries = await add_entries(redis, *(f"{2000 + k}-0" for k in range(10)))
    subscribers, ledger = Subscribers(redis=redis), Ledger(redis=redis, metrics=metrics)
    devices = [Subscriber("ada", "phone"), Subscriber("ada", "tablet")]
    opened = [await subscribers.open(device, since=None, head=START) for device in devices]
    passed: list[set[Cursor]] = [set(), set()]
    for step, k, who in steps:
        made = receipt(opened[who])
        match step:
            case "move":
                made.position = entries[k]
                passed[who] |= set(entries[: k + 1])
            case "hand over":
                made.position, made.handed_over = entries[k], {entries[k]: 1}
                passed[who] |= set(entries[:k])
            case "confirm":
                made.confirmed = {entries[k]}
                passed[who].add(entries[k])
            case "reopen":
                await ledger.flush()
                opened[who] = await subscribers.open(devices[who], since=None, head=START)
                continue
            case "flush":
                await ledger.flush()
                continue
        ledger.record(made)
    await ledger.flush()

    for who, device in enumerate(devices):
        end = await subscribers.open(device, since=None, head=START)
        pending = {one.cursor for one in end.pending}
        lost = {entry for entry in entries if entry <= end.position} - pending - passed[who]
        assert not lost
