"""What the doctor looks at in Redis."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from streams.connection import Client, eviction_policy, translated
from streams.cursor import START, Cursor
from streams.errors import StreamsUnavailable
from streams.keys import Keys, keys_of
from streams.nodes import left_over, nodes_of, of_nodes, placed
from streams.pending import read_pending
from streams.processes import DEAD_AFTER
from telemetry.findings import Finding, Grade, care, judge, skew, well, wrong
from telemetry.health import LONG_PENDING, MUCH_PENDING, Pel

OLDEST = (7, 0)
NEARLY_FULL = 0.8
MISNAMED = "cluster"
LOOK_AGAIN = 1.5
"""Seconds that a sequencer may take to append, when it waits for its timer."""


Head = Callable[[], Awaitable[Cursor]]
"""Reads where the log ends. Raises what PostgreSQL raises."""


async def examine(redis: Client, *, head: Head | None, shards: int = 1) -> list[Finding]:
    """Servers, streams, groups and processes. `head`: None when PostgreSQL does not answer."""
    try:
        of_servers = await (_of_cluster(redis, shards) if isinstance(redis, RedisCluster) else _of_server(redis))
        if any(one.grade is Grade.WRONG and one.about == MISNAMED for one in of_servers):
            return of_servers  # most keys are elsewhere
        pel = await read_pending(redis, shards=shards)
        of_streams = [one for keys in keys_of(shards) for one in await _of_stream(redis, keys, head, pel)]
        return [*of_servers, *of_streams, *await _of_groups(redis, pel, shards), *await left_over(redis, shards)]
    except StreamsUnavailable as error:
        return [wrong("Redis", str(error), "start it, or correct REDIS_URL; until then clients poll")]


async def _of_server(redis: Redis) -> list[Finding]:
    async with translated("being examined"):
        info: Any = await redis.info()
        seconds, micro = await redis.time()
    found = [*of_server(info, await eviction_policy(redis)), skew("Redis' clock", seconds + micro / 1e6, time.time())]
    if info.get("cluster_enabled"):
        found.append(
            wrong(MISNAMED, "REDIS_URL names one node of a cluster", "write redis+cluster:// before its nodes")
        )
    return found


async def _of_cluster(cluster: RedisCluster, shards: int) -> list[Finding]:
    """What is well is said once, of a primary; what is not, of each node."""
    nodes = await nodes_of(cluster)
    found = list(of_nodes(nodes, placed(cluster, shards)))
    said: set[str] = set()
    for node in sorted((node for node in nodes if node.info), key=lambda node: not node.is_primary):
        policy = node.settings.get("maxmemory-policy", "unknown")
        for one in of_server({**node.info, "role": "master"}, policy):
            if one.grade is not Grade.WELL:
                found.append(replace(one, about=f"{one.about} at {node.name}"))
            elif one.about not in said:
                said.add(one.about)
                found.append(one)
    return found


def of_server(info: Mapping[str, Any], policy: str) -> Iterator[Finding]:
    """From what INFO says."""
    version = str(info.get("redis_version", "0.0"))
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    yield judge(
        bad=tuple(int(part) for part in version.split(".")[:2]) < OLDEST,
        about="Redis",
        found=name,
        remedy="take Redis 7.0 or newer, or Valkey",
        grade=Grade.WRONG,
    )
    if info.get("role") == "slave":
        yield wrong("Redis' role", "a replica", "name the primary in REDIS_URL: a replica refuses writes")
    if policy == "unknown":
        yield care("eviction", "CONFIG is forbidden here", "make sure that maxmemory-policy is noeviction")
    else:
        yield judge(
            bad=policy != "noeviction",
            about="eviction",
            found=f"maxmemory-policy is {policy}",
            remedy="set it to noeviction: an allkeys policy evicts the stream, any other evicts read marks",
            grade=Grade.WRONG if policy.startswith("allkeys-") else Grade.CARE,
        )
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    of = f"of {limit / 2**20:.0f} MB" if limit else "and no maxmemory"
    yield judge(
        bad=bool(limit) and used > NEARLY_FULL * limit,
        about="memory",
        found=f"{used / 2**20:.0f} MB {of}",
        remedy="raise maxmemory, or lower STREAM_RETENTION or STREAM_MAX_LENGTH: at the limit, writes fail",
    )
    yield judge(
        bad=not info.get("aof_enabled"),
        about="persistence",
        found="append-only file" if info.get("aof_enabled") else "no append-only file",
        remedy="set appendonly to yes: else a restart takes positions back by up to a minute (PostgreSQL has the rest)",
    )


async def _of_stream(redis: Client, keys: Keys, head: Head | None, pel: Pel) -> list[Finding]:
    size = f"{pel.length} entries, {pel.memory / 2**20:.1f} MB"
    if head is None:
        return [well(_name(keys), f"{size}, not compared with the log")]
    found = await _compared(redis, keys, head, size)
    if found.grade is Grade.CARE:  # a server may be just about to append
        await asyncio.sleep(LOOK_AGAIN)
        found = await _compared(redis, keys, head, size)
    return [replace(found, about=_name(keys))]


def _name(keys: Keys) -> str:
    return f"stream {keys.shard}" if keys.shard else "stream"


async def _compared(redis: Client, keys: Keys, head: Head, size: str) -> Finding:
    before = await head()
    async with translated("reading the stream's end"):
        newest: Any = await redis.xrevrange(keys.stream, count=1)
    last = Cursor.parse(newest[0][0]) if newest else START
    return of_stream(last, size, before=before, after=await head())


def of_stream(last: Cursor, size: str, *, before: Cursor, after: Cursor) -> Finding:
    """The stream's end beside the log's, which was read before it and after it: servers may be at work."""
    if last > after:
        found = f"{size}; it ends at {last}, after the log ({after}): PostgreSQL has lost its tail, or is another's"
        remedy = "correct REDIS_URL or DATABASE_URL; if they are right, servers continue after what Redis has seen"
        return wrong("stream", found, remedy)
    if last < before:
        found = f"{size}; it ends at {last}, before the log ({before})" if last else "empty, though the log is not"
        return care("stream", found, "start a server: its sequencer appends what is missing within a second")
    return well("stream", size if last else "empty, as the log is")


async def _of_groups(redis: Client, pel: Pel, shards: int) -> list[Finding]:
    every = keys_of(shards)
    alive_since = int((time.time() - DEAD_AFTER.total_seconds()) * 1_000)
    async with translated("reading the registry of groups"):
        groups = sum([await redis.zcard(keys.groups) for keys in every])
        positions = sum([await redis.hlen(keys.positions) for keys in every])
        living = max([await redis.zcount(keys.processes, alive_since, "+inf") for keys in every])
    return [
        well("subscribers", f"{positions} with a position, {groups} with a consumer group"),
        of_pending(pel),
        well("processes", f"{living} of ours have given a sign of life in the last {DEAD_AFTER.seconds} s"),
    ]


def of_pending(pel: Pel) -> Finding:
    """All pending entries."""
    oldest = timedelta(seconds=round(pel.oldest.total_seconds()))
    return judge(
        bad=pel.total > MUCH_PENDING or pel.oldest > LONG_PENDING,
        about="pending",
        found=f"{pel.total} entries of {pel.subscribers} subscribers, the oldest for {oldest}",
        remedy="see docs/runbooks: entries of absent devices are parked after five minutes if a server leads",
    )
