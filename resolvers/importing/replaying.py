"""Publishing records in the rhythm in which they happened."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from datetime import timedelta
from itertools import pairwise

from resolvers.importing.records import ActivityRecord


def pauses(records: Iterable[ActivityRecord], *, speed: float) -> Iterator[timedelta]:
    """How long to wait before each record after the first, at `speed` times real time; never negative."""
    for before, after in pairwise(records):
        yield max(after.occurred_at - before.occurred_at, timedelta(0)) / speed


async def replay(
    records: Iterable[ActivityRecord],
    *,
    speed: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[ActivityRecord]:
    """Yield the records in order of time, each when it is due. `speed` is above 0."""
    ordered = sorted(records, key=lambda record: record.occurred_at)
    waits = iter([timedelta(0), *pauses(ordered, speed=speed)])
    for record, wait in zip(ordered, waits, strict=False):
        await sleep(wait.total_seconds())
        yield record
