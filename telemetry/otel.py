"""Tracing by OpenTelemetry's SDK; imported only where traces are wanted."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from telemetry.tracing import CURRENT, MOST_LINKS, NOTHING, Attributes, Role, Span, is_sampled, valid

_KINDS = {Role.SERVER: SpanKind.SERVER, Role.PRODUCER: SpanKind.PRODUCER, Role.CONSUMER: SpanKind.CONSUMER}
_NONE: Attributes = {}


class Traced:
    """A `telemetry.tracing.Span` of the SDK."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def traceparent(self) -> str:
        """What others continue it with."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    @property
    def sampled(self) -> bool:
        """Whether it is recorded, and has not ended."""
        return self._span.is_recording()

    def rename(self, name: str) -> None:
        """Its name is known now."""
        self._span.update_name(name)

    def set(self, attributes: Attributes) -> None:
        """Note more about it."""
        self._span.set_attributes(attributes)

    def child(self, name: str, attributes: Attributes) -> AbstractContextManager[Span]:
        """A part of it."""
        context = trace.set_span_in_context(self._span, Context())
        return _running(self._tracer, self._tracer.start_span(name, context=context, attributes=attributes))


class OpenTelemetry:
    """`telemetry.tracing.Tracing` with the spans of a provider."""

    on = True

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("divisionbell")

    def operation(self, name: str, *, parent: str | None) -> AbstractContextManager[Span | None]:
        """What a client asked for."""
        context = _continued(parent) if valid(parent) else Context()
        return _running(self._tracer, self._tracer.start_span(name, context=context, kind=SpanKind.SERVER))

    def batch(
        self,
        name: str,
        traceparents: Iterable[str | None],
        *,
        role: Role,
        attributes: Attributes = _NONE,
        begins: bool = False,
        since_ns: int | None = None,
    ) -> AbstractContextManager[Span | None]:
        """Work on several things at once."""
        parents = list(dict.fromkeys(one for one in traceparents if one and is_sampled(one)))
        if not (parents or begins):
            return NOTHING
        span = self._tracer.start_span(
            name,
            context=_continued(parents[0]) if parents else Context(),
            kind=_KINDS[role],
            attributes=attributes,
            links=[Link(_context_of(one)) for one in parents[1 : MOST_LINKS + 1]],
            start_time=since_ns,
        )
        return _running(self._tracer, span)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


@contextmanager
def _running(tracer: trace.Tracer, span: trace.Span) -> Iterator[Span]:
    """The span while the block runs. Of an exception it keeps the type: messages may hold what people wrote."""
    traced = Traced(tracer, span)
    token = CURRENT.set(traced)
    try:
        yield traced
    except BaseException as error:
        span.set_attribute("error.type", type(error).__qualname__)
        span.set_status(Status(StatusCode.ERROR))
        raise
    finally:
        CURRENT.reset(token)
        span.end()


def _continued(traceparent: str | None) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(_context_of(traceparent or "")), Context())


def _context_of(traceparent: str) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def from_environment(environment: Mapping[str, str], *, exporter: str, instance: str) -> OpenTelemetry:
    """See `telemetry.tracing.from_environment`. Sampler, batches and headers are the SDK's to read."""
    name = {} if environment.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "divisionbell"}
    resource = Resource.create({**name, SERVICE_INSTANCE_ID: instance})
    # It would wait for a collector that is away when the process ends; `close` is called, and waited for briefly.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_exporter(exporter, environment)))
    return OpenTelemetry(provider)


def _exporter(name: str, environment: Mapping[str, str]) -> SpanExporter:
    if name == "console":
        return ConsoleSpanExporter()
    if name != "otlp":
        raise ValueError(f"OTEL_TRACES_EXPORTER is {name}: set it to otlp, console or none")
    general = environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", general)
    if protocol != "http/protobuf":
        raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}: only http/protobuf is here, usually port 4318")
    return OTLPSpanExporter()
