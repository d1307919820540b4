"""100 different filters and selections: what an activity costs that few follow, and one that everybody follows."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.benchmarks.bench import Bench, Row
from tests.benchmarks.client import Target, load, settled
from tests.benchmarks.peers.divisionbell import DivisionBell
from tests.benchmarks.session import CLIENT_CORE, SERVER_CORE, SessionFailed, opened_all
from tests.benchmarks.wire import SUBSCRIPTION

OPERATIONS = 100
REST = 3.0
MOST_OF_ALL = 0.1
"""What an activity for one subscriber in a hundred may cost, as a share of one for everybody: a tenth leaves room for
the sequencer and the tail, which every activity costs."""
Operation = Callable[[int], tuple[str, Mapping[str, Any]]]


async def run(bench: Bench) -> list[Row]:
    """Three populations of one size: all alike, a selection in 100 kinds, a filter and a selection in 100 kinds."""
    subscribers = max(1, bench.subscribers // 2 // OPERATIONS) * OPERATIONS
    async with DivisionBell(bench.world).running(SERVER_CORE) as server:
        mps = [await server.new_mp(f"Member {k}") for k in range(OPERATIONS)]

        async def cost(operation: Operation, matching: int) -> float:
            found = await _cost(server, server.requests_by(subscribers, operation), mps, matching, bench.scaled(50, 10))
            bench.say(f"    {matching} of {subscribers} match: {found * 1e3:.2f} ms of CPU an activity")
            return found

        alike = await cost(lambda _: (SUBSCRIPTION, {}), subscribers)
        selections = await cost(lambda k: (_selection(k), {}), subscribers)
        few = await cost(
            lambda k: (_selection(k), {"filter": {"mpIds": [str(mps[k % OPERATIONS])]}}), subscribers // OPERATIONS
        )
    return [
        Row(
            f"server CPU per activity, {subscribers:,} subscribers, one operation, all match",
            "—",
            f"{alike * 1e3:.1f} ms",
        ),
        Row(f"the same, {OPERATIONS} selections, all match", "—", f"{selections * 1e3:.1f} ms"),
        Row(
            f"the same, {OPERATIONS} filters and selections, 1 % matches",
            f"≤ {MOST_OF_ALL:.0%} of all matching",
            f"{few * 1e3:.2f} ms, {few / selections:.1%}" if selections > 0 else "too little to measure",
            few <= MOST_OF_ALL * selections,
        ),
    ]


def _selection(k: int) -> str:
    return SUBSCRIPTION.replace("publishedAt", f"publishedAt kind{k % OPERATIONS}: __typename")


async def _cost(
    server: DivisionBell, requests: Sequence[bytes], mps: Sequence[int], matching: int, activities: int
) -> float:
    """Seconds of the server's CPU an activity, less what it needs when nothing happens."""
    target = Target(server.port, requests, server.opened_by)
    async with load([target], core=CLIENT_CORE) as clients:
        await opened_all(clients, server.name)
        await asyncio.sleep(REST)
        idle = server.cpu()
        await asyncio.sleep(REST)
        idle = (server.cpu() - idle) / REST
        await clients.expect(1, activities, strict=False)
        loop = asyncio.get_running_loop()
        started, before = loop.time(), server.cpu()
        for sequence in range(1, activities + 1):
            await server.publish(sequence, 1, mps[sequence % OPERATIONS])
            await settled(clients, sequence * matching, within=60)
        await asyncio.sleep(REST)  # its receipts are part of the cost
        cost = (server.cpu() - before - idle * (loop.time() - started)) / activities
        report = await clients.report()
    if report.deliveries != activities * matching:
        raise SessionFailed(f"{report.deliveries} deliveries instead of {activities * matching}")
    return cost
