"""What became of every entry that a stream took on: the books of I5, kept where things happen, read when scraped."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

MOST_TOLD_APART = 4
"""Attempts 1, 2, 3, and 4 for all above."""
UNKNOWN = "unknown"
"""The type of an activity that nobody can read."""
LIVE, RECOVERED = "live", "recovered"
"""How an entry was delivered: when it came, or to a stream that had missed it. Only the first is held to the SLOs."""


@dataclass(frozen=True, slots=True)
class About:
    """What metrics need of a delivery: the activity's type, the mode, when it was created (ms since 1970)."""

    type: str = UNKNOWN
    mode: str = RECOVERED
    created_ms: int = 0


NOTHING_KNOWN = About()
SOMETHING_LIVE = About(mode=LIVE)


class Failure(StrEnum):
    """Why a delivery failed."""

    RENDER = "render"
    """It could not be turned into bytes."""
    STALLED = "stalled"
    """Its connection took nothing for ten seconds."""
    UNCONFIRMED = "unconfirmed"
    """It was first in line, the stream lived on, and nothing was confirmed."""
    LAGGING = "lagging"
    """Its stream read so slowly that it fell out of what a process keeps in memory."""


class Carrier(Protocol):
    """A stream that has entries in its care."""

    @property
    def in_flight(self) -> int:
        """How many it has taken on and not yet come to an end with, counted on its own shelves."""
        ...


def _nothing_failed() -> Counter[tuple[str, ...]]:
    """Every kind of failure from the start: a counter that appears with its first failure has not grown, for rate()."""
    return Counter({(UNKNOWN, LIVE, failure.value): 0 for failure in Failure})


@dataclass(slots=True)
class Flow:
    """matched + adopted = delivered + in flight + gapped + dead + released, at any moment, for a process.

    `matched`: entries that a stream took from the log. `adopted`: pending ones it took over. `delivered`: confirmed, by
    attempt. `gapped`: told as a gap instead. `dead`: moved to the dead letters. `released`: left for the subscriber's
    next stream. Beside the books, by type of activity and mode: `attempted` counts every hand-over, `succeeded` what is
    delivered, `failures` what went wrong, by kind too. `acknowledged` takes the age in ms of what a client confirmed.
    """

    matched: int = 0
    adopted: int = 0
    gapped: int = 0
    dead: int = 0
    released: int = 0
    delivered: list[int] = field(default_factory=lambda: [0] * MOST_TOLD_APART)
    attempted: Counter[tuple[str, ...]] = field(default_factory=Counter)
    succeeded: Counter[tuple[str, ...]] = field(default_factory=Counter)
    failures: Counter[tuple[str, ...]] = field(default_factory=_nothing_failed)
    streams: set[Carrier] = field(default_factory=set)
    acknowledged: Callable[[tuple[str], float], None] = lambda _, __: None

    def confirm(self, attempt: int, about: About) -> None:
        """Note a confirmed delivery."""
        self.delivered[min(attempt, MOST_TOLD_APART) - 1] += 1
        self.succeeded[about.type, about.mode] += 1

    def expect(self, types: Iterable[str]) -> None:
        """Show failures of these types of activities from nought, before the first of them: see `_nothing_failed`."""
        for kind in types:
            for failure in Failure:
                self.failures[kind, LIVE, failure.value] += 0

    def fail(self, failure: Failure, about: About = NOTHING_KNOWN, count: int = 1) -> None:
        """Note deliveries that failed."""
        self.failures[about.type, about.mode, failure.value] += count

    @property
    def handed_over(self) -> int:
        """Deliveries begun since the process did."""
        return sum(self.attempted.values())

    @property
    def in_flight(self) -> int:
        """Entries in the care of open streams."""
        return sum(stream.in_flight for stream in self.streams)

    @property
    def fates(self) -> dict[str, int]:
        """All that entries have met with, in flight left out."""
        return {
            "matched": self.matched,
            "adopted": self.adopted,
            "delivered": sum(self.delivered),
            "gapped": self.gapped,
            "dead": self.dead,
            "released": self.released,
        }

    @property
    def unaccounted(self) -> int:
        """What went in and did not come out by any of the known ways; 0, or something was lost silently."""
        came_to_an_end = sum(self.delivered) + self.gapped + self.dead + self.released
        return self.matched + self.adopted - came_to_an_end - self.in_flight
