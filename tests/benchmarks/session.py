"""One server with its subscribers: open, let it rest, publish in bursts and one by one; everything that shows."""

import asyncio
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.client import Load, Opened, load, settled
from tests.benchmarks.peers.child import Peer

SERVER_CORE, CLIENT_CORE = 0, 1
BURST = 50
REST = 2.0
"""Seconds after the opens: receipts and start-up garbage are over, and memory has settled."""


@dataclass(frozen=True, slots=True)
class Session:
    """Figures of one session.

    Deliveries a second, from the first to the last, `burst`: BURST activities at once; `paced`: each one published when
    the one before had arrived everywhere, so that the road from publication to the server's fan-out counts as well.
    Latencies in milliseconds; `client_load` is a share of one core, in bursts; `cpu_per_delivery` seconds, in bursts.
    """

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
        await asyncio.sleep(0.5)
        before = peer.resident()
        opened = await opened_all(clients, peer.name)
        await asyncio.sleep(REST)
        idle = (peer.resident() - before) / subscribers
        say(
            f"{subscribers} open, {subscribers / opened.seconds:,.0f}/s, {idle / 1024:.1f} KB each"
            + (f"; {opened.refused} were refused at first: {opened.failure}" if opened.refused else "")
        )
        burst_rates, loads, missing, duplicates, sequence = [], [], 0, 0, 1
        cpu, delivered = peer.cpu(), 0
        for _ in range(bursts):
            await clients.expect(sequence, BURST)
            await peer.publish(sequence, BURST)
            report = await settled(clients, BURST * subscribers, within=90)
            if report.deliveries < BURST * subscribers:
                raise SessionFailed(f"{peer.name}: {report.missing} deliveries of a burst missing; {report.failure}")
            burst_rates.append(report.per_second)
            loads.append(report.client_load)
            missing, duplicates = missing + report.missing, duplicates + report.duplicates
            delivered += report.deliveries
            sequence += BURST
            say(f"burst {report.per_second:,.0f}/s, client {report.client_load:.0%} busy")
        cpu = (peer.cpu() - cpu) / delivered
        await clients.expect(sequence, paced)
        for k in range(sequence, sequence + paced):
            await peer.publish(k, 1)
            try:
                await clients.arrival(k)
            except TimeoutError as error:
                raise SessionFailed(f"{peer.name}: {await clients.report()}") from error
        report = await clients.report()
        say(f"paced {report.per_second:,.0f}/s")
        return Session(
            opens_per_second=subscribers / opened.seconds,
            refused=opened.refused,
            bytes_per_idle=idle,
            burst=statistics.median(burst_rates),
            paced=report.per_second,
            paced_p50=report.latencies.quantile(0.5),
            paced_p99=report.latencies.quantile(0.99),
            client_load=statistics.median(loads),
            cpu_per_delivery=cpu,
            missing=missing + report.missing,
            duplicates=duplicates + report.duplicates,
        )
