"""Real PostgreSQL and Valkey for every test that asks for them: one pair a test process, a fresh state a test."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import sqlalchemy as sa
from hypothesis import settings
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.engine import connect as connect_database
from resolvers.database.engine import migrate
from resolvers.database.log import PostgresLog
from resolvers.database.queries import Database
from resolvers.embedded import start_postgres, start_valkey
from streams.connection import connect_alone as connect_redis
from telemetry.metrics import Metrics
from tests.support.directories import reachable_directory

TEMPLATE = "divisionbell_template"

settings.register_profile("shared machine", deadline=None)  # how long an example takes says nothing there
settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a PostgreSQL server's `postgres` database: DATABASE_URL, or an embedded server of this test process."""
    if given := os.environ.get("DATABASE_URL"):
        yield given
        return
    with reachable_directory() as directory, start_postgres(directory, durable=False) as server:
        yield server.url


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Redis or Valkey server that tests may flush: REDIS_URL, or an embedded server of this test process."""
    if given := os.environ.get("REDIS_URL"):
        worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
        yield f"{given.rstrip('/')}/{worker}" if urlsplit(given).path in {"", "/"} else given
        return
    with start_valkey(tmp_path_factory.mktemp("valkey"), durable=False) as server:
        yield server.url


def with_database(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    return sa.make_url(url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def template(postgres_url: str) -> str:
    """Name of a migrated, empty database of this test process that `database_url` copies."""
    name = f"{TEMPLATE}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{os.getpid()}"
    asyncio.run(_create_migrated(postgres_url, name))
    return name


async def _create_migrated(postgres_url: str, name: str) -> None:
    await _on_server(postgres_url, f'CREATE DATABASE "{name}"')
    engine = connect_database(with_database(postgres_url, name), pool_size=1)
    await migrate(engine)
    await engine.dispose()


@pytest.fixture
async def database_url(postgres_url: str, template: str) -> AsyncIterator[str]:
    """URL of a database of this test alone: migrated, empty, dropped afterwards."""
    name = f"test_{os.urandom(6).hex()}"
    await _on_server(postgres_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY wal_log')
    yield with_database(postgres_url, name)
    await _on_server(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on `database_url`."""
    engine = connect_database(database_url, pool_size=4)
    yield engine
    await engine.dispose()


@pytest.fixture
async def redis_url(valkey_url: str) -> str:
    """URL of an empty Redis; tests of one process run one after another."""
    redis = connect_redis(valkey_url)
    await redis.flushdb()
    await redis.aclose()
    return valkey_url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator["Redis"]:
    """A client of `redis_url`."""
    client = connect_redis(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def metrics() -> Metrics:
    """Instruments of this test alone."""
    return Metrics()


@pytest.fixture
def log_of_record(database: AsyncEngine, metrics: Metrics) -> PostgresLog:
    """The log on `database`."""
    return PostgresLog(database=Database(engine=database, metrics=metrics))


async def _on_server(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return Path(__file__).parent.parent
