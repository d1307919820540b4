"""What a process shows of itself and of what it depends on."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from app import Floor
from resolvers.activities import EVERYTHING
from streams.dead_letters import Letter
from streams.keys import Keys
from tests.streams.test_janitor import janitor
from tests.support.composed import composed, publish
from tests.support.floor import ProcessFloor
from tests.support.parliament import insert_activities
from tests.support.running import assign_all
from tests.support.waiting import wait_until


@pytest.fixture
async def floor(database_url: str, redis_url: str) -> AsyncIterator[Floor]:
    """The floor, running."""
    async with composed(database_url, redis_url) as floor:
        yield floor


async def test_gauges_show_the_last_sample(floor: Floor, redis: Redis) -> None:
    """Dependencies, the stream, pending entries, and who leads: from one scrape, without asking anybody."""
    await publish(floor, 3)
    of_stream = {"stream": Keys().stream}
    of_pel = {**of_stream, "consumer_group": "users"}

    def shown(name: str, **labels: str) -> float | None:
        return floor.metrics.registry.get_sample_value(name, labels)

    async def all_shown() -> bool:
        return shown("sequencer_leading") == 1 and shown("redis_streams_length", **of_stream) == 3

    await wait_until(all_shown, description="a sample after the activities")

    assert [shown("dependency_up", dependency=name) for name in ("redis", "database", "tail")] == [1, 1, 1]
    assert [shown("sse_transport_advised", mode=mode) for mode in ("SSE", "DEGRADED", "POLLING")] == [1, 0, 0]
    for name in ("sse_pel_total_pending", "redis_streams_pel_total", "sse_pel_oldest_age_seconds"):
        assert shown(name, **of_pel) == 0, name
    assert shown("sse_pel_growth_rate", **of_pel) == 0
    assert shown("redis_streams_memory_bytes", **of_stream)
    assert shown("redis_memory_used_bytes")
    assert shown("sequencer_lag_seconds") == 0
    assert shown("tail_lagging") == 0
    assert shown("db_connections", state="in_use") is not None


async def test_viewers_who_poll_are_shown(floor: Floor) -> None:
    """Two viewers that asked for `updates`, one of them twice."""
    await floor.services.updates.since(floor.tail.head, first=1, chosen=EVERYTHING)
    for viewer in ("ada", "bob", "ada"):
        floor.services.pollers.polled(viewer)

    assert floor.metrics.registry.get_sample_value("sse_polling_fallback_active") == 2


async def test_lag_is_how_long_the_oldest_row_waits_for_its_place(database: AsyncEngine, redis: Redis) -> None:
    """Whoever inserted it, and whatever has been sequenced since."""
    floor = ProcessFloor(database, redis)
    assert (await floor.log.lag()).total_seconds() == 0
    await insert_activities(database, 2)

    assert 0 < (await floor.log.lag()).total_seconds() < 60
    await assign_all(floor.log)
    assert (await floor.log.lag()).total_seconds() == 0


async def test_dead_letters_are_counted_by_what_they_wait_for(database: AsyncEngine, redis: Redis) -> None:
    """Dead ones wait for an operator, redriven ones for their device; healed and discarded ones for nobody."""
    floor = ProcessFloor(database, redis)
    [cursor] = await floor.publish(1)
    for subscriber in ("ada:phone", "ada:tablet", "bob:phone", "bob:tablet"):
        await floor.letters.write(Letter("stream", cursor, 1, subscriber, "why", 3, 1_000_000_000, 1_000_000_001))
    first, second, third, _ = await floor.letters.page(first=4, before=None)
    for letter, state in ((first, "REDRIVEN"), (second, "REDRIVEN"), (third, "DISCARDED")):
        await floor.letters.settle(letter.id, type(letter.state)(state))
    await floor.letters.healed(second.id)

    await janitor(floor).round()

    shown = floor.metrics.registry.get_sample_value
    assert {state: shown("dead_letters", {"state": state}) for state in ("dead", "redriven")} == {
        "dead": 1,
        "redriven": 1,
    }


async def test_only_who_leads_shows_how_long_repairs_wait(database_url: str, redis_url: str) -> None:
    """From when it begins to lead; another process, or one that has ended, shows nothing that would raise an alarm."""

    def shown(floor: Floor) -> list[float]:
        ages = [
            floor.metrics.registry.get_sample_value("repairs_waiting_seconds", {"what": what})
            for what in ("pending", "redriven", "trim", "read_marks")
        ]
        return [age for age in ages if age is not None]

    async with composed(database_url, redis_url) as floor:

        async def leads() -> bool:
            return len(shown(floor)) == 4 and all(shown(floor))

        await wait_until(leads, description="the leader's ages")
        async with composed(database_url, redis_url) as other:
            assert shown(other) == [0, 0, 0, 0]

    assert shown(floor) == [0, 0, 0, 0]
