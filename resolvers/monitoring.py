"""What a process watches of itself: probes for the health sample, and gauges that show the sample to Prometheus."""

from collections.abc import Awaitable, Callable

from resolvers.activities import Activity
from streams.entries import Log
from streams.keys import Keys
from streams.shared import Shared
from telemetry.advice import Advice, Transport
from telemetry.health import HealthSampler, Pel
from telemetry.metrics import Metrics

GROUPS = "users"
"""The `consumer_group` label: there is one group a subscriber, and a label for each would be 100,000 series."""


def watch(
    *,
    ping: Callable[[], Awaitable[object]],
    pel: Callable[[], Awaitable[Pel]],
    log_of_record: Log[Activity],
    shared: Shared[Activity],
    metrics: Metrics,
) -> HealthSampler:
    """The sampler of a process. `ping` asks Redis for a sign of life, `pel` for what is pending."""
    tail, letters = shared.tail, shared.dead_letters

    async def redis() -> bool:
        await ping()
        return True

    async def database() -> bool:
        await log_of_record.head()
        return True

    async def follows() -> bool:
        return tail.ready.is_set() and tail.follows

    def alarms() -> tuple[str, ...]:
        found = []
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


def _show(health: HealthSampler, *, shared: Shared[Activity], metrics: Metrics) -> None:
    stream = Keys().stream
    metrics.redis_streams_pel_total.labels(stream, GROUPS).set_function(lambda: health.now.pel.total)
    metrics.redis_streams_pel_age_seconds.labels(stream, GROUPS).set_function(
        lambda: health.now.pel.oldest.total_seconds()  # noqa: PLW0108 - of the sample there is then
    )
    metrics.redis_streams_memory_bytes.labels(stream).set_function(lambda: health.now.pel.memory)
    metrics.sse_polling_fallback_active.set_function(lambda: health.now.advice.mode is Transport.POLLING)
    metrics.dead_letters_halted.set_function(lambda: shared.dead_letters.halted)

    def count(advice: Advice) -> None:
        if advice.cause:
            metrics.sse_degradation_events_total.labels(advice.cause).inc()

    health.changed.append(count)
