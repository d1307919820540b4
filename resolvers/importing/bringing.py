"""Bringing records into the log: all at once, or in the rhythm in which they happened."""

from collections.abc import Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.importing import import_records, publish_record
from resolvers.importing.records import ActivityRecord
from resolvers.importing.replaying import replay


async def bring_in(
    engine: AsyncEngine, records: Sequence[ActivityRecord], *, speed: float | None, progress: Callable[[int], None]
) -> str:
    """Insert those that are not there yet, with `speed` one by one at so many times real speed; say what was done.

    `progress` is told of so many more. Raises ImportRefused, and what PostgreSQL raises.
    """
    if speed is None:
        return (await import_records(engine, records, progress=progress)).sentence()
    published = 0
    async for record in replay(records, speed=speed):
        published += await publish_record(engine, record)
        progress(1)
    return f"{published} published"
