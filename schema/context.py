"""What a resolver gets beside its arguments."""

from dataclasses import dataclass, field

from strawberry.types import Info

from resolvers.activities import Activity
from resolvers.database.feed import StoredActivities
from resolvers.database.reads import ReadMarks
from resolvers.dead_letters import Settlements
from resolvers.feed import Feed
from resolvers.identity import Scope, Viewer
from resolvers.live import LiveFeed
from resolvers.stream import LiveStream
from resolvers.updates import Updates
from schema.acceptance import SentBytes
from streams.entries import Log
from telemetry.health import HealthSampler


@dataclass(frozen=True, slots=True)
class Services:
    """What the resolvers work with; one for the process."""

    feed: Feed
    stored: StoredActivities
    marks: ReadMarks
    settlements: Settlements
    updates: Updates
    live: LiveFeed
    health: HealthSampler
    log_of_record: Log[Activity]


@dataclass(slots=True, weakref_slot=True)
class Context:
    """One operation's viewer and services.

    `stream_cursor` becomes the SSE `id:` of the event yielded next; `sent` tells what the client's side has taken;
    `stream` is what a subscription yields from.
    """

    viewer: Viewer
    services: Services
    traceparent: str | None = None
    last_event_id: str | None = None
    stream_cursor: str | None = field(default=None)
    sent: SentBytes | None = field(default=None)
    stream: LiveStream | None = field(default=None)

    def rendered(self, error: BaseException | None) -> bool:
        """See `schema.view.StreamContext`. What a stream cannot show, it tries again, and then tells as a gap."""
        if self.stream is None:
            return True
        self.stream.rendered()
        if error is not None:
            self.stream.broken(repr(error))
        return error is None


def allowed(info: Info[Context, None], scope: Scope) -> Context:
    """The context, if its viewer has `scope`. Raises Forbidden."""
    info.context.viewer.require(scope)
    return info.context
