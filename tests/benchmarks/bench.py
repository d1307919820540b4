"""What every row needs, and what it gives back."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.benchmarks.world import World


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `met`: None where there is no target."""

    name: str
    target: str
    reached: str
    met: bool | None = None


@dataclass(slots=True)
class Bench:
    """The servers, how much to do, and where to say how it goes. `notes` go below the table.

    `seconds`: how long the row that lasts goes on, where it was said.
    """

    world: World
    subscribers: int
    quick: bool
    rounds: int
    seconds: int | None
    peers: Sequence[str]
    report: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def say(self, what: str) -> None:
        """A line of progress, with the seconds since the start."""
        self.report(f"{time.monotonic() - self.started:6.0f} s  {what}")

    def scaled(self, full: int, quick: int) -> int:
        """`full`, or `quick` in a smoke run."""
        return quick if self.quick else full
