"""What can be asked."""

from typing import Annotated

import strawberry
from strawberry.types import Info

from resolvers.activities import ActivityId
from resolvers.errors import InvalidInput
from resolvers.identity import Scope
from resolvers.updates import UpdatesPage
from schema.access import needs, open_to
from schema.context import Context
from schema.dead_letters import DeadLetterConnection
from schema.enums import LetterState
from schema.events import FeedEvent, to_object
from schema.limits import costs
from schema.objects import (
    Activity,
    ActivityFilter,
    FeedConnection,
    Health,
    ReadState,
    TransportAdvice,
    to_filter,
    to_id,
)
from streams.cursor import Cursor

MOST_ITEMS = 100

First = Annotated[int, strawberry.argument(description=f"1 to {MOST_ITEMS}.")]


def checked(first: int) -> int:
    """`first`, if it is 1 to 100. Raises InvalidInput."""
    if not 1 <= first <= MOST_ITEMS:
        raise InvalidInput(f"'first' must be 1 to {MOST_ITEMS}, not {first}.")
    return first


@open_to(Scope.READ)
@strawberry.type(description="What activityAdded would have said since a cursor.")
class FeedUpdates:
    page: strawberry.Private[UpdatesPage]
    cursor: Cursor = strawberry.field(description="Ask for what is after this next time.")
    head: Cursor = strawberry.field(description="Where the log ends.")
    has_more: bool = strawberry.field(description="Ask again at once.")

    @strawberry.field
    def events(self) -> list[FeedEvent]:
        return [to_object(event) for event in self.page.events]

    @strawberry.field
    async def read_state(self, info: Info[Context, None]) -> ReadState:
        context = info.context
        services = context.services
        return ReadState.of(await services.reading.state(context.viewer.user, head=services.recent.window.high))

    @strawberry.field
    def transport(self, info: Info[Context, None]) -> TransportAdvice:
        return TransportAdvice.of(info.context.services.health.now.advice)


@strawberry.type
class Query:
    @strawberry.field(
        description="The viewer's feed, newest first.",
        metadata=needs(Scope.READ) | costs(20, sized_by="first", most=MOST_ITEMS),
    )
    async def feed(
        self,
        info: Info[Context, None],
        first: First = 20,
        after: str | None = None,
        unread_only: bool = False,
        filter: ActivityFilter | None = None,  # noqa: A002 - a GraphQL argument
    ) -> FeedConnection:
        context = info.context
        user = context.viewer.user
        page = await context.services.feed.page(
            user=user, first=checked(first), after=after, unread_only=unread_only, chosen=to_filter(filter)
        )
        return FeedConnection.of(page, user=user)

    @strawberry.field(
        description="activityAdded by polling: the same events with the same cursors.",
        metadata=needs(Scope.READ) | costs(20, sized_by="first", most=MOST_ITEMS),
    )
    async def updates(
        self,
        info: Info[Context, None],
        since: Cursor,
        first: First = 50,
        filter: ActivityFilter | None = None,  # noqa: A002 - a GraphQL argument
    ) -> FeedUpdates:
        context = info.context
        context.services.pollers.polled(context.viewer.user)
        page = await context.services.updates.since(since, first=checked(first), chosen=to_filter(filter))
        return FeedUpdates(page=page, cursor=page.cursor, head=page.head, has_more=page.has_more)

    @strawberry.field(
        description="One activity; null if there is none with that ID.", metadata=needs(Scope.READ) | costs(20)
    )
    async def activity(self, info: Info[Context, None], id: strawberry.ID) -> Activity | None:  # noqa: A002 - GraphQL
        context = info.context
        found = await context.services.stored.find(ActivityId(to_id(id, of="id")))
        return Activity.of(found) if found else None

    @strawberry.field(
        description="Activities that could not be delivered, newest first. Scope ops.",
        metadata=needs(Scope.OPS) | costs(50, sized_by="first", most=MOST_ITEMS),
    )
    async def dead_letters(
        self,
        info: Info[Context, None],
        first: First = 50,
        after: str | None = None,
        state: LetterState | None = None,
    ) -> DeadLetterConnection:
        context = info.context
        before = to_id(after, of="after") if after is not None else None
        page = await context.services.settlements.page(first=checked(first), before=before, state=state)
        return DeadLetterConnection.of(page, after=after)

    @strawberry.field(
        description="How the server is, and which transport it advises.", metadata=needs(Scope.READ) | costs(1)
    )
    async def health(self, info: Info[Context, None]) -> Health:
        return Health.of(info.context.services.health.now)
