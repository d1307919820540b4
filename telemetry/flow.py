"""What became of every entry that a stream took on: the books of I5, kept where things happen, read when scraped."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

MOST_TOLD_APART = 4
"""Attempts 1, 2, 3, and 4 for all above."""


class Carrier(Protocol):
    """A stream that has entries in its care."""

    @property
    def in_flight(self) -> int:
        """How many it has taken on and not yet come to an end with, counted on its own shelves."""
        ...


@dataclass(slots=True)
class Flow:
    """matched + adopted = delivered + in flight + gapped + dead + released, at any moment, for a process.

    `matched`: entries that a stream took from the log. `adopted`: pending ones it took over. `delivered`: confirmed, by
    attempt. `gapped`: told as a gap instead. `dead`: moved to the dead letters. `released`: left for the subscriber's
    next stream. `attempts` counts every hand-over, `failures` by kind what went wrong with live ones.
    """

    matched: int = 0
    adopted: int = 0
    gapped: int = 0
    dead: int = 0
    released: int = 0
    attempts: int = 0
    delivered: list[int] = field(default_factory=lambda: [0] * MOST_TOLD_APART)
    failures: Counter[str] = field(default_factory=Counter)
    streams: set[Carrier] = field(default_factory=set)

    def confirm(self, attempt: int) -> None:
        """Note a confirmed delivery."""
        self.delivered[min(attempt, MOST_TOLD_APART) - 1] += 1

    @property
    def in_flight(self) -> int:
        """Entries in the care of open streams."""
        return sum(stream.in_flight for stream in self.streams)

    @property
    def unaccounted(self) -> int:
        """What went in and did not come out by any of the known ways; 0, or something was lost silently."""
        came_to_an_end = sum(self.delivered) + self.gapped + self.dead + self.released
        return self.matched + self.adopted - came_to_an_end - self.in_flight


class FlowCollector(Collector):
    """Shows a Flow to Prometheus."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    def collect(self) -> Iterator[Metric]:
        """The metrics as they stand; called at every scrape."""
        flow = self._flow
        fates = {
            "matched": flow.matched,
            "adopted": flow.adopted,
            "delivered": sum(flow.delivered),
            "gapped": flow.gapped,
            "dead": flow.dead,
            "released": flow.released,
        }
        yield _counters("sse_entries", "Entries of streams, by what happened.", "event", fates.items())
        yield GaugeMetricFamily("sse_entries_in_flight", "Entries handed over, not confirmed.", flow.in_flight)
        yield GaugeMetricFamily(
            "sse_entries_unaccounted",
            "Entries of which nobody knows what became; anything but 0 is a bug.",
            flow.unaccounted,
        )
        yield CounterMetricFamily("sse_delivery_attempts", "Entries handed over to streams.", flow.attempts)
        yield CounterMetricFamily("sse_delivery_success", "Deliveries confirmed.", sum(flow.delivered))
        yield _counters("sse_delivery_failure", "Deliveries that failed.", "error_type", flow.failures.items())
        yield CounterMetricFamily("sse_messages_failed", "Entries moved to the dead letters.", flow.dead)
        yield _counters(
            "sse_messages_delivered",
            "Deliveries confirmed, by how often they had been handed over.",
            "delivery_count",
            ((str(at + 1), count) for at, count in enumerate(flow.delivered)),
        )


def _counters(name: str, about: str, label: str, values: Iterable[tuple[str, int]]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, about, labels=[label])
    for value, count in values:
        family.add_metric([value], count)
    return family
