"""What a resolver gets beside its arguments."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from resolvers.activities import Activity
from resolvers.database.feed import StoredActivities
from resolvers.dead_letters import Settlements
from resolvers.events import Event, Unshowable
from resolvers.feed import Feed
from resolvers.identity import Viewer
from resolvers.live import LiveFeed
from resolvers.reading import Reading
from resolvers.recent import Recent
from resolvers.stream import LiveStream
from resolvers.updates import Updates
from schema.rendering import Rendering
from schema.wire import Wire, frame
from streams.entries import Log
from streams.rates import Rates
from telemetry.health import HealthSampler
from telemetry.pollers import Pollers


@dataclass(frozen=True, slots=True)
class Services:
    """What the resolvers work with; one for the process."""

    feed: Feed
    stored: StoredActivities
    reading: Reading
    recent: Recent
    settlements: Settlements
    updates: Updates
    live: LiveFeed
    health: HealthSampler
    log_of_record: Log[Activity]
    pollers: Pollers
    rates: Rates


@dataclass(frozen=True, slots=True)
class EverybodysContext:
    """The context of what is rendered once for all. It has no viewer: whoever asks for one finds out (I6)."""

    @property
    def viewer(self) -> NoReturn:
        """Raises RuntimeError."""
        raise RuntimeError("what everybody is shown must not depend on a viewer: it was rendered for all of them")


@dataclass(frozen=True, slots=True)
class ForEverybody:
    """Renders events for all who sent the same operation, over connections of the same framing."""

    rendering: Rendering
    chunked: bool

    def __call__(self, event: Event) -> bytes:
        """What `Wire.write` takes. Raises Unshowable."""
        data, error = self.rendering.frame(event, str(event.cursor))
        if error is not None:
            raise Unshowable(repr(error)) from error
        return frame(data, chunked=self.chunked)


@dataclass(slots=True, weakref_slot=True)
class Context:
    """One operation's viewer and services.

    `stream_cursor` becomes the SSE `id:` of the event yielded next; `wire` is the connection of a subscription,
    `document` its text, and `stream` what it yields from.
    """

    viewer: Viewer
    services: Services
    traceparent: str | None = None
    last_event_id: str | None = None
    stream_cursor: str | None = None
    wire: Wire | None = None
    document: str = ""
    stream: LiveStream | None = None

    def without_viewer(self) -> EverybodysContext:
        """The context in which events are executed."""
        return EverybodysContext()

    def rendered(self, error: BaseException | None) -> bool:
        """See `schema.view.StreamContext`. What a stream cannot show, it tries again, and then tells as a gap."""
        if self.stream is None:
            return True
        self.stream.rendered()
        if error is not None:
            self.stream.broken(repr(error))
        return error is None

    def greeting(self) -> Event | None:
        """See `schema.subscribing.StreamContext`."""
        notice = self.stream.greeting() if self.stream is not None else None
        if notice is not None:
            self.stream_cursor = str(notice.cursor)
        return notice

    def catch_up(self, rendering: Rendering, wire: Wire) -> None:
        """See `schema.subscribing.StreamContext`."""
        if self.stream is not None:
            self.stream.catch_up(ForEverybody(rendering, wire.chunked))

    @property
    def at_edge(self) -> bool:
        """Whether the stream has caught up, and can go on in the fan-out."""
        return self.stream is not None and self.stream.at_edge

    def sit(self, rendering: Rendering, wire: Wire, resume: Callable[[], None]) -> None:
        """Take a seat in the fan-out."""
        if self.stream is not None:
            self.stream.sit(ForEverybody(rendering, wire.chunked), resume=resume)

    def rise(self) -> None:
        """The client does not keep up with the fan-out."""
        if self.stream is not None:
            self.stream.rise()

    def close(self) -> None:
        """The subscription is over."""
        if self.stream is not None:
            self.services.live.leave(self.stream)
