"""Giving every committed activity its place in the log, and the stream its entry."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

from streams.entries import SequencedLog
from streams.errors import StreamsUnavailable
from streams.publisher import Publisher
from telemetry.metrics import Metrics
from telemetry.tasks import end

log = logging.getLogger("divisionbell.streams")
T = TypeVar("T")

BATCH = 1_000
"""Activities given cursors in one transaction: tens of milliseconds under the row lock."""


class Lease(Protocol):
    """Leadership while it lasts."""

    @property
    def lost(self) -> asyncio.Event:
        """Set when the lease is gone, or no longer sure."""
        ...

    @property
    def work(self) -> asyncio.Event:
        """Set when rows may have been inserted; the leader clears it."""
        ...


class Leadership(Protocol):
    """Where a lease comes from."""

    def hold(self) -> AbstractAsyncContextManager[Lease]:
        """Wait until nobody else leads, then lead until the block ends."""
        ...


def wall_clock_ms() -> int:
    """Milliseconds since 1970; may step in both directions, cursors do not."""
    return time.time_ns() // 1_000_000


class Sequencer(Generic[T]):
    """The leader's loops: cursors in PostgreSQL, entries in each shard. Those of shards may fail; the first goes on.

    Leadership saves work, it does not protect the log: the row lock inside `assign` and the comparison inside the
    append do, so a leader that was frozen and wakes up beside its successor does no harm.
    """

    def __init__(
        self,
        *,
        log_of_record: SequencedLog[T],
        publisher: Publisher[T],
        leadership: Leadership,
        metrics: Metrics,
        look_every: timedelta = timedelta(seconds=1),
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._log = log_of_record
        self._publisher = publisher
        self._leadership = leadership
        self._metrics = metrics
        self._look_every = look_every.total_seconds()
        self._now_ms = now_ms
        self._assigned = [asyncio.Event() for _ in range(publisher.shards)]
        self.leading = False

    async def run(self) -> None:
        """Lead whenever nobody else does, until cancelled."""
        while True:
            try:
                async with self._leadership.hold() as lease, self._announced():
                    await self._lead(lease)
            except Exception as error:  # noqa: BLE001 - whatever PostgreSQL's driver raises, the remedy is to try again
                log.warning("sequencer lost its footing, trying again", extra={"error": repr(error)})
                await asyncio.sleep(self._look_every)

    @contextlib.asynccontextmanager
    async def _announced(self) -> AsyncIterator[None]:
        log.info("leading: sequencer")
        self.leading = True
        self._metrics.sequencer_leading.set(1)
        self._publisher.forget()
        try:
            yield
        finally:
            self.leading = False
            self._metrics.sequencer_leading.set(0)
            log.info("no longer leading: sequencer")

    async def _lead(self, lease: Lease) -> None:
        loops = [
            asyncio.create_task(self._assign_loop(lease), name="sequencer-assign"),
            *(
                asyncio.create_task(self._publish_loop(shard), name="sequencer-publish")
                for shard in range(self._publisher.shards)
            ),
            asyncio.create_task(lease.lost.wait(), name="sequencer-lease"),
        ]
        try:
            done, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                if ended.cancelled():
                    # Leaked out of a library. Passed on, it would end the sequencer without a word.
                    raise RuntimeError(f"{ended.get_name()} was cancelled by nobody")
                ended.result()
        finally:
            await end(loops)

    async def _assign_loop(self, lease: Lease) -> None:
        while True:
            lease.work.clear()
            while await self.assign_once() == BATCH:  # less than asked for: that was all, or we are told again
                pass
            with contextlib.suppress(TimeoutError):
                # The timer finds what no notification told of: rows from sessions whose triggers are off.
                async with asyncio.timeout(self._look_every):
                    await lease.work.wait()

    async def assign_once(self) -> int:
        """Sequence one batch; return its size."""
        began = time.time_ns()
        count = await self._log.assign(now_ms=self._now_ms(), limit=BATCH)
        if count:
            self._publisher.assigned(since_ns=began)
            self._metrics.activities_created_total.inc(count)
            for assigned in self._assigned:
                assigned.set()
        return count

    async def _publish_loop(self, shard: int) -> None:
        while True:
            self._assigned[shard].clear()
            try:
                await self._publisher.publish(shard)
            except StreamsUnavailable as error:
                log.warning("cannot append to the stream, trying again", extra={"error": str(error)})
                self._publisher.forget(shard)
                await asyncio.sleep(self._look_every)
                continue
            try:
                async with asyncio.timeout(self._look_every):
                    await self._assigned[shard].wait()
            except TimeoutError:
                # Nothing to do for a while: look whether the stream still ends where we left it.
                self._publisher.forget(shard)
