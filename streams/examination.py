"""What the doctor looks at in Redis."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from streams.connection import eviction_policy, translated
from streams.cursor import START, Cursor
from streams.errors import StreamsUnavailable
from streams.keys import Keys
from streams.pending import read_pending
from streams.processes import DEAD_AFTER
from telemetry.findings import Finding, Grade, care, judge, skew, well, wrong
from telemetry.health import LONG_PENDING, MUCH_PENDING, Pel

OLDEST = (7, 0)
NEARLY_FULL = 0.8
LOOK_AGAIN = 1.5
"""Seconds that a sequencer may take to append, when it waits for its timer."""


Head = Callable[[], Awaitable[Cursor]]
"""Reads where the log ends. Raises what PostgreSQL raises."""


async def examine(redis: "Redis", *, head: Head | None) -> list[Finding]:
    """Server, stream, groups and processes. `head`: None when PostgreSQL does not answer."""
    try:
        async with translated("being examined"):
            info: Any = await redis.info()
            seconds, micro = await redis.time()
        policy = await eviction_policy(redis)
        pel = await read_pending(redis)
        return [
            *of_server(info, policy),
            skew("Redis' clock", seconds + micro / 1e6, time.time()),
            *await _of_stream(redis, head, pel),
            *await _of_groups(redis, pel),
        ]
    except StreamsUnavailable as error:
        return [wrong("Redis", str(error), "start it, or correct REDIS_URL; until then clients poll")]


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


async def _of_stream(redis: "Redis", head: Head | None, pel: Pel) -> list[Finding]:
    size = f"{pel.length} entries, {pel.memory / 2**20:.1f} MB"
    if head is None:
        return [well("stream", f"{size}, not compared with the log")]
    found = await _compared(redis, head, size)
    if found.grade is Grade.CARE:  # a server may be just about to append
        await asyncio.sleep(LOOK_AGAIN)
        found = await _compared(redis, head, size)
    return [found]


async def _compared(redis: "Redis", head: Head, size: str) -> Finding:
    before = await head()
    async with translated("reading the stream's end"):
        newest: Any = await redis.xrevrange(Keys().stream, count=1)
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


async def _of_groups(redis: "Redis", pel: Pel) -> list[Finding]:
    keys = Keys()
    alive_since = int((time.time() - DEAD_AFTER.total_seconds()) * 1_000)
    async with translated("reading the registry of groups"):
        groups = await redis.zcard(keys.groups)
        positions = await redis.hlen(keys.positions)
        living = await redis.zcount(keys.processes, alive_since, "+inf")
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
