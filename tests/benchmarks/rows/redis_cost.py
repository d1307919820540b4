"""What a delivery costs Redis, and what it remembers of a subscriber."""

import asyncio

from redis.asyncio import Redis

from tests.benchmarks.bench import Bench, Row
from tests.benchmarks.client import load
from tests.benchmarks.peers.divisionbell import DivisionBell
from tests.benchmarks.session import CLIENT_CORE, SERVER_CORE, opened_all

MICROSECONDS, BYTES = 5, 400
FLUSHED = 3.0
"""Seconds until every receipt is written: the ledger waits for 2 s at most."""


async def run(bench: Bench) -> list[Row]:
    """One by one, so that receipts cannot be joined more than they would be in quiet times. Everything counts."""
    subscribers, activities = bench.subscribers, bench.scaled(50, 10)
    redis = bench.world.redis()
    try:
        async with DivisionBell(bench.world).running(SERVER_CORE) as server:
            memory = await _memory(redis)
            async with load([server.target(subscribers)], core=CLIENT_CORE) as clients:
                await opened_all(clients, server.name)
                await clients.expect(1, activities)
                await asyncio.sleep(FLUSHED)
                cpu = await _cpu(redis)
                for sequence in range(1, activities + 1):
                    await server.publish(sequence, 1)
                    await clients.arrival(sequence, within=120)
                await asyncio.sleep(FLUSHED)
                report = await clients.report()
                each = (await _cpu(redis) - cpu) / report.deliveries * 1e6
                known = (await _memory(redis) - memory) / subscribers
    finally:
        await redis.aclose()
    return [
        Row(
            f"Redis CPU per delivery, {subscribers:,} subscribers, {activities} activities one by one",
            f"≤ {MICROSECONDS} µs",
            f"{each:.1f} µs",
            each <= MICROSECONDS,
        ),
        Row(f"Redis memory per known subscriber, {subscribers:,}", f"≤ {BYTES} B", f"{known:.0f} B", known <= BYTES),
    ]


async def _cpu(redis: Redis) -> float:
    info = await redis.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


async def _memory(redis: Redis) -> int:
    """Bytes in use, but for the streams: those grow with activities, not with subscribers."""
    streams = 0
    async for key in redis.scan_iter(_type="stream", count=1_000):
        streams += await redis.memory_usage(key, samples=0) or 0
    return int((await redis.info("memory"))["used_memory"]) - streams
