"""The one road back: what was delivered, handed over or confirmed, written to Redis in batches."""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import timedelta

from streams.checkpoints import Checkpoint, Checkpoints
from streams.connection import Client, Script
from streams.cursor import Cursor
from streams.errors import StreamsUnavailable
from streams.keys import Keys, index_of
from streams.receipts import Receipt, Refusal
from streams.subscribers import Subscriber
from telemetry.metrics import Metrics

log = logging.getLogger("divisionbell.streams")

BATCH = 250
"""Subscribers a script call: 0.1 to 2 ms of Redis' one thread."""
MOST_ENTRIES = 5_000
"""And as many single entries: about 20 ms."""
ADVANCES = 1_000
"""Subscribers a call, if all there is to say is how far they have come: about 1 ms."""
SHORTEST_PAUSE = timedelta(milliseconds=50)
LONGEST_PAUSE = timedelta(seconds=2)
SHARE_OF_REDIS = 0.1
"""A flush that took t seconds is followed by a pause of t / 0.1: receipts never take more than a tenth of Redis."""


def pause_after(took: float) -> float:
    """Seconds to wait after a flush that took `took` seconds."""
    return min(LONGEST_PAUSE.total_seconds(), max(SHORTEST_PAUSE.total_seconds(), took / SHARE_OF_REDIS))


class Ledger:
    """Coalesces receipts per subscriber of one shard and writes them, one batch in flight at a time.

    It grows with connected subscribers, not with deliveries. What a crash leaves unwritten is delivered again: a
    position that is behind costs duplicates, never a loss.
    """

    def __init__(
        self, *, redis: Client, process: str, checkpoints: Checkpoints, metrics: Metrics, shard: int = 0
    ) -> None:
        keys = Keys(shard)
        self._keys = [keys.positions, *index_of(keys), keys.suspects, keys.signals, keys.mail]
        self._process = process
        self._checkpoints = checkpoints
        self._write = Script(redis, "ledger")
        self._advance = Script(redis, "advance")
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
            self._refused(receipt, Refusal.SUPERSEDED)
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
            for names in self._batches():
                await self._flush_batch(names)

    def _batches(self) -> Sequence[list[str]]:
        advances: list[str] = []
        batches: list[list[str]] = [[]]
        entries = 0
        for name, receipt in self._waiting.items():
            if receipt.only_advances:
                advances.append(name)
                continue
            if len(batches[-1]) == BATCH or entries > MOST_ENTRIES:
                batches.append([])
                entries = 0
            batches[-1].append(name)
            entries += receipt.entries
        return [*(advances[k : k + ADVANCES] for k in range(0, len(advances), ADVANCES)), *batches]

    async def settle(self, subscriber: Subscriber) -> None:
        """Write what waits for one subscriber: it is about to come back, and should not get twice what it has.

        Raises StreamsUnavailable.
        """
        if subscriber.name in self._waiting:
            async with self._flushing:
                await self._flush_batch([subscriber.name])

    async def _flush_batch(self, names: list[str]) -> None:
        batch = [self._waiting.pop(name) for name in names if name in self._waiting]
        by_name = {receipt.subscriber.name: receipt for receipt in batch}
        try:
            refusals = await self._write_all(batch)
        except BaseException:
            # Written or not, unknown: writing again changes nothing, since counts and positions are absolute.
            for receipt in batch:
                self._put_back(receipt)
            raise
        for name, reason in refusals:
            self._refused(by_name.pop(name), reason)
        for name, receipt in by_name.items():
            self._checkpoints.note(Checkpoint(name, receipt.floor, receipt.epoch), ended=receipt.ended)

    async def _write_all(self, batch: Sequence[Receipt]) -> Sequence[tuple[str, Refusal]]:
        """Who was refused, and why. Receipts that only advance go as text: redis-py needs 1 µs an argument."""
        advances: dict[Cursor, list[str]] = {}
        others: list[str | bytes | int] = []
        for receipt in batch:
            if receipt.only_advances:
                advances.setdefault(receipt.position, []).append(f"{receipt.subscriber.name} {receipt.epoch}")
            else:
                others += receipt.arguments()
        refusals: list[tuple[str, Refusal]] = []
        if advances:
            blocks = [text for position, those in advances.items() for text in (str(position), " ".join(those))]
            superseded = await self._advance(keys=self._keys[:1], args=[self._process, *blocks])
            refusals += ((name.decode(), Refusal.SUPERSEDED) for name in superseded)
        if others:
            failed = await self._write(keys=self._keys, args=[self._process, *others])
            named = zip(failed[::2], failed[1::2], strict=True)
            refusals += ((name.decode(), Refusal(reason.decode())) for name, reason in named)
        return refusals

    def _put_back(self, receipt: Receipt) -> None:
        newer = self._waiting.get(receipt.subscriber.name)
        if newer is None:
            self._waiting[receipt.subscriber.name] = receipt
        elif newer.epoch == receipt.epoch:
            receipt.merge(newer)
            self._waiting[receipt.subscriber.name] = receipt
        self._some.set()

    def _refused(self, receipt: Receipt, reason: Refusal) -> None:
        self._metrics.ledger_receipts_dropped_total.labels(reason=reason.value.lower()).inc()
        if reason is Refusal.LOST:
            log.warning("Redis has lost pending entries of a subscriber, its position went back before them")
        receipt.refused(reason)
