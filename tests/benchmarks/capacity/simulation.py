"""The fan-out and the return of everybody, event by event: what multiplication does not show is who waits for whom."""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

SLICE = 200
"""Seats that are written before the event loop turns."""
SWEEP_EVERY = 2.0
"""Seconds from a delivery until it is confirmed and noted."""


@dataclass(frozen=True, slots=True)
class Server:
    """Seconds: `write` for a delivery, `more` for each further activity in the same write, `receipt` for what confirms
    and notes it, `road` from the publication until the first seat is written.
    """

    write: float
    receipt: float
    road: float
    more: float = 0.3e-6


@dataclass
class Waits:
    """Seconds that were waited, and by how many."""

    seen: list[tuple[float, int]] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """Seconds within which that share had it."""
        wanted = share * sum(count for _, count in self.seen)
        for waited, count in sorted(self.seen):
            wanted -= count
            if wanted <= 0:
                return waited
        return 0.0


@dataclass
class Pass:
    """Seats still to be visited, each at `cost`; `published` are the instants of the activities that it brings."""

    seats: int
    cost: float
    published: tuple[float, ...] = ()


def fan_out(server: Server, *, streams: int, activities: int, every: float | None) -> tuple[Waits, float]:
    """How long deliveries take, and how many there are a second from the first to the last.

    every: seconds between publications; None for the next when the one before has arrived everywhere. What is published
    while seats are being written waits for the next pass, and is one write with whatever else has come.
    """
    now, moved, sweep_at = 0.0, False, SWEEP_EVERY
    waits, jobs = Waits(), deque[Pass]()
    instants = [k * (every or 0.0) for k in range(activities if every is not None else 1)]
    coming = deque((at + server.road, at) for at in instants)
    left = activities - len(coming)
    first = last = 0.0
    while coming or jobs:
        if not jobs:
            now = max(now, coming[0][0])
        if moved and now >= sweep_at:
            jobs.append(Pass(streams, server.receipt))
            moved, sweep_at = False, now + SWEEP_EVERY
        if coming and coming[0][0] <= now and not any(job.published for job in jobs):
            ready = tuple(coming.popleft()[1] for _ in range(sum(at <= now for at, _ in coming)))
            jobs.append(Pass(streams, server.write + (len(ready) - 1) * server.more, ready))
        job = jobs.popleft()
        visited = min(SLICE, job.seats)
        now += visited * job.cost
        job.seats -= visited
        for at in job.published:
            waits.seen.append((now - at, visited))
            first, last, moved = first or now, now, True
        if job.seats:
            jobs.append(job)
        elif job.published and left:
            left -= 1
            coming.append((now + server.road, now))
    return waits, streams * activities / (last - first) if last > first else 0.0


def returning(
    *, clients: int, service: float, away: float = 0.0, delays: Callable[[int], float] | None = None
) -> Waits:
    """How long clients wait that were cut at once, from the server's return (`away` seconds later) or own connect.

    service: seconds that one takes the server. delays: None for clients that knock all the time.
    """
    waits, free = Waits(), away
    arrivals = [_arrival(away, delays) for _ in range(clients)] if delays else [away] * clients
    heapq.heapify(arrivals)
    while arrivals:
        came = heapq.heappop(arrivals)
        free = max(free, came) + service
        waits.seen.append((free - came, 1))
    return waits


def _arrival(away: float, delays: Callable[[int], float]) -> float:
    at, failures = 0.0, 0
    while True:
        at += delays(failures)
        if at >= away:
            return at
        failures += 1


def back_off(random: Random) -> Callable[[int], float]:
    """The reference client's: a quarter of a second and up to 1, 2, 4 … 30 s."""
    return lambda failures: 0.25 + random.uniform(0, min(30.0, 2.0**failures))
