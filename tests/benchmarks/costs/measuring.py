"""The measurements, each less what is used when nothing happens."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
from redis.asyncio import Redis

from resolvers.database.engine import connect as connect_database
from resolvers.database.positions import Positions
from resolvers.database.queries import Database
from streams.checkpoints import Checkpoint
from streams.cursor import Cursor
from streams.keys import Keys
from telemetry.metrics import Metrics
from tests.benchmarks.bench import Bench
from tests.benchmarks.client import Load, Target, load, settled
from tests.benchmarks.costs.spending import Meter, Spent
from tests.benchmarks.peers.divisionbell import DivisionBell
from tests.benchmarks.session import CLIENT_CORE, opened_all
from tests.benchmarks.wire import ROOM_FOR_CURSOR, SUBSCRIPTION
from tests.support.server import token

REST = 3.0
"""Seconds until receipts are written and nothing is left to do."""
BREATHS = 30
"""Seconds of quiet streams: three bookmarks and two heartbeats."""
MISSED = 20
SAVES = 5
PAGE = 20
AT_ONCE = 16
MANY, MARKS, OFTEN = 5_000, 4_000, 1_000
"""Activities, marks and questions: enough for a clock that counts hundredths of seconds."""
FEED = "{ feed(first: 20) { head unreadCount edges { isRead node { id type title mp { name } bill { number } } } } }"
UPDATES = "query($since: Cursor!) { updates(since: $since) { cursor head hasMore events { cursor } } }"
MARK = "mutation($ids: [ID!]!) { markRead(activityIds: $ids) { readState { unreadCount version } } }"
Costs = dict[str, float]
TABLES = {"activity": "activities", "position": "subscriber_positions", "mark": "user_activity_reads"}


@dataclass
class Costing:
    """One run: what is found goes into `costs`, by the names of the document's rows."""

    bench: Bench
    server: DivisionBell
    meter: Meter
    redis: "Redis"
    database: asyncpg.Connection
    costs: Costs
    published: int = 0

    @property
    def streams(self) -> int:
        """How many are opened."""
        return max(200, self.bench.subscribers // 2)

    async def idle(self, seconds: float) -> Spent:
        """What a second without anything to do costs."""
        before = await self.meter.read()
        await asyncio.sleep(seconds)
        spent = await self.meter.read() - before
        return Spent(*(one / seconds for one in (spent.server, spent.redis, spent.postgres)))

    async def publish(self, count: int, every: float, mp: int | None = None) -> float:
        """One by one; seconds that it took, with the rest afterwards."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        for k in range(count):
            await asyncio.sleep(max(0.0, started + k * every - loop.time()))
            self.published += 1
            await self.server.publish(self.published, 1, mp)
        await asyncio.sleep(REST)
        return loop.time() - started

    async def alone(self) -> Spent:
        """Activities that nobody listens to; what the process does without streams."""
        quiet = await self.idle(10)
        before = await self.meter.read()
        seconds = await self.publish(300, 0.03)
        each = (await self.meter.read() - before).less(quiet, seconds).each(300)
        for name, second in (("server", quiet.server), ("Redis", quiet.redis), ("PostgreSQL", quiet.postgres)):
            self.costs[f"{name} CPU of a process without streams, a second"] = second * 1e6
        self.costs["server CPU per activity, no streams"] = each.server
        self.costs["PostgreSQL CPU per activity"] = each.postgres
        self.costs["Redis CPU per activity"] = each.redis
        return quiet

    @asynccontextmanager
    async def opened(self, quiet: Spent, variables: Mapping[str, Any], name: str | None) -> AsyncIterator[Load]:
        """Streams of newcomers; what an open costs goes to `name`."""
        requests = self.server.requests_by(self.streams, lambda _: (SUBSCRIPTION, variables))
        target = Target(self.server.port, requests, self.server.opened_by)
        async with load([target], core=CLIENT_CORE) as clients:
            loop = asyncio.get_running_loop()
            started, before = loop.time(), await self.meter.read()
            await opened_all(clients, self.server.name)
            spent = await self.meter.read() - before
            each = spent.less(quiet, loop.time() - started).each(self.streams)
            if name:
                self.costs[f"server CPU per {name}"] = each.server
                self.costs[f"Redis CPU per {name}"] = each.redis
                self.costs[f"PostgreSQL CPU per {name}"] = each.postgres
            await asyncio.sleep(REST)
            yield clients

    async def following(self, quiet: Spent) -> None:
        """Opens, idle streams, and deliveries at one activity a second."""
        async with self.opened(quiet, {}, "open") as clients:
            await clients.expect(1, 1, strict=False)
            resting = await self.idle(BREATHS)
            quiet_bytes = (await clients.report()).bytes
            self.costs["server CPU per idle stream and second"] = (resting.server - quiet.server) / self.streams * 1e6
            self.costs["bytes per idle stream and second"] = quiet_bytes / self.streams / BREATHS
            count = 15
            await clients.expect(self.published + 1, count)
            before = await self.meter.read()
            seconds = await self.publish(count, 1.0)
            report = await settled(clients, count * self.streams, within=30)
            each = (await self.meter.read() - before).less(resting, seconds).each(report.deliveries)
            self.costs["server CPU per delivery, an activity a second"] = each.server
            self.costs["Redis CPU per delivery, an activity a second"] = each.redis
            resting_bytes = self.costs["bytes per idle stream and second"] * self.streams * seconds
            self.costs["bytes per delivery"] = (report.bytes - resting_bytes) / report.deliveries

    async def filtered(self, quiet: Spent) -> None:
        """Activities that no stream's filter lets through."""
        other = await self.server.new_mp("Nobody whom anybody follows")
        async with self.opened(quiet, {"filter": {"mpIds": [str(other)]}}, None):
            resting = await self.idle(5)
            before = await self.meter.read()
            seconds = await self.publish(100, 0.1)
            each = (await self.meter.read() - before).less(resting, seconds).each(100)
            self.costs[f"server CPU per activity that none of {self.streams:,} streams wants"] = each.server

    async def recovering(self, quiet: Spent) -> None:
        """Opens that have missed some."""
        since = str(Cursor(await self.database.fetchval("SELECT cursor FROM log_head")))
        await self.publish(MISSED, 0.02)
        unset = f'"since":null{ROOM_FOR_CURSOR}'
        given = f'"since":"{since}"'.ljust(len(unset)).encode()
        requests = [one.replace(unset.encode(), given) for one in self.server.requests(self.streams // 2)]
        async with load([Target(self.server.port, requests, self.server.opened_by)], core=CLIENT_CORE) as clients:
            await clients.expect(self.published + 1 - MISSED, MISSED)
            loop = asyncio.get_running_loop()
            started, before = loop.time(), await self.meter.read()
            await opened_all(clients, self.server.name)
            await settled(clients, MISSED * len(requests), within=60)
            each = (await self.meter.read() - before).less(quiet, loop.time() - started).each(len(requests))
        self.costs[f"server CPU per open with {MISSED} missed"] = each.server

    async def asked(self, quiet: Spent) -> None:
        """Pages, polls and marks, one at a time: what they cost, not how many there may be."""
        headers = {"Authorization": f"Bearer {token('reader-of-pages')}"}
        await self.server.publish(1, MANY)
        await asyncio.sleep(REST)
        ids = await self.database.fetch("SELECT id::text FROM activities ORDER BY n DESC LIMIT $1", MARKS)
        head = str(Cursor(await self.database.fetchval("SELECT cursor FROM log_head")))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.server.port}", headers=headers) as client:

            async def cost(asked: Sequence[Mapping[str, Any]], query: str, at_once: int = AT_ONCE) -> Spent:
                loop = asyncio.get_running_loop()
                started, before = loop.time(), await self.meter.read()
                left = iter(asked)

                async def ask() -> None:
                    for variables in left:
                        answer = await client.post("/graphql", json={"query": query, "variables": variables})
                        assert "errors" not in answer.json(), answer.text

                await asyncio.gather(*(ask() for _ in range(at_once)))
                return (await self.meter.read() - before).less(quiet, loop.time() - started).each(len(asked))

            page = await cost([{}] * OFTEN, FEED)
            self.costs["server CPU per page of the feed"] = page.server
            self.costs["Redis CPU per page of the feed"] = page.redis
            self.costs["server CPU per poll"] = (await cost([{"since": head}] * OFTEN, UPDATES)).server
            marks = [row["id"] for row in ids]
            each = await cost([{"ids": marks[k : k + PAGE]} for k in range(0, len(marks), PAGE)], MARK, 1)
        self.costs[f"server CPU per mark, {PAGE} at a time"] = each.server / PAGE
        self.costs[f"PostgreSQL CPU per mark, {PAGE} at a time"] = each.postgres / PAGE
        self.costs[f"Redis CPU per mark, {PAGE} at a time"] = each.redis / PAGE

    async def saved(self, quiet: Spent) -> None:
        """Checkpoints of positions, as a process saves them each minute."""
        engine = connect_database(self.bench.world.database_url, pool_size=2)
        positions = Positions(database=Database(engine=engine, metrics=Metrics()))
        loop = asyncio.get_running_loop()
        started, before, ours = loop.time(), await self.meter.read(), time.process_time()
        for cursor in range(1, SAVES + 1):
            for first in range(0, MANY, 1_000):
                await positions.save([Checkpoint(f"saved:{first + k}", Cursor(cursor), 1) for k in range(1_000)])
        ours = time.process_time() - ours
        each = (await self.meter.read() - before).less(quiet, loop.time() - started).each(SAVES * MANY)
        await engine.dispose()
        self.costs["server CPU per position saved"] = ours / (SAVES * MANY) * 1e6
        self.costs["PostgreSQL CPU per position saved"] = each.postgres

    async def sizes(self) -> None:
        """Bytes of a row with its indexes, and of an entry."""
        for name, table in TABLES.items():
            size, rows = await self.database.fetchrow(
                f"SELECT pg_total_relation_size('{table}'), greatest(count(*), 1) FROM {table}"  # noqa: S608 - ours
            )
            self.costs[f"PostgreSQL bytes per {name}"] = size / rows
        memory = await self.redis.memory_usage(Keys().stream, samples=0) or 0
        self.costs["Redis bytes per entry"] = memory / max(1, await self.redis.xlen(Keys().stream))
