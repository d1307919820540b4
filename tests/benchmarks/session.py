"""One server with its subscribers: open, let it rest, publish in bursts and one by one; everything that shows."""

import asyncio
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.client import Load, load, settled
from tests.benchmarks.figures import Opened, Report
from tests.benchmarks.peers.child import Peer

SERVER_CORE, CLIENT_CORE = 0, 1
BURST = 50
STEADY = 4.0
"""Seconds at one rate of publication; the next is FASTER times as high, up to MOST_RATE a second."""
FASTER = 1.3
MOST_RATE = 200
SLOWEST = 1_000.0
"""Milliseconds within which 99 of 100 deliveries arrive at a rate that counts as sustained: the product's SLO."""
PATIENCE = 300.0
"""Seconds for the deliveries of a burst."""
REST = 2.0
"""Seconds after the opens: receipts and start-up garbage are over, and memory has settled."""


@dataclass(frozen=True, slots=True)
class Session:
    """Figures of one session, with as many `subscribers` as the server is measured with.

    Deliveries a second, from the first to the last. `sustained`: at the highest steady rate of publication at which 99
    of 100 arrive within SLOWEST and none is missing; `sustained_load` of the client's core. `burst`: BURST activities
    at once. `paced`: each one published when the one before had arrived everywhere, so that the road from publication
    to the server's fan-out counts as well. Latencies in milliseconds; `client_load` is a share of one core, in bursts;
    `cpu_per_delivery` seconds, in bursts.
    """

    subscribers: int
    opens_per_second: float
    refused: int
    bytes_per_idle: float
    sustained: float
    sustained_load: float
    burst: float
    paced: float
    paced_p50: float
    paced_p99: float
    client_load: float
    cpu_per_delivery: float
    missing: int
    duplicates: int


class SessionFailed(Exception):
    """The server did not do what is measured; the message says what was missing."""


async def opened_all(clients: Load, name: str, within: float = 600) -> Opened:
    """Open every connection, the refused ones again and again. Raises SessionFailed when not all open `within`."""
    try:
        return await clients.open(within)
    except TimeoutError as error:
        report = await clients.report()
        raise SessionFailed(f"{name} opened {report.open} of {report.connections}: {report.failure}") from error


async def session(
    peer: Peer, subscribers: int, *, bursts: int, paced: int, rates: int, say: Callable[[str], None] = lambda _: None
) -> Session:
    """Run one, with up to `rates` rates. Raises SessionFailed when something was not opened or has not arrived."""
    subscribers = min(subscribers, peer.most)
    async with peer.running(SERVER_CORE), load([peer.target(subscribers)], core=CLIENT_CORE) as clients:
        await asyncio.sleep(REST / 4)
        before = peer.resident()
        opened = await opened_all(clients, peer.name)
        await asyncio.sleep(REST)
        idle = (peer.resident() - before) / subscribers
        say(
            f"{subscribers} open, {subscribers / opened.seconds:,.0f}/s, {idle / 1024:.1f} KB each"
            + (f"; {opened.refused} were refused at first: {opened.failure}" if opened.refused else "")
        )
        cpu, reports = peer.cpu(), []
        for number in range(bursts):
            reports.append(await _burst(peer, clients, 1 + number * BURST, subscribers))
            say(f"burst {reports[-1].per_second:,.0f}/s, client {reports[-1].client_load:.0%} busy")
        cpu = (peer.cpu() - cpu) / sum(report.deliveries for report in reports)
        slow = await _paced(peer, clients, 1 + bursts * BURST, paced)
        say(f"paced {slow.per_second:,.0f}/s")
        first = 1 + bursts * BURST + paced
        steady = await _sustained(
            peer, clients, first, slow.per_second / subscribers, subscribers=subscribers, rates=rates
        )
        say(f"sustained {steady.per_second:,.0f}/s, client {steady.client_load:.0%} busy")
    return Session(
        subscribers=subscribers,
        opens_per_second=subscribers / opened.seconds,
        refused=opened.refused,
        bytes_per_idle=idle,
        sustained=steady.per_second,
        sustained_load=steady.client_load,
        burst=statistics.median(report.per_second for report in reports),
        paced=slow.per_second,
        paced_p50=slow.latencies.quantile(0.5),
        paced_p99=slow.latencies.quantile(0.99),
        client_load=statistics.median(report.client_load for report in reports),
        cpu_per_delivery=cpu,
        missing=sum(report.missing for report in [*reports, slow]),
        duplicates=sum(report.duplicates for report in [*reports, slow]),
    )


async def _burst(peer: Peer, clients: Load, first: int, subscribers: int) -> Report:
    await clients.expect(first, BURST)
    await peer.publish(first, BURST)
    report = await settled(clients, BURST * subscribers, within=PATIENCE)
    if report.deliveries < BURST * subscribers:
        raise SessionFailed(f"{peer.name}: {report.missing} deliveries of a burst missing; {report.failure}")
    return report


async def _paced(peer: Peer, clients: Load, first: int, count: int) -> Report:
    await clients.expect(first, count)
    for sequence in range(first, first + count):
        await peer.publish(sequence, 1)
        try:
            await clients.arrival(sequence)
        except TimeoutError as error:
            report = await clients.report()
            raise SessionFailed(f"{peer.name}: {sequence} has not arrived everywhere; {report.failure}") from error
    return await clients.report()


async def _sustained(peer: Peer, clients: Load, first: int, a_second: float, *, subscribers: int, rates: int) -> Report:
    """Publish at rates around `a_second` and higher, whatever has arrived; what was seen at the last that counts."""
    best: Report | None = None
    rate, loop = a_second * 0.6, asyncio.get_running_loop()
    while rates and rate < MOST_RATE:
        count = max(2, round(STEADY * rate))
        await clients.expect(first, count)
        started = loop.time()
        for k in range(count):
            await asyncio.sleep(max(0, started + k / rate - loop.time()))
            await peer.publish(first + k, 1)
        late = loop.time() - started - count / rate  # a server that does not take the next before the last is out
        report = await settled(clients, count * subscribers, within=STEADY)
        if report.missing or max(late * 1_000, report.latencies.quantile(0.99)) > SLOWEST:
            break
        best, first, rate, rates = report, first + count, rate * FASTER, rates - 1
    if best is None:
        raise SessionFailed(f"{peer.name} sustains no rate, not even {rate:.1f} a second")
    return best
