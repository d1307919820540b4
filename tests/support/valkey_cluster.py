"""A real Valkey cluster: three primaries and a replica of each, on loopback, made without any tool but the client."""

import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from resolvers.embedded import Child, start_valkey
from streams.connection import connect_alone
from streams.keys import Keys
from tests.support.directories import reachable_directory
from tests.support.waiting import wait_until

PRIMARIES = 3
SLOTS = 16_384
SETTINGS = {
    "bind": "127.0.0.1",
    "cluster-enabled": "yes",
    "cluster-node-timeout": "1000",
    "cluster-replica-validity-factor": "0",  # on a busy test machine no replica is ever too old
    "cluster-require-full-coverage": "no",
    "repl-diskless-sync-delay": "0",
}


class ValkeyCluster:
    """Nodes 0 to 2 begin as primaries of a third of the slots each, node k + 3 as the replica of node k."""

    def __init__(self, directory: Path, *, replicas: bool, durable: bool = False) -> None:
        self._directory = directory
        self._durable = durable
        count = 2 * PRIMARIES if replicas else PRIMARIES
        free = free_ports(2 * count)
        self.ports, self._buses = free[:count], free[count:]
        self.children: list[Child] = []

    @property
    def url(self) -> str:
        """As REDIS_URL names it: two of the nodes, which know the others."""
        return f"redis+cluster://127.0.0.1:{self.ports[0]},127.0.0.1:{self.ports[1]}"

    async def start(self) -> None:
        """Start the servers and make them a cluster; return when every node knows all about it."""
        self.children = [self._start(k) for k in range(len(self.ports))]
        for k in range(PRIMARIES):
            first, last = k * SLOTS // PRIMARIES, (k + 1) * SLOTS // PRIMARIES - 1
            await self._ask(k, "CLUSTER", "ADDSLOTSRANGE", first, last)
            await self._ask(k, "CLUSTER", "SET-CONFIG-EPOCH", k + 1)
        for k in range(1, len(self.ports)):
            await self._ask(0, "CLUSTER", "MEET", "127.0.0.1", self.ports[k], self._buses[k])
        await wait_until(self._have_met, description="the nodes have met")
        for k in range(PRIMARIES, len(self.ports)):
            primary = (await self._ask(k - PRIMARIES, "CLUSTER", "MYID")).decode()
            await self._ask(k, "CLUSTER", "REPLICATE", primary)
        await wait_until(self.whole, description="the cluster is whole")

    def _start(self, k: int) -> Child:
        own = {"port": str(self.ports[k]), "cluster-port": str(self._buses[k])}
        return start_valkey(self._directory / f"node{k}", durable=self._durable, settings={**SETTINGS, **own})

    def stop(self) -> None:
        """End all servers."""
        for child in self.children:
            child.kill()
            child.stop()  # which removes its socket

    def restart(self, k: int) -> None:
        """Start a node that was killed: empty, as it does not write to a disk; the others know it by its file."""
        self.children[k] = self._start(k)

    async def whole(self) -> bool:
        """Whether all nodes say that the cluster is well, and every primary has its replica at hand."""
        infos = [await self._info(k) for k in range(len(self.ports))]
        return all(info.get("cluster_state") == "ok" for info in infos) and await self._replicate()

    async def _replicate(self) -> bool:
        replicas = 0
        for k in range(len(self.ports)):
            role: Any = await self._ask(k, "ROLE")
            if role[0] == b"slave":
                if role[3] != b"connected":
                    return False
                replicas += 1
        return replicas == len(self.ports) - PRIMARIES

    async def _have_met(self) -> bool:
        known = [int((await self._info(k)).get("cluster_known_nodes", "0")) for k in range(len(self.ports))]
        return min(known) == len(self.ports)

    async def _info(self, k: int) -> dict[str, str]:
        text: bytes = await self._ask(k, "CLUSTER", "INFO")
        return dict(line.split(":", 1) for line in text.decode().split("\r\n") if ":" in line)

    async def _ask(self, k: int, *words: str | int) -> Any:
        async with self.node(k) as client:
            return await client.execute_command(*words)  # type: ignore[no-untyped-call]

    @asynccontextmanager
    async def node(self, k: int) -> AsyncIterator["Redis"]:
        """A client of one node alone."""
        client = connect_alone(self.children[k].url)
        client.response_callbacks.clear()  # replies as the server gives them
        try:
            yield client
        finally:
            await client.aclose()

    async def primary_of(self, shard: int) -> int:
        """Which node has the keys of a shard now."""
        slot = key_slot(Keys(shard).stream.encode())
        for k, child in enumerate(self.children):
            if child.alive:
                with contextlib.suppress(RedisError, OSError):
                    for first, last, primary, *_ in await self._ask(k, "CLUSTER", "SLOTS"):
                        if first <= slot <= last:
                            return self.ports.index(primary[1])
        raise AssertionError("no node knows")

    async def fail_over(self, shard: int) -> int:
        """Kill a shard's primary; return it when a replica has taken over."""
        killed = await self.primary_of(shard)
        self.children[killed].kill()

        async def taken_over() -> bool:
            return await self.primary_of(shard) != killed

        await wait_until(taken_over, description="a replica has taken over", within=30, every=0.05)
        return killed


def free_ports(count: int) -> Sequence[int]:
    """TCP ports of 127.0.0.1 that nobody listened on a moment ago, all of them different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@asynccontextmanager
async def valkey_cluster(*, replicas: bool = True) -> AsyncIterator[ValkeyCluster]:
    """A cluster on data of its own."""
    with reachable_directory() as directory:
        cluster = ValkeyCluster(directory, replicas=replicas)
        try:
            await cluster.start()
            yield cluster
        finally:
            cluster.stop()
