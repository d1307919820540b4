"""The demo's parliament in the database: a past to begin with, and a present that goes on."""

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.importing import any_activity, import_records, publish_record
from resolvers.database.log import PostgresLog
from resolvers.database.queries import Database, translated
from resolvers.demo import parliament
from resolvers.errors import Unavailable
from telemetry.metrics import Metrics

log = logging.getLogger("divisionbell.resolvers")

SEED = 1867
EVERY = timedelta(seconds=4)


async def fill(engine: AsyncEngine, *, started: Callable[[int], None], progress: Callable[[int], None]) -> None:
    """Write the past, unless there is one. `started` is told how many come, `progress` how many more came."""
    if await any_activity(engine):
        return
    records = parliament.past(SEED, datetime.now(UTC))
    started(len(records))
    await import_records(engine, records, progress=progress)
    # Sequenced here, which anybody may do, so that the past is the past when the first stream opens.
    log_of_record = PostgresLog(database=Database(engine=engine, metrics=Metrics()))
    while await log_of_record.assign(now_ms=int(datetime.now(UTC).timestamp() * 1000), limit=1_000):
        pass


async def go_on(engine: AsyncEngine) -> None:
    """Publish a new activity every few seconds, until cancelled. What PostgreSQL does not take now never happened."""
    for record in parliament.future(SEED, lambda: datetime.now(UTC)):
        await asyncio.sleep(EVERY.total_seconds())
        try:
            async with translated("publishing the demo's next activity"):
                await publish_record(engine, record)
        except Unavailable as error:
            log.warning("nothing happened in the made-up parliament", extra={"error": str(error)})


async def flood(engine: AsyncEngine, count: int) -> None:
    """Publish `count` activities in one transaction: they reach every stream at once."""
    instants = (datetime.now(UTC) + timedelta(microseconds=number) for number in itertools.count())  # no two alike
    records = itertools.islice(parliament.future(SEED, lambda: next(instants)), count)
    async with translated("publishing a flood"):
        await import_records(engine, list(records))


def kept_secret(state_dir: Path) -> str:
    """A secret of this demo's own, the same after a restart so that open pages and copied tokens go on."""
    path = state_dir.absolute() / "auth-secret"
    if not path.exists() or not path.read_text():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(48))
    return path.read_text()
