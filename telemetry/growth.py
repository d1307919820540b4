"""How fast a number grows."""

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta

WINDOW = timedelta(minutes=5)
APART = 10.0
"""Seconds between two samples that are kept: thirty of them are enough."""


@dataclass(slots=True)
class Growth:
    """The growth of a number over the last five minutes, from samples of it."""

    _kept: deque[tuple[float, int]] = field(default_factory=deque)
    _newest: tuple[float, int] | None = None

    def see(self, value: int, now: float) -> None:
        """Take a sample at `now` (monotonic seconds)."""
        self._newest = now, value
        if not self._kept or now >= self._kept[-1][0] + APART:
            self._kept.append(self._newest)
        # One that is older than the window stays, so that growth is that of five minutes, once there are so many.
        while len(self._kept) > 1 and self._kept[1][0] <= now - WINDOW.total_seconds():
            self._kept.popleft()

    @property
    def a_minute(self) -> float:
        """What it grew by, for each minute; negative when it shrinks, 0 in the first ten seconds."""
        if self._newest is None or not self._kept:
            return 0.0
        (now, value), (then, before) = self._newest, self._kept[0]
        return (value - before) / (now - then) * 60 if now - then >= APART else 0.0
