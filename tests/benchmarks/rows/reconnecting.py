"""Everybody is cut at once, by SIGKILL of the server, and resumes with the cursor that was seen last."""

import asyncio
import time

from tests.benchmarks.bench import Bench, Row
from tests.benchmarks.client import load, settled
from tests.benchmarks.peers.divisionbell import DivisionBell
from tests.benchmarks.session import CLIENT_CORE, SERVER_CORE, opened_all

EACH = 10
"""Activities before the cut, while the server is away, and when it is back."""
AT_ONCE = 1_000
"""Reconnects in flight: the kernel's queue of connections to accept holds some thousands."""


async def run(bench: Bench) -> list[Row]:
    """Clients retry every 50 ms until they are in, and count by sequence number what they have missed."""
    subscribers = bench.scaled(bench.subscribers, min(300, bench.subscribers))
    server = DivisionBell(bench.world)
    async with (
        server.running(SERVER_CORE),
        load([server.target(subscribers)], core=CLIENT_CORE, in_flight=64, reconnect=True) as clients,
    ):
        await opened_all(clients, server.name)
        await clients.allow(AT_ONCE)
        await clients.expect(1, 3 * EACH)
        await server.publish(1, EACH)
        await settled(clients, EACH * subscribers, within=60)
        bench.say(f"    killing the server under {subscribers} streams")
        await server.kill()
        await server.publish(1 + EACH, EACH)
        await server.start(SERVER_CORE)
        back = time.time()
        await server.publish(1 + 2 * EACH, EACH)
        report = await settled(clients, 3 * EACH * subscribers, within=bench.scaled(180, 60))
        async with asyncio.timeout(60):
            while (opens := await clients.opens(back))[0] < subscribers:  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.1)
        resumed, latencies = opens
    continued = subscribers - report.incomplete
    return [
        Row(
            f"{subscribers:,} clients cut at once and resuming with their cursors",
            "100 % without loss",
            f"{continued / subscribers:.2%} ({report.missing} deliveries missing, {report.duplicates} repeated)",
            report.missing == 0 and resumed == subscribers,
        ),
        Row(
            "the same: from the server's return to the client's first event",
            "p99 < 1 s",
            f"p50 {latencies.quantile(0.5) / 1e3:.2f} s, p99 {latencies.quantile(0.99) / 1e3:.2f} s",
            latencies.quantile(0.99) < 1_000,
        ),
    ]
