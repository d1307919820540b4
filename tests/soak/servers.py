"""What a soak runs against: a server of two workers, PostgreSQL and Valkey from the wheels, on data of their own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.engine import connect, migrate
from resolvers.embedded import start_postgres, start_valkey
from streams.connection import connect as connect_redis
from tests.support.directories import reachable_directory
from tests.support.server import ServerProcess

SETTINGS = {
    "WORKERS": "2",
    "LOG_LEVEL": "WARNING",
    "MAX_CONNECTS_PER_MINUTE": "100000",
    # Bounds that a busy server fills in minutes, and this load in a day: here they are full before it is measured.
    "STREAM_MAX_LENGTH": "1000",
    "RING_SIZE": "500",
    "FEED_WINDOW": "500",
    "KEPT_FRAMES": "131072",
    "KEPT_VALUES": "300",
}


@dataclass(frozen=True, slots=True)
class Servers:
    """All of them. `valkey` is a process ID."""

    server: ServerProcess
    engine: AsyncEngine
    redis: "Redis"
    valkey: int

    @property
    def port(self) -> int:
        """Of 127.0.0.1."""
        return int(self.server.url.rpartition(":")[2])


@asynccontextmanager
async def serving(more: Mapping[str, str]) -> AsyncIterator[Servers]:
    """Started for the length of a block, on the main thread; the server with `more` of an environment."""
    with (
        reachable_directory() as directory,
        start_postgres(directory / "postgres", durable=True) as postgres,
        start_valkey(directory / "valkey", durable=True) as valkey,
    ):
        engine, redis = connect(postgres.url, pool_size=3), connect_redis(valkey.url)
        assert isinstance(redis, Redis)
        try:
            await migrate(engine)
            async with ServerProcess(
                "serve", environment=_environment(postgres.url, valkey.url, directory, more)
            ) as server:
                yield Servers(server, engine, redis, valkey.pid)
        finally:
            await redis.aclose()
            await engine.dispose()


def _environment(database: str, redis: str, directory: Path, more: Mapping[str, str]) -> dict[str, str]:
    where = {"DATABASE_URL": database, "REDIS_URL": redis, "STATE_DIR": str(directory / "state")}
    return {**SETTINGS, **where, **more}
