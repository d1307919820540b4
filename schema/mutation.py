"""What can be changed."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry.scalars import JSON
from strawberry.types import Info

from resolvers.activities import ActivityId, BillId, MpId
from resolvers.database.feed import FeedItem
from resolvers.errors import CursorFromTheFuture, InvalidInput
from resolvers.identity import Scope
from resolvers.publishing import publish_activity
from resolvers.rates import MARKS, spend
from schema.access import needs, open_to
from schema.context import Context
from schema.dead_letters import DeadLetterPayload, to_payload
from schema.enums import ActivityType
from schema.limits import costs
from schema.objects import MOST_IDS, Activity, FeedEdge, ReadState, to_id
from streams.cursor import Cursor


@open_to(Scope.READ)
@strawberry.type(description="The marked activities that exist, and how much is left.")
class MarkReadPayload:
    edges: list[FeedEdge]
    read_state: ReadState


@strawberry.input(description="A new activity.")
class PublishActivityInput:
    type: ActivityType
    title: str
    summary: str | None = None
    url: str | None = None
    mp_id: strawberry.ID | None = None
    bill_id: strawberry.ID | None = None
    occurred_at: datetime | None = strawberry.field(default=None, description="Now, if left out.")
    metadata: JSON | None = strawberry.field(default=None, description="An object.")


@open_to(Scope.PUBLISH)
@strawberry.type(description="The activity is in the log of record; its place in the log follows in a moment.")
class PublishedActivity:
    activity: Activity


@open_to(Scope.PUBLISH)
@strawberry.type(description="The input was refused, and why.")
class ActivityRefused:
    message: str


PublishActivityPayload = Annotated[
    PublishedActivity | ActivityRefused, strawberry.union("PublishActivityPayload", description="One of the two.")
]


@open_to(Scope.READ)
@strawberry.type(description="Where the device stands now.")
class Acknowledged:
    position: Cursor
    pending: int = strawberry.field(description="Activities handed over to it before and still not confirmed.")


@open_to(Scope.READ)
@strawberry.type(description="Nothing was confirmed, and why.")
class AcknowledgeRefused:
    message: str


AcknowledgePayload = Annotated[
    Acknowledged | AcknowledgeRefused, strawberry.union("AcknowledgePayload", description="One of the two.")
]


@strawberry.type
class Mutation:
    @strawberry.mutation(
        description="Mark activities as read. Doing it again changes nothing.",
        metadata=needs(Scope.READ) | costs(50, sized_by="activityIds", most=MOST_IDS),
    )
    async def mark_read(self, info: Info[Context, None], activity_ids: list[strawberry.ID]) -> MarkReadPayload:
        context = info.context
        user = context.viewer.user
        if len(activity_ids) > MOST_IDS:
            raise InvalidInput(f"'activityIds' takes at most {MOST_IDS} IDs at a time, not {len(activity_ids)}.")
        spend(context.services.rates, MARKS, user, max(1, len(activity_ids)))
        ids = sorted({ActivityId(to_id(id_, of="activityIds")) for id_ in activity_ids})
        marked, state = await context.services.reading.mark(user, ids)
        return MarkReadPayload(
            edges=[FeedEdge.of(FeedItem(activity, is_read=True), user=user) for activity in marked],
            read_state=ReadState.of(state),
        )

    @strawberry.mutation(
        description="Mark everything up to a cursor, such as feed.head, as read.",
        metadata=needs(Scope.READ) | costs(50),
    )
    async def mark_all_read(self, info: Info[Context, None], through: Cursor) -> MarkReadPayload:
        context = info.context
        spend(context.services.rates, MARKS, context.viewer.user)
        head = (await context.services.log_of_record.head()).cursor
        if through > head:
            raise CursorFromTheFuture(f"'through' is beyond the end of the log, {head}. Use feed.head.")
        state = await context.services.reading.mark_through(context.viewer.user, through)
        return MarkReadPayload(edges=[], read_state=ReadState.of(state))

    @strawberry.mutation(
        description="Publish an activity: it reaches every matching stream.", metadata=needs(Scope.PUBLISH) | costs(50)
    )
    async def publish_activity(
        self,
        info: Info[Context, None],
        input: PublishActivityInput,  # noqa: A002 - a GraphQL argument
    ) -> PublishActivityPayload:
        context = info.context
        spend(context.services.rates, MARKS, context.viewer.user)
        metadata: object = {} if input.metadata is None else input.metadata
        if not isinstance(metadata, dict):
            return ActivityRefused(message="'metadata' must be an object.")
        try:
            activity = await publish_activity(
                context.services.stored,
                type_=input.type,
                title=input.title,
                summary=input.summary,
                url=input.url,
                mp=MpId(to_id(input.mp_id, of="mpId")) if input.mp_id else None,
                bill=BillId(to_id(input.bill_id, of="billId")) if input.bill_id else None,
                occurred_at=input.occurred_at,
                metadata=metadata,
                traceparent=context.traceparent,
            )
        except InvalidInput as error:
            return ActivityRefused(message=str(error))
        return PublishedActivity(activity=Activity.of(activity))

    @strawberry.mutation(
        description="For `confirm: CLIENT`: the device has everything up to a cursor. Doing it again changes nothing.",
        metadata=needs(Scope.READ) | costs(50),
    )
    async def acknowledge(
        self, info: Info[Context, None], through: Cursor, subscriber: strawberry.ID
    ) -> AcknowledgePayload:
        context = info.context
        spend(context.services.rates, MARKS, context.viewer.user)
        done = await context.services.live.acknowledge(context.viewer, device=subscriber, through=through)
        if done is None:
            return AcknowledgeRefused(message="This device has never been connected: subscribe first.")
        return Acknowledged(position=done.position, pending=done.pending)

    @strawberry.mutation(
        description=(
            "Deliver a dead letter after all, as GapHealed: at once to a device that is connected, else when it comes"
            " back. Scope ops."
        ),
        metadata=needs(Scope.OPS) | costs(50),
    )
    async def redrive_dead_letter(self, info: Info[Context, None], id: strawberry.ID) -> DeadLetterPayload:  # noqa: A002 - GraphQL
        settlements = info.context.services.settlements
        return to_payload(await settlements.redrive(to_id(id, of="id")))

    @strawberry.mutation(
        description="Leave a dead letter undelivered for good. Scope ops.", metadata=needs(Scope.OPS) | costs(50)
    )
    async def discard_dead_letter(self, info: Info[Context, None], id: strawberry.ID) -> DeadLetterPayload:  # noqa: A002 - GraphQL
        settlements = info.context.services.settlements
        return to_payload(await settlements.discard(to_id(id, of="id")))
