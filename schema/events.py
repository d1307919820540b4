"""Events of the subscription, and of the poll that stands in for it."""

from datetime import datetime
from typing import Self

import strawberry

from resolvers import events as domain
from schema.enums import GapReason, GapRecovery, NoticeKind
from schema.objects import Activity, TransportAdvice
from streams.cursor import Cursor


@strawberry.interface(
    description="Something a stream says. A client that does not know the type takes the cursor and goes on."
)
class FeedEvent:
    cursor: Cursor = strawberry.field(description="The place in the log that this stream has reached.")


@strawberry.type(description="An activity that is new to this stream.")
class ActivityAdded(FeedEvent):
    activity: Activity
    published_at: datetime
    delivery_attempt: int = strawberry.field(description="1 the first time; more when it was handed over before.")

    @classmethod
    def of(cls, event: domain.Added) -> Self:
        return cls(
            cursor=event.cursor,
            activity=Activity.of(event.activity),
            published_at=event.published_at,
            delivery_attempt=event.attempt,
        )


@strawberry.type(description="Activities after `since` up to `through` that this stream cannot show.")
class FeedGap(FeedEvent):
    since: Cursor
    through: Cursor
    missing: int | None = strawberry.field(description="How many; null if that cannot be known.")
    reason: GapReason
    recovery: GapRecovery

    @classmethod
    def of(cls, event: domain.Gap) -> Self:
        return cls(
            cursor=event.cursor,
            since=event.since,
            through=event.through,
            missing=event.missing,
            reason=event.reason,
            recovery=event.recovery,
        )


@strawberry.type(description="A message from the server about the stream itself.")
class StreamNotice(FeedEvent):
    kind: NoticeKind
    head: Cursor = strawberry.field(description="Where the log ends.")
    at: datetime = strawberry.field(description="The server's clock.")
    transport: TransportAdvice
    retry_after_seconds: int | None
    reauthenticate_by: datetime | None = strawberry.field(description="When the token of this stream expires.")

    @classmethod
    def of(cls, event: domain.Notice) -> Self:
        closing = event.kind is NoticeKind.CLOSING
        return cls(
            cursor=event.cursor,
            kind=event.kind,
            head=event.head,
            at=event.at,
            transport=TransportAdvice.of(event.advice),
            retry_after_seconds=int(event.advice.retry_after.total_seconds()) if closing else None,
            reauthenticate_by=event.reauthenticate_by,
        )


def to_object(event: domain.Event) -> FeedEvent:
    """The schema's object for an event."""
    match event:
        case domain.Added():
            return ActivityAdded.of(event)
        case domain.Gap():
            return FeedGap.of(event)
        case domain.Notice():
            return StreamNotice.of(event)
