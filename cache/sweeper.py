"""The leader's rounds over recent marks: what a crash or a failover kept from Redis is found within ten seconds."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Protocol

from cache.reads import KEPT_FOR, ReadBits
from telemetry.leading import Leadership, lead
from telemetry.metrics import Metrics
from telemetry.rounds import Rounds

log = logging.getLogger("divisionbell.cache")

EVERY = timedelta(seconds=10)
OVERLAP = timedelta(seconds=60)
"""How far a round looks back beyond the last one: longer than any transaction that marks may take (10 s)."""


class Versions(Protocol):
    """What the sweeper needs of PostgreSQL."""

    def changed_within(self, age: timedelta) -> AsyncIterator[Mapping[str, int]]:
        """Users whose marks changed within `age`, and their versions, in batches."""
        ...


class Sweeper:
    """Compares versions of marks. Safe to do twice, and beside another sweeper."""

    def __init__(
        self,
        *,
        bits: ReadBits,
        versions: Versions,
        leadership: Leadership,
        metrics: Metrics,
        every: timedelta = EVERY,
    ) -> None:
        self._bits = bits
        self._versions = versions
        self._leadership = leadership
        self._metrics = metrics
        self._ended = Rounds(metrics.repairs_waiting_seconds.labels(what="read_marks"))
        self._every = every
        self._seen: tuple[str, float] | None = None

    async def run(self) -> None:
        """Lead whenever nobody else does, until cancelled."""
        await lead(self._leadership, self._begin, role="read marks", log=log)

    async def _begin(self) -> None:
        self._seen = None
        with self._ended.leading():
            await self._rounds()

    async def _rounds(self) -> None:
        while True:
            try:
                await self.round()
            except Exception as error:  # noqa: BLE001 - Redis or PostgreSQL is away: the next round looks further back
                log.warning("cannot compare read marks, trying again", extra={"error": repr(error)})
            await asyncio.sleep(self._every.total_seconds())

    async def round(self) -> int:
        """Compare once; return how many users' bitmaps were behind.

        Looks back to the last round that came to its end, or, in another Redis than then, over all that may be kept.
        """
        clock = asyncio.get_running_loop().time
        identity, now = await self._bits.identity(), clock()
        age = look_back(self._seen, identity, now)
        behind = 0
        async for versions in self._versions.changed_within(age):
            behind += await self._bits.compare(versions)
        self._seen = (identity, now)
        self._ended.done()
        self._metrics.read_marks_behind_total.inc(behind)
        if behind:
            log.warning("read marks had not reached Redis", extra={"users": behind, "age": str(age)})
        return behind


def look_back(seen: tuple[str, float] | None, identity: str, now: float) -> timedelta:
    """How far a round must look back after one of `identity` at a time, both `seen`; None: there was none."""
    if seen is None or seen[0] != identity:
        return KEPT_FOR + OVERLAP
    return timedelta(seconds=now - seen[1]) + OVERLAP
