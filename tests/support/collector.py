"""A collector of traces on loopback: takes OTLP over HTTP, keeps the spans."""

import gzip
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    """A span as it was sent; IDs in hexadecimal, times in ns since 1970."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    began: int
    ended: int
    attributes: Mapping[str, object]
    links: tuple[str, ...]
    service: Mapping[str, object]


@dataclass
class Collector:
    """What has come in so far."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)

    def of(self, trace: str) -> list[Span]:
        """The spans of a trace, the earliest first."""
        return sorted((span for span in self.spans if span.trace == trace), key=lambda span: span.began)

    def environment(self) -> dict[str, str]:
        """What sends spans here, soon after they ended."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "100", "NO_PROXY": "127.0.0.1"}

    def take(self, body: bytes) -> None:
        """Read a request."""
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            service = _attributes(resource.resource.attributes)
            for scope in resource.scope_spans:
                self.spans.extend(_span(span, service) for span in scope.spans)


def _attributes(pairs: object) -> dict[str, object]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in pairs}  # type: ignore[attr-defined]


def _span(span: object, service: Mapping[str, object]) -> Span:
    return Span(
        name=span.name,  # type: ignore[attr-defined]  # protobuf's, made at import
        trace=span.trace_id.hex(),  # type: ignore[attr-defined]
        id=span.span_id.hex(),  # type: ignore[attr-defined]
        parent=span.parent_span_id.hex(),  # type: ignore[attr-defined]
        kind=span.kind,  # type: ignore[attr-defined]
        began=span.start_time_unix_nano,  # type: ignore[attr-defined]
        ended=span.end_time_unix_nano,  # type: ignore[attr-defined]
        attributes=_attributes(span.attributes),  # type: ignore[attr-defined]
        links=tuple(link.trace_id.hex() for link in span.links),  # type: ignore[attr-defined]
        service=service,
    )


@contextmanager
def collecting() -> Iterator[Collector]:
    """Collect until the block ends."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads them."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="collector", daemon=True)
        thread.start()
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
