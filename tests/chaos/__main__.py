"""Seeded chaos: `make chaos SEED=1 ROUNDS=10 CLIENTS=48`. Exit status 1 when a promise was broken.

SHARDED=1: three shards, in a Redis Cluster. BUG=ignore_prev: servers with a planted bug (tests/chaos/bugs.py).
"""

import asyncio
import os
import sys
import time
from dataclasses import dataclass

from tests.chaos.cluster import Cluster, cluster
from tests.chaos.rounds import run_round
from tests.chaos.schedule import draw
from tests.chaos.sharded import ShardedCluster

DEFAULTS = {"SEED": 1, "ROUNDS": 10, "CLIENTS": 48}
TOGETHER = 1 if os.environ.get("SHARDED") else 10
"""Rounds on one cluster: it takes as long to start as a round takes, and what one leaves behind is the next's past."""

MADE_BY = ShardedCluster if os.environ.get("SHARDED") else Cluster
AS_HERE = " SHARDED=1" if MADE_BY is ShardedCluster else ""


@dataclass
class Tally:
    """How the rounds went."""

    kept: int = 0
    broken: int = 0
    failed: int = 0


def main() -> int:
    """Run the rounds; print a line each, and the shortest explanation of what was broken."""
    first, rounds, clients = (int(os.environ.get(name) or default) for name, default in DEFAULTS.items())
    seeds = list(range(first, first + rounds))
    tally = Tally()
    while seeds:
        together, seeds = seeds[:TOGETHER], seeds[TOGETHER:]
        seeds = asyncio.run(run_together(together, clients=clients, tally=tally)) + seeds
    failed = f", {tally.failed} could not be run" if tally.failed else ""
    say(f"{tally.kept} of {tally.kept + tally.broken} rounds kept every promise{failed}")
    return int(tally.broken + tally.failed > 0)


async def run_together(seeds: list[int], *, clients: int, tally: Tally) -> list[int]:
    """Run these on one cluster; the seeds that are left when it could not be made to go on, or broke a promise."""
    seed = 0
    try:
        async with cluster(MADE_BY, bug=os.environ.get("BUG", "")) as here:
            while seeds:
                seed, *seeds = seeds
                if not await run_one(here, seed, clients=clients, tally=tally):
                    break
    except (AssertionError, OSError) as error:
        tally.failed += 1
        say(f"seed {seed or seeds.pop(0)}: could not be run: {error}")
    return seeds


async def run_one(here: Cluster, seed: int, *, clients: int, tally: Tally) -> bool:
    """Whether every promise was kept."""
    schedule, started = draw(seed), time.monotonic()
    found, history = await run_round(here, schedule, clients=clients)
    received = sum(len(client.received) for client in history.clients)
    say(
        f"seed {seed}: {len(schedule.steps)} faults, {len(history.committed)} activities, {received} deliveries,"
        f" {sum(len(client.gaps) for client in history.clients)} gaps, {len(history.letters)} dead letters,"
        f" {time.monotonic() - started:.0f} s: {'BROKEN' if found else 'all promises kept'}"
    )
    if not found:
        tally.kept += 1
        return True
    tally.broken += 1
    explained = "\n".join(map(str, found[:10]))
    say(f"{schedule}\n{here.output()}\n{explained}\nagain: make chaos SEED={seed} ROUNDS=1{AS_HERE}")
    return False


def say(what: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
