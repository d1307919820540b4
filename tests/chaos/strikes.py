"""What the steps of a schedule do to a cluster."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import sqlalchemy as sa
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from resolvers.database.tables import activities
from resolvers.embedded import start_postgres
from streams.connection import connect_alone as connect_redis
from streams.keys import Keys
from tests.chaos.cluster import Cluster
from tests.chaos.schedule import Fault, Step
from tests.chaos.serve import UNRENDERABLE
from tests.chaos.sharded import ShardedCluster
from tests.support.waiting import wait_until

DELAY = 0.05
"""Seconds each way: a round trip across an ocean."""
TRIMMED_TO = 2
"""Entries that a trim leaves in the stream."""


async def strike(cluster: Cluster, step: Step) -> None:
    """Do what the step says; return when it has ended. A fault that meets a broken world does what it can."""
    with contextlib.suppress(OSError, RedisError, SQLAlchemyError, httpx.HTTPError):
        match step.fault:
            case Fault.FREEZE:
                async with _frozen(cluster, step.target):
                    await asyncio.sleep(step.lasts)
            case Fault.KILL | Fault.TERMINATE:
                await _end_server(cluster, int(step.target), step)
            case Fault.CLOCK:
                _step_clock(cluster, step)
            case Fault.CUT | Fault.DELAY:
                await _strike_proxies(cluster, step)
            case Fault.STOP_REDIS | Fault.CRASH_REDIS | Fault.FAILOVER | Fault.FLUSH | Fault.TRIM | Fault.POISON:
                await (
                    cluster.strike_redis(step) if isinstance(cluster, ShardedCluster) else _strike_redis(cluster, step)
                )
            case Fault.RESTART_POSTGRES:
                await _restart_postgres(cluster, step.lasts)
            case Fault.BROKEN:
                await _break_rendering(cluster)


@asynccontextmanager
async def _frozen(cluster: Cluster, target: str) -> AsyncIterator[None]:
    """The server is stopped while the block runs; nothing is for no target, or one that does not run."""
    server = cluster.servers[int(target)] if target else None
    if server is None:
        yield
        return
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.signal(signal.SIGCONT)


async def _end_server(cluster: Cluster, k: int, step: Step) -> None:
    server, cluster.servers[k] = cluster.servers[k], None
    if server is None:
        return
    if step.fault is Fault.TERMINATE:
        server.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await server.wait(10)
    await server.kill()
    await asyncio.sleep(step.lasts)


def _step_clock(cluster: Cluster, step: Step) -> None:
    clock = cluster.clocks[int(step.target)]
    if not clock.can_step and os.environ.get("CI"):
        raise RuntimeError("clocks cannot be stepped without libfaketime")
    clock.step(step.leap)


async def _strike_proxies(cluster: Cluster, step: Step) -> None:
    struck = [proxy for name, proxy in cluster.proxies.items() if name.startswith(step.target)]
    if step.fault is Fault.CUT:
        for proxy in struck:
            proxy.cut()
        return
    for proxy in struck:
        proxy.delay = DELAY
    await asyncio.sleep(step.lasts)
    for proxy in struck:
        proxy.delay = 0.0


async def _strike_redis(cluster: Cluster, step: Step) -> None:
    match step.fault:
        case Fault.STOP_REDIS | Fault.CRASH_REDIS:
            await _restart_redis(cluster, step.lasts, crash=step.fault is Fault.CRASH_REDIS)
        case Fault.FAILOVER:
            await _fail_over(cluster, step.lasts)
        case _:
            await _strike_stream(cluster, step)


async def _restart_redis(cluster: Cluster, lasts: float, *, crash: bool) -> None:
    async with cluster.redis_lock:  # two at once would each start one
        k = cluster.primary
        cluster.redises[k].kill() if crash else cluster.redises[k].stop()
        cluster.proxies["redis"].cut()
        await asyncio.sleep(lasts)
        cluster.redises[k] = cluster.start_redis(k)


async def _restart_postgres(cluster: Cluster, lasts: float) -> None:
    async with cluster.postgres_lock:
        cluster.postgres.stop()
        for name in ("postgres", "publishers"):
            cluster.proxies[name].cut()
        await asyncio.sleep(lasts)
        cluster.postgres = start_postgres(cluster.directory / "postgres", durable=True)


async def _fail_over(cluster: Cluster, lasts: float) -> None:
    """The replica stops to follow, the primary goes on for a while; then the replica takes over, with less."""
    async with cluster.redis_lock:
        old, new = cluster.primary, 1 - cluster.primary
        replica = connect_redis(cluster.redises[new].url)
        try:
            await replica.replicaof("NO", "ONE")
            await asyncio.sleep(lasts)
            cluster.primary = new
            cluster.proxies["redis"].cut()
        finally:
            await replica.aclose()
        cluster.redises[old].kill()
        cluster.redises[old] = cluster.start_redis(old, follows=new)


async def _break_rendering(cluster: Cluster) -> None:
    cluster.bad_deploy.touch()
    async with cluster.engine.begin() as connection:
        await connection.execute(sa.insert(activities).values(type="SPEECH", title=UNRENDERABLE))


async def _strike_stream(cluster: Cluster, step: Step) -> None:
    async with cluster.redis() as redis:
        if step.fault is Fault.FLUSH:
            await redis.flushall()
        elif step.fault is Fault.POISON:
            await redis.xadd(Keys().stream, {"data": "garbage"})
        else:
            async with _frozen(cluster, step.target):
                if step.target:
                    await _appended(redis, TRIMMED_TO + 4)
                await redis.xtrim(Keys().stream, maxlen=TRIMMED_TO, approximate=False)


async def _appended(redis: "Redis", count: int) -> None:
    """Wait until so much has come that a frozen server will lack some, and has to see that by `prev`; at most 8 s."""
    newest: Any = await redis.xrevrange(Keys().stream, count=1)
    since = newest[0][0].decode() if newest else "0-0"

    async def enough() -> bool:
        rows: Any = await redis.xrange(Keys().stream, min=f"({since}", count=count)
        return len(rows) == count

    with contextlib.suppress(AssertionError):
        await wait_until(enough, description="enough has come", within=8, every=0.1)
