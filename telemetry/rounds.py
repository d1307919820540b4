"""How long ago the leader's last round came to its end: what nobody repairs must show."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import Gauge


class Rounds:
    """Shows a gauge, in seconds; 0 in a process that does not lead. Read when scraped, so a round that hangs shows."""

    def __init__(self, gauge: Gauge, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`gauge`: one whose labels are set."""
        self._clock = clock
        self._done: float | None = None
        gauge.set_function(self._age)

    @contextmanager
    def leading(self) -> Iterator[None]:
        """Lead until the block ends."""
        self.done()
        try:
            yield
        finally:
            self._done = None

    def done(self) -> None:
        """A round came to its end."""
        self._done = self._clock()

    def _age(self) -> float:
        return 0.0 if self._done is None else self._clock() - self._done
