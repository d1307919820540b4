"""From INSERT to client with 1,000 subscribers, nothing else to do, both cores free."""

from tests.benchmarks.bench import Bench, Row
from tests.benchmarks.client import load
from tests.benchmarks.peers.divisionbell import DivisionBell
from tests.benchmarks.session import opened_all

MILLISECONDS = 10


async def run(bench: Bench) -> list[Row]:
    """Single rows, each inserted when the one before has arrived everywhere."""
    subscribers, activities = bench.scaled(1_000, 100), bench.scaled(200, 20)
    async with (
        DivisionBell(bench.world).running(None) as server,
        load([server.target(subscribers)], core=None) as clients,
    ):
        await opened_all(clients, server.name)
        await clients.expect(1, activities)
        for sequence in range(1, activities + 1):
            await server.publish(sequence, 1)
            await clients.arrival(sequence)
        report = await clients.report()
    median, slowest = report.latencies.quantile(0.5), report.latencies.quantile(0.99)
    return [
        Row(
            f"INSERT to client, {subscribers:,} subscribers, {activities} activities one by one",
            f"p50 < {MILLISECONDS} ms",
            f"p50 {median:.1f} ms, p99 {slowest:.1f} ms",
            median < MILLISECONDS,
        )
    ]
