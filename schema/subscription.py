"""What streams."""

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

import strawberry
from strawberry.types import Info

from resolvers.events import Event
from resolvers.identity import Scope
from resolvers.stream import LiveStream
from schema.access import needs
from schema.context import Context
from schema.enums import Confirmation
from schema.events import FeedEvent
from schema.limits import costs
from schema.objects import ActivityFilter, to_filter
from schema.refusals import StreamEnded
from schema.scalars import parse_cursor
from streams.cursor import Cursor


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description=(
            "Every matching activity, in order: after `since`, or where the device `subscriber` left off, or from now."
            " Keep the cursor of the last event; on reconnecting send it as `since`. With `confirm: CLIENT` an activity"
            " counts as delivered when the device says so by `acknowledge`; else it comes again after a minute."
        ),
        metadata=needs(Scope.READ) | costs(50),
    )
    async def activity_added(
        self,
        info: Info[Context, None],
        since: Cursor | None = None,
        filter: ActivityFilter | None = None,  # noqa: A002 - a GraphQL argument
        subscriber: strawberry.ID | None = None,
        confirm: Confirmation = Confirmation.SOCKET,
    ) -> AsyncIterable[FeedEvent]:
        context = info.context
        if context.last_event_id:
            # An EventSource reconnects with its old URL: what it has seen since then is the greater of the two.
            since = max(since or Cursor(0), parse_cursor(context.last_event_id))
        context.stream = stream = await context.services.live.open(
            viewer=context.viewer,
            since=since,
            chosen=to_filter(filter),
            device=subscriber,
            outlet=context.wire,
            confirmation=confirm,
            read_state="readState" in context.document,
        )
        # Its events become objects of the schema when somebody's frame is rendered, and not once for each stream.
        return cast("AsyncIterable[FeedEvent]", Shown(stream, context))


@dataclass(frozen=True, slots=True)
class Shown:
    """A stream's events. Can be iterated again when a stream goes on after it had a seat."""

    stream: LiveStream
    context: Context

    async def __aiter__(self) -> AsyncGenerator[Event, None]:
        """Ends at the edge of the log. Raises StreamEnded when the server ended the stream."""
        async with aclosing(self.stream.events()) as events:
            async for event in events:
                self.context.stream_cursor = str(event.cursor)
                yield event
        if self.stream.closed is not None:
            # The server ended it: no `complete`, so the client reconnects and resumes.
            raise StreamEnded(str(self.stream.closed))
