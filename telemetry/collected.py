"""Metrics whose numbers are kept elsewhere, and read only when somebody scrapes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

Labels = Sequence[str]
Read = Callable[[], Mapping[tuple[str, ...], float]]
"""Values by those of the labels."""


class Kind(Enum):
    """What Prometheus may do with a number."""

    COUNTER = CounterMetricFamily
    GAUGE = GaugeMetricFamily


@dataclass(frozen=True, eq=False)  # a registry keeps collectors by identity
class ReadWhenScraped(Collector):
    """One metric. `name` is the whole name, a counter's `_total` included."""

    kind: Kind
    name: str
    about: str
    labels: Labels
    read: Read

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """The metric as it stands."""
        family = self.kind.value(self.name, self.about, labels=self.labels)
        for labels, value in self.read().items():
            family.add_metric(labels, value)
        yield family
