"""The jitter test: every client loses its connection every 15 s, is away for two, and resumes with its cursor."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmarks.bench import Bench, Row
from tests.benchmarks.client import Load, load, settled
from tests.benchmarks.figures import Replayed, Report
from tests.benchmarks.installing import PeerMissing
from tests.benchmarks.peers import PEERS
from tests.benchmarks.peers.child import Peer
from tests.benchmarks.peers.divisionbell import DivisionBell
from tests.benchmarks.session import CLIENT_CORE, SERVER_CORE, SessionFailed, opened_all

EVERY, AWAY = 15.0, 2.0
"""Seconds between two cuts of a connection, and until it comes back."""
EVERYBODY = 20_000
"""Whoever comes back waits for nobody else."""
LATE = 1_000.0
"""Milliseconds: what is asked of a replay, and within which 19 of 20 deliveries come from a server without any, if it
holds its clients."""
CALM = 60.0
"""Seconds after the last cut in which all that is left may arrive."""
LAG = 5.0
FEWEST = 100
COMPARED = ("yoga", "stock")


@dataclass(frozen=True, slots=True)
class Jittered:
    """What a server did under jitter. `held`: it kept up, whatever was lost on the way. `cpu`: seconds it used."""

    subscribers: int
    cpu: float
    expected: int
    report: Report
    replayed: Replayed
    open: int

    @property
    def share(self) -> float:
        """Of what was published, to each client, that has arrived in the end."""
        return self.report.deliveries / self.expected

    @property
    def in_time(self) -> bool:
        """Whether 99 of 100 who came back had all that they had missed within a second."""
        return not self.replayed.waiting and self.replayed.waits.quantile(0.99) < LATE

    @property
    def held(self) -> bool:
        """Nine of ten that ought to be open are, and what arrives is not late."""
        ought = self.subscribers * (1 - AWAY / EVERY)
        return self.open >= 0.9 * ought and self.report.latencies.quantile(0.95) <= LATE


async def run(bench: Bench) -> list[Row]:
    """Ours, with fewer clients too until it is in time; then each of the others with as many as it can hold."""
    subscribers = bench.scaled(bench.subscribers, min(300, bench.subscribers))
    seconds = bench.seconds or bench.scaled(60, 10)
    rows: list[Row] = []
    many = subscribers
    while many >= FEWEST:
        ours = await _jittered(DivisionBell(bench.world), bench, many, seconds)
        rows += _rows(ours, seconds)
        if ours.in_time:
            break
        many //= 2
    for name in COMPARED:
        if name in bench.peers:
            rows.append(await _peer(name, bench, subscribers, seconds))
    return rows


async def _jittered(peer: Peer, bench: Bench, subscribers: int, seconds: int) -> Jittered:
    """One activity a second for so long, everybody cut again and again; then the calm in which all may arrive."""
    bench.say(f"    {peer.name}: {subscribers} clients, each cut every {EVERY:.0f} s for {AWAY:.0f} s")
    async with (
        peer.running(SERVER_CORE),
        load([peer.target(subscribers)], core=CLIENT_CORE, reconnect=True) as clients,
    ):
        await opened_all(clients, peer.name)
        await clients.allow(EVERYBODY)
        await clients.expect(1, seconds)
        cpu = peer.cpu()
        await clients.jitter(EVERY, AWAY)
        await _one_a_second(peer, clients, seconds)
        open_now = (await clients.report()).open
        await clients.jitter(0, AWAY)
        report = await settled(clients, seconds * subscribers, within=CALM)
        replayed = await clients.replayed()
        cpu = peer.cpu() - cpu
    found = Jittered(subscribers, cpu, seconds * subscribers, report, replayed, open_now)
    p50, p99 = (replayed.waits.quantile(share) for share in (0.5, 0.99))
    bench.say(
        f"    {found.share:.2%} delivered, {replayed.cuts} cuts, {open_now} open at the end,"
        f" replays p50 {p50:,.0f} ms, p99 {p99:,.0f} ms"
    )
    return found


async def _one_a_second(peer: Peer, clients: Load, seconds: int) -> None:
    """Raises SessionFailed when the server is LAG behind in taking them."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    for k in range(seconds):
        if loop.time() - started - k > LAG:
            raise SessionFailed(f"{peer.name} does not take an activity a second: {k} in {loop.time() - started:.0f} s")
        await asyncio.sleep(max(0, started + k - loop.time()))
        await peer.publish(1 + k, 1)


async def _peer(name: str, bench: Bench, subscribers: int, seconds: int) -> Row:
    peer = PEERS[name]()
    many, tried = min(subscribers, peer.most), list[int]()
    while True:
        label = f"{peer.name}, the same, {many:,} clients"
        try:
            found = await _jittered(peer, bench, many, seconds)
        except PeerMissing as problem:
            return Row(label, "—", f"not measured. {problem}")
        except SessionFailed as problem:
            bench.say(f"    {problem}")
            found = None
        if found is not None and (found.held or many // 2 < FEWEST):
            return Row(label, "—", _of_peer(found, tried))
        if many // 2 < FEWEST:
            return Row(label, "—", f"could not be opened, nor could {_numbers(tried)}")
        tried.append(many)
        many //= 2


def _of_peer(found: Jittered, tried: Sequence[int]) -> str:
    late = found.report.latencies.quantile(0.95)
    text = f"{found.share:.2%} delivered, {found.report.missing:,} deliveries missing: it replays nothing"
    if not found.held:
        text += f"; behind even so (p95 {late:,.0f} ms, {found.open:,} open at the end)"
    return f"{text}. It did not keep up with {_numbers(tried)}" if tried else text


def _numbers(of: Sequence[int]) -> str:
    return " and ".join(f"{one:,}" for one in of) or "more"


def _rows(ours: Jittered, seconds: int) -> list[Row]:
    report, waits = ours.report, ours.replayed.waits
    whole = report.missing == 0 and report.deliveries == ours.expected
    what = f"{ours.subscribers:,} clients, each cut every {EVERY:.0f} s for {AWAY:.0f} s"
    return [
        Row(
            f"{what}, an activity a second for {seconds} s",
            "100 % delivered",
            f"{ours.share:.2%} of {ours.expected:,} ({report.missing:,} missing, {report.duplicates:,} repeated);"
            f" {ours.replayed.cuts:,} cuts",
            whole,
        ),
        Row(
            "the same: from a client's return until it has all that it missed",
            "p99 < 1 s",
            f"p50 {waits.quantile(0.5):,.0f} ms, p95 {waits.quantile(0.95):,.0f} ms,"
            f" p99 {waits.quantile(0.99):,.0f} ms;"
            f" {ours.cpu / max(1, ours.replayed.cuts) * 1e3:.2f} ms of CPU a cut, deliveries included;"
            f" {ours.replayed.waiting} of {waits.counts.total() + ours.replayed.waiting:,} did not get there",
            ours.in_time,
        ),
    ]
