"""The previous version and this one side by side: deployed, and rolled back, under thousands of streams."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from app import NotReady, check
from settings import Settings
from telemetry.tasks import end
from tests.support.crowd import Crowd
from tests.support.server import REPOSITORY, Client, ServerProcess
from tests.support.versions import check_out_previous, end_aloud, migrate_by, new_database
from tests.support.waiting import wait_until

STREAMS = 5_000
OBSERVERS = 50
"""Streams at the version that comes, while the one that goes still leads."""
PUBLISH_EVERY = 0.5
PUBLISH = 'mutation { publishActivity(input: {type: VOTE, title: "by mutation"}) { __typename } }'
DRAIN_SECONDS = 8
TOMORROW = (
    "ALTER TABLE activities ADD COLUMN chamber text NOT NULL DEFAULT 'COMMONS'",
    "CREATE INDEX ix_activities_chamber ON activities (chamber)",
    "ALTER TABLE user_activity_reads ADD COLUMN read_on text",
    "ALTER TABLE user_read_through ADD COLUMN read_on text",
    "ALTER TABLE dead_letters ADD COLUMN note text",
    "ALTER TABLE subscriber_positions ADD COLUMN shard integer NOT NULL DEFAULT 0",
    "ALTER TABLE log_head ADD COLUMN shard integer NOT NULL DEFAULT 0",
    "CREATE TABLE divisions (id bigint PRIMARY KEY, activity_id bigint REFERENCES activities (id))",
    "UPDATE alembic_version SET version_num = '9999'",
)
"""What a migration of a later version may do while this one runs: it adds."""


@dataclass
class Deployment:
    """A database that the previous version made, and servers of both versions on it."""

    environment: Mapping[str, str]
    previous: Path
    stack: AsyncExitStack

    async def migrate(self, checkout: Path) -> None:
        """As a deployment of that version does."""
        await migrate_by(checkout, self.environment)

    async def start(self, checkout: Path) -> ServerProcess:
        """A server of that version."""
        server = ServerProcess("serve", environment=self.environment, checkout=checkout)
        self.stack.push_async_callback(end_aloud, server)
        return await server.start()

    async def cursors(self) -> list[str]:
        """The whole log; empty while something waits for its place."""
        connection = await asyncpg.connect(self.environment["DATABASE_URL"])
        try:
            rows = await connection.fetch("SELECT cursor FROM activities ORDER BY n NULLS FIRST")
        finally:
            await connection.close()
        places = [row["cursor"] for row in rows]
        return [] if None in places else [f"{place >> 20}-{place & (1 << 20) - 1}" for place in places]


@pytest.fixture
async def deployment(postgres_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    """On a database and a Redis of this test alone."""
    previous = check_out_previous(tmp_path / "previous")
    async with new_database(postgres_url) as database_url, AsyncExitStack() as stack:
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "STATE_DIR": str(tmp_path / "state"),
            "DRAIN_SECONDS": str(DRAIN_SECONDS),
            "MAX_STREAMS": "20000",
            "MAX_CONNECTS_PER_SECOND": "100000",
            "LOG_LEVEL": "WARNING",
        }
        yield Deployment(environment, previous, stack)


async def publish(database_url: str, door: Callable[[], str]) -> None:
    """INSERT, and by every fourth a mutation at whatever server is open, until cancelled."""
    connection = await asyncpg.connect(database_url)
    try:
        k = 0
        while True:
            k += 1
            if k % 4:
                await connection.execute("INSERT INTO activities (type, title) VALUES ('SPEECH', 'by INSERT')")
            else:
                async with Client(door(), "carol", "publish") as client:
                    assert "errors" not in await client.post(PUBLISH)
            await asyncio.sleep(PUBLISH_EVERY)
    finally:
        await connection.close()


async def move(crowd: Crowd, leaving: ServerProcess, staying: ServerProcess) -> float:
    """Drain a server; return the seconds until all its streams are open at the other."""
    began = time.monotonic()
    crowd.url = staying.url
    before = [one.connects for one in crowd.subscribers]
    leaving.signal(signal.SIGTERM)
    assert await leaving.wait(within=DRAIN_SECONDS + 10) == 0
    await wait_until(
        lambda: all(one.open and one.connects > had for one, had in zip(crowd.subscribers, before, strict=True)),
        description="everybody is back",
        within=60,
        every=0.1,
    )
    return time.monotonic() - began


@pytest.mark.timeout(300)
async def test_a_rolling_deploy_and_its_rollback_lose_nothing(deployment: Deployment) -> None:
    """Five thousand subscribers of the previous version go on with this one, and with the previous one again."""
    await deployment.migrate(deployment.previous)
    old = await deployment.start(deployment.previous)
    async with Crowd(STREAMS, old.url) as crowd:
        publishing = asyncio.create_task(publish(deployment.environment["DATABASE_URL"], lambda: crowd.url))
        await deployment.migrate(REPOSITORY)  # expand: the previous version runs on
        new = await deployment.start(REPOSITORY)
        async with Crowd(OBSERVERS, new.url, name="observer") as observers:
            seen = len(observers.subscribers[-1].received)
            await wait_until(
                lambda: len(observers.subscribers[-1].received) > seen + 4, description="what the other appends"
            )
        deployed = await move(crowd, old, new)

        await deployment.migrate(deployment.previous)  # which changes nothing
        again = await deployment.start(deployment.previous)
        rolled_back = await move(crowd, new, again)
        assert not publishing.done()
        await end([publishing])

        log: list[str] = []

        async def everybody_has_everything() -> bool:
            log[:] = await deployment.cursors()
            return bool(log) and all(one.cursor and one.received[-1:] == log[-1:] for one in crowd.subscribers)

        await wait_until(everybody_has_everything, description="everybody has everything", within=60, every=0.5)
    print(f"{len(log)} activities; moved in {deployed:.1f} s, back in {rolled_back:.1f} s")  # noqa: T201
    assert len(log) > 20
    assert {one.name: lost for one in crowd.subscribers if (lost := one.lost(log))} == {}


async def test_a_server_runs_on_a_schema_that_a_later_version_expanded(
    start_server: Callable[..., ServerProcess], database: AsyncEngine
) -> None:
    """Columns, an index and a table that it knows nothing of: it starts, publishes, streams, reads and marks."""
    async with database.begin() as connection:
        for statement in TOMORROW:
            await connection.execute(sa.text(statement))
    server = await start_server().start()
    async with Client(server.url, "alice", "read publish") as client, client.subscribe(subscriber="phone") as stream:
        await stream.hello()
        await client.ask(PUBLISH)
        assert await stream.titles(1) == ["by mutation"]
        await client.ask('mutation { markRead(activityIds: ["1"]) { __typename } }')
        feed = (await client.ask("{ feed { unreadCount edges { isRead } } }"))["feed"]
        assert feed == {"unreadCount": 0, "edges": [{"isRead": True}]}


async def test_a_server_does_not_start_on_a_schema_that_took_away_what_it_needs(
    database_url: str, database: AsyncEngine
) -> None:
    """A later migration says which revision code has to know, and what to do is told."""
    async with database.begin() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        await connection.execute(sa.text("COMMENT ON TABLE alembic_version IS 'needs 9998'"))

    with pytest.raises(NotReady, match="at revision 9999, for versions that know 9998: start a newer version"):
        await check(Settings(database_url=database_url, redis_url="redis://not-asked"))
