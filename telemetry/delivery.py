"""How live delivery has gone in the last minutes: latencies and failures, in slots that are forgotten one by one."""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

SLOT = 10.0
SLOTS = 30
"""Five minutes."""
BOUNDS_MS = (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 400, 500, 750, 1_000, 2_000, 5_000, 10_000, 60_000)


@dataclass(slots=True)
class _Slot:
    start: float
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    failures: int = 0


@dataclass(frozen=True, slots=True)
class DeliveryStats:
    """Milliseconds from creation to the client's socket, rounded up; None without samples. `success` in 0…1."""

    samples: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    success: float = 1.0


class DeliveryWindow:
    """Counts live deliveries of the last five minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._slots: deque[_Slot] = deque(maxlen=SLOTS)

    def delivered(self, latency_ms: float, count: int = 1) -> None:
        """Note `count` deliveries of that latency."""
        self._slot().counts[bisect_left(BOUNDS_MS, latency_ms)] += count

    def failed(self, count: int = 1) -> None:
        """Note live deliveries that came to nothing."""
        self._slot().failures += count

    def stats(self) -> DeliveryStats:
        """What the slots add up to."""
        oldest = self._clock() - SLOT * SLOTS
        slots = [slot for slot in self._slots if slot.start > oldest]
        counts = [sum(column) for column in zip(*(slot.counts for slot in slots), strict=True)]
        delivered, failures = sum(counts), sum(slot.failures for slot in slots)
        if not delivered + failures:
            return DeliveryStats()
        p50, p95, p99 = (_quantile(counts, share) for share in (0.5, 0.95, 0.99))
        return DeliveryStats(delivered + failures, p50, p95, p99, delivered / (delivered + failures))

    def _slot(self) -> _Slot:
        now = self._clock()
        if not self._slots or now >= self._slots[-1].start + SLOT:
            self._slots.append(_Slot(now))
        return self._slots[-1]


def _quantile(counts: list[int], share: float) -> float | None:
    needed, seen = share * sum(counts), 0
    if not needed:
        return None
    for bound, count in zip((*BOUNDS_MS, float("inf")), counts, strict=True):
        seen += count
        if seen >= needed:
            return bound
    return float("inf")
