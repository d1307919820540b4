"""What the server knows of itself, sampled once a second, and what it therefore advises its clients."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

log = logging.getLogger("divisionbell.telemetry")

SAMPLE_EVERY = timedelta(seconds=1)
DOWN_AFTER = timedelta(seconds=2)
"""Redis or the tail must be gone this long before clients are sent to poll: a restart is shorter."""
BACK_AFTER = timedelta(seconds=10)
"""And back this long before they are called back: hysteresis."""


class Transport(StrEnum):
    """How a client should get its updates."""

    SSE = "SSE"
    DEGRADED = "DEGRADED"
    POLLING = "POLLING"


@dataclass(frozen=True, slots=True)
class Advice:
    """The transport to use, and how to poll if polling: every `poll_interval`, plus up to `jitter` drawn at random."""

    mode: Transport
    reason: str | None
    poll_interval: timedelta
    jitter: timedelta
    retry_after: timedelta


@dataclass(frozen=True, slots=True)
class Health:
    """One sample."""

    redis: bool
    database: bool
    tail: bool
    advice: Advice

    @property
    def healthy(self) -> bool:
        """Whether everything this process needs answers."""
        return self.redis and self.database and self.tail


POLL_EVERY = timedelta(seconds=5)
JITTER = timedelta(seconds=2)
TRY_AGAIN = timedelta(seconds=60)


def advise(*, mode: Transport, reason: str | None = None) -> Advice:
    """The advice for a mode, with the intervals that go with it."""
    retry = TRY_AGAIN if mode is Transport.POLLING else timedelta(0)
    return Advice(mode, reason, POLL_EVERY, JITTER, retry)


@dataclass(slots=True)
class Hysteresis:
    """Turns good and bad samples into a state that falls after `DOWN_AFTER` and recovers after `BACK_AFTER`."""

    down: bool = False
    differs_since: float | None = None

    def see(self, *, good: bool, now: float) -> bool:
        """Take a sample at `now` (monotonic seconds); return whether the state is down."""
        if good is not self.down:
            self.differs_since = None
            return self.down
        if self.differs_since is None:
            self.differs_since = now
        needed = BACK_AFTER if self.down else DOWN_AFTER
        if now - self.differs_since >= needed.total_seconds():
            self.down = not self.down
            self.differs_since = None
        return self.down


class HealthSampler:
    """Asks each probe once a second; a health query reads the last sample and costs nothing else."""

    def __init__(self, *, probes: Mapping[str, Callable[[], Awaitable[bool]]]) -> None:
        """`probes`: named `redis`, `database` and `tail`. A probe that raises, or takes over a second, has failed."""
        self._probes = probes
        self._live = Hysteresis()
        self.now = Health(redis=False, database=False, tail=False, advice=advise(mode=Transport.SSE))

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            await self.sample()
            await asyncio.sleep(SAMPLE_EVERY.total_seconds())

    async def sample(self) -> None:
        """Take one sample."""
        answers = dict(zip(self._probes, await asyncio.gather(*map(self._ask, self._probes.values())), strict=True))
        live = answers["redis"] and answers["tail"]
        if self._live.see(good=live, now=time.monotonic()):
            lost = "the stream does not answer" if answers["redis"] else "Redis does not answer"
            reason = "it is coming back" if live else lost
            advice = advise(mode=Transport.POLLING, reason=f"Live updates are paused: {reason}.")
        else:
            advice = advise(mode=Transport.SSE)
        if advice.mode is not self.now.advice.mode:
            log.warning("transport advice changed", extra={"mode": advice.mode.value, "reason": advice.reason})
        self.now = Health(answers["redis"], answers["database"], answers["tail"], advice)

    async def _ask(self, probe: Callable[[], Awaitable[bool]]) -> bool:
        try:
            async with asyncio.timeout(SAMPLE_EVERY.total_seconds()):
                return await probe()
        except Exception as error:  # noqa: BLE001 - that it failed is the answer
            log.debug("probe failed", extra={"error": repr(error)})
            return False
