"""Streams and polls in plain Python, on the whole floor."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from app import Floor
from resolvers.activities import EVERYTHING, ActivityFilter, ActivityType
from resolvers.errors import InvalidInput, Unavailable
from resolvers.events import Added, Event, Gap, GapReason, Notice, NoticeKind, ReadChange, ReadChanged, ReadState
from streams.cursor import START, Cursor
from streams.steps import Closed, Confirmation
from tests.support.composed import composed, publish, viewer
from tests.support.waiting import wait_until

VOTES = ActivityFilter(types=frozenset({ActivityType.VOTE}))


@pytest.fixture
async def floor(database_url: str, redis_url: str) -> AsyncIterator[Floor]:
    """The floor, running."""
    async with composed(database_url, redis_url) as floor:
        yield floor


@asynccontextmanager
async def stream(
    floor: Floor,
    *,
    since: Cursor | None = None,
    device: str | None = None,
    chosen: ActivityFilter = EVERYTHING,
    user: str = "ada",
    confirmation: Confirmation = Confirmation.SOCKET,
) -> AsyncIterator[AsyncIterator[Event]]:
    """The events of a stream."""
    live = floor.services.live
    wish = {"since": since, "chosen": chosen, "device": device, "confirmation": confirmation}
    async with (
        live.stream(viewer=viewer(user), **wish) as opened,
        aclosing(opened.events()) as events,
    ):
        yield events


async def next_of(events: AsyncIterator[Event], kind: type[Event]) -> Event:
    """The next event of a kind, others passed over."""
    async with asyncio.timeout(10):
        while True:
            event = await anext(events)
            if isinstance(event, kind):
                return event


async def titles(events: AsyncIterator[Event], count: int) -> list[str]:
    """Titles of the next activities."""
    found = [await next_of(events, Added) for _ in range(count)]
    return [event.activity.title for event in found if isinstance(event, Added)]


async def test_stream_says_where_it_starts_and_how_far_the_log_goes(floor: Floor) -> None:
    """HELLO has the stream's own cursor, not the head, so a client that replays does not skip."""
    head = await publish(floor, 3)

    async with stream(floor, since=START) as events:
        hello = await anext(events)

    assert isinstance(hello, Notice)
    assert (NoticeKind.HELLO, START, head) == (hello.kind, hello.cursor, hello.head)
    assert hello.reauthenticate_by is not None


async def test_new_stream_starts_at_the_head_and_one_with_a_cursor_after_it(floor: Floor) -> None:
    """Nobody is sent the past unasked; whoever asks gets it, then what is new."""
    await publish(floor, 2, title="old")
    async with stream(floor) as fresh, stream(floor, since=START) as replay:
        await publish(floor, 1, title="new")

        assert await titles(fresh, 1) == ["new 0"]
        assert await titles(replay, 3) == ["old 0", "old 1", "new 0"]


async def test_quiet_stream_is_told_how_far_it_has_come(floor: Floor) -> None:
    """Bookmarks move a filtered client's cursor past what it did not want."""
    async with stream(floor, chosen=VOTES) as events:
        head = await publish(floor, 2)
        async with asyncio.timeout(10):
            while True:
                event = await next_of(events, Notice)
                if isinstance(event, Notice) and event.kind is NoticeKind.BOOKMARK and event.cursor == head:
                    break


async def test_cursor_ahead_of_the_log_is_a_gap_and_the_stream_goes_on(floor: Floor) -> None:
    """After a restore, a client learns that what it has seen is gone, and gets what is new."""
    head = await publish(floor, 1)
    beyond = Cursor(head + 1_000)
    async with stream(floor, since=beyond) as events:
        gap = await next_of(events, Gap)
        await publish(floor, 1, title="new")

        assert isinstance(gap, Gap)
        assert (GapReason.CURSOR_AHEAD, head, beyond) == (gap.reason, gap.since, gap.through)
        assert await titles(events, 1) == ["new 0"]


async def test_device_without_a_cursor_goes_on_where_it_was(floor: Floor) -> None:
    """The position is the device's and the user's own: nobody else's device of the same name moves it."""
    async with stream(floor, device="phone") as events:
        await anext(events)
        await publish(floor, 1, title="seen")
        assert await titles(events, 1) == ["seen 0"]
        await next_of(events, Notice)
    async with stream(floor, device="phone", user="bob") as events:
        await anext(events)
        await publish(floor, 1, title="missed")
        await titles(events, 1)

    async with stream(floor, device="phone") as events:
        assert await titles(events, 1) == ["missed 0"]


async def test_cursor_of_a_notice_does_not_pass_what_is_pending(floor: Floor) -> None:
    """A device that comes back with the cursor of HELLO or BOOKMARK, before it got what is pending, gets that then."""
    before = await publish(floor, 1)
    async with stream(floor, device="phone", confirmation=Confirmation.CLIENT) as events:
        await anext(events)
        await publish(floor, 2, title="unconfirmed")
        assert await titles(events, 2) == ["unconfirmed 0", "unconfirmed 1"]

    async with stream(floor, device="phone", confirmation=Confirmation.CLIENT) as events:
        hello = await anext(events)
        assert isinstance(hello, Notice)
        assert hello.cursor == before
    async with stream(floor, device="phone", confirmation=Confirmation.CLIENT, since=hello.cursor) as events:
        assert await titles(events, 2) == ["unconfirmed 0", "unconfirmed 1"]


async def test_newer_stream_of_a_device_closes_the_older(floor: Floor) -> None:
    """The older says CLOSING and ends; nothing of either is left behind."""
    live = floor.services.live
    async with stream(floor, device="phone") as older:
        await anext(older)
        async with stream(floor, device="phone") as newer:
            await anext(newer)
            kinds = [event.kind async for event in older if isinstance(event, Notice)]
            assert kinds[-1] is NoticeKind.CLOSING
    assert not live._open
    assert not live._newest


async def test_draining_closes_every_stream(floor: Floor) -> None:
    """Each open stream gets CLOSING with the advice to come back."""
    async with stream(floor) as one, stream(floor, device="phone") as other:
        await asyncio.gather(anext(one), anext(other))
        await floor.services.live.close_all(Closed.DRAINING)
        for events in (one, other):
            last = [event async for event in events][-1]
            assert isinstance(last, Notice)
            assert last.kind is NoticeKind.CLOSING


async def test_device_id_that_is_none_is_refused(floor: Floor) -> None:
    """The message says what a device ID may be."""
    with pytest.raises(InvalidInput, match="1 to 64 letters"):
        async with stream(floor, device="a:b"):
            pass


async def test_without_redis_a_cursor_is_enough_and_a_position_cannot_be_had(database_url: str) -> None:
    """Redis away: whoever brings a cursor streams from PostgreSQL, whoever relies on a position is asked for one."""
    async with composed(database_url, "redis://127.0.0.1:9/0") as floor:
        async with stream(floor, since=START, device="phone") as events:
            await publish(floor, 2)
            assert await titles(events, 2) == ["Activity 0", "Activity 1"]
        with pytest.raises(Unavailable, match="since"):
            async with stream(floor, device="phone"):
                pass
        await wait_until(lambda: floor.health.now.advice.mode.value == "POLLING", description="advised to poll")


async def test_polling_gives_what_the_stream_would(floor: Floor) -> None:
    """Pages of any size, filtered or not, join to the same events; the cursor moves past what does not match."""
    for k in range(4):
        await publish(floor, 3, title=f"speech {k}")
        await publish(floor, 1, title=f"vote {k}", type="VOTE")
    updates = floor.services.updates
    for chosen, expected in ((EVERYTHING, 16), (VOTES, 4)):
        found: list[Event] = []
        cursor, more = START, True
        while more:
            page = await updates.since(cursor, first=3, chosen=chosen)
            found += page.events
            cursor, more = page.cursor, page.has_more
        assert expected == len(found)
        assert [event.cursor for event in found] == sorted({event.cursor for event in found})
        assert cursor == floor.tail.head


async def test_polling_from_beyond_the_log_is_a_gap(floor: Floor) -> None:
    """The poll tells what the stream would tell."""
    head = await publish(floor, 1)

    page = await floor.services.updates.since(Cursor(head + 1), first=10, chosen=EVERYTHING)

    [gap] = page.events
    assert isinstance(gap, Gap)
    assert (GapReason.CURSOR_AHEAD, head) == (gap.reason, page.cursor)


async def test_cursor_that_another_process_has_already_is_no_gap(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tail that is a moment behind PostgreSQL waits instead of telling a client to refetch."""
    head = await publish(floor, 1)
    monkeypatch.setattr(floor.tail.ring, "head", START)

    page = await floor.services.updates.since(head, first=10, chosen=EVERYTHING)

    assert not page.events
    assert page.cursor == head


async def test_open_streams_of_a_user_hear_what_was_read(floor: Floor) -> None:
    """Marks made anywhere reach all devices of the user in the order of their versions, and nobody else's."""
    await publish(floor, 3)
    reading = floor.services.reading
    ids = [activity.id for activity in floor.services.recent.window.older(None)]
    await reading.state("ada", head=3)
    async with stream(floor) as phone, stream(floor) as tablet, stream(floor, user="bob") as bobs:
        hello = await next_of(phone, Notice)
        await next_of(tablet, Notice)
        await next_of(bobs, Notice)

        await reading.mark("ada", ids[:2])
        await reading.mark_through("ada", floor.tail.head)

        for device in (phone, tablet):
            changes = [await next_of(device, ReadChanged) for _ in range(2)]
            assert [ReadChange(tuple(ids[:2]), ReadState(1, 1)), ReadChange((), ReadState(0, 2))] == [
                event.change for event in changes if isinstance(event, ReadChanged)
            ]
        await reading.mark("bob", ids[:1])
        own = await next_of(bobs, ReadChanged)
        assert isinstance(own, ReadChanged)
        assert own.change.ids == (ids[0],)
    assert isinstance(hello, Notice)
    assert hello.read_state == ReadState(3, 0)


async def test_own_streams_hear_what_was_read_while_redis_is_away(database_url: str) -> None:
    """The hint goes by Redis; without it, at least the streams of the same process are told."""
    async with composed(database_url, "redis://127.0.0.1:9/0") as floor:
        await publish(floor, 1)
        [activity] = floor.services.recent.window.older(None)
        async with stream(floor, since=START) as events:
            hello = await next_of(events, Notice)
            await floor.services.reading.mark("ada", [activity.id])
            change = await next_of(events, ReadChanged)

    assert isinstance(change, ReadChanged)
    assert change.change == ReadChange((activity.id,), ReadState(0, 1))
    assert isinstance(hello, Notice)
    assert hello.read_state is None
