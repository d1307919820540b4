"""Everything below the schema, composed as the server composes it, and running."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from app import Floor, build_floor, running
from resolvers.identity import Scope, Viewer
from schema.probes import Readiness
from settings import Settings
from streams.cursor import Cursor
from telemetry.metrics import Metrics
from tests.support.parliament import insert_activities
from tests.support.waiting import wait_until


def viewer(user: str = "ada", *scopes: Scope) -> Viewer:
    """A viewer whose token counts for an hour; with the scope `read` if none is given."""
    return Viewer(user, frozenset(scopes or [Scope.READ]), datetime.now(UTC) + timedelta(hours=1))


@asynccontextmanager
async def composed(database_url: str, redis_url: str, **more: object) -> AsyncIterator[Floor]:
    """The floor with its background tasks, and `more` settings. A task that failed fails the test."""
    failures: list[Exception] = []
    metrics = Metrics()
    settings = Settings.model_validate({"bookmark_every": timedelta(milliseconds=200), "database_pool": 4, **more})
    floor = build_floor(settings, database_url=database_url, redis_url=redis_url, metrics=metrics)
    readiness = Readiness(health=floor.health, draining=asyncio.Event())
    async with running(floor, readiness=readiness, more={}, failed=failures.append):
        yield floor
    assert not failures


async def publish(floor: Floor, count: int, *, title: str = "Activity", **columns: str | int) -> Cursor:
    """Insert activities and wait until the tail has them; return the head."""
    log = floor.services.log_of_record
    before = await log.head()
    await insert_activities(floor.engine, count, title=title, **columns)

    async def there() -> bool:
        head = await log.head()
        return head.n == before.n + count and floor.tail.head >= head.cursor

    await wait_until(there, description="the tail has what was inserted")
    return floor.tail.head
