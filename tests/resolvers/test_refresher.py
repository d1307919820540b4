"""Who refreshes the view of recent activities, and how old it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.engine import driver_url
from resolvers.database.leadership import Leadership
from resolvers.database.log import PostgresLog
from resolvers.database.queries import Database
from resolvers.database.recent import ViewedFeed
from resolvers.errors import Unavailable
from resolvers.refresher import Refresher
from telemetry.metrics import Metrics
from telemetry.tasks import end
from tests.support.parliament import insert_activities
from tests.support.running import assign_all
from tests.support.waiting import wait_until


class View(ViewedFeed):
    """The view of one process, which may be told to fail. `refreshes` counts."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(database=Database(engine=engine, metrics=Metrics()))
        self.refreshes = 0
        self.failing = False

    async def refresh(self) -> None:
        """As it is, or not at all."""
        if self.failing:
            raise Unavailable("told so")
        await super().refresh()
        self.refreshes += 1


class Process:
    """A refresher with its view and its metrics."""

    def __init__(self, engine: AsyncEngine, url: str) -> None:
        self.view, self.metrics = View(engine), Metrics()
        self._refresher = Refresher(
            view=self.view,
            leadership=Leadership(url=url, role="view"),
            metrics=self.metrics,
            every=timedelta(seconds=0.05),
        )

    @property
    def age(self) -> float:
        """What the metric says."""
        return self.metrics.registry.get_sample_value("feed_view_age_seconds") or 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Beside the block."""
        task = asyncio.create_task(self._refresher.run())
        try:
            yield
        finally:
            await end([task])


async def rows(engine: AsyncEngine) -> int:
    """How many activities the view shows."""
    async with engine.connect() as connection:
        return await connection.scalar(sa.text("SELECT count(*) FROM recent_activities")) or 0


async def test_view_follows_the_log(database: AsyncEngine, database_url: str) -> None:
    """Whoever leads brings what was sequenced into the view, again and again."""
    process = Process(database, database_url)
    log = PostgresLog(database=Database(engine=database, metrics=Metrics()))
    async with process.running():
        for count in (1, 2):
            await insert_activities(database, 1)
            await assign_all(log)

            async def shown(count: int = count) -> bool:
                return await rows(database) == count

            await wait_until(shown, description="the view has it")


async def test_one_process_refreshes_and_another_takes_over(database: AsyncEngine, database_url: str) -> None:
    """The second waits while the first leads, and goes on when it has ended."""
    first, second = Process(database, database_url), Process(database, database_url)
    async with first.running():
        await wait_until(lambda: first.view.refreshes > 2, description="the first leads")
        async with second.running():
            seen = first.view.refreshes
            await wait_until(lambda: first.view.refreshes > seen + 2, description="the first still leads")
            assert second.view.refreshes == 0


async def test_successor_goes_on(database: AsyncEngine, database_url: str) -> None:
    """A leader whose session PostgreSQL ends stops, says so by its metric, and somebody leads again."""
    first, second = Process(database, database_url), Process(database, database_url)
    async with first.running(), second.running():
        await wait_until(lambda: first.view.refreshes + second.view.refreshes > 2, description="one of them leads")
        leader, waiting = (first, second) if first.view.refreshes else (second, first)
        assert waiting.view.refreshes == 0
        await end_session_of_leader(database_url)
        seen = leader.view.refreshes, waiting.view.refreshes

        await wait_until(
            lambda: (leader.view.refreshes, waiting.view.refreshes) > seen or waiting.view.refreshes > seen[1],
            description="one of them leads again",
        )


async def end_session_of_leader(url: str) -> None:
    """As PostgreSQL does with one that is silent for too long."""
    connection = await asyncpg.connect(driver_url(url))
    try:
        ended = await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_locks"
            " WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = $1)",
            await connection.fetchval("SELECT current_database()"),
        )
        assert ended
    finally:
        await connection.close()


async def test_age_grows_while_the_view_cannot_be_refreshed(database: AsyncEngine, database_url: str) -> None:
    """It is that of the leader, near zero while all is well, and zero where nobody leads."""
    process = Process(database, database_url)
    assert process.age == 0
    async with process.running():
        await wait_until(lambda: process.view.refreshes > 1, description="it leads")
        process.view.failing = True
        await wait_until(lambda: process.age > 0.3, description="it grows old")
        process.view.failing = False
        await wait_until(lambda: process.age < 0.2, description="it is fresh again")
    assert process.age == 0
