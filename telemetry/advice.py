"""Which transport clients should use, and how evidence becomes advice without flapping."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

DOWN_AFTER = timedelta(seconds=2)
"""Redis or the tail must be gone this long before clients are sent to poll: a restart is shorter."""
WORSE_AFTER = timedelta(seconds=10)
BACK_AFTER = timedelta(seconds=10)
"""And everything must be well this long before they are called back: hysteresis."""

SHORTEST_POLL = timedelta(seconds=5)
LONGEST_POLL = timedelta(seconds=60)
POLLS_A_SECOND = 500
"""What a process gives to polls at most: a quarter of its core, and more than half with Redis away (ADR 16)."""
TRY_AGAIN = timedelta(seconds=60)


class Transport(StrEnum):
    """How a client should get its updates."""

    SSE = "SSE"
    DEGRADED = "DEGRADED"
    POLLING = "POLLING"


@dataclass(frozen=True, slots=True)
class Advice:
    """The transport to use, and how to poll if polling: every `poll_interval`, plus up to `jitter` drawn at random.

    `cause` is a short name for operators, `reason` a sentence for people.
    """

    mode: Transport
    cause: str | None
    reason: str | None
    poll_interval: timedelta
    jitter: timedelta
    retry_after: timedelta


def advise(*, mode: Transport, cause: str | None = None, reason: str | None = None, streams: int = 0) -> Advice:
    """The advice for a mode. When all the clients of `streams` open streams poll, that must not be a storm."""
    every = min(LONGEST_POLL, max(SHORTEST_POLL, timedelta(seconds=streams / POLLS_A_SECOND)))
    retry = TRY_AGAIN if mode is Transport.POLLING else timedelta(0)
    return Advice(mode, cause, reason, every, every * 0.4, retry)


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that, while it holds, calls for `mode`."""

    name: str
    mode: Transport
    holds: bool
    sentence: str

    @property
    def lasting(self) -> timedelta:
        """How long it must hold before it counts."""
        return DOWN_AFTER if self.name.endswith("_down") else WORSE_AFTER


@dataclass(slots=True)
class Hysteresis:
    """Turns good and bad samples into a state that falls after `down_after` and recovers after `BACK_AFTER`."""

    down_after: timedelta = DOWN_AFTER
    down: bool = False
    differs_since: float | None = None

    def see(self, *, good: bool, now: float, asked: float | None = None) -> bool:
        """Take a sample at `now` (monotonic seconds); return whether the state is down.

        `asked`: when the sample was begun. What does not answer has not answered since then, not since it was given up.
        """
        if good is not self.down:
            self.differs_since = None
            return self.down
        if self.differs_since is None:
            self.differs_since = now if asked is None else asked
        needed = BACK_AFTER if self.down else self.down_after
        if now - self.differs_since >= needed.total_seconds():
            self.down = not self.down
            self.differs_since = None
        return self.down
