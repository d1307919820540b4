"""What a process watches of itself: probes for the health sample, and gauges that show the sample to Prometheus."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from resolvers.activities import Activity
from streams.keys import Keys
from streams.shared import Shared
from telemetry.advice import Advice, Transport
from telemetry.health import HealthSampler, Pel
from telemetry.metrics import Metrics
from telemetry.pollers import Pollers

GROUPS = "users"
"""The `consumer_group` label: there is one group a subscriber, and a label for each would be 100,000 series."""


def watch(
    *,
    answering: Callable[[], Awaitable[int]],
    shards: int,
    pel: Callable[[], Awaitable[Pel]],
    lag: Callable[[], Awaitable[timedelta]],
    shared: Shared[Activity],
    metrics: Metrics,
) -> HealthSampler:
    """The sampler of a process.

    `answering` asks how many of the `shards` of Redis give a sign of life, `pel` for what is pending; `lag` asks
    PostgreSQL how long the sequencer has left something waiting.
    """
    tail, letters = shared.tail, shared.dead_letters

    living = shards

    async def redis() -> bool:
        nonlocal living
        living = await answering()
        return True

    async def database() -> bool:
        metrics.sequencer_lag_seconds.set((await lag()).total_seconds())
        return True

    async def follows() -> bool:
        return tail.ready.is_set() and tail.follows

    def alarms() -> tuple[str, ...]:
        found = []
        if living < shards:
            found.append(f"Only {living} of {shards} shards of Redis answer: what their devices confirm waits.")
        if letters.halted:
            found.append("Dead-lettering is halted: too many entries fail.")
        if metrics.flow.unaccounted:
            found.append(f"{metrics.flow.unaccounted} entries are unaccounted for.")
        return tuple(found)

    health = HealthSampler(
        probes={"redis": redis, "database": database, "tail": follows},
        pel=pel,
        lagging=lambda: tail.lagging,
        alarms=alarms,
    )
    _show(health, shared=shared, metrics=metrics)
    return health


def watch_polls(health: HealthSampler, metrics: Metrics) -> Pollers:
    """Who polls, at the interval that is advised just now."""
    pollers = Pollers(interval=lambda: health.now.advice.poll_interval + health.now.advice.jitter)
    metrics.sse_polling_fallback_active.set_function(lambda: len(pollers))
    return pollers


def _show(health: HealthSampler, *, shared: Shared[Activity], metrics: Metrics) -> None:
    """Have the gauges show the sample that there is when somebody scrapes."""
    stream = Keys().stream
    for gauge in (metrics.redis_streams_pel_total, metrics.sse_pel_total_pending):
        gauge.labels(stream, GROUPS).set_function(lambda: health.now.pel.total)
    for gauge in (metrics.redis_streams_pel_age_seconds, metrics.sse_pel_oldest_age_seconds):
        gauge.labels(stream, GROUPS).set_function(
            lambda: health.now.pel.oldest.total_seconds()  # noqa: PLW0108 - of the sample there is then
        )
    metrics.sse_pel_growth_rate.labels(stream, GROUPS).set_function(lambda: health.now.growth)
    metrics.redis_streams_length.labels(stream).set_function(lambda: health.now.pel.length)
    metrics.redis_streams_memory_bytes.labels(stream).set_function(lambda: health.now.pel.memory)
    metrics.redis_memory_used_bytes.set_function(lambda: health.now.pel.redis_memory)
    metrics.redis_memory_limit_bytes.set_function(lambda: health.now.pel.redis_limit)
    for mode in Transport:
        metrics.sse_transport_advised.labels(mode.value).set_function(partial(_advises, health, mode))
    for dependency in ("redis", "database", "tail"):
        metrics.dependency_up.labels(dependency).set_function(partial(_is_up, health, dependency))
    for dependency in ("redis", "database"):
        metrics.dependency_answer_seconds.labels(dependency).set_function(partial(_answered, health, dependency))
    metrics.tail_lagging.set_function(lambda: shared.tail.lagging)
    metrics.ledger_receipts_waiting.set_function(lambda: len(shared.ledger))
    metrics.dead_letters_halted.set_function(lambda: shared.dead_letters.halted)

    def count(advice: Advice) -> None:
        if advice.cause:
            metrics.sse_degradation_events_total.labels(advice.cause).inc()

    health.changed.append(count)


def _advises(health: HealthSampler, mode: Transport) -> bool:
    return health.now.advice.mode is mode


def _is_up(health: HealthSampler, dependency: str) -> bool:
    return bool(getattr(health.now, dependency))


def _answered(health: HealthSampler, dependency: str) -> float:
    return health.now.answered.get(dependency, 0.0)
