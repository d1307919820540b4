"""What the server knows of itself, sampled once a second, and what it therefore advises its clients."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from telemetry.advice import Advice, Condition, Hysteresis, Transport, advise
from telemetry.delivery import DeliveryStats, DeliveryWindow
from telemetry.growth import Growth

log = logging.getLogger("divisionbell.telemetry")

SAMPLE_EVERY = timedelta(seconds=1)
ENOUGH_SAMPLES = 1_000
"""Deliveries in five minutes below which latency and success say nothing."""
MUCH_PENDING, TOO_MUCH_PENDING = 10_000, 50_000
LONG_PENDING = timedelta(hours=1)
SLOW_MS = 500.0
ENOUGH_SUCCESS = 0.999


@dataclass(frozen=True, slots=True)
class Pel:
    """All pending entries, how long the oldest has been pending, and how many subscribers have any.

    Read with it: how many entries the stream has and what it takes in Redis, in bytes; what all of Redis takes, and its
    limit (0: none).
    """

    total: int = 0
    oldest: timedelta = timedelta(0)
    subscribers: int = 0
    length: int = 0
    memory: int = 0
    redis_memory: int = 0
    redis_limit: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """One sample. `growth`: pending entries a minute. `alarms` are sentences for operators about what else is wrong.

    `answered`: seconds that each probe took, whether it succeeded or not.
    """

    redis: bool
    database: bool
    tail: bool
    advice: Advice
    pel: Pel = field(default_factory=Pel)
    growth: float = 0.0
    delivery: DeliveryStats = field(default_factory=DeliveryStats)
    alarms: tuple[str, ...] = ()
    answered: Mapping[str, float] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether everything this process needs answers, and nothing else is wrong."""
        return self.redis and self.database and self.tail and not self.alarms


@dataclass(frozen=True, slots=True)
class Facts:
    """What the advice follows from."""

    redis: bool
    tail: bool
    pel: Pel
    delivery: DeliveryStats
    lagging: bool = False


def conditions(facts: Facts) -> list[Condition]:
    """Everything that calls for another transport, whether it holds or not; the worst first."""
    pel, delivery = facts.pel, facts.delivery
    enough = delivery.samples >= ENOUGH_SAMPLES
    return [
        Condition("redis_down", Transport.POLLING, not facts.redis, "Redis does not answer"),
        Condition("tail_down", Transport.POLLING, facts.redis and not facts.tail, "the stream does not answer"),
        Condition("pel_critical", Transport.POLLING, pel.total > TOO_MUCH_PENDING, "too much waits to be confirmed"),
        Condition("pel_high", Transport.DEGRADED, pel.total > MUCH_PENDING, "much waits to be confirmed"),
        Condition("pel_old", Transport.DEGRADED, pel.oldest > LONG_PENDING, "something has waited for long"),
        Condition("slow", Transport.DEGRADED, enough and (delivery.p95_ms or 0) > SLOW_MS, "delivery is slow"),
        Condition("failing", Transport.DEGRADED, enough and delivery.success < ENOUGH_SUCCESS, "deliveries fail"),
        Condition("tail_lags", Transport.DEGRADED, facts.lagging, "the stream is behind the log"),
    ]


@dataclass
class HealthSampler:
    """Asks each probe once a second; a health query reads the last sample and costs nothing else.

    `probes`: named `redis`, `database` and `tail`; one that raises, or takes over a second, has failed. `pel` reads
    what is pending. `lagging` tells whether the tail is behind the log. `alarms` says what else is wrong. From
    `streams`, the open ones, the poll interval follows.
    """

    probes: Mapping[str, Callable[[], Awaitable[bool]]]
    pel: Callable[[], Awaitable[Pel]] | None = None
    delivery: DeliveryWindow = field(default_factory=DeliveryWindow)
    lagging: Callable[[], bool] = bool
    alarms: Callable[[], tuple[str, ...]] = tuple
    streams: Callable[[], int] = int
    changed: list[Callable[[Advice], None]] = field(default_factory=list)
    now: Health = Health(redis=False, database=False, tail=False, advice=advise(mode=Transport.SSE))
    _states: dict[str, Hysteresis] = field(default_factory=dict)
    _growth: Growth = field(default_factory=Growth)
    _answered: dict[str, float] = field(default_factory=dict)

    async def run(self) -> None:
        """Sample until cancelled: a second after the last one began, however long its probes took."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + SAMPLE_EVERY.total_seconds()
            await self.sample()
            await asyncio.sleep(max(due - clock(), 0))

    async def sample(self) -> None:
        """Take one sample."""
        began = time.monotonic()
        probes = {**self.probes, "pel": self._read_pel}
        answers = dict(zip(probes, await asyncio.gather(*map(self._ask, probes, probes.values())), strict=True))
        read = answers["pel"]
        pel = read if isinstance(read, Pel) else self.now.pel
        if isinstance(read, Pel):
            self._growth.see(pel.total, time.monotonic())
        facts = Facts(bool(answers["redis"]), bool(answers["tail"]), pel, self.delivery.stats(), self.lagging())
        advice = self._advise(facts, began, time.monotonic())
        before = self.now.advice
        self.now = Health(
            redis=facts.redis,
            database=bool(answers["database"]),
            tail=facts.tail,
            advice=advice,
            pel=facts.pel,
            growth=self._growth.a_minute,
            delivery=facts.delivery,
            alarms=self.alarms(),
            answered=dict(self._answered),
        )
        if advice.mode is not before.mode:
            log.warning("transport advice changed", extra={"mode": advice.mode.value, "reason": advice.reason})
            for listener in self.changed:
                listener(advice)

    def _advise(self, facts: Facts, asked: float, now: float) -> Advice:
        worst: Condition | None = None
        for condition in conditions(facts):
            state = self._states.setdefault(condition.name, Hysteresis(condition.lasting))
            if state.see(good=not condition.holds, now=now, asked=asked) and worst is None:
                worst = condition
        if worst is None:
            return advise(mode=Transport.SSE)
        reason = worst.sentence if worst.holds else "it is getting better"
        said = "Live updates are paused" if worst.mode is Transport.POLLING else "Live updates may be late"
        return advise(mode=worst.mode, cause=worst.name, reason=f"{said}: {reason}.", streams=self.streams())

    async def _read_pel(self) -> Pel | None:
        return await self.pel() if self.pel else None

    async def _ask(self, name: str, probe: Callable[[], Awaitable[bool | Pel | None]]) -> bool | Pel | None:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(SAMPLE_EVERY.total_seconds()):
                return await probe()
        except Exception as error:  # noqa: BLE001 - that it failed is the answer
            log.debug("probe failed", extra={"probe": name, "error": repr(error)})
            return False
        finally:
            self._answered[name] = time.perf_counter() - began
