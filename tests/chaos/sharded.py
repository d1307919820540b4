"""The same with three shards in a Redis Cluster: what strikes Redis strikes one primary of three."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Any

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from streams.connection import connect
from streams.cursor import Cursor
from streams.keys import keys_of
from streams.pending import read_pending
from tests.chaos.cluster import Cluster
from tests.chaos.schedule import Fault, Step
from tests.support.valkey_cluster import PRIMARIES, ValkeyCluster
from tests.support.waiting import wait_until

SHARDS = PRIMARIES


class ShardedCluster(Cluster):
    """Three primaries and three replicas in place of one of each. No proxy: clients of a cluster go where it says."""

    def __init__(self, directory: Path, *, bug: str = "") -> None:
        super().__init__(directory, bug=bug)
        self._valkey = ValkeyCluster(directory / "valkey", replicas=True, durable=True)
        self._striking = asyncio.Lock()

    async def start_redises(self) -> None:
        """All six."""
        await self._valkey.start()

    def stop_redises(self) -> None:
        """All that are left, for good."""
        self._valkey.stop()

    def redis_settings(self) -> dict[str, str]:
        """The cluster's URL."""
        return {"REDIS_URL": self._valkey.url, "STREAM_SHARDS": str(SHARDS)}

    async def pending(self) -> dict[str, int]:
        """In all shards."""
        client = connect(self._valkey.url)
        try:
            return {"by Redis' own count": (await read_pending(client, shards=SHARDS)).total}
        finally:
            await client.aclose()

    async def streamed(self) -> list[tuple[Cursor, int | None]]:
        """Not looked at: each shard has a stream of its own."""
        return []

    async def strike_redis(self, step: Step) -> None:
        """One primary at a time: with two away, a cluster of three elects nobody."""
        with contextlib.suppress(RedisClusterException, AssertionError):
            if step.fault in {Fault.FLUSH, Fault.TRIM, Fault.POISON}:
                await self._strike_streams(step.fault)
                return
            async with self._striking:
                await self._strike_primary(step)

    async def _strike_primary(self, step: Step) -> None:
        shard = int(step.at * 1_000) % SHARDS
        struck = await self._valkey.primary_of(shard)
        child = self._valkey.children[struck]
        if step.fault is Fault.FAILOVER:
            replicas = [other for k, other in enumerate(self._valkey.children) if k % SHARDS == struck % SHARDS]
            replicas.remove(child)
            for replica in replicas:  # frozen, it misses what is written meanwhile
                replica.signal(signal.SIGSTOP)
            await asyncio.sleep(step.lasts)
            child.kill()
            for replica in replicas:
                replica.signal(signal.SIGCONT)
        else:
            child.kill() if step.fault is Fault.CRASH_REDIS else child.halt()
            await asyncio.sleep(step.lasts)  # it is back before its replica has taken over, or after
        with contextlib.suppress(AssertionError):
            await wait_until(
                lambda: self._moved(shard, struck), description="a replica has taken over", within=4, every=0.1
            )
        self._valkey.restart(struck)
        await wait_until(self._valkey.whole, description="the cluster is whole", within=30, every=0.1)

    async def _moved(self, shard: int, struck: int) -> bool:
        return await self._valkey.primary_of(shard) != struck

    async def _strike_streams(self, fault: Fault) -> None:
        client: Any = connect(self._valkey.url)
        try:
            for keys in keys_of(SHARDS):
                with contextlib.suppress(RedisError):
                    if fault is Fault.TRIM:
                        await client.xtrim(keys.stream, maxlen=2, approximate=False)
                    elif fault is Fault.POISON:
                        await client.xadd(keys.stream, {"data": "garbage"})
            if fault is Fault.FLUSH:
                await client.flushall(target_nodes=RedisCluster.PRIMARIES)
        finally:
            await client.aclose()

    async def heal_redis(self) -> None:
        """Start what is dead; return when the cluster is whole."""
        async with self._striking:
            for k, child in enumerate(self._valkey.children):
                if not child.alive:
                    self._valkey.restart(k)
            await wait_until(self._valkey.whole, description="the cluster is whole", within=60, every=0.1)
