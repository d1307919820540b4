"""What the load client reports."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Latencies:
    """How many deliveries took how many microseconds, in buckets 3 % wide."""

    counts: Counter[int]

    @classmethod
    def merged(cls, histograms: Iterable[Sequence[tuple[int, int]]]) -> Self:
        """All in one."""
        counts: Counter[int] = Counter()
        for histogram in histograms:
            counts.update(dict(histogram))
        return cls(counts)

    def quantile(self, share: float) -> float:
        """Milliseconds; 0 where nothing was delivered."""
        wanted = share * self.counts.total()
        passed = 0
        for microseconds in sorted(self.counts):
            passed += self.counts[microseconds]
            if passed >= wanted:
                return microseconds / 1_000
        return 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What all connections have seen since `expect`. Instants in seconds since 1970, `cpu` in seconds of the clients.

    `missing`: sequence numbers that a connection has not seen; `incomplete`: how many connections miss any.
    """

    connections: int
    open: int
    lost: int
    reopened: int
    deliveries: int
    first: float
    last: float
    missing: int
    duplicates: int
    incomplete: int
    bytes: int
    cpu: float
    failure: str
    latencies: Latencies

    @property
    def per_second(self) -> float:
        """Deliveries a second, from the first delivery to the last."""
        return self.deliveries / (self.last - self.first) if self.last > self.first else 0.0

    @property
    def client_load(self) -> float:
        """The share of one core that the clients needed between the first delivery and the last."""
        return self.cpu / (self.last - self.first) if self.last > self.first else 0.0


@dataclass(frozen=True, slots=True)
class Opened:
    """How the opening went: `seconds` from the first to the last, `failure` the first answer that was none.

    `failed` for good; `refused` at first, and tried again.
    """

    open: int
    failed: int
    refused: int
    seconds: float
    failure: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """`waits`: from the instant a connection came back until it had all that anybody had seen by then.

    `nothing` had been missed by so many that came back; so many are still `waiting`, or were when they were cut again.
    """

    cuts: int
    nothing: int
    waiting: int
    waits: Latencies


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event has reached every connection: instants in seconds since 1970."""

    first: float
    last: float
