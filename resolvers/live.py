"""The subscription in plain Python: from where it starts to the events a client sees."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

from resolvers.activities import Activity, ActivityFilter
from resolvers.errors import InvalidInput, Unavailable
from resolvers.events import Added, Event, Gap, Notice, NoticeKind, added
from resolvers.identity import Viewer
from resolvers.updates import beyond_head
from streams.consumer import Acceptance, Bookmark, Closed, Consumer, Delivery
from streams.cursor import Cursor
from streams.entries import Log
from streams.errors import StreamsUnavailable
from streams.history import History
from streams.ledger import Ledger
from streams.subscribers import Opened, Subscriber, SubscriberInvalid, Subscribers
from streams.tail import Tail
from telemetry.health import HealthSampler
from telemetry.metrics import Metrics


class LiveStream:
    """One client's stream: `async for event in stream`. Ends when the server closes it; see `closed`."""

    def __init__(
        self,
        *,
        consumer: Consumer[Activity],
        first: tuple[Gap, ...],
        viewer: Viewer,
        health: HealthSampler,
        metrics: Metrics,
    ) -> None:
        self._consumer = consumer
        self._first = first
        self._viewer = viewer
        self._health = health
        self._metrics = metrics

    @property
    def user(self) -> str:
        """Whose it is."""
        return self._viewer.user

    @property
    def closed(self) -> Closed | None:
        """Why the server ended it, once it has."""
        return self._consumer.closed

    def close(self, reason: Closed) -> None:
        """End it, with a notice to the client."""
        self._consumer.close(reason)

    async def events(self) -> AsyncGenerator[Event]:
        """HELLO with the starting cursor, what is missing already, then activities and bookmarks, at last CLOSING."""
        yield self._notice(NoticeKind.HELLO)
        for gap in self._first:
            yield gap
        async for step in self._consumer:
            if isinstance(step, Bookmark):
                yield self._notice(NoticeKind.BOOKMARK)
            else:
                yield self._observed(step)
        yield self._notice(NoticeKind.CLOSING)

    def _observed(self, delivery: Delivery[Activity]) -> Added:
        event = added(delivery.entry, attempt=delivery.attempt)
        if delivery.live:
            late = datetime.now(UTC) - event.published_at
            self._metrics.sse_delivery_latency_ms.labels(activity_type=event.activity.type.value).observe(
                late / timedelta(milliseconds=1)
            )
        self._metrics.sse_messages_delivered_total.labels(delivery_count=min(delivery.attempt, 4)).inc()
        return event

    def _notice(self, kind: NoticeKind) -> Notice:
        position = self._consumer.position
        return Notice(
            cursor=position,
            kind=kind,
            head=self._consumer.head,
            at=datetime.now(UTC),
            advice=self._health.now.advice,
            reauthenticate_by=self._viewer.expires_at,
        )


class LiveFeed:
    """Opens streams, and ends all of them when the server drains."""

    def __init__(
        self,
        *,
        tail: Tail[Activity],
        history: History[Activity],
        log_of_record: Log[Activity],
        subscribers: Subscribers,
        ledger: Ledger,
        health: HealthSampler,
        metrics: Metrics,
        bookmark_every: timedelta = timedelta(seconds=10),
    ) -> None:
        self._tail = tail
        self._history = history
        self._log = log_of_record
        self._subscribers = subscribers
        self._ledger = ledger
        self._health = health
        self._metrics = metrics
        self._bookmark_every = bookmark_every
        self._open: set[LiveStream] = set()
        self._newest: dict[str, LiveStream] = {}
        self._of_user: Counter[str] = Counter()

    @asynccontextmanager
    async def stream(
        self,
        *,
        viewer: Viewer,
        since: Cursor | None,
        chosen: ActivityFilter,
        device: str | None,
        acceptance: Acceptance | None = None,
    ) -> AsyncIterator[LiveStream]:
        """Open a stream after `since`, or where `device` left off, or at the head.

        `acceptance` tells what the client's side has taken; without it, what is asked past counts as taken.
        Raises InvalidInput for a device ID that is none, and Unavailable when a position is needed and Redis is away.
        """
        gap = None
        if since is not None:
            gap = await beyond_head(since, tail=self._tail, log_of_record=self._log)
            since = gap.cursor if gap else since
        opened = await self._opened(viewer, device, since)
        start = opened.position if opened else since if since is not None else self._tail.head
        consumer = Consumer(
            tail=self._tail,
            history=self._history,
            ledger=self._ledger,
            start=start,
            opened=opened,
            matches=chosen.matches,
            acceptance=acceptance,
            bookmark_every=self._bookmark_every,
        )
        stream = LiveStream(
            consumer=consumer,
            first=(gap,) if gap else (),
            viewer=viewer,
            health=self._health,
            metrics=self._metrics,
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(consumer)
            self._enter(stream, opened)
            stack.callback(self._leave, stream, opened)
            yield stream

    def open_streams(self, user: str | None = None) -> int:
        """How many streams this process has open; with `user`, how many of theirs."""
        return len(self._open) if user is None else self._of_user[user]

    def close_all(self, reason: Closed) -> None:
        """End every open stream with a notice."""
        for stream in tuple(self._open):
            stream.close(reason)

    async def _opened(self, viewer: Viewer, device: str | None, since: Cursor | None) -> Opened | None:
        if device is None:
            return None
        try:
            subscriber = Subscriber.of(viewer.user, device)
            await self._ledger.settle(subscriber)
            return await self._subscribers.open(subscriber, since=since, head=self._tail.head)
        except SubscriberInvalid as error:
            raise InvalidInput(str(error)) from error
        except StreamsUnavailable as error:
            if since is not None:
                return None  # the client's own cursor is all that is needed to go on
            raise Unavailable("Your position cannot be read now. Send 'since', or try again in a minute.") from error

    def _enter(self, stream: LiveStream, opened: Opened | None) -> None:
        self._open.add(stream)
        self._of_user[stream.user] += 1
        self._metrics.sse_connections_active.set(len(self._open))
        if opened:
            # A newer stream of the same device takes over; one in another process learns it from its next receipt.
            if older := self._newest.get(opened.subscriber.name):
                older.close(Closed.SUPERSEDED)
            self._newest[opened.subscriber.name] = stream

    def _leave(self, stream: LiveStream, opened: Opened | None) -> None:
        self._open.discard(stream)
        self._of_user[stream.user] -= 1
        if not self._of_user[stream.user]:
            del self._of_user[stream.user]
        self._metrics.sse_connections_active.set(len(self._open))
        if opened and self._newest.get(opened.subscriber.name) is stream:
            del self._newest[opened.subscriber.name]
