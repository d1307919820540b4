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
PATIENCE = 300.0
"""Seconds for the deliveries of a burst."""
REST = 2.0
"""Seconds after the opens: receipts and start-up garbage are over, and memory has settled."""


@dataclass(frozen=True, slots=True)
class Session:
    """Figures of one session, with as many `subscribers` as the server is measured with.

    Deliveries a second, from the first to the last, `burst`: BURST activities at once; `paced`: each one published when
    the one before had arrived everywhere, so that the road from publication to the server's fan-out counts as well.
    Latencies in milliseconds; `client_load` is a share of one core, in bursts; `cpu_per_delivery` seconds, in bursts.
    """

    subscribers: int
    opens_per_second: float
    refused: int
    bytes_per_idle: float
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
    peer: Peer, subscribers: int, *, bursts: int, paced: int, say: Callable[[str], None] = lambda _: None
) -> Session:
    """Run one. Raises SessionFailed when not everything was opened or has arrived everywhere."""
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
    return Session(
        subscribers=subscribers,
        opens_per_second=subscribers / opened.seconds,
        refused=opened.refused,
        bytes_per_idle=idle,
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
