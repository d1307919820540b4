"""What the doctor looks at in a cluster: every node, where the shards are, and what happens when a primary dies."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from streams.connection import Client, translated
from streams.keys import Keys, keys_of
from telemetry.findings import Finding, care, judge, well, wrong

MOST_LEFT_OVER = 16


@dataclass(frozen=True, slots=True)
class Node:
    """A server of a cluster; `info` is empty if it does not answer. `settings`: empty where CONFIG is forbidden."""

    name: str
    info: Mapping[str, Any]
    settings: Mapping[str, str]

    @property
    def is_primary(self) -> bool:
        """Whether it says so."""
        return self.info.get("role") == "master"


async def nodes_of(cluster: RedisCluster) -> list[Node]:
    """All that the cluster names. Raises StreamsUnavailable when none answers."""
    async with translated("asked for its nodes"):
        await cluster.initialize()
    return [await _described(cluster, node) for node in cluster.get_nodes()]


async def _described(cluster: RedisCluster, node: Any) -> Node:  # noqa: ANN401 - redis-py does not export its type
    try:
        info = await cluster.info(target_nodes=[node])
    except (RedisError, RedisClusterException, OSError):
        return Node(node.name, {}, {})
    try:
        asked: Any = await cluster.config_get("maxmemory-policy", "cluster-require-full-coverage", target_nodes=[node])
    except ResponseError:
        asked = {}
    return Node(node.name, info, asked)


def of_nodes(nodes: Sequence[Node], placed: Mapping[int, str]) -> Iterator[Finding]:
    """`placed`: the name of the primary that has each shard."""
    primaries = [node for node in nodes if node.is_primary]
    replicas = sum(1 for node in nodes if node.info) - len(primaries)
    yield well("cluster", f"{len(primaries)} primaries and {replicas} replicas answer")
    for node in nodes:
        if not node.info:
            yield wrong(f"node {node.name}", "does not answer", "start it, or take it out of the cluster")
    bare = sorted({node.name for node in primaries if not node.info.get("connected_slaves")} & set(placed.values()))
    yield judge(
        bad=bool(bare),
        about="replicas",
        found=f"none at {', '.join(bare)}" if bare else "each primary that has a shard has one",
        remedy="give each primary a replica: without, its devices' positions stand still until it is back",
    )
    stopping = [node.name for node in primaries if node.settings.get("cluster-require-full-coverage") == "yes"]
    yield judge(
        bad=bool(stopping) and len(placed) > 1,
        about="coverage",
        found="one primary that is away stops all shards" if stopping else "shards go on without each other",
        remedy="set cluster-require-full-coverage to no",
    )
    yield of_places(placed, len(primaries))


def of_places(placed: Mapping[int, str], primaries: int) -> Finding:
    """Where the shards are."""
    at = len(set(placed.values()))
    found = f"{len(placed)} at {at} of {primaries} primaries"
    if len(placed) > primaries:
        return care(
            "shards", found, "add primaries, or lower STREAM_SHARDS: two shards at a primary cost, and gain nothing"
        )
    where = ", ".join(f"{{activities:{shard}}} at {name}" for shard, name in sorted(placed.items()))
    return judge(
        bad=at < len(placed), about="shards", found=found, remedy=f"move slots until each has its own: {where}"
    )


async def left_over(redis: Client, shards: int) -> list[Finding]:
    """Shards that nobody writes to any more."""
    async with translated("looking for other shards"):
        found = [k for k in range(shards, shards + MOST_LEFT_OVER) if await redis.exists(Keys(k).stream)]
    names = ", ".join(f"{{activities:{k}}}:*" for k in found)
    remedy = "set it as it was; or delete these keys, PostgreSQL has what is in them"
    return [care("old shards", f"{names}, of a larger STREAM_SHARDS", remedy)] if found else []


def placed(cluster: RedisCluster, shards: int) -> dict[int, str]:
    """The name of the primary that has each shard; without those that none has."""
    nodes = {k: cluster.get_node_from_key(keys.stream) for k, keys in enumerate(keys_of(shards))}
    return {k: node.name for k, node in nodes.items() if node is not None}
