"""Streams in the fan-out, on the whole floor: who shares what, who rises for what, and what is written down."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from app import Floor
from resolvers.activities import ActivityFilter, ActivityType, MpId
from resolvers.arrival import MOST_AT_ONCE
from resolvers.events import NoticeKind, Unshowable
from streams import fanout as fanout_module
from streams.keys import Keys
from streams.steps import Closed
from streams.subscribers import Subscriber
from telemetry.advice import Transport, advise
from telemetry.flow import RECOVERED, Failure
from tests.support.composed import composed, publish
from tests.support.parliament import insert_activities
from tests.support.seats import Reader, Screen, expires
from tests.support.waiting import wait_until

VOTES = ActivityFilter(types=frozenset({ActivityType.VOTE}))


@pytest.fixture
async def floor(database_url: str, redis_url: str) -> AsyncIterator[Floor]:
    """The floor, running."""
    async with composed(database_url, redis_url) as floor:
        yield floor
        assert floor.services.live._metrics.flow.unaccounted == 0


async def test_streams_with_the_same_operation_share_one_rendering(floor: Floor) -> None:
    """However many sit together, an activity is rendered once; each gets it once."""
    screen = Screen()
    readers = [await Reader(floor, screen, device=f"phone-{k}").connect() for k in range(5)]
    await publish(floor, 3)

    for reader in readers:
        assert await reader.got(3) == ["Activity 0", "Activity 1", "Activity 2"]
    activities = [call for call in screen.calls if "Added" in call]
    assert len(activities) == 3
    for reader in readers:
        reader.leave()


async def test_who_opens_at_the_end_of_the_log_is_greeted_without_a_consumer(floor: Floor) -> None:
    """Who has missed more than a little, or is to hear the read state with HELLO, needs one."""
    start = floor.tail.head
    await publish(floor, MOST_AT_ONCE + 1)
    live, streams = floor.services.live, floor.metrics.flow.streams
    for reader, plainly in (
        (Reader(floor, Screen(), device="phone"), True),
        (Reader(floor, Screen(), read_state=True), False),
        (Reader(floor, Screen(), since=start), False),
    ):
        await wait_until(lambda: floor.services.live._parts.fanout.head == floor.tail.head, description="caught up")
        before = len(streams)
        reader.stream = await live.open(
            viewer=reader.who,
            since=reader.since,
            chosen=reader.chosen,
            device=reader.device,
            outlet=reader,
            read_state=reader.read_state,
        )

        hello = reader.stream.greeting()

        assert (hello is not None) == reader.stream.at_edge == plainly
        assert hello is None or (hello.kind, hello.cursor) == (NoticeKind.HELLO, floor.tail.head)
        assert len(streams) == before
        reader.leave()


async def test_who_has_missed_a_little_gets_it_at_once_and_what_it_does_not_confirm_is_released(
    floor: Floor, redis: Redis
) -> None:
    """In one write after HELLO, each once and in order, only what matches, and the seat follows; the books agree."""
    start = floor.tail.head
    await publish(floor, 3, type="VOTE", title="Division")
    await publish(floor, 2, type="STATEMENT", title="Words")
    await wait_until(lambda: floor.services.live._parts.fanout.head == floor.tail.head, description="caught up")
    screen, before = Screen(), len(floor.metrics.flow.streams)
    readers = [Reader(floor, screen, device=f"phone-{k}", since=start, chosen=VOTES, deaf=k == 1) for k in range(2)]
    for reader in readers:
        await reader.connect()

    titles = [f"Division {k}" for k in range(3)]
    assert [await reader.got(3) for reader in readers] == [titles, titles]
    assert len([call for call in screen.calls if "Added" in call]) == 3
    assert len(floor.metrics.flow.streams) == before
    assert floor.metrics.flow.attempted["VOTE", RECOVERED] == 6
    for reader in readers:
        reader.leave()
    assert (sum(floor.metrics.flow.delivered), floor.metrics.flow.released) == (3, 3)
    await floor.ledger.flush()
    assert await redis.get(Keys().pending_total) == b"3"


async def test_who_cannot_be_shown_what_it_missed_goes_the_long_way(floor: Floor) -> None:
    """Nothing of it is written at once; the consumer tries again, gives it up, and tells the gap."""
    start = floor.tail.head
    await publish(floor, 2)
    await wait_until(lambda: floor.services.live._parts.fanout.head == floor.tail.head, description="caught up")
    reader = Reader(floor, Screen(broken={"Activity 1"}, error=Unshowable), since=start)
    reader.stream = await floor.services.live.open(
        viewer=reader.who, since=start, chosen=reader.chosen, device=None, outlet=reader, read_state=False
    )

    assert reader.stream.greeting() is not None
    reader.stream.catch_up(reader.screen)

    assert (reader.received, reader.stream.at_edge) == (b"", False)
    assert floor.metrics.flow.matched == 0
    reader.leave()


async def test_what_comes_between_a_greeting_and_the_seat_is_not_missed(floor: Floor) -> None:
    """The log has moved on when the client has HELLO: the stream is not at its edge, and goes on from where it was."""
    reader = Reader(floor, Screen(), device="phone")
    reader.stream = await floor.services.live.open(
        viewer=reader.who, since=None, chosen=reader.chosen, device=reader.device, outlet=reader, read_state=False
    )
    assert reader.stream.greeting() is not None
    await publish(floor, 2)
    await wait_until(lambda: reader.stream is not None and not reader.stream.at_edge, description="moved on")

    reader._drive()

    assert await reader.got(2) == ["Activity 0", "Activity 1"]
    await reader.seated()
    reader.leave()


async def test_activity_touches_only_streams_that_may_want_it(floor: Floor) -> None:
    """Of a hundred filters, those that name its MP, its type or nothing are asked whether it matches."""
    asked: list[int] = []

    class Counting(ActivityFilter):
        __slots__ = ()

        def matches(self, activity: object) -> bool:
            asked.extend(self.mps)
            return super().matches(activity)  # type: ignore[arg-type]  # an Activity

    screen = Screen()
    followers = [
        await Reader(floor, screen, chosen=Counting(mps=frozenset({MpId(mp)}))).connect() for mp in range(1_000, 1_100)
    ]
    everything = await Reader(floor, screen).connect()
    votes = await Reader(floor, screen, chosen=VOTES).connect()
    asked.clear()
    await publish(floor, 2, type="VOTE", title="Division")

    assert await everything.got(2) == await votes.got(2) == ["Division 0", "Division 1"]
    assert asked == []
    assert all(reader.titles == [] for reader in followers)
    for reader in (*followers, everything, votes):
        reader.leave()


async def test_position_of_a_seat_is_written_down_when_its_bytes_were_taken(floor: Floor, redis: Redis) -> None:
    """And not before: a peer that takes nothing stays where it is, and finds the rest pending."""
    reader, deaf = [await Reader(floor, Screen(), device=name).connect() for name in ("phone", "tablet")]
    before = floor.tail.head
    deaf.deaf = True
    head = await publish(floor, 2)
    await reader.got(2)
    await deaf.got(2)
    positions = floor.services.live._shared.subscribers

    async def moved() -> bool:
        return await positions.position(Subscriber("ada", "phone")) == head

    await wait_until(moved, description="the position has moved")
    assert await positions.position(Subscriber("ada", "tablet")) == before
    deaf.leave()
    reader.leave()
    await floor.ledger.flush()
    pending = await positions.pending(Subscriber("ada", "tablet"))
    assert [(one.cursor, one.owner) for one in pending][-1] == (head, "released")
    assert await redis.get(Keys().pending_total) == b"2"


async def test_advice_reaches_seats_where_they_are(floor: Floor) -> None:
    """A change is told to all at once, without a task for each."""
    reader = await Reader(floor, Screen()).connect()
    for listener in floor.health.changed:
        listener(advise(mode=Transport.POLLING, cause="redis_down", reason="for a test"))

    await wait_until(lambda: "ADVICE" in reader.notices, description="advised")
    assert reader.stream is not None
    assert reader.stream.seated
    reader.leave()


async def test_newer_stream_of_a_device_closes_the_one_in_its_seat(floor: Floor) -> None:
    """It rises to say CLOSING."""
    older = await Reader(floor, Screen(), device="phone").connect()
    newer = await Reader(floor, Screen(), device="phone").connect()

    await wait_until(lambda: older.notices[-1:] == ["CLOSING"], description="closed")
    assert older.stream is not None
    assert older.stream.closed is Closed.SUPERSEDED
    older.leave()
    newer.leave()


async def test_seat_is_told_that_its_token_expires(floor: Floor) -> None:
    """It rises for the notice, sits down again, and rises for the end."""
    reader = await Reader(floor, Screen(), who=expires(datetime.now(UTC) + timedelta(seconds=2.5))).connect()

    await wait_until(lambda: reader.notices[-1:] == ["CLOSING"], description="closed")
    assert reader.notices == ["HELLO", "REAUTHENTICATE", "CLOSING"]
    reader.leave()


async def test_what_cannot_be_rendered_is_told_to_everybody_and_given_up_once(floor: Floor) -> None:
    """Nothing later passes it; then the others go on, with a gap each and one dead letter for all."""
    screen = Screen(broken={"Activity 1"}, error=Unshowable)
    readers = [await Reader(floor, screen).connect() for _ in range(5)]
    other = await Reader(floor, Screen()).connect()
    await publish(floor, 3)

    for reader in readers:
        assert await reader.got(2) == ["Activity 0", "Activity 2"]
        assert [event["reason"] for event in reader.events if event["kind"] == "Gap"] == ["DEAD_LETTERED"]
        await reader.seated()
    assert len([call for call in screen.calls if "Activity 1" in call]) == 3
    page = await floor.services.settlements.page(first=10, before=None, state=None)
    assert [letter.letter.subscriber for letter in page.letters] == ["*"]
    assert await other.got(2) == ["Activity 0", "Activity 2"]
    for reader in (*readers, other):
        reader.leave()


async def test_seat_whose_connection_takes_nothing_is_cut(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time; what it was given is pending for its next stream."""
    monkeypatch.setattr(fanout_module, "STALLED", 0.5)
    reader = await Reader(floor, Screen(), device="phone").connect()
    reader.deaf = True
    await publish(floor, 1)

    await wait_until(lambda: reader.aborted, description="cut")
    assert reader.stream is not None
    assert reader.stream.closed is Closed.STALLED
    again = await Reader(floor, Screen(), device="phone").connect()
    assert [(event["title"], event["attempt"]) for event in again.events if event["kind"] == "Added"] == [
        ("Activity 0", 2)
    ]
    again.leave()


async def test_what_a_starved_connection_was_given_has_failed(floor: Floor) -> None:
    """Where the connection was cut for taking nothing before the sweep saw to it, the SLO counts it all the same."""
    reader = await Reader(floor, Screen()).connect()
    assert reader.stream is not None
    reader.deaf = True
    await publish(floor, 2)
    await wait_until(lambda: b"Activity 1" in reader.received, description="both were written")

    reader.starved = True
    reader.leave()

    assert reader.stream.closed is Closed.STALLED
    failures = floor.metrics.flow.failures
    assert sum(count for (*_, kind), count in failures.items() if kind == Failure.STALLED) == 2
    assert floor.metrics.flow.unaccounted == 0


async def test_stream_that_rises_and_sits_down_again_misses_nothing(floor: Floor) -> None:
    """Whatever is published between."""
    reader = await Reader(floor, Screen(), device="phone").connect()
    for k in range(5):
        await insert_activities(floor.engine, 1, title=f"round {k}")
        assert reader.stream is not None
        reader.stream.rise()
        await reader.got(k + 1)
        await reader.seated()

    assert reader.titles == [f"round {k} 0" for k in range(5)]
    reader.leave()
