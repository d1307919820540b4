"""Who polls: viewers that ask for `updates` because they have no stream."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

MOST = 200_000
"""Viewers remembered; a process answers 500 polls a second at most, so 60,000 in two of the longest intervals."""


@dataclass(slots=True)
class Pollers:
    """Distinct viewers that polled in the last two intervals. `interval`: between two polls, jitter included."""

    interval: Callable[[], timedelta]
    clock: Callable[[], float] = time.monotonic
    _last: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def polled(self, viewer: str) -> None:
        """Note a poll."""
        self._last[viewer] = self.clock()
        self._last.move_to_end(viewer)
        if len(self._last) > MOST:
            self._last.popitem(last=False)

    def __len__(self) -> int:
        since = self.clock() - 2 * self.interval().total_seconds()
        while self._last and next(iter(self._last.values())) < since:
            self._last.popitem(last=False)
        return len(self._last)
