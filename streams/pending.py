"""How much is pending, for all subscribers together: numbers that scripts keep, read without looking at a group."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from redis.asyncio.cluster import RedisCluster

from streams.connection import Client, translated
from streams.keys import Keys, keys_of
from telemetry.health import Pel

SIGN_WITHIN = 0.8
"""Seconds: less than the health sample gives its probes, so that one shard that hangs does not speak for all."""


async def read_pending(redis: Client, *, shards: int = 1) -> Pel:
    """Read the index of pending entries: one round trip a shard, whatever the number of groups.

    Of several shards, `memory` and `length` are those of the largest stream: each holds the whole log. Of a cluster's
    nodes, `redis_memory` and its limit are those of the fullest that has a shard. Raises StreamsUnavailable.
    """
    async with translated("reading how much is pending"):
        return together(await asyncio.gather(*(_of_shard(redis, keys) for keys in keys_of(shards))))


async def answering(redis: Client, *, shards: int = 1) -> int:
    """How many shards give a sign of life. Raises StreamsUnavailable if none does."""

    async def ask(keys: Keys) -> None:
        async with translated("asked for a sign of life"), asyncio.timeout(SIGN_WITHIN):
            await redis.exists(keys.stream)

    signs = await asyncio.gather(*map(ask, keys_of(shards)), return_exceptions=True)
    silent = [sign for sign in signs if sign is not None]
    if len(silent) == shards:
        raise silent[0]
    return shards - len(silent)


async def _of_shard(redis: Client, keys: Keys) -> Pel:
    pipeline = redis.pipeline(transaction=False)
    pipeline.get(keys.pending_total)
    pipeline.zrange(keys.pending_since, 0, 0, withscores=True)
    pipeline.zcard(keys.pending_since)
    pipeline.xlen(keys.stream)
    pipeline.memory_usage(keys.stream, samples=5)
    if isinstance(redis, RedisCluster):  # a pipeline of a cluster takes what has a key
        answers: Any = await pipeline.execute()
        node = redis.get_node_from_key(keys.stream)
        answers.append(await redis.info("memory", target_nodes=[node]) if node else {})
    else:
        pipeline.info("memory")
        answers = await pipeline.execute()
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


def together(read: Sequence[Pel]) -> Pel:
    """What is pending in all shards."""
    fullest = max(read, key=lambda pel: (pel.redis_memory / (pel.redis_limit or float("inf")), pel.redis_memory))
    return Pel(
        total=sum(pel.total for pel in read),
        oldest=max(pel.oldest for pel in read),
        subscribers=sum(pel.subscribers for pel in read),
        length=max(pel.length for pel in read),
        memory=max(pel.memory for pel in read),
        redis_memory=fullest.redis_memory,
        redis_limit=fullest.redis_limit,
    )
