"""Servers on machines of their own behind nginx, and clients that leave what is silent."""

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from httpx_sse import SSEError, aconnect_sse
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.engine import connect, migrate
from resolvers.database.log import PostgresLog
from resolvers.database.queries import Database
from resolvers.database.tables import activities
from resolvers.embedded import start_postgres, start_valkey
from streams.connection import connect_alone as connect_redis
from streams.cursor import Cursor
from streams.keys import Keys
from telemetry.metrics import Metrics
from tests.support.arena import ACKNOWLEDGE, SUBSCRIPTION
from tests.support.lan import Lan, Machine
from tests.support.nginx import Nginx
from tests.support.parliament import insert_activities
from tests.support.running import assert_stream_is_the_log
from tests.support.server import ServerProcess, token
from tests.support.waiting import wait_until

ROLES = {"sequencer", "janitor", "read-marks", "view"}
SILENCE = 3.0
"""A client's, with a bookmark each second: the browser's is 30 with one in ten."""
HELD_ROLES = sa.text(
    "SELECT application_name, host(client_addr) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND application_name LIKE 'divisionbell-%'"
)
SEQUENCED_ONCE = sa.text(
    "SELECT count(*) AS rows, count(DISTINCT cursor) AS cursors, max(n) AS last,"
    " (SELECT count(*) FROM (SELECT cursor <= lag(cursor) OVER (ORDER BY n) AS back FROM activities) AS _ WHERE back)"
    " AS disorder FROM activities"
)


@dataclass
class Reader:
    """A client that leaves a stream which is silent, and comes back: with its cursor, or as a device that confirms."""

    user: str
    proxy: Nginx
    confirming: bool
    seen: list[str] = field(default_factory=list)
    gaps: list[object] = field(default_factory=list)
    cursor: str | None = None
    connected: bool = False

    @property
    def first_times(self) -> list[str]:
        """What it has, in the order in which it came first."""
        return list(dict.fromkeys(self.seen))

    async def run(self) -> None:
        """Go on until cancelled."""
        verify = ssl.create_default_context(cafile=str(self.proxy.certificate))
        headers = {"Authorization": f"Bearer {token(self.user)}"}
        async with httpx.AsyncClient(
            base_url=self.proxy.url, headers=headers, verify=verify, timeout=SILENCE, trust_env=False
        ) as http:
            while True:
                with contextlib.suppress(httpx.HTTPError, SSEError, json.JSONDecodeError):
                    await self._stream(http)
                await asyncio.sleep(0.1)

    async def _stream(self, http: httpx.AsyncClient) -> None:
        device = {"subscriber": "phone", "confirm": "CLIENT"}
        variables = device if self.confirming else {"since": self.cursor}
        body = {"query": SUBSCRIPTION, "variables": {"confirm": "SOCKET", **variables}}
        async with aconnect_sse(http, "POST", "/graphql", json=body) as source:
            async for sent in source.aiter_sse():
                if not sent.data:
                    continue
                event = sent.json()["data"]["activityAdded"]
                self.cursor, self.connected = event["cursor"], True
                if event["__typename"] == "FeedGap":
                    self.gaps.append(event)
                if event["__typename"] == "ActivityAdded":
                    self.seen.append(event["activity"]["title"])
                    if self.confirming:
                        through = {"through": event["cursor"], "subscriber": "phone"}
                        await http.post("/graphql", json={"query": ACKNOWLEDGE, "variables": through})


@dataclass
class Machines:
    """Two machines with a server each, nginx before them, clients of both, and where the databases are."""

    lan: Lan
    servers: list[ServerProcess]
    readers: list[Reader]
    engine: AsyncEngine
    redis: "Redis"
    published: list[str] = field(default_factory=list)

    @property
    def log(self) -> PostgresLog:
        """The log of record."""
        return PostgresLog(database=Database(engine=self.engine, metrics=Metrics()))

    async def roles(self) -> dict[str, str]:
        """Address of the machine that holds each role."""
        async with self.engine.connect() as connection:
            rows = (await connection.execute(HELD_ROLES)).all()
        return {name.removeprefix("divisionbell-"): address for name, address in rows}

    async def led_by(self, machine: Machine) -> bool:
        """Whether it holds every role."""
        return await self.roles() == dict.fromkeys(ROLES, machine.address)

    async def move_to(self, machine: Machine, *, within: float) -> float:
        """Publish until it holds every role; return the seconds that took."""
        began = time.monotonic()
        while not await self.led_by(machine):
            taken = time.monotonic() - began
            assert taken < within, await self.roles()
            await self.publish(f"without a leader {taken}", count=1)
            await asyncio.sleep(0.1)
        return time.monotonic() - began

    async def publish(self, title: str, count: int = 3) -> None:
        """INSERT activities."""
        await insert_activities(self.engine, count, title=title)
        self.published += [f"{title} {k}" for k in range(count)]

    async def nothing_waits(self) -> bool:
        """Whether every activity has its place in the log."""
        async with self.engine.connect() as connection:
            return not await connection.scalar(sa.select(sa.func.count()).where(activities.c.cursor.is_(None)))

    async def all_have_all(self, within: float = 20.0) -> None:
        """Wait until every reader has everything; assert that it came in order, and nothing besides."""
        for reader in self.readers:
            await wait_until(
                lambda reader=reader: len(reader.first_times) >= len(self.published),  # type: ignore[misc]
                description=f"{reader.user} has everything",
                within=within,
            )
            assert (self.published, []) == (reader.first_times, reader.gaps)

    async def assert_log_is_whole(self) -> None:
        """Every activity has one place, the order of places is that of cursors, and the stream shows just that."""
        await wait_until(self.nothing_waits, description="everything has its place")
        async with self.engine.connect() as connection:
            row = (await connection.execute(SEQUENCED_ONCE)).one()
        count = len(self.published)
        assert (count, count, count, 0) == (row.rows, row.cursors, row.last, row.disorder)
        head = (await self.log.head()).cursor

        async def appended() -> bool:
            newest: Any = await self.redis.xrevrange(Keys().stream, count=1)
            return bool(newest) and Cursor.parse(newest[0][0]) == head

        await wait_until(appended, description="the stream ends where the log does")
        await assert_stream_is_the_log(self.redis, self.log)

    async def metric(self, server: ServerProcess, name: str) -> float:
        """A metric of a server."""
        async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
            lines = (await http.get(f"{server.url}/metrics")).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    async def assert_accounted_for(self) -> None:
        """No entry is lost in the books of either server."""
        for server in self.servers:

            async def settled(server: ServerProcess = server) -> bool:
                return await self.metric(server, "sse_entries_unaccounted") == 0

            await wait_until(settled, description="sse_entries_unaccounted is 0", every=0.1)


@asynccontextmanager
async def databases(here: Lan, directory: Path) -> AsyncIterator[tuple[dict[str, str], AsyncEngine, "Redis"]]:
    """PostgreSQL and Valkey at this end of the bridge: settings for servers on the machines, and clients of ours."""
    access = directory / "pg_hba.conf"
    access.write_text(f"local all all trust\nhost all all {here.network} trust\n")
    access.chmod(0o644)
    network = {"listen_addresses": here.here, "hba_file": str(access)}
    with (
        start_postgres(directory / "postgres", durable=False, settings=network) as postgres,
        start_valkey(
            directory, durable=False, settings={"port": "6379", "bind": here.here, "protected-mode": "no"}
        ) as valkey,
    ):
        engine, redis = connect(postgres.url, pool_size=2), connect_redis(valkey.url)
        await migrate(engine)
        try:
            yield (
                {
                    "DATABASE_URL": f"postgresql://postgres@{here.here}:5432/postgres",
                    "REDIS_URL": f"redis://{here.here}:6379/0",
                },
                engine,
                redis,
            )
        finally:
            await redis.aclose()
            await engine.dispose()
