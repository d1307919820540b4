"""The names, labels and kinds of metrics: what rules, dashboards and operators rely on."""

import re
from datetime import timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from telemetry.flow import LIVE, About, Failure
from telemetry.growth import APART, Growth
from telemetry.metrics import Metrics, WorkerMetrics, process_metrics
from telemetry.pollers import MOST, Pollers
from telemetry.rounds import Rounds
from telemetry.shared import ALIKE

NAME = re.compile(r"`([a-z_]+)`")
SPEECH = About("SPEECH", LIVE, 0)
PRODUCT = {
    "redis_streams_pel_total": ("gauge", {"stream", "consumer_group"}),
    "redis_streams_pel_age_seconds": ("gauge", {"stream", "consumer_group"}),
    "redis_streams_memory_bytes": ("gauge", {"stream"}),
    "sse_pel_total_pending": ("gauge", {"stream", "consumer_group"}),
    "sse_pel_oldest_age_seconds": ("gauge", {"stream", "consumer_group"}),
    "sse_pel_growth_rate": ("gauge", {"stream", "consumer_group"}),
    "sse_delivery_latency_ms": ("histogram", {"activity_type", "mode"}),
    "sse_confirmation_latency_ms": ("histogram", {"activity_type"}),
    "sse_delivery_attempts": ("counter", {"activity_type", "mode"}),
    "sse_delivery_success": ("counter", {"activity_type", "mode"}),
    "sse_delivery_failure": ("counter", {"activity_type", "mode", "error_type"}),
    "sse_messages_delivered": ("counter", {"delivery_count"}),
    "sse_messages_failed": ("counter", set()),
    "sse_connections_active": ("gauge", set()),
    "sse_users_active": ("gauge", set()),
    "sse_polling_fallback_active": ("gauge", set()),
    "sse_degradation_events": ("counter", {"reason"}),
    "sse_entries_unaccounted": ("gauge", set()),
    "db_query_duration_seconds": ("histogram", {"query"}),
    "activities_created": ("counter", set()),
}
"""The contract: DESIGN's names, the kind of each, and its labels."""


def _used() -> Metrics:
    """Metrics of which every labelled one has a series."""
    metrics = Metrics()
    flow = metrics.flow
    flow.attempted[SPEECH.type, SPEECH.mode] += 1
    flow.confirm(1, SPEECH)
    flow.fail(Failure.RENDER, SPEECH)
    flow.acknowledged(("SPEECH",), 12)
    metrics.sse_delivery_latency_ms.observe(("SPEECH", LIVE), 3)
    for metric in vars(metrics).values():
        if names := getattr(metric, "_labelnames", ()):
            metric.labels(*names)
    return metrics


def test_names_kinds_and_labels_are_those_of_the_contract() -> None:
    """Dashboards and alerts of others are built on them: none goes missing, none changes its labels."""
    found = {
        family.name: (family.type, {label for sample in family.samples for label in sample.labels} - {"le"})
        for family in text_string_to_metric_families(generate_latest(_used().registry).decode())
    }

    assert {name: found.get(name) for name in PRODUCT} == PRODUCT


def test_every_metric_says_what_it_is() -> None:
    """Help is a sentence; a name that ends in a unit or in _total is what it says."""
    for family in _used().registry.collect():
        assert family.documentation.endswith("."), family.name
        assert family.type != "counter" or not family.name.endswith("_total")
        assert family.type != "gauge" or not family.name.endswith("_total") or family.name == "redis_streams_pel_total"


def test_failures_are_counted_from_nought() -> None:
    """A counter that appears with its first failure has not grown, for rate(): each kind is there from the start."""
    registry = Metrics().registry

    for failure in Failure:
        labels = {"activity_type": "unknown", "mode": "live", "error_type": failure.value}
        assert registry.get_sample_value("sse_delivery_failure_total", labels) == 0


@given(st.lists(st.tuples(st.floats(0.5, 20), st.integers(0, 50_000)), min_size=2, max_size=80))
def test_growth_is_that_of_the_last_five_minutes(samples: list[tuple[float, int]]) -> None:
    """Between the newest value and one that is five minutes old, or the first, give or take ten seconds."""
    growth, now, seen = Growth(), 0.0, list[tuple[float, int]]()
    for step, value in samples:
        now += step
        seen.append((now, value))
        growth.see(value, now)

    possible = {
        (value - before) / (now - then) * 60
        for then, before in seen
        if now - then >= APART and (now - then <= 300 + APART + 20 or then == seen[0][0])
    } or {0.0}
    assert growth.a_minute in possible
    assert len(growth._kept) <= 32


def test_pending_entries_that_grow_by_two_a_second_grow_by_120_a_minute() -> None:
    """Whatever there was before the window."""
    growth = Growth()
    for second in range(1_000):
        growth.see(max(0, second - 500) * 2, float(second))

    assert round(growth.a_minute) == 120


def test_viewers_that_poll_are_counted_for_two_intervals() -> None:
    """Once each, however often they poll; who has stopped is forgotten."""
    now, interval = [0.0], timedelta(seconds=5)
    pollers = Pollers(interval=lambda: interval, clock=lambda: now[0])
    for second, viewer in [(0, "ada"), (1, "bob"), (6, "ada")]:
        now[0] = second
        pollers.polled(viewer)

    assert len(pollers) == 2
    now[0] = 12
    assert len(pollers) == 1
    now[0] = 17
    assert len(pollers) == 0


def test_viewers_that_poll_take_a_bounded_memory() -> None:
    """Of more than there can be, those that polled last are remembered."""
    pollers = Pollers(interval=lambda: timedelta(hours=1), clock=lambda: 0.0)
    for number in range(MOST + 10):
        pollers.polled(str(number))

    assert len(pollers) == MOST


def test_only_the_leader_shows_how_old_its_last_round_is() -> None:
    """And a round that hangs shows, because the gauge is read when somebody scrapes."""
    now = [100.0]
    metrics = Metrics(CollectorRegistry())
    rounds = Rounds(metrics.repairs_waiting_seconds.labels("pending"), clock=lambda: now[0])

    def shown() -> float | None:
        return metrics.registry.get_sample_value("repairs_waiting_seconds", {"what": "pending"})

    assert shown() == 0
    with rounds.leading():
        now[0] += 30
        assert shown() == 30
        rounds.done()
        assert shown() == 0
        now[0] += 5
    assert shown() == 0


def test_page_about_metrics_tells_of_each() -> None:
    """docs/metrics.md names every metric that is defined, and no other."""
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    told = {name for line in page.splitlines() if line.startswith("| `") for name in NAME.findall(line.split("|")[1])}
    families = [*Metrics().registry.collect(), *WorkerMetrics().registry.collect()]

    assert told == {f"{family.name}_total" if family.type == "counter" else family.name for family in families}


def test_gauges_that_all_workers_see_alike_are_ours() -> None:
    """A name that is misspelt there would be added up over the workers, without a word."""
    metrics = Metrics()
    process_metrics(metrics.registry)

    assert set(ALIKE) <= {family.name for family in metrics.registry.collect() if family.type in {"gauge", "info"}}
