"""Spans: who continues which trace, and what happens when nobody wants any."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

from streams.publisher import stamped
from telemetry import logs, tracing
from telemetry.otel import OpenTelemetry
from telemetry.tracing import MOST_LINKS, OFF, Role, child, current, from_environment, is_sampled, valid
from tests.support.parliament import chain

TRACE = f"00-{1:032x}-{2:016x}-01"
UNSAMPLED = f"00-{3:032x}-{4:016x}-00"


class Recorded:
    """Tracing into memory."""

    def __init__(self, **provider: object) -> None:
        self.exporter = InMemorySpanExporter()
        made = TracerProvider(shutdown_on_exit=False, **provider)  # type: ignore[arg-type]  # a sampler
        made.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = OpenTelemetry(made)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """Ended spans by name."""
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """Tracing that records all."""
    one = Recorded()
    yield one
    one.tracing.close()


def trace_of(span: ReadableSpan) -> int:
    """The ID of its trace."""
    return span.get_span_context().trace_id  # type: ignore[union-attr]


def batch(recorded: Recorded, *traceparents: str | None, begins: bool = False) -> tuple[bool, str | None]:
    """Whether a batch of these is recorded, and what it hands on."""
    with recorded.tracing.batch("batch", traceparents, role=Role.CONSUMER, attributes={}, begins=begins) as span:
        return bool(span and span.sampled), span.traceparent if span else None


def test_operation_continues_the_trace_of_its_client(recorded: Recorded) -> None:
    """And its parts are below it, by the name that it gets when it is known."""
    with recorded.tracing.operation("graphql", parent=TRACE) as span:
        with child("postgresql feed", db_system="postgresql"):
            pass
        assert span is not None
        span.rename("query Feed")

    feed, operation = recorded.spans["postgresql feed"], recorded.spans["query Feed"]
    assert (trace_of(operation), operation.parent and operation.parent.span_id) == (1, 2)
    assert feed.parent is not None
    assert feed.parent.span_id == operation.get_span_context().span_id  # type: ignore[union-attr]
    assert feed.attributes == {"db.system": "postgresql"}


@given(st.text(alphabet="0123456789abcdef-g \n", max_size=60) | st.sampled_from(["00-" + "0" * 32 + "-1-01", ""]))
def test_what_is_no_traceparent_is_not_continued(text: str) -> None:
    """It comes from strangers: it is neither stored nor taken for a parent."""
    assert valid(text) is None or len(text) == len(TRACE)
    if valid(text) is None:
        recorded = Recorded()
        with recorded.tracing.operation("graphql", parent=text):
            pass
        assert recorded.spans["graphql"].parent is None
        assert not is_sampled(text)


def test_part_of_nothing_is_nothing(recorded: Recorded) -> None:
    """A loop that polls begins no span, whatever it calls; nor does what outlives its operation."""
    with child("postgresql log_head") as span:
        assert span is None
    with recorded.tracing.operation("graphql", parent=None) as operation:
        assert current() is operation
    assert current() is None
    assert operation is not None
    assert not operation.sampled
    assert list(recorded.spans) == ["graphql"]


def test_batch_continues_the_first_trace_and_is_linked_with_the_others(recorded: Recorded) -> None:
    """One span, however many entries and traces; at most 32 links."""
    others = [f"00-{k:032x}-{k:016x}-01" for k in range(10, 10 + 2 * MOST_LINKS)]

    assert batch(recorded, None, UNSAMPLED, TRACE, TRACE, *others)[0]

    span = recorded.spans["batch"]
    assert trace_of(span) == 1
    assert [link.context.trace_id for link in span.links] == list(range(10, 10 + MOST_LINKS))


def test_batch_of_which_nothing_is_sampled_is_no_span(recorded: Recorded) -> None:
    """Unless it begins a trace: that of rows which came without one."""
    assert batch(recorded, None, UNSAMPLED) == (False, None)
    sampled, traceparent = batch(recorded, None, UNSAMPLED, begins=True)
    assert sampled
    assert is_sampled(traceparent)


def test_sampler_decides_once_and_all_others_follow() -> None:
    """What the publisher's sampler left out, no tail and no fan-out takes up."""
    recorded = Recorded(sampler=ParentBased(ALWAYS_OFF))
    sampled, traceparent = batch(recorded, None, begins=True)

    assert not sampled
    assert valid(traceparent)
    assert batch(recorded, traceparent) == (False, None)
    assert not recorded.spans


def test_entries_without_a_trace_get_that_of_the_span(recorded: Recorded) -> None:
    """Those with another keep it; that which the span continues now ends in the span."""
    given = zip(chain(3), (None, TRACE, UNSAMPLED), strict=True)
    entries = [replace(entry, traceparent=traceparent) for entry, traceparent in given]
    with recorded.tracing.batch("sequence", [TRACE], role=Role.PRODUCER, attributes={}) as span:
        assert span is not None
        found = [entry.traceparent for entry in stamped(entries, span)]

    assert found == [span.traceparent, span.traceparent, UNSAMPLED]


def test_exception_is_told_by_its_type_alone(recorded: Recorded) -> None:
    """Messages may hold what people wrote."""
    with pytest.raises(ValueError, match="private"), recorded.tracing.operation("graphql", parent=None):
        raise ValueError("something private")

    span = recorded.spans["graphql"]
    assert span.attributes == {"error.type": "ValueError"}
    assert "private" not in span.to_json()


def test_log_lines_name_their_trace(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a line to its trace and back."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines())
    handler.addFilter(logs._Mark(None))
    log = logging.Logger("divisionbell.x")  # noqa: LOG001 - of its own, so that no other test sees it
    log.addHandler(handler)
    with recorded.tracing.operation("graphql", parent=TRACE) as span:
        log.warning("inside")
    log.warning("outside")

    inside, outside = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert span is not None
    assert f"00-{inside['trace_id']}-{inside['span_id']}-01" == span.traceparent
    assert "trace_id" not in outside


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
    ],
)
def test_traces_are_off_unless_the_environment_asks_for_them(environment: dict[str, str]) -> None:
    """No endpoint, no exporter, or told not to."""
    assert from_environment(environment, instance="x") is OFF
    with OFF.operation("graphql", parent=TRACE) as span, OFF.batch("fan-out", [TRACE]) as other:
        assert span is None
        assert other is None
        assert current() is None


@pytest.mark.parametrize(
    ("environment", "what"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "otlp, console or none"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "only http/protobuf",
        ),
    ],
)
def test_what_is_asked_for_and_not_here_is_refused_with_a_sentence(environment: dict[str, str], what: str) -> None:
    """Not taken for something else, nor left out silently."""
    with pytest.raises(ValueError, match=what):
        from_environment(environment, instance="x")


def test_server_without_traces_does_not_import_their_exporter() -> None:
    """Nor what it brings along; of OpenTelemetry's own modules, redis-py imports some wherever they are."""
    dear = ("telemetry.otel", "opentelemetry.exporter", "opentelemetry.sdk.trace", "google.protobuf", "requests")
    code = f"import app, sys; sys.exit(any(name.startswith({dear}) for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(tracing.__file__).parents[1], check=False)

    assert done.returncode == 0
