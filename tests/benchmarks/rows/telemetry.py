"""What watching costs: traces on and off in turn, and the metrics of a delivery by themselves."""

import asyncio
import itertools
import statistics
import time
import timeit
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import httpx

from resolvers.activities import type_of
from resolvers.frames import Deliveries
from streams.fanout import SLICE
from streams.seats import Cohort
from telemetry.delivery import DeliveryWindow
from telemetry.flow import LIVE, About
from telemetry.metrics import Metrics
from tests.benchmarks.bench import Bench, Row
from tests.benchmarks.client import load
from tests.benchmarks.peers.divisionbell import DivisionBell
from tests.benchmarks.session import CLIENT_CORE, SERVER_CORE, SessionFailed, opened_all
from tests.support.collector import collecting
from tests.support.parliament import entry

REST = 4.0
"""Receipts are written two seconds after a delivery, and are part of its cost."""
SCRAPES = 20
LOOPS = 500
SAMPLERS: Mapping[str, Mapping[str, str] | None] = {
    "no traces": None,
    "one activity in 100 traced": {
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.01",
    },
    "every activity traced": {},
}


async def run(bench: Bench) -> list[Row]:
    """The same activities, one by one, by servers that take turns; medians of the rounds."""
    subscribers, activities = bench.subscribers // 2, bench.scaled(60, 10)
    costs: dict[str, list[float]] = {name: [] for name in SAMPLERS}
    scrapes: list[float] = []
    with collecting() as collector:
        for _, (name, sampler) in itertools.product(range(bench.rounds), SAMPLERS.items()):
            # Sent every five seconds, as by default: each request costs milliseconds, whatever is in it.
            traced = (
                {} if sampler is None else {**collector.environment(), "OTEL_BSP_SCHEDULE_DELAY": "5000", **sampler}
            )
            cost, scrape = await _cost(DivisionBell(bench.world, environment=traced), subscribers, activities)
            bench.say(f"    {name}: {cost * 1e6:.1f} µs of CPU a delivery")
            costs[name].append(cost)
            scrapes.append(scrape)
    plain = statistics.median(costs["no traces"])
    own, scrape = metrics_of_a_delivery(), statistics.median(scrapes)
    return [
        Row(f"server CPU a delivery, {subscribers:,} subscribers, one by one, no traces", "—", f"{plain * 1e6:.1f} µs"),
        *(Row(f"the same, {name}", "—", _beside(plain, statistics.median(costs[name]))) for name in list(SAMPLERS)[1:]),
        Row("of that, metrics", "—", f"{own * 1e9:.0f} ns, {own / plain:.1%}; a scrape takes {scrape * 1e3:.0f} ms"),
    ]


def _beside(plain: float, cost: float) -> str:
    return f"{cost * 1e6:.1f} µs, {cost / plain - 1:+.0%}"


async def _cost(peer: DivisionBell, subscribers: int, activities: int) -> tuple[float, float]:
    """Seconds of the server's CPU a delivery, less what it needs when nothing happens; and those of a scrape."""
    async with peer.running(SERVER_CORE) as server, load([server.target(subscribers)], core=CLIENT_CORE) as clients:
        await opened_all(clients, server.name)
        await asyncio.sleep(REST)
        idle = server.cpu()
        await asyncio.sleep(REST)
        idle = (server.cpu() - idle) / REST
        await clients.expect(1, activities)
        loop = asyncio.get_running_loop()
        started, before = loop.time(), server.cpu()
        for sequence in range(1, activities + 1):
            await server.publish(sequence, 1)
            await clients.arrival(sequence)
        await asyncio.sleep(REST)
        cost = server.cpu() - before - idle * (loop.time() - started)
        report = await clients.report()
        if report.deliveries != activities * subscribers:
            raise SessionFailed(f"{report.deliveries} deliveries instead of {activities * subscribers}")
        started, before = loop.time(), server.cpu()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as http:
            for _ in range(SCRAPES):
                (await http.get("/metrics")).raise_for_status()
        scrape = server.cpu() - before - idle * (loop.time() - started)
    return cost / report.deliveries, scrape / SCRAPES


def metrics_of_a_delivery() -> float:
    """Seconds, timed in this process: what a slice of seats adds to counters and histograms, and its confirmation."""
    metrics, one = Metrics(), entry(1)
    health: Any = SimpleNamespace(delivery=DeliveryWindow())
    letters: Any = None
    deliveries = Deliveries(metrics=metrics, health=health, dead_letters=letters)
    cohort: Cohort[Any] = Cohort(None)  # type: ignore[arg-type]  # its kind is not asked for
    cohort.hand_out(one, 0.0, About(type_of(one.item), LIVE))
    seats: list[Any] = [SimpleNamespace(confirmed=0) for _ in range(SLICE)]

    def with_metrics() -> None:
        metrics.flow.attempted[type_of(one.item), LIVE] += SLICE
        deliveries.handed_out(one, SLICE)
        for seat in seats:
            seat.confirmed = 0
            cohort.confirm(seat, 1)
        cohort.book(metrics.flow)

    def without() -> None:
        for seat in seats:
            seat.confirmed = 0
            seat.confirmed = 1

    with_them, without_them = (
        min(timeit.repeat(what, timer=time.thread_time, number=LOOPS, repeat=5)) for what in (with_metrics, without)
    )
    return (with_them - without_them) / LOOPS / SLICE
