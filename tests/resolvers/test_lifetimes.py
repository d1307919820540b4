"""How streams end before their clients want it, and what they say first."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from app import Floor
from resolvers.activities import EVERYTHING
from resolvers.events import Notice, NoticeKind
from resolvers.identity import Scope, Viewer
from streams.steps import Closed
from telemetry.advice import Transport, advise
from tests.support.composed import composed, publish, viewer


@pytest.fixture
async def floor(database_url: str, redis_url: str) -> AsyncIterator[Floor]:
    """The floor, running."""
    async with composed(database_url, redis_url) as floor:
        yield floor


async def notices(floor: Floor, who: Viewer) -> tuple[list[NoticeKind], Closed | None, Notice]:
    """What a stream says until the server ends it, and why it does."""
    async with (
        asyncio.timeout(20),
        floor.services.live.stream(viewer=who, since=None, chosen=EVERYTHING, device=None) as stream,
        aclosing(stream.events()) as events,
    ):
        found = [event async for event in events if isinstance(event, Notice)]
        kinds: list[NoticeKind] = [notice.kind for notice in found if notice.kind is not NoticeKind.BOOKMARK]
        return kinds, stream.closed, found[-1]


async def test_expired_token_ends_the_stream_after_a_notice(floor: Floor) -> None:
    """A client that gets a new token in time opens its next stream before this one ends."""
    who = Viewer("ada", frozenset({Scope.READ}), datetime.now(UTC) + timedelta(seconds=0.5))

    kinds, closed, last = await notices(floor, who)

    assert kinds == [NoticeKind.HELLO, NoticeKind.REAUTHENTICATE, NoticeKind.CLOSING]
    assert closed is Closed.EXPIRED
    assert last.reauthenticate_by == who.expires_at
    assert last.retry_after is not None


async def test_stream_has_a_longest_life(database_url: str, redis_url: str) -> None:
    """So that connections spread again over the processes after a deploy; not all at the same moment."""
    async with composed(database_url, redis_url, max_stream_age=timedelta(seconds=0.5)) as floor:
        kinds, closed, _ = await notices(floor, viewer())

    assert kinds == [NoticeKind.HELLO, NoticeKind.CLOSING]
    assert closed is Closed.AGED


async def test_advice_is_pushed_to_open_streams(floor: Floor) -> None:
    """A change is told at once, not with the next bookmark."""
    live = floor.services.live
    async with (
        live.stream(viewer=viewer(), since=None, chosen=EVERYTHING, device=None) as stream,
        aclosing(stream.events()) as events,
    ):
        await anext(events)
        for listener in floor.health.changed:
            listener(advise(mode=Transport.POLLING, cause="redis_down", reason="for a test"))
        event = await anext(events)

    assert isinstance(event, Notice)
    assert event.kind is NoticeKind.ADVICE


async def test_conservation_notices_an_entry_that_vanishes(floor: Floor) -> None:
    """I5, broken on purpose: a delivery that is dropped from the shelves shows as unaccounted, and as an alarm."""
    flow = floor.services.live._metrics.flow
    live = floor.services.live
    async with (
        live.stream(viewer=viewer(), since=None, chosen=EVERYTHING, device=None) as stream,
        aclosing(stream.events()) as events,
    ):
        await anext(events)
        await publish(floor, 2)
        await anext(events)
        assert flow.unaccounted == 0
        stream.alone().books.handing = None
        assert flow.unaccounted == 1
        await floor.health.sample()
        assert not floor.health.now.healthy
        assert any("unaccounted" in alarm for alarm in floor.health.now.alarms)


async def test_health_tells_a_tail_that_lags_from_one_that_is_down(floor: Floor) -> None:
    """Behind the log, the stream is still the best there is; not read at all, clients had better poll."""
    floor.tail.lagging = True
    await floor.health.sample()
    assert (floor.health.lagging(), floor.health.now.tail) == (True, True)

    floor.tail.follows = False
    await floor.health.sample()
    assert not floor.health.now.tail
