"""Chaos on three shards in a Redis Cluster: what strikes Redis, and servers. `make chaos SHARDED=1` has the rest."""

import pytest

from tests.chaos.cluster import cluster
from tests.chaos.known import unknown
from tests.chaos.rounds import run_round
from tests.chaos.schedule import Fault, draw
from tests.chaos.sharded import ShardedCluster

CLIENTS = 24
FIRST, ROUNDS = 1, 5
FAULTS = frozenset(
    {Fault.STOP_REDIS, Fault.CRASH_REDIS, Fault.FAILOVER, Fault.FLUSH, Fault.TRIM, Fault.POISON, Fault.KILL}
)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + ROUNDS))
async def test_every_promise_is_kept_on_shards(seed: int) -> None:
    """Whichever primary dies, freezes or comes back with less, and whoever takes over."""
    schedule = draw(seed, only=FAULTS)
    async with cluster(ShardedCluster) as here:
        found, _ = await run_round(here, schedule, clients=CLIENTS)
        output = here.output()

    news = unknown(found, schedule)
    assert not news, "\n".join([str(schedule), output, *map(str, news)])
