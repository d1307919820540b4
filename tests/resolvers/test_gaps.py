"""FeedGap for every reason, with its recovery; nothing that is missing is passed over in silence."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from app import Floor
from resolvers.activities import EVERYTHING, ActivityFilter, ActivityType
from resolvers.database.letters import LetterState
from resolvers.events import Added, Gap, GapReason, GapRecovery, Healed
from streams.cursor import START, Cursor
from streams.keys import Keys
from tests.resolvers.test_live import next_of, stream, titles
from tests.support.composed import composed, publish
from tests.support.waiting import wait_until

SPEECHES = ActivityFilter(types=frozenset({ActivityType.SPEECH}))


@pytest.fixture
async def floor(database_url: str, redis_url: str) -> AsyncIterator[Floor]:
    """The floor with a ring of ten entries and a replay cap of a hundred."""
    async with composed(database_url, redis_url, ring_size=10, replay_cap=100) as floor:
        yield floor


async def forget_before(floor: Floor, n: int) -> None:
    """What an operator does whose own retention removes old activities from PostgreSQL."""
    async with floor.engine.begin() as connection:
        await connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        await connection.execute(sa.text("DELETE FROM activities WHERE n < :n"), {"n": n})


async def entries(floor: Floor) -> list[Cursor]:
    """The cursors of the log."""
    return [entry.cursor for entry in await floor.services.log_of_record.after(START, 10_000)]


async def test_cursor_that_the_log_never_had_is_unknown(floor: Floor) -> None:
    """PostgreSQL was restored, and others have taken the places since: what the client knows is another past."""
    await publish(floor, 30)
    await publish(floor, 30)
    stranger = Cursor((await entries(floor))[3] + (1 << 19))

    async with stream(floor, since=stranger) as events:
        gap = await next_of(events, Gap)

    assert isinstance(gap, Gap)
    assert (GapReason.CURSOR_UNKNOWN, GapRecovery.REFETCH_FEED, stranger) == (gap.reason, gap.recovery, gap.through)


async def test_more_than_the_cap_is_told_and_polling_has_all_of_it(floor: Floor) -> None:
    """The stream starts where the cap reaches back to; the gap counts what is missing."""
    await publish(floor, 130)
    log = await entries(floor)

    async with stream(floor, since=log[9]) as events:
        gap = await next_of(events, Gap)
        first = await next_of(events, Added)

    assert isinstance(gap, Gap)
    assert (gap.reason, gap.recovery, gap.missing) == (GapReason.REPLAY_CAPPED, GapRecovery.FETCH_UPDATES, 20)
    assert (log[9], log[29]) == (gap.since, gap.through)
    assert log[30] == first.cursor
    page = await floor.services.updates.since(log[9], first=100, chosen=EVERYTHING)
    assert log[10:110] == [event.cursor for event in page.events]


async def test_what_postgresql_itself_no_longer_has_is_told(floor: Floor) -> None:
    """Trimmed beyond the last retention: no recovery, and the same by polling."""
    await publish(floor, 40)
    log = await entries(floor)
    await forget_before(floor, 21)

    async with stream(floor, since=log[5]) as events:
        gap = await next_of(events, Gap)
        first = await next_of(events, Added)
    page = await floor.services.updates.since(log[5], first=100, chosen=EVERYTHING)

    assert isinstance(gap, Gap)
    assert (GapReason.TRIMMED, GapRecovery.NONE, log[5]) == (gap.reason, gap.recovery, gap.since)
    assert log[20] == first.cursor
    assert isinstance(page.events[0], Gap)
    assert page.events[0].reason is GapReason.TRIMMED


async def test_position_beyond_the_log_is_lost_aloud(floor: Floor) -> None:
    """Redis remembers more than PostgreSQL after a restore: the device is told to refetch."""
    head = await publish(floor, 3)
    async with stream(floor, device="phone") as events:
        await anext(events)
    await floor.ledger.flush()
    await floor.redis.hset(Keys().positions, "ada:phone", f"{Cursor(head + (1 << 40))} 1 -")

    async with stream(floor, device="phone") as events:
        gap = await next_of(events, Gap)

    assert isinstance(gap, Gap)
    assert (gap.reason, gap.recovery) == (GapReason.POSITION_LOST, GapRecovery.REFETCH_FEED)


async def test_device_far_behind_is_capped_like_a_cursor(floor: Floor) -> None:
    """A position that the server kept reaches back no further than a client's own."""
    await publish(floor, 1)
    async with stream(floor, device="phone") as events:
        await anext(events)
    await publish(floor, 130)

    async with stream(floor, device="phone") as events:
        gap = await next_of(events, Gap)

    assert isinstance(gap, Gap)
    assert (gap.reason, gap.missing) == (GapReason.REPLAY_CAPPED, 30)


async def test_gap_in_place_of_what_a_client_does_not_want_is_not_told(floor: Floor) -> None:
    """Poison that the filter would have hidden is hidden, from streams and from polls alike; what it wants is told."""
    await publish(floor, 1, type="SPEECH")
    await publish(floor, 1, type="VOTE")
    log = await floor.services.log_of_record.after(START, 10)
    for entry in log:
        assert await floor.dead_letters.condemn(entry.cursor, entry.activity_id, "boom", attempts=1)
    await publish(floor, 1, type="SPEECH", title="Good")

    async with stream(floor, since=START, chosen=SPEECHES) as events:
        streamed = [await next_of(events, Gap), await next_of(events, Added)]
    page = await floor.services.updates.since(START, first=10, chosen=SPEECHES)

    assert streamed == list(page.events)
    gap, added = streamed
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.through) == (GapReason.DEAD_LETTERED, log[0].cursor)
    assert isinstance(added, Added)
    assert added.activity.title == "Good 0"


async def test_redriven_letter_of_everybody_heals_open_streams(floor: Floor) -> None:
    """What could not be rendered is told as a gap at once, three tries later; after the repair it is redriven."""
    async with stream(floor) as events:
        await anext(events)
        [live] = floor.services.live._open
        await publish(floor, 1, title="bad")
        tried = []
        for _ in range(3):
            tried.append(await next_of(events, Added))
            live.broken("ValueError('cannot be rendered')")
        gap = await next_of(events, Gap)
        assert isinstance(gap, Gap)
        assert (gap.reason, gap.recovery, gap.missing) == (GapReason.DEAD_LETTERED, GapRecovery.WAIT_FOR_HEAL, 1)
        assert {event.cursor for event in tried} == {gap.through}
        page = await floor.services.settlements.page(first=10, before=None)
        [letter] = page.letters
        assert "cannot be rendered" in letter.letter.error

        redriven = await floor.services.settlements.redrive(letter.id)
        assert getattr(redriven, "state", None) is LetterState.REDRIVEN
        healed = await next_of(events, Healed)
        assert isinstance(healed, Healed)
        assert [activity.title for activity in healed.activities] == ["bad 0"]
        assert healed.through == gap.through
    async with stream(floor, since=START) as events:
        assert await titles(events, 1) == ["bad 0"]
    await wait_until(lambda: floor.tail._metrics.flow.unaccounted == 0, description="all is accounted for")
