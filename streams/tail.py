"""The one reader of the stream in a process: decodes every entry once, keeps the ring, wakes the consumers."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Generic, TypeVar

from streams.connection import Client, translated
from streams.cursor import START, Cursor
from streams.dead_letters import DeadLetters
from streams.entries import Entry, Log, from_fields
from streams.errors import EntryUnreadable, StreamsUnavailable
from streams.keys import Keys
from streams.ring import Ring
from telemetry.metrics import Metrics
from telemetry.tasks import end
from telemetry.tracing import OFF, Role, Tracing

log = logging.getLogger("divisionbell.streams")
T = TypeVar("T")

BATCH = 500
BLOCK = timedelta(seconds=1)
"""Shorter than the client's socket timeout (2 s): a longer block would look like a dead server."""
LOOK_AGAIN = 0.1
"""Seconds until an unreadable entry is read again that the log has not passed yet."""


class Tail(Generic[T]):
    """Follows one shard's stream and shows every entry of the log once, in order, in its ring.

    Redis makes it fast, PostgreSQL makes it right: an entry whose `prev` is not what the tail has last is preceded by a
    read from PostgreSQL, and a stream that stays behind PostgreSQL's head for a second is not waited for.
    """

    def __init__(
        self,
        *,
        redis: Client,
        log_of_record: Log[T],
        decode: Callable[[bytes], T],
        metrics: Metrics,
        dead_letters: DeadLetters | None = None,
        shard: int = 0,
        shards: int = 1,
        ring_size: int = 5_000,
        compare_every: timedelta = timedelta(seconds=1),
        tracing: Tracing = OFF,
    ) -> None:
        self._redis = redis
        self._log = log_of_record
        self._decode = decode
        self._metrics = metrics
        self._dead_letters = dead_letters
        self._shard = shard
        self._shards = shards
        self._ring_size = ring_size
        self._compare_every = compare_every.total_seconds()
        self._tracing = tracing
        self._extending = asyncio.Lock()
        self._listeners: set[Callable[[], None]] = set()
        self.ring: Ring[T] = Ring(size=ring_size, floor=START)
        self.ready = asyncio.Event()
        self.follows = True
        """False from a failure to read the stream, or to take in what was read, until the next success."""
        self.lagging = False
        """Whether PostgreSQL's head of a second ago has not come by the stream."""

    @property
    def key(self) -> str:
        """The stream that is followed: all shards have the same entries, so another will do when one is away."""
        return Keys(self._shard).stream

    @property
    def head(self) -> Cursor:
        """The newest cursor this process has."""
        return self.ring.head

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called after every extension of the ring; returns what ends that."""
        self._listeners.add(wake)
        return lambda: self._listeners.discard(wake)

    async def run(self) -> None:
        """Fill the ring, then follow until cancelled. Raises what PostgreSQL raises if the ring cannot be filled."""
        await self._fill()
        self.ready.set()
        # No TaskGroup: it cancels once, and redis-py swallows a cancellation that meets it while it connects.
        tasks = [
            asyncio.create_task(self._follow(), name="tail-follow"),
            asyncio.create_task(self._compare(), name="tail-compare"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                if ended.cancelled():
                    raise RuntimeError(f"{ended.get_name()} was cancelled by nobody")
                ended.result()
        finally:
            await end(tasks)

    async def _fill(self) -> None:
        # From PostgreSQL: it is there when the stream was flushed, and one query of a ring's size a start is cheap.
        floor = await self._log.floor(since=START, at_most=self._ring_size)
        self.ring = Ring(size=self._ring_size, floor=floor)
        await self._read_log()

    async def _follow(self) -> None:
        while True:
            try:
                async with translated("following the stream"):
                    reply: Any = await self._redis.xread(
                        {self.key: str(self.ring.head)}, count=BATCH, block=int(BLOCK.total_seconds() * 1000)
                    )
                for _, raw in reply:
                    await self._take(raw)
                self.follows = True
            except StreamsUnavailable as error:
                if self.follows:
                    log.warning("the stream is silent, reading PostgreSQL once a second", extra={"error": str(error)})
                self.follows = False
                self._shard = (self._shard + 1) % self._shards
                await asyncio.sleep(self._compare_every / 2)
            except Exception:
                # PostgreSQL failed in a repair. The ring is untouched, so the same entries are read again.
                log.exception("cannot repair the stream from PostgreSQL, trying again")
                self.follows = False
                await asyncio.sleep(self._compare_every)

    async def _take(self, raw: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> None:
        try:
            entries = [from_fields(entry_id, fields, self._decode) for entry_id, fields in raw]
        except EntryUnreadable as error:
            last = max(Cursor.parse(entry_id) for entry_id, _ in raw)
            # Asked before the log is read. While its head is not past this place, activities may still be given places
            # before it, and nobody would be shown them; the publisher moves the head past what it finds in the stream.
            passed = (await self._log.head()).cursor >= last
            await self._read_log(through=last)
            if not passed:
                await asyncio.sleep(LOOK_AGAIN)
                return
            log.error("unreadable entry, reading PostgreSQL instead", extra={"error": str(error)})
            self._metrics.stream_repairs_total.labels(reason="unreadable").inc()
            await self._condemn([Cursor.parse(entry_id) for entry_id, _ in raw], str(error))
            await self._extend([], past=last)
        else:
            with self._tracing.batch(
                "receive",
                [entry.traceparent for entry in entries] if self._tracing.on else (),
                role=Role.CONSUMER,
                attributes={"messaging.batch.message_count": len(entries)},
            ):
                await self._extend(entries)

    async def _condemn(self, cursors: Sequence[Cursor], error: str) -> None:
        """What PostgreSQL does not have either, nothing can show, and reading it again would not help."""
        for cursor in cursors:
            if cursor > self.ring.floor and self.ring.at(cursor) is None:
                log.error("an entry that nobody can read", extra={"cursor": str(cursor), "error": error})
                if self._dead_letters is not None:
                    await self._dead_letters.condemn(cursor, None, error, attempts=1)

    async def _compare(self) -> None:
        behind = START
        while True:
            await asyncio.sleep(self._compare_every)
            try:
                if behind > self.ring.head:
                    self.lagging = True
                    self._metrics.stream_repairs_total.labels(reason="silent").inc()
                    await self._read_log()
                else:
                    self.lagging = False
                behind = (await self._log.head()).cursor
            except Exception as error:  # noqa: BLE001 - PostgreSQL is away; the stream may well go on without it
                log.warning("cannot compare the stream with PostgreSQL", extra={"error": repr(error)})

    async def _read_log(self, through: Cursor | None = None) -> None:
        while through is None or self.ring.head < through:
            entries = await self._log.after(self.ring.head, BATCH)
            if not entries:
                return
            await self._extend(entries)

    async def _extend(self, entries: Sequence[Entry[T]], *, past: Cursor = START) -> None:
        async with self._extending:
            for entry in entries:
                if entry.prev > self.ring.head:
                    self._metrics.stream_repairs_total.labels(reason="gap").inc()
                    await self._close_gap(entry.prev)
                if entry.cursor > self.ring.head:
                    self.ring.append(entry)
            self.ring.skip_to(past)
        for wake in tuple(self._listeners):
            wake()

    async def _close_gap(self, through: Cursor) -> None:
        while self.ring.head < through:
            entries = await self._log.after(self.ring.head, BATCH)
            if not entries:
                return  # a predecessor that PostgreSQL lost with its tail: the chain goes on without it
            for entry in entries:
                self.ring.append(entry)
