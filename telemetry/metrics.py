"""Every metric of the product: name, unit, labels and help in one place."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from telemetry.flow import Flow, FlowCollector
from telemetry.latency import BulkHistogram

LATENCY_BUCKETS_MS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000)
HTTP_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The instruments, on a registry of their own so that two applications in one process (tests) do not meet."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.activities_created_total = Counter(
            "activities_created_total",
            "Activities given their place in the log.",
            registry=self.registry,
        )
        self.sse_connections_active = Gauge(
            "sse_connections_active", "Live activityAdded streams.", registry=self.registry
        )
        self.flow = Flow()
        self.registry.register(FlowCollector(self.flow))
        self.sse_connections_closed_total = Counter(
            "sse_connections_closed_total", "Streams that ended, and why.", ["reason"], registry=self.registry
        )
        self.sse_users_active = Gauge(
            "sse_users_active", "Users with an open stream, counted once in each process.", registry=self.registry
        )
        self.sse_connections_refused_total = Counter(
            "sse_connections_refused_total", "Streams refused before they started.", ["reason"], registry=self.registry
        )
        self.sse_delivery_latency_ms = BulkHistogram(
            "sse_delivery_latency_ms",
            "Milliseconds from the creation of an activity until a client's connection has accepted it.",
            ["activity_type", "mode"],
            LATENCY_BUCKETS_MS,
        )
        self.registry.register(self.sse_delivery_latency_ms)
        self.positions_saved_total = Counter(
            "positions_saved_total", "Positions of subscribers written to PostgreSQL.", registry=self.registry
        )
        self.entries_parked_total = Counter(
            "entries_parked_total",
            "Pending entries of absent subscribers that became missed again.",
            registry=self.registry,
        )
        self.janitor_repairs_total = Counter(
            "janitor_repairs_total",
            "What the janitor removed or put right in Redis.",
            ["what"],
            registry=self.registry,
        )
        self.stream_repairs_total = Counter(
            "stream_repairs_total",
            "Times the tail read from PostgreSQL what the stream did not show.",
            ["reason"],
            registry=self.registry,
        )
        self.redis_streams_pel_total = Gauge(
            "redis_streams_pel_total",
            "Pending entries of all subscribers.",
            ["stream", "consumer_group"],
            registry=self.registry,
        )
        self.redis_streams_pel_age_seconds = Gauge(
            "redis_streams_pel_age_seconds",
            "Seconds that the oldest pending entry has been pending.",
            ["stream", "consumer_group"],
            registry=self.registry,
        )
        self.redis_streams_memory_bytes = Gauge(
            "redis_streams_memory_bytes", "What the stream takes in Redis.", ["stream"], registry=self.registry
        )
        self.sse_polling_fallback_active = Gauge(
            "sse_polling_fallback_active", "1 while clients are advised to poll.", registry=self.registry
        )
        self.sse_degradation_events_total = Counter(
            "sse_degradation_events_total",
            "Times that clients were advised not to rely on streams.",
            ["reason"],
            registry=self.registry,
        )
        self.dead_letters_halted = Gauge(
            "dead_letters_halted", "1 while too much fails for single entries to be given up.", registry=self.registry
        )
        self.ledger_receipts_dropped_total = Counter(
            "ledger_receipts_dropped_total", "Receipts that did not count.", ["reason"], registry=self.registry
        )
        self.db_query_duration_seconds = Histogram(
            "db_query_duration_seconds",
            "Seconds a query of PostgreSQL took, the wait for a connection included.",
            ["query"],
            buckets=HTTP_BUCKETS_S,
            registry=self.registry,
        )
        self.feed_served_total = Counter(
            "feed_served_total", "Pages of the feed, by the path that answered.", ["source"], registry=self.registry
        )
        self.feed_passed_on_total = Counter(
            "feed_passed_on_total",
            "Times a path of the feed could not answer and the next was asked.",
            ["source", "reason"],
            registry=self.registry,
        )
        self.feed_window_activities = Gauge(
            "feed_window_activities", "Activities in the memory of this process.", registry=self.registry
        )
        self.feed_view_age_seconds = Gauge(
            "feed_view_age_seconds",
            "Seconds since this process last refreshed the view of recent activities; 0 if it never did.",
            registry=self.registry,
        )
        self.read_marks_warmed_total = Counter(
            "read_marks_warmed_total", "Users whose bitmaps were filled from PostgreSQL.", registry=self.registry
        )
        self.read_marks_behind_total = Counter(
            "read_marks_behind_total",
            "Users whose bitmaps the sweep found to be behind PostgreSQL.",
            registry=self.registry,
        )
        self.execution_cache_total = Counter(
            "execution_cache_total",
            "Look-ups in the caches of GraphQL execution.",
            ["cache", "result"],
            registry=self.registry,
        )
        self.http_requests_total = Counter(
            "http_requests_total", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.http_request_duration_seconds = Histogram(
            "http_request_duration_seconds",
            "Seconds from a request to the first byte of its answer.",
            ["route"],
            buckets=HTTP_BUCKETS_S,
            registry=self.registry,
        )


class WorkerMetrics:
    """What the parent of several server processes counts of them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.workers_active = Gauge("workers_active", "Server processes that serve.", registry=self.registry)
        self.workers_replaced_total = Counter(
            "workers_replaced_total",
            "Server processes that ended unasked and were replaced.",
            ["reason"],
            registry=self.registry,
        )


def process_metrics(registry: CollectorRegistry) -> None:
    """Add the process's own: memory, CPU, file descriptors, garbage collections, versions."""
    if registry is not REGISTRY:
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
