"""A cluster for the tests that need one; those that break it start their own."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio.cluster import RedisCluster

from streams.connection import connect
from tests.support.directories import reachable_directory
from tests.support.valkey_cluster import ValkeyCluster


@pytest.fixture(scope="session")
def cluster_url() -> Iterator[str]:
    """URL of three primaries without replicas, which tests may flush."""
    with reachable_directory() as directory:
        cluster = ValkeyCluster(directory, replicas=False)
        try:
            asyncio.run(cluster.start())
            yield cluster.url
        finally:
            cluster.stop()


@pytest.fixture
async def cluster(cluster_url: str) -> AsyncIterator[RedisCluster]:
    """A client of an empty cluster."""
    client = connect(cluster_url)
    assert isinstance(client, RedisCluster)
    await client.flushall(target_nodes=RedisCluster.PRIMARIES)
    yield client
    await client.aclose()
