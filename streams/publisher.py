"""Bringing the Redis stream up to the log, by compare-and-append."""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from streams.connection import Client, Script, translated
from streams.cursor import START, Cursor
from streams.each import in_each
from streams.entries import Entry, SequencedLog, to_fields
from streams.keys import Keys
from telemetry.tracing import NOTHING, OFF, Role, Span, Tracing

log = logging.getLogger("divisionbell.streams")
T = TypeVar("T")

BATCH = 500
"""Entries an append: about 0.5 MB and a few milliseconds of Redis' one thread."""


class Publisher(Generic[T]):
    """Appends to each shard's stream whatever the log has beyond the stream's last ID.

    Nothing it remembers has to be true: every append names the last ID it expects, and a stream that ends elsewhere
    (flushed, a stale replica, an append that timed out but ran, another publisher) is continued from where it ends.
    """

    def __init__(
        self,
        *,
        redis: Client,
        log_of_record: SequencedLog[T],
        shards: int = 1,
        retention: timedelta = timedelta(days=30),
        longest: int = 1_000_000,
        tracing: Tracing = OFF,
    ) -> None:
        self._redis = redis
        self._log = log_of_record
        self._keys = [Keys(shard).stream for shard in range(shards)]
        self._append = Script(redis, "append")
        self._retention = retention
        self._longest = longest
        self._tracing = tracing
        self._assigned_since: dict[int, int] = {}
        self._last: dict[str, Cursor] = {}

    async def publish(self, shard: int = 0) -> int:
        """Append what is missing to the shard's stream; return the number of entries appended.

        Each shard has a loop of its own, so that none waits for one that is away. Raises StreamsUnavailable, or what
        the log raises; calling again continues.
        """
        return await self._bring_up(self._keys[shard], self._assigned_since.pop(shard, None))

    def assigned(self, *, since_ns: int) -> None:
        """Activities have just been given their places, beginning then (ns since 1970): a trace shows from when."""
        for shard in range(len(self._keys)):
            self._assigned_since.setdefault(shard, since_ns)

    @property
    def shards(self) -> int:
        """How many streams there are."""
        return len(self._keys)

    def forget(self, shard: int | None = None) -> None:
        """Ask Redis for the stream's last ID next time, or for each stream's: it may have changed without us."""
        if shard is None:
            self._last.clear()
        else:
            self._last.pop(self._keys[shard], None)

    async def trim(self) -> None:
        """Drop what is older than the retention, or beyond the longest stream. PostgreSQL replays it."""
        oldest = Cursor.at(datetime.now(UTC) - self._retention)
        await in_each(self._trim(key, oldest) for key in self._keys)

    async def _trim(self, key: str, oldest: Cursor) -> None:
        async with translated("trimming the stream"):
            await self._redis.xtrim(key, minid=str(oldest), approximate=True)
            await self._redis.xtrim(key, maxlen=self._longest, approximate=True)

    async def _bring_up(self, key: str, since_ns: int | None) -> int:
        appended = 0
        last = self._last.get(key)
        if last is None:
            last = await self._compare_with_head(key)
        while True:
            entries = await self._log.after(await self._start(last), BATCH)
            if not entries:
                self._last[key] = last
                return appended
            with self._traced(entries, since_ns) as span:
                fits, actual = await self._compare_and_append(key, last, stamped(entries, span) if span else entries)
            last = self._last[key] = actual
            if not fits:
                log.warning("stream ends elsewhere than expected", extra={"key": key, "at": str(actual)})
                last = await self._compare_with_head(key)
                continue
            appended += len(entries)
            if len(entries) < BATCH:
                return appended

    def _traced(self, entries: Sequence[Entry[T]], since_ns: int | None) -> AbstractContextManager[Span | None]:
        """The way of new activities into log and stream. A refill of what was there before is nobody's trace."""
        if since_ns is None:
            return NOTHING
        traceparents = [entry.traceparent for entry in entries]
        return self._tracing.batch(
            "sequence",
            traceparents,
            role=Role.PRODUCER,
            attributes={"messaging.batch.message_count": len(entries), "divisionbell.cursor": str(entries[-1].cursor)},
            begins=None in traceparents,
            since_ns=since_ns,
        )

    async def _start(self, last: Cursor) -> Cursor:
        if last != START:
            return last
        return await self._log.floor(since=Cursor.at(datetime.now(UTC) - self._retention), at_most=self._longest)

    async def _compare_with_head(self, key: str) -> Cursor:
        # The order matters: the head, read second, is not behind the stream unless PostgreSQL lost its tail.
        _, last = await self._compare_and_append(key, START, [])
        head = await self._log.head()
        if last > head.cursor:
            log.error(
                "Redis has seen more than PostgreSQL remembers: the log's tail was lost, continuing after it",
                extra={"stream": str(last), "log": str(head.cursor)},
            )
            await self._log.raise_head(last)
        return last

    async def _compare_and_append(self, key: str, expected: Cursor, entries: Sequence[Entry[T]]) -> tuple[bool, Cursor]:
        args: list[str | bytes | int] = [str(expected)]
        for entry in entries:
            args.extend(to_fields(entry))
        fits, last = await self._append(keys=[key], args=args)
        return bool(fits), Cursor.parse(last)


def stamped(entries: Sequence[Entry[T]], span: Span) -> Sequence[Entry[T]]:
    """The entries, those that have no trace of their own in that of the span, and so those whose trace it continues."""
    trace_id = span.traceparent.split("-")[1]
    return [
        replace(entry, traceparent=span.traceparent)
        if entry.traceparent is None or trace_id in entry.traceparent
        else entry
        for entry in entries
    ]
