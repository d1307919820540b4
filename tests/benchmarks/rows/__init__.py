"""The rows of the table, in the order in which they are run. Each is a coroutine function of a bench."""

from collections.abc import Awaitable, Callable, Mapping

from tests.benchmarks.bench import Bench, Row
from tests.benchmarks.rows import (
    costs,
    feed,
    filters,
    inserting,
    jittering,
    processes,
    reconnecting,
    redis_cost,
    shards,
    telemetry,
    throughput,
)

ROWS: Mapping[str, Callable[[Bench], Awaitable[list[Row]]]] = {
    "deliveries": throughput.run,
    "inserts": inserting.run,
    "filters": filters.run,
    "redis": redis_cost.run,
    "shards": shards.run,
    "telemetry": telemetry.run,
    "reconnects": reconnecting.run,
    "jitter": jittering.run,
    "processes": processes.run,
    "feed": feed.run,
    "costs": costs.run,
}
