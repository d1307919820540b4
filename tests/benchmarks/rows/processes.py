"""100,000 subscriptions on two cores, in several server processes, load clients included."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from tests.benchmarks.bench import Bench, Row
from tests.benchmarks.client import Load, load, settled
from tests.benchmarks.figures import Report
from tests.benchmarks.peers.divisionbell import DivisionBell
from tests.benchmarks.session import opened_all

PROCESSES = 6
"""A process may open 20,000 files on many machines: 100,000 subscriptions need six."""
NAP = 2_000
"""Microseconds between two looks of a client, which shares cores with the servers here. Counted in the latencies."""
TIMES = 10
SINGLE = 5


@asynccontextmanager
async def serving(bench: Bench, processes: int) -> AsyncIterator[Sequence[DivisionBell]]:
    """Server processes on all cores, each on a port of its own. The one place that knows how they are started."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(DivisionBell(bench.world).running(None)) for _ in range(processes)]


async def run(bench: Bench) -> list[Row]:
    """SUBSCRIBERS times ten: single activities, each when the one before has arrived; then one a second."""
    subscribers, processes = bench.subscribers * TIMES, bench.scaled(PROCESSES, 2)
    subscribers = bench.scaled(subscribers, min(600, subscribers))
    seconds = bench.scaled(60, 5)
    async with serving(bench, processes) as servers:
        each = -(-subscribers // processes)
        before = sum(server.resident() for server in servers)
        async with load([server.target(each) for server in servers], core=None, nap=NAP) as clients:
            opened = await opened_all(clients, servers[0].name, within=1_800)
            bench.say(f"    {opened.open} open after {opened.seconds:.0f} s")
            held = (sum(server.resident() for server in servers) - before) / opened.open
            single = await _one_by_one(servers[0], clients, opened.open)
            bench.say(f"    one activity: p99 {single.latencies.quantile(0.99):,.0f} ms")
            steady = await _one_a_second(servers[0], clients, opened.open, seconds)
    return [
        Row(
            f"{opened.open:,} subscriptions, {processes} processes, two cores",
            "all held",
            f"{steady.open:,} held, {held / 1024:.1f} KB each",
            steady.open == opened.open,
        ),
        _row("one activity, everybody's", single, "p99 < 1 s, all reached", slowest=1_000),
        _row(f"one activity a second for {seconds} s, everybody's", steady, "all reached"),
    ]


def _row(name: str, report: Report, target: str, *, slowest: float = float("inf")) -> Row:
    p50, p99 = report.latencies.quantile(0.5), report.latencies.quantile(0.99)
    return Row(
        name,
        target,
        f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms; {report.missing} missing, {report.duplicates} repeated",
        p99 < slowest and report.missing == 0,
    )


async def _one_by_one(server: DivisionBell, clients: Load, subscribers: int) -> Report:
    await clients.expect(1, SINGLE)
    for sequence in range(1, SINGLE + 1):
        await server.publish(sequence, 1)
        await settled(clients, sequence * subscribers, within=120)
    return await clients.report()


async def _one_a_second(server: DivisionBell, clients: Load, subscribers: int, seconds: int) -> Report:
    await clients.expect(SINGLE + 1, seconds)
    loop = asyncio.get_running_loop()
    started = loop.time()
    for k in range(seconds):
        await asyncio.sleep(max(0, started + k - loop.time()))
        await server.publish(SINGLE + 1 + k, 1)
    return await settled(clients, seconds * subscribers, within=120)
