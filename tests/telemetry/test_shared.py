"""Metrics of several processes, shown as one."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from telemetry.flow import About
from telemetry.metrics import Metrics, process_metrics
from telemetry.shared import SharedMetrics, forget_gauges
from tests.support.directories import reachable_directory

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(registry: CollectorRegistry) -> Samples:
    """What a scrape would find."""
    text = generate_latest(registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Life:
    """One life of a process: some instruments, and their share of a directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self.registry = CollectorRegistry()
        self.counter = Counter("things", "Things.", ["kind"], registry=self.registry)
        self.histogram = Histogram("sizes", "Sizes.", buckets=(1, 10), registry=self.registry)
        self.gauge = Gauge("streams", "Streams.", registry=self.registry)
        self.pel = Gauge("redis_streams_pel_total", "Pending.", registry=self.registry)
        self.shared = SharedMetrics(self.registry, directory=directory, name=name)

    def do(self, kind: str, size: int) -> None:
        """Something that is counted, observed and open."""
        self.counter.labels(kind).inc()
        self.histogram.observe(size)
        self.gauge.inc()
        self.pel.set(size)


happenings = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["do", "show", "die"]), st.sampled_from("ab"), st.integers(0, 20)),
    max_size=40,
)


@given(happenings)
def test_any_process_shows_the_sum_of_all_and_no_total_goes_back(what_happens: list[tuple[int, str, str, int]]) -> None:
    """Through kills and replacements: counters and buckets never sink, and lose at most what was never shown."""
    with reachable_directory() as directory:
        lives = [Life(directory, str(number)) for number in range(3)]
        shown: Samples = {}
        for number, what, kind, size in what_happens:
            life = lives[number]
            match what:
                case "do":
                    life.do(kind, size)
                case "die":
                    life.shared.close()  # a killed process writes nothing more either
                    forget_gauges(directory, str(number))
                    lives[number] = Life(directory, str(number))
                case "show":
                    now = samples(life.shared.registry)
                    for series, value in shown.items():
                        if series[0] not in {"streams", "redis_streams_pel_total"}:
                            assert now[series] >= value, series
                    shown = now
        for life in lives:
            life.shared.write()
        final = samples(lives[0].shared.registry)
        assert final == samples(lives[2].shared.registry)
        for life in lives:
            life.shared.close()

    assert final["sizes_count", frozenset()] == final["sizes_bucket", frozenset({("le", "+Inf")})]
    assert final["streams", frozenset()] == sum(life.gauge._value.get() for life in lives)
    assert final["redis_streams_pel_total", frozenset()] == max(life.pel._value.get() for life in lives)


def test_sums_are_those_of_the_single_processes(tmp_path: Path) -> None:
    """Counters, buckets, sums and counts add up; a dead process's totals stay, its gauges go."""
    first, second = Life(tmp_path, "0"), Life(tmp_path, "1")
    for size in (1, 5, 50):
        first.do("a", size)
    second.do("b", 5)
    second.shared.write()
    second.shared.close()
    forget_gauges(tmp_path, "1")
    third = Life(tmp_path, "1")
    third.do("b", 5)
    third.shared.write()

    found = samples(first.shared.registry)
    first.shared.close()
    third.shared.close()

    assert {
        ("things_total", frozenset({("kind", "a")})): 3,
        ("things_total", frozenset({("kind", "b")})): 2,
        ("sizes_bucket", frozenset({("le", "1.0")})): 1,
        ("sizes_bucket", frozenset({("le", "10.0")})): 4,
        ("sizes_bucket", frozenset({("le", "+Inf")})): 5,
        ("sizes_count", frozenset()): 5,
        ("sizes_sum", frozenset()): 66,
        ("streams", frozenset()): 4,
        ("redis_streams_pel_total", frozenset()): 50,
    } == found


def test_one_process_among_several_shows_what_it_would_show_alone(tmp_path: Path) -> None:
    """Every metric of the server passes through the files: names, labels, types, help and values."""
    metrics = Metrics()
    process_metrics(metrics.registry)
    metrics.sse_delivery_latency_ms.observe(("SPEECH", "live"), 3)
    metrics.flow.matched = 2
    metrics.flow.confirm(1, About("SPEECH", "live", 0))
    metrics.redis_streams_pel_total.labels("stream", "users").set_function(lambda: 7)
    shared = SharedMetrics(metrics.registry, directory=tmp_path, name="0")

    def shown(registry: CollectorRegistry) -> set[tuple[object, ...]]:
        return {
            # Memory, CPU and garbage collections move between the two looks.
            (family.name, family.type, family.documentation, sample.name, frozenset(sample.labels.items()))
            + ((sample.value,) if not family.name.startswith(("process_", "python_gc")) else ())
            for family in text_string_to_metric_families(generate_latest(registry).decode())
            for sample in family.samples
            if not family.name.endswith("_created")
        }

    assert shown(metrics.registry) == shown(shared.registry)
    shared.close()
