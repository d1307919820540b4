"""Seeded chaos: `make chaos SEED=1 ROUNDS=10 CLIENTS=48`. Exit status 1 when a promise was broken.

SHARDED=1: three shards, in a Redis Cluster.
"""

import asyncio
import os
import sys
import time

from tests.chaos.cluster import Cluster
from tests.chaos.rounds import run_round
from tests.chaos.schedule import draw
from tests.chaos.sharded import ShardedCluster


def main() -> int:
    """Run the rounds; print a line each, and the shortest explanation of what was broken."""
    first, rounds, clients = (int(os.environ.get(name) or default) for name, default in DEFAULTS.items())
    made_by = ShardedCluster if os.environ.get("SHARDED") else Cluster
    broken = 0
    for seed in range(first, first + rounds):
        schedule, started = draw(seed), time.monotonic()
        found, history, output = asyncio.run(run_round(schedule, clients=clients, made_by=made_by))
        received = sum(len(client.received) for client in history.clients)
        say(
            f"seed {seed}: {len(schedule.steps)} faults, {len(history.log)} activities, {received} deliveries,"
            f" {sum(len(client.gaps) for client in history.clients)} gaps, {time.monotonic() - started:.0f} s:"
            f" {'BROKEN' if found else 'all promises kept'}"
        )
        if found:
            broken += 1
            say(
                f"{schedule}\n{output}\n"
                + "\n".join(map(str, found[:10]))
                + f"\nagain: make chaos SEED={seed} ROUNDS=1{' SHARDED=1' if made_by is ShardedCluster else ''}"
            )
    say(f"{rounds - broken} of {rounds} rounds kept every promise")
    return int(broken > 0)


DEFAULTS = {"SEED": 1, "ROUNDS": 10, "CLIENTS": 48}


def say(what: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
