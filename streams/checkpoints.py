"""Positions in PostgreSQL as well: what a flush of Redis takes is put back from here."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from streams.cursor import Cursor
from streams.together import GATHER, Together
from telemetry.metrics import Metrics

log = logging.getLogger("divisionbell.streams")

SAVE_EVERY = timedelta(minutes=1)
SAVE_ENDED_EVERY = timedelta(seconds=1)
BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a subscriber surely stood: everything up to `position` was confirmed or dead, nothing of it pending."""

    subscriber: str
    position: Cursor
    epoch: int


class CheckpointStore(Protocol):
    """Where checkpoints are kept. Every method raises errors of its own when it cannot."""

    async def introduce(self, newcomers: Mapping[str, Cursor]) -> Mapping[str, Checkpoint]:
        """Keep a checkpoint for each subscriber that has none; return what is then kept for each."""
        ...

    async def save(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Keep these instead of what was kept in an older epoch or earlier in the same."""
        ...


class Checkpoints:
    """Collects where subscribers stand and saves it each minute, and at once when a stream ends.

    Grows with the subscribers that moved in the last minute. What is not saved costs duplicates after a flush, no loss.
    """

    def __init__(self, *, store: CheckpointStore, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._moved: dict[str, Checkpoint] = {}
        self._ended: dict[str, Checkpoint] = {}
        self._introducing = Together(self._introduce, name="introduce-subscribers", gather=GATHER)
        self._saving = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._moved) + len(self._ended)

    def note(self, checkpoint: Checkpoint, *, ended: bool) -> None:
        """Remember where a subscriber stands."""
        self._moved.pop(checkpoint.subscriber, None)
        self._ended.pop(checkpoint.subscriber, None)
        (self._ended if ended else self._moved)[checkpoint.subscriber] = checkpoint

    async def introduce(self, subscriber: str, *, position: Cursor) -> Checkpoint:
        """The checkpoint of a subscriber that Redis does not know; `position` if PostgreSQL does not either.

        Subscribers that come together are asked for together. Raises what the store raises.
        """
        return await self._introducing((subscriber, position))

    async def _introduce(self, newcomers: Sequence[tuple[str, Cursor]]) -> Sequence[Checkpoint]:
        kept = await self._store.introduce(dict(newcomers))
        return [kept[subscriber] for subscriber, _ in newcomers]

    async def run(self) -> None:
        """Save until cancelled. What is left then is for `save`."""
        clock = asyncio.get_running_loop().time
        everything_at = clock() + SAVE_EVERY.total_seconds()
        while True:
            await asyncio.sleep(SAVE_ENDED_EVERY.total_seconds())
            everything = clock() >= everything_at
            if everything:
                everything_at = clock() + SAVE_EVERY.total_seconds()
            try:
                await self.save(everything=everything)
            except Exception as error:  # noqa: BLE001 - PostgreSQL is away; the checkpoints wait
                log.warning("positions wait for PostgreSQL", extra={"waiting": len(self), "error": repr(error)})

    async def save(self, *, everything: bool = True) -> None:
        """Save the positions of ended streams, or all. Raises what the store raises; what was not saved waits on."""
        async with self._saving:
            for waiting in (self._ended, self._moved) if everything else (self._ended,):
                while batch := list(waiting.values())[:BATCH]:
                    await self._store.save(batch)
                    self._metrics.positions_saved_total.inc(len(batch))
                    _forget(batch, waiting)


def _forget(saved: Collection[Checkpoint], waiting: dict[str, Checkpoint]) -> None:
    for checkpoint in saved:
        if waiting.get(checkpoint.subscriber) is checkpoint:
            del waiting[checkpoint.subscriber]
