"""Streams put together for a test, and the faults it may order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.activities import Activity, decode
from resolvers.database.log import PostgresLog
from streams.connection import Client
from streams.cursor import START, Cursor
from streams.entries import Entry, from_fields
from streams.history import unbroken
from streams.keys import Keys
from streams.publisher import Publisher
from streams.sequencer import wall_clock_ms
from streams.tail import Tail
from telemetry.metrics import Metrics
from telemetry.tasks import end


@asynccontextmanager
async def in_background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run tasks beside the block, and end them with it. A task that fails fails the test."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        await end(tasks)


def make_tail(redis: Client, log_of_record: PostgresLog, **more: Any) -> Tail[Activity]:
    """A tail with short times."""
    return Tail(redis=redis, log_of_record=log_of_record, decode=decode, metrics=Metrics(), **more)


async def assign_all(log_of_record: PostgresLog, *, now_ms: int | None = None, limit: int = 1_000) -> None:
    """Sequence everything that is committed."""
    while await log_of_record.assign(now_ms=now_ms or wall_clock_ms(), limit=limit):
        pass


async def whole_log(log_of_record: PostgresLog) -> list[Entry[Activity]]:
    """Every entry that PostgreSQL has."""
    return list(await log_of_record.after(START, 100_000))


async def whole_stream(redis: Client, *, shard: int = 0) -> list[Entry[Activity]]:
    """Every entry that the stream has."""
    raw: Any = await redis.xrange(Keys(shard).stream)
    return [from_fields(entry_id, fields, decode) for entry_id, fields in raw]


async def assert_stream_is_the_log(redis: Client, log_of_record: PostgresLog, *, shard: int = 0) -> None:
    """The stream shows every entry of the log once, in order, chained."""
    log, stream = await whole_log(log_of_record), await whole_stream(redis, shard=shard)

    assert log == stream
    assert unbroken(stream, after=START)


def cursors(entries: Sequence[Entry[Activity]]) -> list[Cursor]:
    """The cursors of entries."""
    return [entry.cursor for entry in entries]


async def start_over(engine: AsyncEngine, redis: "Redis") -> None:
    """Empty database and Redis, past the triggers that protect the log."""
    async with engine.begin() as connection:
        await connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        await connection.execute(
            sa.text(
                "TRUNCATE activities, user_activity_reads, user_read_through, dead_letters, subscriber_positions"
                " CASCADE"
            )
        )
        await connection.execute(sa.text("UPDATE log_head SET cursor = 0, n = 0"))
        await connection.execute(sa.text("REFRESH MATERIALIZED VIEW recent_activities"))
    await redis.flushdb()


class Killed(BaseException):
    """What a test raises in place of SIGKILL: nothing of the product may catch it."""


class KillAt:
    """Raises Killed at the nth step: each call that it wraps counts twice, before it runs and after."""

    def __init__(self, step: int) -> None:
        self._left = step

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Killed

    def wrap(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """The call with the two points of death around it."""

        async def deadly(*args: Any, **kwargs: Any) -> Any:
            self._count()
            answer = await call(*args, **kwargs)
            self._count()
            return answer

        return deadly


def make_deadly(log_of_record: PostgresLog, publisher: Publisher[Activity], kill: KillAt) -> None:
    """Put a point of death before and after every call of the sequencer to PostgreSQL and Redis."""
    for name in ("assign", "after", "head", "floor", "raise_head"):
        setattr(log_of_record, name, kill.wrap(getattr(log_of_record, name)))
    publisher._append = kill.wrap(publisher._append)  # type: ignore[assignment]
