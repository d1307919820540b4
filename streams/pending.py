"""How much is pending, for all subscribers together: numbers that scripts keep, read without looking at a group."""

import time
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from streams.connection import translated
from streams.keys import Keys
from telemetry.health import Pel


async def read_pending(redis: "Redis", *, shard: int = 0) -> Pel:
    """Read the index of pending entries: one round trip, whatever the number of groups. Raises StreamsUnavailable."""
    keys = Keys(shard)
    async with translated("reading how much is pending"):
        pipeline = redis.pipeline(transaction=False)
        pipeline.get(keys.pending_total)
        pipeline.zrange(keys.pending_since, 0, 0, withscores=True)
        pipeline.zcard(keys.pending_since)
        pipeline.xlen(keys.stream)
        pipeline.memory_usage(keys.stream, samples=5)
        pipeline.info("memory")
        answers: Any = await pipeline.execute()
    total, oldest, subscribers, length, memory, info = answers
    age = max(0.0, time.time() - oldest[0][1] / 1_000) if oldest else 0.0
    return Pel(
        total=int(total or 0),
        oldest=timedelta(seconds=age),
        subscribers=subscribers,
        length=length,
        memory=int(memory or 0),
        redis_memory=int(info.get("used_memory", 0)),
        redis_limit=int(info.get("maxmemory", 0)),
    )
