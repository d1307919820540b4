"""Events of the subscription, and of the poll that stands in for it."""

import math
from collections.abc import Hashable
from datetime import datetime, timedelta
from typing import Self

import strawberry

from resolvers import events as domain
from resolvers.identity import Scope
from schema.access import open_to
from schema.enums import GapReason, GapRecovery, NoticeKind
from schema.objects import Activity, ReadState, TransportAdvice
from streams.cursor import Cursor
from telemetry.advice import Advice


@strawberry.interface(
    description="Something a stream says. A client that does not know the type takes the cursor and goes on."
)
class FeedEvent:
    cursor: Cursor = strawberry.field(description="The place in the log that this stream has reached.")


@open_to(Scope.READ)
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


@open_to(Scope.READ)
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


@open_to(Scope.READ)
@strawberry.type(description="Activities that a FeedGap announced as missing. Merge them by their IDs.")
class GapHealed(FeedEvent):
    since: Cursor
    through: Cursor
    activities: list[Activity]

    @classmethod
    def of(cls, event: domain.Healed) -> Self:
        return cls(
            cursor=event.cursor,
            since=event.since,
            through=event.through,
            activities=[Activity.of(activity) for activity in event.activities],
        )


@open_to(Scope.READ)
@strawberry.type(
    description="The viewer has read something, on this or another device. The highest readState.version counts."
)
class ReadStateChanged(FeedEvent):
    activity_ids: list[strawberry.ID] = strawberry.field(
        description="What was marked; empty after markAllRead, then fetch the feed again."
    )
    read_state: ReadState

    @classmethod
    def of(cls, event: domain.ReadChanged) -> Self:
        return cls(
            cursor=event.cursor,
            activity_ids=[strawberry.ID(str(id_)) for id_ in event.change.ids],
            read_state=ReadState.of(event.change.state),
        )


@open_to(Scope.READ)
@strawberry.type(description="A message from the server about the stream itself.")
class StreamNotice(FeedEvent):
    kind: NoticeKind
    head: Cursor = strawberry.field(description="Where the log ends.")
    at: datetime = strawberry.field(description="The server's clock.")
    read_state: ReadState | None = strawberry.field(
        description="With HELLO, where it is at hand; if not, or if the version is another than yours, fetch the feed."
    )
    transport: TransportAdvice
    retry_after_seconds: int | None = strawberry.field(description="With CLOSING: when to connect again.")
    reauthenticate_by: datetime | None = strawberry.field(
        description="When the token of this stream expires; null in notices that are said to everybody."
    )

    @classmethod
    def of(cls, event: domain.Notice) -> Self:
        return cls(
            cursor=event.cursor,
            kind=event.kind,
            head=event.head,
            at=event.at,
            read_state=None if event.read_state is None else ReadState.of(event.read_state),
            transport=TransportAdvice.of(event.advice),
            retry_after_seconds=None if event.retry_after is None else math.ceil(event.retry_after.total_seconds()),
            reauthenticate_by=event.reauthenticate_by,
        )


OF_ONE_NOTICE = frozenset({"at", "readState", "retryAfterSeconds", "reauthenticateBy"})
"""Fields of a StreamNotice that differ between two at the same place in the log."""


def to_object(event: domain.Event) -> FeedEvent:
    """The schema's object for an event."""
    match event:
        case domain.Added():
            return ActivityAdded.of(event)
        case domain.Gap():
            return FeedGap.of(event)
        case domain.Healed():
            return GapHealed.of(event)
        case domain.ReadChanged():
            return ReadStateChanged.of(event)
        case domain.Notice():
            return StreamNotice.of(event)


def everybodys(event: domain.Event, fields: frozenset[str]) -> Hashable | None:
    """What tells a frame from others that is the same for all; else None (a `ShareKey`).

    So is an activity that is handed over the first time: its cursor tells it. So is a notice, where the operation
    selects nothing that is one subscriber's, or one instant's: a thousand that open together get one HELLO.
    """
    match event:
        case domain.Added(attempt=1):
            return event.cursor
        case domain.Notice() if fields.isdisjoint(OF_ONE_NOTICE):
            return event.kind, event.cursor, event.head, event.advice
    return None


def closing_notice(advice: Advice, retry_after: timedelta | None) -> dict[str, object]:
    """What a stream that is refused for now says instead of a status, to those who could not read a status.

    It has no cursor: nothing of the log was looked at, and the client keeps its own.
    """
    return {
        "__typename": "StreamNotice",
        "kind": domain.NoticeKind.CLOSING.value,
        "retryAfterSeconds": math.ceil(retry_after.total_seconds()) if retry_after else None,
        "transport": {
            "mode": advice.mode.value,
            "reason": advice.reason,
            "pollIntervalSeconds": int(advice.poll_interval.total_seconds()),
            "jitterSeconds": int(advice.jitter.total_seconds()),
        },
    }
