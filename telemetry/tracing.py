"""Traces: who may begin a span, and why it costs nothing while nobody wants any.

Whoever does a piece of work that somebody waits for (an operation, a batch of entries) begins a span with the `Tracing`
it was given. What runs inside adds to it by `child`, which does nothing where nothing is traced: so loops that poll are
silent, and what they call need not know. OpenTelemetry is imported only when the environment asks for traces.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from enum import Enum, auto
from typing import Protocol

Attributes = Mapping[str, str | int | float | bool]

MOST_LINKS = 32
"""Traces that a batch is linked with; of a burst of a thousand activities the others end before it."""
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


class Role(Enum):
    """Where a span stands between processes."""

    SERVER = auto()
    PRODUCER = auto()
    CONSUMER = auto()


class Span(Protocol):
    """A piece of work that has begun. It may turn out not to be sampled; then only its `traceparent` matters."""

    @property
    def traceparent(self) -> str:
        """What others continue it with (W3C Trace Context)."""
        ...

    @property
    def sampled(self) -> bool:
        """Whether it is recorded, and has not ended."""
        ...

    def rename(self, name: str) -> None:
        """Its name is known now."""
        ...

    def set(self, attributes: Attributes) -> None:
        """Note more about it."""
        ...

    def child(self, name: str, attributes: Attributes) -> "AbstractContextManager[Span]":
        """A part of it."""
        ...


class Tracing(Protocol):
    """Begins spans."""

    on: bool

    def operation(self, name: str, *, parent: str | None) -> AbstractContextManager[Span | None]:
        """What a client asked for; `parent` is the traceparent that it sent."""
        ...

    def batch(
        self,
        name: str,
        traceparents: Iterable[str | None],
        *,
        role: Role,
        attributes: Attributes,
        begins: bool = False,
        since_ns: int | None = None,
    ) -> AbstractContextManager[Span | None]:
        """Work on several things at once: it continues the first trace that is sampled, and is linked with the others.

        Without any it is no span, unless it `begins` a trace. `since_ns`: when it began, in ns since 1970, if not now.
        """
        ...

    def close(self) -> None:
        """Send what is left, for some seconds at most."""
        ...


class Untraced:
    """Tracing when nobody wants any."""

    on = False

    def operation(self, name: str, *, parent: str | None) -> AbstractContextManager[Span | None]:  # noqa: ARG002 - Tracing's
        """Nothing."""
        return NOTHING

    def batch(self, *_: object, **__: object) -> AbstractContextManager[Span | None]:
        """Nothing."""
        return NOTHING

    def close(self) -> None:
        """Nothing is left."""


NOTHING: AbstractContextManager[Span | None] = nullcontext()
OFF = Untraced()
CURRENT: ContextVar[Span | None] = ContextVar("span", default=None)


def child(name: str, **attributes: str | float | bool) -> AbstractContextManager[Span | None]:
    """A part of what is being traced here; nothing if nothing is. An underscore in a keyword is a dot in the name."""
    span = CURRENT.get()
    if span is None or not span.sampled:
        return NOTHING
    return span.child(name, {key.replace("_", "."): value for key, value in attributes.items()})


def current() -> Span | None:
    """What is being traced here."""
    return CURRENT.get()


def valid(traceparent: str | None) -> str | None:
    """The traceparent, if it is one: it comes from strangers, and is stored."""
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None


def is_sampled(traceparent: str | None) -> bool:
    """Whether whoever began the trace wants it recorded."""
    return bool(valid(traceparent)) and bool(int(str(traceparent)[-2:], 16) & 1)


def from_environment(environment: Mapping[str, str], *, instance: str) -> Tracing:
    """Tracing as OpenTelemetry's standard variables ask for it: on with an OTLP endpoint or an exporter, else off.

    `instance` names this process. Raises ValueError, with what to do, for an exporter or a protocol that is not here.
    """
    exporter = environment.get("OTEL_TRACES_EXPORTER", "")
    endpoints = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    wanted = exporter or any(environment.get(name) for name in endpoints)
    if not wanted or exporter == "none" or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return OFF
    from telemetry import otel  # noqa: PLC0415 - protobuf, requests: time and memory that nobody else pays

    return otel.from_environment(environment, exporter=exporter or "otlp", instance=instance)
