"""Objects of the schema, made from the resolvers' values."""

import base64
from datetime import datetime
from operator import attrgetter
from typing import Self

import strawberry
from strawberry.scalars import JSON

from resolvers import activities as domain
from resolvers import events
from resolvers.database.feed import FeedItem
from resolvers.errors import InvalidInput
from resolvers.feed import Page, page_cursor
from resolvers.identity import Scope
from schema.access import ANYBODY, open_to
from schema.enums import ActivityType, FeedSource, Transport
from schema.memo import memoised
from streams.cursor import Cursor
from telemetry import health
from telemetry.advice import Advice

MOST_IDS = 500


@memoised(lambda mp: (mp.id, mp.version))
@open_to(*ANYBODY)
@strawberry.type(name="MP", description="A member of parliament.")
class Mp:
    id: strawberry.ID
    name: str
    party: str | None
    riding: str | None = strawberry.field(description="The constituency the member sits for.")
    version: strawberry.Private[int]

    @classmethod
    def of(cls, mp: domain.Mp) -> Self:
        return cls(id=strawberry.ID(str(mp.id)), name=mp.name, party=mp.party, riding=mp.riding, version=mp.version)


@memoised(lambda bill: (bill.id, bill.version))
@open_to(*ANYBODY)
@strawberry.type(description="A bill before parliament.")
class Bill:
    id: strawberry.ID
    number: str = strawberry.field(description="As parliament writes it: C-332.")
    title: str
    version: strawberry.Private[int]

    @classmethod
    def of(cls, bill: domain.Bill) -> Self:
        return cls(id=strawberry.ID(str(bill.id)), number=bill.number, title=bill.title, version=bill.version)


@memoised(attrgetter("version"))
@open_to(*ANYBODY)
@strawberry.type(description="One thing an MP or a bill did. Never changes. Says nothing about who looks at it.")
class Activity:
    id: strawberry.ID
    type: ActivityType
    title: str
    summary: str | None
    url: str | None
    occurred_at: datetime = strawberry.field(description="When it happened in parliament.")
    created_at: datetime = strawberry.field(description="When it was recorded here.")
    metadata: JSON = strawberry.field(description="What the source says beside; an object.")
    mp: Mp | None
    bill: Bill | None
    version: strawberry.Private[tuple[int, int, int] | None]

    @classmethod
    def of(cls, activity: domain.Activity) -> Self:
        return cls(
            id=strawberry.ID(str(activity.id)),
            type=activity.type,
            title=activity.title,
            summary=activity.summary,
            url=activity.url,
            occurred_at=activity.occurred_at,
            created_at=activity.created_at,
            metadata=JSON(dict(activity.metadata)),
            mp=Mp.of(activity.mp) if activity.mp else None,
            bill=Bill.of(activity.bill) if activity.bill else None,
            version=_version(activity),
        )


def _version(activity: domain.Activity) -> tuple[int, int, int] | None:
    """What tells all states of all activities apart; None while it is not in the log and may change."""
    if not activity.n:
        return None
    mp, bill = activity.mp, activity.bill
    return (activity.id, mp.version if mp else 0, bill.version if bill else 0)


@strawberry.input(description="Which activities: of one of the types, by one of the MPs, on one of the bills.")
class ActivityFilter:
    types: list[ActivityType] | None = None
    mp_ids: list[strawberry.ID] | None = None
    bill_ids: list[strawberry.ID] | None = None


def to_filter(given: ActivityFilter | None) -> domain.ActivityFilter:
    """The resolvers' filter. Raises InvalidInput for an ID that is none; an empty list means any, like none."""
    if given is None:
        return domain.EVERYTHING
    return domain.ActivityFilter(
        types=frozenset(given.types or ()),
        mps=frozenset(domain.MpId(to_id(id_, of="mpIds")) for id_ in _bounded(given.mp_ids, "mpIds")),
        bills=frozenset(domain.BillId(to_id(id_, of="billIds")) for id_ in _bounded(given.bill_ids, "billIds")),
    )


def _bounded(ids: list[strawberry.ID] | None, of: str) -> list[strawberry.ID]:
    if ids and len(ids) > MOST_IDS:
        raise InvalidInput(f"'{of}' takes at most {MOST_IDS} IDs, not {len(ids)}.")
    return ids or []


def to_id(text: str, *, of: str) -> int:
    """The number in an ID. Raises InvalidInput, naming the argument `of`."""
    if text.isascii() and text.isdigit() and 0 < int(text[:20]) < 2**63:
        return int(text)
    raise InvalidInput(f"'{of}': {text[:40]!r} is not an ID of ours; use the 'id' of an object this server returned.")


@open_to(Scope.READ)
@memoised(attrgetter("key"), varying=["id"])
@strawberry.type(description="An activity in the viewer's feed.")
class FeedEdge:
    id: strawberry.ID = strawberry.field(description="Of viewer and activity: lets a cache update isRead by itself.")
    cursor: str = strawberry.field(description="For feed(after:): walks into the past. Not a Cursor.")
    node: Activity
    is_read: bool
    key: strawberry.Private[tuple[int, int, int, bool] | None]

    @staticmethod
    def of(item: FeedItem, *, user: str) -> "FeedEdge":
        """The edge; what it shows is made when it is selected."""
        return LazyEdge(item, user)


class LazyEdge(FeedEdge):
    """Most edges are shown as they were completed for somebody else: nothing but the key is made beforehand."""

    def __init__(self, item: FeedItem, user: str) -> None:
        activity, is_read = self._item = item
        self._user = user
        self.is_read = is_read
        version = _version(activity)
        self.key = version and (*version, is_read)

    @property
    def id(self) -> strawberry.ID:  # type: ignore[override]  # read only
        key = f"{self._item.activity.id}:{self._user}".encode()
        return strawberry.ID(base64.urlsafe_b64encode(key).decode().rstrip("="))

    @property
    def cursor(self) -> str:  # type: ignore[override]  # read only
        return page_cursor(self._item.activity)

    @property
    def node(self) -> Activity:  # type: ignore[override]  # read only
        return Activity.of(self._item.activity)


@open_to(Scope.READ, Scope.OPS)
@strawberry.type(description="As in the Relay connection specification.")
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@open_to(Scope.READ)
@strawberry.type(description="A page of the feed, newest first.")
class FeedConnection:
    edges: list[FeedEdge]
    page_info: PageInfo
    unread_count: int = strawberry.field(description="Activities matching the filter that the viewer has not read.")
    head: Cursor = strawberry.field(
        description="Where the log ended when the page was read: activityAdded(since: head) continues without a hole."
    )
    served_by: FeedSource

    @strawberry.field(description="The activities of the edges.")
    def nodes(self) -> list[Activity]:
        return [edge.node for edge in self.edges]

    @staticmethod
    def of(page: Page, *, user: str) -> "FeedConnection":
        """The connection; what it shows is made when it is selected."""
        return LazyConnection(page, user)


class LazyConnection(FeedConnection):
    """Most polls ask for neither `pageInfo` nor `nodes`."""

    def __init__(self, page: Page, user: str) -> None:
        self._page = page
        self.edges = [LazyEdge(item, user) for item in page.items]
        self.unread_count = page.unread_count
        self.head = page.head
        self.served_by = page.served_by

    @property
    def page_info(self) -> PageInfo:  # type: ignore[override]  # read only
        page, edges = self._page, self.edges
        return PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        )


@open_to(Scope.READ)
@strawberry.type(description="How much the viewer has not read. A higher version is newer.")
class ReadState:
    unread_count: int
    version: int

    @classmethod
    def of(cls, state: events.ReadState) -> Self:
        return cls(unread_count=state.unread_count, version=state.version)


@open_to(Scope.READ)
@strawberry.type(description="How to get updates now, and how to poll if polling.")
class TransportAdvice:
    mode: Transport
    reason: str | None
    poll_interval_seconds: int
    jitter_seconds: int = strawberry.field(description="Add a random share of this to every interval.")
    retry_after_seconds: int = strawberry.field(description="Do not try a stream again before this.")

    @classmethod
    def of(cls, advice: Advice) -> Self:
        return cls(
            mode=advice.mode,
            reason=advice.reason,
            poll_interval_seconds=int(advice.poll_interval.total_seconds()),
            jitter_seconds=int(advice.jitter.total_seconds()),
            retry_after_seconds=int(advice.retry_after.total_seconds()),
        )


@open_to(Scope.READ)
@strawberry.type(description="Activities handed over and not confirmed, of all subscribers, in Redis' PEL.")
class PelHealth:
    total_pending: int
    oldest_age: float = strawberry.field(description="Seconds that the oldest has been pending; 0 if none is.")
    consumers: int = strawberry.field(description="Subscribers that have any.")


@open_to(Scope.READ)
@strawberry.type(description="Live deliveries of this process in the last five minutes.")
class DeliveryHealth:
    samples: int
    p50_ms: float | None = strawberry.field(description="Milliseconds from creation to the client's connection.")
    p95_ms: float | None
    p99_ms: float | None
    success_rate: float = strawberry.field(description="0 to 1.")


@open_to(Scope.READ)
@strawberry.type(description="What the server knows of itself, sampled once a second.")
class Health:
    healthy: bool
    redis: bool
    database: bool
    pel: PelHealth
    delivery: DeliveryHealth
    alarms: list[str] = strawberry.field(description="What else operators should know, in sentences.")
    recommendation: Transport = strawberry.field(description="The same as transport.mode.")
    transport: TransportAdvice

    @classmethod
    def of(cls, sample: health.Health) -> Self:
        pel, delivery = sample.pel, sample.delivery
        return cls(
            healthy=sample.healthy,
            redis=sample.redis,
            database=sample.database,
            pel=PelHealth(
                total_pending=pel.total,
                oldest_age=pel.oldest.total_seconds(),
                consumers=pel.subscribers,
            ),
            delivery=DeliveryHealth(
                samples=delivery.samples,
                p50_ms=_finite(delivery.p50_ms),
                p95_ms=_finite(delivery.p95_ms),
                p99_ms=_finite(delivery.p99_ms),
                success_rate=delivery.success,
            ),
            alarms=list(sample.alarms),
            recommendation=sample.advice.mode,
            transport=TransportAdvice.of(sample.advice),
        )


def _finite(bound: float | None) -> float | None:
    """GraphQL's Float knows no infinity: beyond the last bound, a minute, it says an hour."""
    return None if bound is None else min(bound, 3_600_000.0)
