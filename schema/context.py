"""What a resolver gets beside its arguments."""

from dataclasses import dataclass, field

from strawberry.types import Info

from resolvers.activities import Activity
from resolvers.database.feed import StoredActivities
from resolvers.database.reads import ReadMarks
from resolvers.feed import Feed
from resolvers.identity import Scope, Viewer
from resolvers.live import LiveFeed
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
    updates: Updates
    live: LiveFeed
    health: HealthSampler
    log_of_record: Log[Activity]


@dataclass(slots=True, weakref_slot=True)
class Context:
    """One operation's viewer and services.

    `stream_cursor` becomes the SSE `id:` of the event yielded next; `sent` tells what the client's side has taken.
    """

    viewer: Viewer
    services: Services
    traceparent: str | None = None
    last_event_id: str | None = None
    stream_cursor: str | None = field(default=None)
    sent: SentBytes | None = field(default=None)


def allowed(info: Info[Context, None], scope: Scope) -> Context:
    """The context, if its viewer has `scope`. Raises Forbidden."""
    info.context.viewer.require(scope)
    return info.context
