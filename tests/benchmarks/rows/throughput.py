"""Deliveries a second beside the peers, in turn; memory and opens come from the same sessions."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence

from tests.benchmarks.bench import Bench, Row
from tests.benchmarks.installing import PeerMissing
from tests.benchmarks.peers import PEERS
from tests.benchmarks.peers.child import Peer
from tests.benchmarks.peers.divisionbell import DivisionBell
from tests.benchmarks.session import Session, SessionFailed, session

Sessions = dict[str, list[Session]]
TARGETS = {"nginx + nchan": 1.0, "graphql-yoga": 5.0, "Strawberry, stock SSE": 30.0}
KILOBYTES_PER_IDLE = 12
OPENS_PER_SECOND = 2_000


async def run(bench: Bench) -> list[Row]:
    """Each number of subscribers: every server, then every server again, …; the medians of the rounds."""
    rows: list[Row] = []
    if left_out := [name for name in PEERS if name not in bench.peers]:
        bench.notes.append(f"left out on request (PEERS): {', '.join(left_out)}")
    for subscribers in dict.fromkeys([max(1, bench.subscribers // 2), bench.subscribers]):
        sessions = await _rounds(bench, subscribers)
        rows += _rows(sessions, subscribers)
    return rows


async def _rounds(bench: Bench, subscribers: int) -> Sessions:
    found: Sessions = defaultdict(list)
    makers: list[Callable[[], Peer]] = [lambda: DivisionBell(bench.world), *(PEERS[name] for name in bench.peers)]
    absent: set[str] = set()
    for number in range(bench.rounds):
        for make in makers:
            peer = make()
            if peer.name in absent:
                continue
            bench.say(f"{peer.name}: round {number + 1} of {bench.rounds}, {min(subscribers, peer.most)} subscribers")
            try:
                found[peer.name].append(
                    await session(
                        peer,
                        subscribers,
                        bursts=bench.scaled(3, 1),
                        paced=bench.scaled(20, 5),
                        rates=bench.scaled(16, 2),
                        say=lambda what: bench.say(f"    {what}"),
                    )
                )
            except (PeerMissing, SessionFailed) as problem:
                absent.add(peer.name)
                found[peer.name] = []
                bench.notes.append(f"{peer.name}, {subscribers} subscribers: not measured. {problem}")
                bench.say(f"    not measured: {problem}")
    return found


def _rows(sessions: Sessions, subscribers: int) -> list[Row]:
    ours = sessions[DivisionBell.name]
    rows: list[Row] = []
    for name, of_peer in sessions.items():
        reached = "not measured, see below"
        target, met = "—", None
        if of_peer:
            reached = (
                f"sustained {_median(of_peer, 'sustained'):,.0f}/s"
                f" (client {_median(of_peer, 'sustained_load'):.0%} busy),"
                f" burst {_median(of_peer, 'burst'):,.0f}/s, paced {_median(of_peer, 'paced'):,.0f}/s"
                f" (p99 {_median(of_peer, 'paced_p99'):,.0f} ms);"
                f" {_median(of_peer, 'bytes_per_idle') / 1024:.1f} KB each,"
                f" {_median(of_peer, 'opens_per_second'):,.0f} opens/s,"
                f" client {_median(of_peer, 'client_load'):.0%} busy in bursts"
            )
        measured = of_peer[0].subscribers if of_peer else subscribers
        rows.append(Row(f"{name}, {measured:,} subscribers", target, reached, met))
        if name in TARGETS:
            rows.append(_ratio(name, ours, of_peer, subscribers))
    if ours:
        kilobytes, opens = _median(ours, "bytes_per_idle") / 1024, _median(ours, "opens_per_second")
        rows += [
            Row(
                f"memory per idle subscription, {subscribers:,}",
                f"≤ {KILOBYTES_PER_IDLE} KB",
                f"{kilobytes:.1f} KB",
                kilobytes <= KILOBYTES_PER_IDLE,
            ),
            Row(
                f"subscriptions opened per second, {subscribers:,}",
                f"≥ {OPENS_PER_SECOND:,} a core",
                f"{opens:,.0f}",
                opens >= OPENS_PER_SECOND,
            ),
            Row(
                f"opens refused at first, {subscribers:,}",
                "0",
                f"{sum(one.refused for one in ours)}",
                not any(one.refused for one in ours),
            ),
            Row(
                f"missing and duplicate deliveries, {subscribers:,}",
                "0 and 0",
                f"{sum(one.missing for one in ours)} and {sum(one.duplicates for one in ours)}",
                not any(one.missing or one.duplicates for one in ours),
            ),
        ]
    return rows


def _ratio(name: str, ours: Sequence[Session], theirs: Sequence[Session], subscribers: int) -> Row:
    label = f"deliveries per second, ÷ {name}, {subscribers:,}"
    target = f"≥ {TARGETS[name]:g} ×"
    if not ours or not theirs:
        return Row(label, target, "not measured, see below", None)
    times = {one: _median(ours, one) / _median(theirs, one) for one in ("sustained", "burst", "paced")}
    return Row(
        label,
        target,
        ", ".join(f"{one} {ratio:.2f} ×" for one, ratio in times.items()),
        times["sustained"] >= TARGETS[name],
    )


def _median(sessions: Sequence[Session], of: str) -> float:
    return statistics.median(float(getattr(one, of)) for one in sessions)
