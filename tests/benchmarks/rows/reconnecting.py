"""Everybody is cut at once, by SIGKILL of the server, and resumes with the cursor that was seen last.

Twice: as a storm of clients that try every 50 ms, which measures how fast a server opens; and with the delays of the
product's own client, which spread them as they would be, and measures how long one waits that has reached the server.
"""

import asyncio
import time
from dataclasses import dataclass

from tests.benchmarks.bench import Bench, Row
from tests.benchmarks.client import Load, load, settled
from tests.benchmarks.figures import Latencies, Report
from tests.benchmarks.peers.divisionbell import DivisionBell
from tests.benchmarks.session import CLIENT_CORE, SERVER_CORE, opened_all

EACH = 10
"""Activities before the cut, while the server is away, and when it is back."""
AT_ONCE = 1_000
"""Reconnects of a storm in flight: the kernel's queue of connections to accept holds some thousands."""
EVERYBODY = 20_000
"""Clients with delays of their own wait for nobody else."""


@dataclass(frozen=True, slots=True)
class Back:
    """What became of those who were cut. `opened` is counted from the server's return, `resumed` from own connects."""

    report: Report
    opened: Latencies
    resumed: Latencies
    everybody: bool
    away: float

    @property
    def lossless(self) -> bool:
        """Whether all are back, and nothing is missing."""
        return self.everybody and self.report.missing == 0


async def run(bench: Bench) -> list[Row]:
    """The storm, then the same with back-off; clients count by sequence number what they have missed."""
    subscribers = bench.scaled(bench.subscribers, min(300, bench.subscribers))
    storm = await _cut(bench, subscribers, backoff=False)
    spread = await _cut(bench, subscribers, backoff=True)
    return [
        _lossless(f"{subscribers:,} clients cut at once and resuming with their cursors", storm),
        Row(
            "the same: from the server's return to the client's first event",
            "p99 < 1 s",
            _quantiles(storm.opened),
            storm.opened.quantile(0.99) < 1_000,
        ),
        _lossless(f"{subscribers:,} clients cut at once, with the reference client's back-off", spread),
        Row(
            f"the same, away for {spread.away:.1f} s: from a client's own connect to its first missed event",
            "p99 < 1 s",
            f"{_quantiles(spread.resumed)}; all back {spread.opened.quantile(1) / 1e3:.1f} s after the server",
            spread.resumed.quantile(0.99) < 1_000,
        ),
    ]


async def _cut(bench: Bench, subscribers: int, *, backoff: bool) -> Back:
    server = DivisionBell(bench.world)
    async with (
        server.running(SERVER_CORE),
        load([server.target(subscribers)], core=CLIENT_CORE, in_flight=64, reconnect=True, backoff=backoff) as clients,
    ):
        await opened_all(clients, server.name)
        await clients.allow(EVERYBODY if backoff else AT_ONCE)
        await clients.expect(1, 3 * EACH)
        await server.publish(1, EACH)
        await settled(clients, EACH * subscribers, within=60)
        bench.say(f"    killing the server under {subscribers} streams{', clients back off' if backoff else ''}")
        killed = time.time()
        await server.kill()
        await server.publish(1 + EACH, EACH)
        await server.start(SERVER_CORE)
        back = time.time()
        await server.publish(1 + 2 * EACH, EACH)
        report = await settled(clients, 3 * EACH * subscribers, within=bench.scaled(180, 60))
        opened = await _all_back(clients, subscribers, back)
        resumed = await clients.resumed(back)
    everybody = opened[0] == resumed[0] == subscribers
    return Back(report, opened[1], resumed[1], everybody, back - killed)


async def _all_back(clients: Load, subscribers: int, since: float) -> tuple[int, Latencies]:
    async with asyncio.timeout(60):
        while (opens := await clients.opens(since))[0] < subscribers:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.1)
    return opens


def _lossless(name: str, back: Back) -> Row:
    report = back.report
    continued = report.connections - report.incomplete
    return Row(
        name,
        "100 % without loss",
        f"{continued / report.connections:.2%} ({report.missing} deliveries missing, {report.duplicates} repeated)",
        back.lossless,
    )


def _quantiles(of: Latencies) -> str:
    return f"p50 {of.quantile(0.5) / 1e3:.2f} s, p99 {of.quantile(0.99) / 1e3:.2f} s"
