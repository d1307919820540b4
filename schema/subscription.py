"""What streams."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import strawberry
from strawberry.types import Info

from resolvers.identity import Scope
from schema import incidents
from schema.context import Context, allowed
from schema.enums import Confirmation
from schema.events import FeedEvent, to_object
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
        )
    )
    async def activity_added(
        self,
        info: Info[Context, None],
        since: Cursor | None = None,
        filter: ActivityFilter | None = None,  # noqa: A002 - a GraphQL argument
        subscriber: strawberry.ID | None = None,
        confirm: Confirmation = Confirmation.SOCKET,
    ) -> AsyncIterator[FeedEvent]:
        context = allowed(info, Scope.READ)
        if context.last_event_id:
            # An EventSource reconnects with its old URL: what it has seen since then is the greater of the two.
            since = max(since or Cursor(0), parse_cursor(context.last_event_id))
        async with (
            context.services.live.stream(
                viewer=context.viewer,
                since=since,
                chosen=to_filter(filter),
                device=subscriber,
                acceptance=context.sent,
                confirmation=confirm,
            ) as stream,
            aclosing(stream.events()) as events,
        ):
            context.stream = stream
            async for event in events:
                context.stream_cursor = str(event.cursor)
                try:
                    shown = to_object(event)
                except Exception as error:  # noqa: BLE001 - recorded; the stream tries again, then tells it as a gap
                    incidents.record(error, during="activityAdded")
                    context.rendered(error)
                else:
                    yield shown
            # The server ended it: no `complete`, so the client reconnects and resumes.
            raise StreamEnded(str(stream.closed))
