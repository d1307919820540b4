"""The log as somebody at a terminal follows it."""

import asyncio
from contextlib import aclosing

import orjson
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.following import follow, shown, shown_as_json
from tests.support.floor import ProcessFloor
from tests.support.parliament import chain


async def test_last_entries_come_first_and_new_ones_follow(database: AsyncEngine, redis: Redis) -> None:
    """In order, each once; the tail ends with whoever follows."""
    floor = ProcessFloor(database, redis)
    before = await floor.publish(5, title="Before")
    async with aclosing(follow(floor.tail, back=2)) as entries:
        assert [(await anext(entries)).cursor for _ in range(2)] == before[-2:]
        after = await floor.publish(3, title="After")
        assert [(await anext(entries)).cursor for _ in range(3)] == after


async def test_without_looking_back_only_new_ones_come(database: AsyncEngine, redis: Redis) -> None:
    """An empty log too."""
    floor = ProcessFloor(database, redis)
    async with aclosing(follow(floor.tail, back=0)) as entries:
        waiting = asyncio.ensure_future(anext(entries))
        await floor.tail.ready.wait()
        [cursor] = await floor.publish(1)
        assert (await waiting).cursor == cursor


def test_line_holds_nothing_that_a_terminal_obeys() -> None:
    """Titles come from whoever may insert."""
    [entry] = chain(1)
    object.__setattr__(entry.item, "title", "Bees\x1b[2J\nand wasps")

    assert "Bees\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}and wasps" in shown(entry)


async def test_json_line_is_the_activity_with_its_cursor(database: AsyncEngine, redis: Redis) -> None:
    """One object a line."""
    floor = ProcessFloor(database, redis)
    [cursor] = await floor.publish(1, title="Bees")
    [entry] = await floor.log.after(cursor - 1, 1)  # type: ignore[arg-type]  # a cursor less one

    line = shown_as_json(entry)

    assert orjson.loads(line)["activity"]["title"] == "Bees 0"
    assert orjson.loads(line)["cursor"] == str(cursor)
