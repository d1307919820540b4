"""What the simulation says of runs that docs/benchmarks.md has recorded."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.benchmarks.capacity.recorded import Recorded, RowMissing
from tests.benchmarks.capacity.simulation import SWEEP_EVERY, Server, back_off, fan_out, returning

FEW = 5_000
ACTIVITIES = 300
NEAR, FAR = 1.6, 2.5
"""Factors within which prediction and record agree; FAR where the record is some tens of milliseconds, which a timer or
two are part of, and where chance decides who comes when.
"""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A figure of a run, as predicted and as recorded, in the same unit; they agree `within` a factor."""

    what: str
    unit: str
    predicted: float
    recorded: float
    within: float

    @property
    def ratio(self) -> float:
        """Predicted by recorded."""
        return self.predicted / self.recorded

    @property
    def agrees(self) -> bool:
        """Whether it may be believed."""
        return 1 / self.within <= self.ratio <= self.within


@dataclass(frozen=True, slots=True)
class Calibration:
    """Seconds that a delivery and its receipt take a core that has FEW streams; `growth`: the exponent by which both
    become dearer with more streams on a core, as their memory falls out of its caches.
    """

    write: float
    receipt: float
    road: float
    growth: float

    def server(self, streams_a_core: int) -> Server:
        """A core with so many streams."""
        dearer = (streams_a_core / FEW) ** self.growth
        return Server(write=self.write * dearer, receipt=self.receipt * dearer, road=self.road)


def slower(recorded: Recorded) -> float:
    """By what factor the machine was slower when benchmarks.md was recorded than for benchmarks-costs.md.

    Both have opens, which are the server's core alone. A virtual machine's speed varies by as much as two in a day. It
    means something only where both are of one version of the code, as a whole `make bench` leaves them.
    """
    opens = recorded.figure("subscriptions opened per second, 5,000", r"([\d,]+)").value
    return 1e6 / opens / recorded.cost("server CPU per open").value


def calibrated(recorded: Recorded) -> Calibration:
    """From five rows: deliveries one by one to 5,000 and to 10,000, INSERT to client, a delivery a second, opens.

    With an activity a second a delivery costs a write and a receipt. One by one, a receipt is for all that was written
    in two seconds. Half of 1,000 seats are written before the median.
    """
    both = recorded.cost("server CPU per delivery").value * slower(recorded) * 1e-6
    median = recorded.figure("INSERT to client", r"p50 ([\d.]+) ms").value / 1e3
    few = FEW / recorded.figure("Division Bell, 5,000", r"paced ([\d,]+)/s").value
    receipts = FEW * few / SWEEP_EVERY
    write = (few - median - receipts * both) / (FEW - 500 - receipts)
    road = median - 500 * write
    many = 2 * FEW / recorded.figure("Division Bell, 10,000", r"paced ([\d,]+)/s").value
    dearer = (many - road) / (2 * FEW * (write + (both - write) * many / SWEEP_EVERY))
    return Calibration(write=write, receipt=both - write, road=road, growth=math.log2(dearer))


def predictions(recorded: Recorded) -> list[Prediction]:
    """All for which there is a row."""
    found = []
    for one in (_one_by_one, _inserts, _shared_cores, _storm, _spread):
        try:
            found += list(one(recorded))
        except RowMissing:
            continue
    return found


def _one_by_one(recorded: Recorded) -> Iterator[Prediction]:
    for streams in (FEW, 2 * FEW):
        waits, _ = fan_out(calibrated(recorded).server(streams), streams=streams, activities=ACTIVITIES, every=None)
        was = recorded.figure(f"Division Bell, {streams:,}", r"paced [\d,]+/s \(p99 ([\d,]+) ms").value
        what = f"{streams:,} streams, one activity after the other: p99"
        yield Prediction(what, "ms", waits.quantile(0.99) * 1e3, was, NEAR)


def _inserts(recorded: Recorded) -> Iterator[Prediction]:
    waits, _ = fan_out(calibrated(recorded).server(1_000), streams=1_000, activities=200, every=None)
    was = recorded.figure("INSERT to client", r"p99 ([\d.]+) ms").value
    yield Prediction("1,000 streams, one activity after the other: p99", "ms", waits.quantile(0.99) * 1e3, was, FAR)


def _shared_cores(recorded: Recorded) -> Iterator[Prediction]:
    """Servers and clients on both cores: half of what both need, at each delivery."""
    streams = 100_002
    alone = calibrated(recorded).server(streams // 2)
    ceiling = "raw writer (the load client's ceiling), 10,000"
    read = (
        recorded.figure(ceiling, r"client (\d+)% busy").value
        / 100
        / recorded.figure(ceiling, r"burst ([\d,]+)/s").value
    )
    server = Server(write=(alone.write + read) / 2, receipt=alone.receipt / 2, road=alone.road)
    runs = (
        (None, 5, "one activity, everybody's", "one after the other"),
        (1.0, 60, "one activity a second for", "one a second"),
    )
    for every, activities, name, how in runs:
        waits, _ = fan_out(server, streams=streams, activities=activities, every=every)
        for share in (50, 99):
            was = recorded.figure(name, rf"p{share} ([\d,]+) ms").value
            what = f"{streams:,} streams on two cores with their clients, {how}: p{share}"
            yield Prediction(what, "ms", waits.quantile(share / 100) * 1e3, was, NEAR)


def _storm(recorded: Recorded) -> Iterator[Prediction]:
    service = recorded.cost("server CPU per open with").value * slower(recorded) * 1e-6
    waits = returning(clients=10_000, service=service)
    for share in (50, 99):
        was = recorded.figure("from the server's return", rf"p{share} ([\d.]+) s").value
        what = f"10,000 clients cut at once, knocking: back after, p{share}"
        yield Prediction(what, "s", waits.quantile(share / 100), was, NEAR)


def _spread(recorded: Recorded) -> Iterator[Prediction]:
    service = recorded.cost("server CPU per open with").value * slower(recorded) * 1e-6
    away = recorded.figure("from a client's own connect", r"()").row.split("away for ")[1].split()[0]
    waits = returning(clients=10_000, service=service, away=float(away), delays=back_off(Random(1)))
    for share in (50, 99):
        was = recorded.figure("from a client's own connect", rf"p{share} ([\d.]+) s").value
        what = f"10,000 clients cut at once, with back-off: from own connect, p{share}"
        yield Prediction(what, "s", waits.quantile(share / 100), was, FAR)
