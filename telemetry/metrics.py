"""Every metric of the product: name, unit, labels and help in one place; docs/metrics.md says what they are good for.

Where instruments would cost something on the way of a delivery, the numbers are kept where things happen (`Flow`,
`BulkHistogram`) and read when somebody scrapes.
"""

import asyncio

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from telemetry.collected import Kind, Labels, Read, ReadWhenScraped
from telemetry.flow import Flow
from telemetry.latency import BulkHistogram

LATENCY_BUCKETS_MS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000)
HTTP_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
OF_PEL = "stream", "consumer_group"


class Metrics:
    """The instruments, on a registry of their own so that two applications in one process (tests) do not meet."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.flow = Flow()
        self._deliveries()
        self._pending()
        self._connections()
        self._log()
        self._feed()
        self._requests()
        self._refusals()
        self._dependencies()

    def _deliveries(self) -> None:
        """What becomes of entries: the SLIs of latency and success, and the books of I5."""
        flow, read = self.flow, self._read
        read(
            Kind.COUNTER,
            "sse_delivery_attempts_total",
            "Deliveries begun: an entry handed to a stream, again included.",
            ["activity_type", "mode"],
            lambda: flow.attempted,
        )
        read(
            Kind.COUNTER,
            "sse_delivery_success_total",
            "Deliveries confirmed: by the peer's kernel, or by the client where it confirms.",
            ["activity_type", "mode"],
            lambda: flow.succeeded,
        )
        read(
            Kind.COUNTER,
            "sse_delivery_failure_total",
            "Deliveries that failed. A stream that ends in between is none: its client resumes.",
            ["activity_type", "mode", "error_type"],
            lambda: flow.failures,
        )
        read(
            Kind.COUNTER,
            "sse_messages_delivered_total",
            "Deliveries confirmed, by how often they had been begun; 4 is four times or more.",
            ["delivery_count"],
            lambda: {(str(at),): count for at, count in enumerate(flow.delivered, 1)},
        )
        read(
            Kind.COUNTER, "sse_messages_failed_total", "Entries moved to the dead letters.", [], lambda: {(): flow.dead}
        )
        read(
            Kind.COUNTER,
            "sse_entries_total",
            "Entries of streams, by what happened: matched and adopted come in, all others go out.",
            ["event"],
            lambda: {(event,): count for event, count in flow.fates.items()},
        )
        read(
            Kind.GAUGE,
            "sse_entries_in_flight",
            "Entries handed over and not confirmed.",
            [],
            lambda: {(): flow.in_flight},
        )
        read(
            Kind.GAUGE,
            "sse_entries_unaccounted",
            "Entries of which nobody knows what became; anything but 0 is a bug.",
            [],
            lambda: {(): flow.unaccounted},
        )
        self.sse_delivery_latency_ms = self._bulk(
            "sse_delivery_latency_ms",
            "Milliseconds from the creation of an activity until a client's connection has accepted it.",
            ["activity_type", "mode"],
        )
        self.sse_confirmation_latency_ms = self._bulk(
            "sse_confirmation_latency_ms",
            "Milliseconds from the creation of an activity until the client said that it has it (confirm: CLIENT).",
            ["activity_type"],
        )
        flow.acknowledged = self.sse_confirmation_latency_ms.observe
        self.dead_letters = self._gauge(
            "dead_letters",
            "Dead letters, by what they wait for: dead for an operator, redriven for their subscriber. The leader's.",
            ["state"],
        )
        self.dead_letters_halted = self._gauge(
            "dead_letters_halted", "1 while too much fails for single entries to be given up."
        )

    def _pending(self) -> None:
        """The SLI of the pending entries, and where they are kept."""
        pel = "Pending entries of all subscribers: handed over, not confirmed."
        oldest = "Seconds that the oldest pending entry has been pending; 0 if none is."
        self.redis_streams_pel_total = self._gauge("redis_streams_pel_total", pel, OF_PEL)
        self.sse_pel_total_pending = self._gauge("sse_pel_total_pending", pel, OF_PEL)
        self.redis_streams_pel_age_seconds = self._gauge("redis_streams_pel_age_seconds", oldest, OF_PEL)
        self.sse_pel_oldest_age_seconds = self._gauge("sse_pel_oldest_age_seconds", oldest, OF_PEL)
        self.sse_pel_growth_rate = self._gauge(
            "sse_pel_growth_rate", "Entries a minute by which the pending ones grew in the last five minutes.", OF_PEL
        )
        self.redis_streams_memory_bytes = self._gauge(
            "redis_streams_memory_bytes", "What the stream takes in Redis.", ["stream"]
        )
        self.redis_streams_length = self._gauge("redis_streams_length", "Entries in the stream.", ["stream"])
        self.entries_parked_total = self._counter(
            "entries_parked_total", "Pending entries of absent subscribers that became missed again."
        )
        self.ledger_receipts_waiting = self._gauge(
            "ledger_receipts_waiting", "Subscribers whose receipts have not been written to Redis yet."
        )
        self.ledger_receipts_dropped_total = self._counter(
            "ledger_receipts_dropped_total", "Receipts that did not count.", ["reason"]
        )
        self.positions_saved_total = self._counter(
            "positions_saved_total", "Positions of subscribers written to PostgreSQL."
        )
        self.janitor_repairs_total = self._counter(
            "janitor_repairs_total", "What the janitor removed or put right in Redis.", ["what"]
        )

    def _connections(self) -> None:
        """Streams, their users, and those who poll instead."""
        self.sse_connections_active = self._gauge("sse_connections_active", "Live activityAdded streams.")
        self.sse_users_active = self._gauge(
            "sse_users_active", "Users with an open stream, counted once in each process."
        )
        self.sse_connections_closed_total = self._counter(
            "sse_connections_closed_total", "Streams that ended, and why.", ["reason"]
        )
        self.sse_connections_refused_total = self._counter(
            "sse_connections_refused_total", "Streams refused before they started.", ["reason"]
        )
        self.sse_polling_fallback_active = self._gauge(
            "sse_polling_fallback_active",
            "Viewers that polled (`updates`) in the last two poll intervals, counted once in each process.",
        )
        self.sse_transport_advised = self._gauge(
            "sse_transport_advised", "1 for the transport that clients are advised to use.", ["mode"]
        )
        self.sse_degradation_events_total = self._counter(
            "sse_degradation_events_total", "Times that clients were advised not to rely on streams.", ["reason"]
        )

    def _log(self) -> None:
        """The road of an activity into the log and to the tail."""
        self.activities_created_total = self._counter(
            "activities_created_total", "Activities given their place in the log."
        )
        self.sequencer_lag_seconds = self._gauge(
            "sequencer_lag_seconds", "Seconds that the oldest committed activity has waited for its place in the log."
        )
        self.sequencer_leading = self._gauge(
            "sequencer_leading", "1 in the process that sequences; over all processes the sum is 1."
        )
        self.tail_lagging = self._gauge(
            "tail_lagging", "1 while the stream in Redis does not show what PostgreSQL had a second before."
        )
        self.stream_repairs_total = self._counter(
            "stream_repairs_total", "Times the tail read from PostgreSQL what the stream did not show.", ["reason"]
        )

    def _feed(self) -> None:
        """The paths of the feed, and the read marks."""
        self.feed_served_total = self._counter(
            "feed_served_total", "Pages of the feed, by the path that answered.", ["source"]
        )
        self.feed_passed_on_total = self._counter(
            "feed_passed_on_total",
            "Times a path of the feed could not answer and the next was asked.",
            ["source", "reason"],
        )
        self.feed_window_activities = self._gauge("feed_window_activities", "Activities in the memory of this process.")
        self.feed_view_age_seconds = self._gauge(
            "feed_view_age_seconds", "Seconds since the view of recent activities was refreshed. The leader's."
        )
        self.read_marks_warmed_total = self._counter(
            "read_marks_warmed_total", "Users whose bitmaps were filled from PostgreSQL."
        )
        self.read_marks_behind_total = self._counter(
            "read_marks_behind_total", "Users whose bitmaps the sweep found to be behind PostgreSQL."
        )
        self.repairs_waiting_seconds = self._gauge(
            "repairs_waiting_seconds",
            "Seconds since a round of repairs came to its end, by what it repairs. The leader's.",
            ["what"],
        )

    def _requests(self) -> None:
        """HTTP and GraphQL."""
        self.http_requests_total = self._counter(
            "http_requests_total", "Requests answered.", ["method", "route", "status"]
        )
        self.http_request_duration_seconds = self._histogram(
            "http_request_duration_seconds", "Seconds from a request to the first byte of its answer.", ["route"]
        )
        self.execution_cache_total = self._counter(
            "execution_cache_total", "Look-ups in the caches of GraphQL execution.", ["cache", "result"]
        )

    def _refusals(self) -> None:
        """Who was not let in, and what was not answered."""
        self.refusals_total = self._counter(
            "refusals_total", "Refusals and errors that clients were told, by extensions.code.", ["code"]
        )
        self.connections_cut_total = self._counter(
            "connections_cut_total", "Connections that were closed before they brought a whole request.", ["reason"]
        )
        self.rate_limit_unshared_total = self._counter(
            "rate_limit_unshared_total", "Times that processes could not exchange what they count: each went on alone."
        )
        self.rate_limit_forgotten_total = self._counter(
            "rate_limit_forgotten_total", "Counts of rate limits that were dropped because there were too many to keep."
        )
        self.signing_key_fetches_total = self._counter(
            "signing_key_fetches_total", "Times the identity provider was asked for its public keys.", ["result"]
        )

    def _dependencies(self) -> None:
        """What this process needs of others."""
        self.dependency_up = self._gauge(
            "dependency_up", "1 if it answered this second: redis, database, tail.", ["dependency"]
        )
        self.dependency_answer_seconds = self._gauge(
            "dependency_answer_seconds", "Seconds it took to answer, or to be given up.", ["dependency"]
        )
        self.redis_memory_used_bytes = self._gauge("redis_memory_used_bytes", "What all of Redis takes.")
        self.redis_memory_limit_bytes = self._gauge(
            "redis_memory_limit_bytes", "Redis' maxmemory, beyond which it refuses writes; 0 if it has none."
        )
        self.db_query_duration_seconds = self._histogram(
            "db_query_duration_seconds",
            "Seconds a query of PostgreSQL took, the wait for a connection included.",
            ["query"],
        )
        self.db_connections = self._gauge(
            "db_connections", "Connections of this process to PostgreSQL: in use, or idle.", ["state"]
        )

    def _counter(self, name: str, about: str, labels: Labels = ()) -> Counter:
        return Counter(name, about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, labels: Labels = ()) -> Gauge:
        return Gauge(name, about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str, labels: Labels = ()) -> Histogram:
        return Histogram(name, about, labels, buckets=HTTP_BUCKETS_S, registry=self.registry)

    def _bulk(self, name: str, about: str, labels: Labels) -> BulkHistogram:
        histogram = BulkHistogram(name, about, labels, LATENCY_BUCKETS_MS)
        self.registry.register(histogram)
        return histogram

    def _read(self, kind: Kind, name: str, about: str, labels: Labels, read: Read) -> None:
        self.registry.register(ReadWhenScraped(kind, name, about, labels, read))


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


def _tasks() -> dict[tuple[str, ...], float]:
    """Their number; nothing where no event loop runs."""
    try:
        return {(): len(asyncio.all_tasks())}
    except RuntimeError:
        return {}


def process_metrics(registry: CollectorRegistry) -> None:
    """Add the process's own: memory, CPU, file descriptors, garbage collections, versions."""
    if registry is not REGISTRY:
        ProcessCollector(registry=registry)
        about = "Tasks of the event loop; a stream that has caught up has none."
        registry.register(ReadWhenScraped(Kind.GAUGE, "asyncio_tasks", about, [], _tasks))
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
