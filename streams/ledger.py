"""The one road back: what was delivered, handed over or confirmed, written to Redis in batches."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from redis.asyncio import Redis

from streams.connection import Script
from streams.cursor import START, Cursor
from streams.entries import positions_key, stream_key
from streams.errors import StreamsUnavailable
from streams.subscribers import Subscriber
from telemetry.metrics import Metrics

log = logging.getLogger("divisionbell.streams")

BATCH = 250
"""Subscribers a script call: 0.1 to 2 ms of Redis' one thread."""
SHORTEST_PAUSE = timedelta(milliseconds=50)
LONGEST_PAUSE = timedelta(seconds=2)
SHARE_OF_REDIS = 0.1
"""A flush that took t seconds is followed by a pause of t / 0.1: receipts never take more than a tenth of Redis."""
RELEASED = "released"
"""Owner of entries whose stream ended in order: the next stream of the subscriber takes them at once."""


@dataclass(slots=True)
class Receipt:
    """What is not yet written for one subscriber's stream; at most a stream's in-flight entries long."""

    subscriber: Subscriber
    epoch: int
    superseded: Callable[[], None]
    position: Cursor = START
    handed_over: dict[Cursor, int] = field(default_factory=dict)
    confirmed: set[Cursor] = field(default_factory=set)

    def merge(self, newer: "Receipt") -> None:
        """Take a later receipt of the same epoch in."""
        self.position = max(self.position, newer.position)
        self.handed_over.update(newer.handed_over)
        self.confirmed |= newer.confirmed
        for cursor in newer.confirmed:
            self.handed_over.pop(cursor, None)

    def arguments(self) -> list[str | bytes | int]:
        """The block that `ledger.lua` reads for this subscriber."""
        block: list[str | bytes | int] = [
            self.subscriber.name,
            self.subscriber.group,
            self.epoch,
            str(self.position) if self.position else "",
            len(self.handed_over),
        ]
        for cursor, deliveries in sorted(self.handed_over.items()):
            block += [str(cursor), RELEASED, deliveries]
        return [*block, len(self.confirmed), *map(str, sorted(self.confirmed))]


def pause_after(took: float) -> float:
    """Seconds to wait after a flush that took `took` seconds."""
    return min(LONGEST_PAUSE.total_seconds(), max(SHORTEST_PAUSE.total_seconds(), took / SHARE_OF_REDIS))


class Ledger:
    """Coalesces receipts per subscriber and writes them, one batch in flight at a time.

    It grows with connected subscribers, not with deliveries. What a crash leaves unwritten is delivered again: a
    position that is behind costs duplicates, never a loss.
    """

    def __init__(self, *, redis: "Redis", metrics: Metrics, shard: int = 0) -> None:
        self._keys = [positions_key(shard), stream_key(shard)]
        self._write = Script(redis, "ledger")
        self._metrics = metrics
        self._waiting: dict[str, Receipt] = {}
        self._some = asyncio.Event()
        self._flushing = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    def record(self, receipt: Receipt) -> None:
        """Note a receipt; it is written within two seconds, later if Redis is away."""
        kept = self._waiting.get(receipt.subscriber.name)
        if kept is None or receipt.epoch > kept.epoch:
            self._waiting[receipt.subscriber.name] = receipt
        elif receipt.epoch == kept.epoch:
            kept.merge(receipt)
        else:
            self._metrics.ledger_receipts_dropped_total.labels(reason="superseded").inc()
            receipt.superseded()
        self._some.set()

    async def run(self) -> None:
        """Write receipts by budget until cancelled. What is waiting then is for `flush`."""
        while True:
            await self._some.wait()
            started = time.monotonic()
            try:
                await self.flush()
            except StreamsUnavailable as error:
                log.warning("receipts wait for Redis", extra={"waiting": len(self._waiting), "error": str(error)})
                await asyncio.sleep(LONGEST_PAUSE.total_seconds())
            else:
                await asyncio.sleep(pause_after(time.monotonic() - started))

    async def flush(self) -> None:
        """Write all that waits now. Raises StreamsUnavailable; what was not written waits on."""
        async with self._flushing:
            self._some.clear()
            names = list(self._waiting)
            for start in range(0, len(names), BATCH):
                await self._flush_batch(names[start : start + BATCH])

    async def settle(self, subscriber: Subscriber) -> None:
        """Write what waits for one subscriber: it is about to come back, and should not get twice what it has.

        Raises StreamsUnavailable.
        """
        if subscriber.name in self._waiting:
            async with self._flushing:
                await self._flush_batch([subscriber.name])

    async def _flush_batch(self, names: list[str]) -> None:
        batch = [self._waiting.pop(name) for name in names if name in self._waiting]
        try:
            failed = await self._write(
                keys=self._keys, args=[argument for receipt in batch for argument in receipt.arguments()]
            )
        except BaseException:
            # Written or not, unknown: writing again changes nothing, since counts and positions are absolute.
            for receipt in batch:
                self._put_back(receipt)
            raise
        by_name = {receipt.subscriber.name: receipt for receipt in batch}
        for name, reason in zip(failed[::2], failed[1::2], strict=True):
            self._refused(by_name[name.decode()], reason.decode())

    def _put_back(self, receipt: Receipt) -> None:
        newer = self._waiting.get(receipt.subscriber.name)
        if newer is None:
            self._waiting[receipt.subscriber.name] = receipt
        elif newer.epoch == receipt.epoch:
            receipt.merge(newer)
            self._waiting[receipt.subscriber.name] = receipt
        self._some.set()

    def _refused(self, receipt: Receipt, reason: str) -> None:
        if reason == "SUPERSEDED":
            self._metrics.ledger_receipts_dropped_total.labels(reason="superseded").inc()
            receipt.superseded()
        else:
            # The position stayed before the entry, so it is delivered again all the same, as missed.
            self._metrics.ledger_receipts_dropped_total.labels(reason="not_claimed").inc()
            log.warning("entry could not become pending", extra={"reason": reason[:200]})
