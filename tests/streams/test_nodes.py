"""What the doctor finds in a cluster."""

import pytest
from redis.asyncio.cluster import RedisCluster
from sqlalchemy.ext.asyncio import AsyncEngine

from streams.connection import connect_alone, eviction_policy
from streams.cursor import Cursor
from streams.examination import examine
from streams.keys import Keys
from streams.nodes import Node, of_nodes, of_places
from telemetry.findings import Finding, Grade
from tests.support.floor import ProcessFloor

WELL, CARE, WRONG = Grade
SHARDS = 3
SETTINGS = {"maxmemory-policy": "noeviction", "cluster-require-full-coverage": "no"}
PRIMARIES = [Node(f"p{k}", {"role": "master", "connected_slaves": 1}, SETTINGS) for k in range(3)]
REPLICAS = [Node(f"r{k}", {"role": "slave"}, SETTINGS) for k in range(3)]
PLACED = {0: "p0", 1: "p1", 2: "p2"}


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    """What was found, by what it is about."""
    assert len({one.about for one in findings}) == len(findings)
    return {one.about: one for one in findings}


def test_a_cluster_that_is_as_it_should_be_is_well() -> None:
    """A replica for each primary, a primary for each shard, and none that stops the others."""
    findings = by_name(list(of_nodes([*PRIMARIES, *REPLICAS], PLACED)))

    assert {one.grade for one in findings.values()} == {WELL}
    assert findings["cluster"].found == "3 primaries and 3 replicas answer"


@pytest.mark.parametrize(
    ("nodes", "about", "grade"),
    [
        ([*PRIMARIES, *REPLICAS[1:], Node("r0", {}, {})], "node r0", WRONG),
        ([Node("p0", {"role": "master", "connected_slaves": 0}, SETTINGS), *PRIMARIES[1:]], "replicas", CARE),
        (
            [Node("p0", {"role": "master", "connected_slaves": 1}, {"cluster-require-full-coverage": "yes"})],
            "coverage",
            CARE,
        ),
    ],
)
def test_what_a_failover_would_fail_on_is_told(nodes: list[Node], about: str, grade: Grade) -> None:
    """A node that is away, a primary without a replica, and shards that stop with one another."""
    assert by_name(list(of_nodes(nodes, PLACED)))[about].grade is grade


@pytest.mark.parametrize(
    ("placed", "primaries", "grade"),
    [
        (PLACED, 3, WELL),
        ({0: "p0"}, 3, WELL),
        ({0: "p0", 1: "p0", 2: "p1"}, 3, CARE),
        ({0: "p0", 1: "p1", 2: "p0"}, 2, CARE),
    ],
)
def test_shards_that_share_a_primary_are_told(placed: dict[int, str], primaries: int, grade: Grade) -> None:
    """They would not make anything faster."""
    assert of_places(placed, primaries).grade is grade


async def test_the_doctor_looks_at_every_node_and_every_shard(database: AsyncEngine, cluster: RedisCluster) -> None:
    """There are no replicas, one node evicts, one shard is behind, and another is left over."""
    floor = ProcessFloor(database, cluster, shards=SHARDS)
    await floor.publish(3)
    await cluster.delete(Keys(1).stream)
    await cluster.xadd(Keys(SHARDS).stream, {"left": "over"})
    evicting = cluster.get_primaries()[0]
    await cluster.config_set("maxmemory-policy", "allkeys-lru", target_nodes=[evicting])
    try:
        findings = by_name(await examine(cluster, head=lambda: head(floor), shards=SHARDS))
        assert await eviction_policy(cluster) == "allkeys-lru"
    finally:
        await cluster.config_set("maxmemory-policy", "noeviction", target_nodes=[evicting])

    assert findings[f"eviction at {evicting.name}"].grade is WRONG
    assert findings["eviction"].grade is WELL
    assert findings["replicas"].grade is CARE
    assert findings["shards"].found == "3 at 3 of 3 primaries"
    assert (findings["stream"].grade, findings["stream 1"].grade, findings["stream 2"].grade) == (WELL, CARE, WELL)
    assert "{activities:3}" in findings["old shards"].found


async def test_one_node_named_as_if_it_were_alone_is_told(cluster: RedisCluster) -> None:
    """A plain URL of a cluster's node: most keys are elsewhere."""
    await cluster.initialize()
    node = cluster.get_node_from_key(Keys().stream)
    assert node is not None
    alone = connect_alone(f"redis://{node.host}:{node.port}")

    findings = by_name(await examine(alone, head=None))

    assert findings["cluster"].grade is WRONG
    assert "redis+cluster://" in findings["cluster"].remedy
    await alone.aclose()


async def head(floor: ProcessFloor) -> Cursor:
    """Where the log ends."""
    return (await floor.log.head()).cursor
