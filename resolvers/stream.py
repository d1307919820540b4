"""One client's stream: what the consumer finds, as the events a client sees; at the live edge, a seat."""

import asyncio
import math
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from resolvers.activities import Activity, ActivityFilter, type_of
from resolvers.arrival import hand_over, missed
from resolvers.events import (
    Event,
    Gap,
    Notice,
    NoticeKind,
    ReadChange,
    ReadChanged,
    ReadState,
    added,
    healed,
    not_delivered,
)
from resolvers.frames import RENDER_AGAIN_AFTER, Render, SharedFrames, notice
from resolvers.identity import Viewer
from streams.consumer import Consumer
from streams.cursor import Cursor
from streams.entries import Entry
from streams.fanout import Fanout
from streams.in_flight import Given, Left
from streams.marker import RenderMarker
from streams.receipts import Refusal
from streams.seats import Kind, Outlet, Seat
from streams.shared import Shared
from streams.steps import Acceptance, Bookmark, Closed, Confirmation, Delivery, Healed, Missing, Note, Step
from streams.subscribers import Opened, Subscriber
from telemetry.flow import LIVE, RECOVERED, About, Failure
from telemetry.health import HealthSampler
from telemetry.metrics import Metrics

REAUTHENTICATE_BEFORE = timedelta(seconds=60)
COME_BACK_WITHIN = 5.0
"""Seconds over which clients whose streams are ended together are told to come back."""


@dataclass(frozen=True, slots=True)
class StreamParts:
    """What all streams of a process work with.

    `read_state` is told with HELLO, if it is at hand. `longest`: how long one may be open, less up to a fifth.
    """

    shared: Shared[Activity]
    fanout: Fanout[Activity]
    health: HealthSampler
    metrics: Metrics
    marker: RenderMarker
    read_state: Callable[[str], Awaitable[ReadState | None]]
    longest: timedelta = timedelta(hours=1)
    bookmark_every: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asked for. `since`: its own cursor, if it brought one; `read_state`: whether HELLO tells it."""

    viewer: Viewer
    chosen: ActivityFilter
    confirmation: Confirmation
    since: Cursor | None
    read_state: bool = True


class LiveStream:
    """`async for event in stream.events()`, until the server closes it (see `closed`) or it has caught up (`at_edge`).

    A stream at the edge takes a seat: `sit`. Whoever has something to say to it alone calls `alone`; it then rises, and
    goes on with `events` in the task that `resume` starts. `leave` ends it, wherever it is. Most open where the log
    ends or a little before, with nothing pending: `greeting` and `catch_up` bring them to the edge without a consumer.
    """

    __slots__ = (
        "_acceptance",
        "_broken",
        "_closed",
        "_closes_at",
        "_first",
        "_given",
        "_greeted",
        "_hello",
        "_opened",
        "_outlet",
        "_parts",
        "_place",
        "_reauthenticate_at",
        "_resume",
        "_start",
        "_why_it_ends",
        "_wish",
    )

    def __init__(
        self,
        *,
        parts: StreamParts,
        wish: Wish,
        start: Cursor,
        hello: Cursor,
        first: tuple[Gap, ...],
        opened: Opened | None,
        acceptance: Acceptance | None,
        outlet: Outlet | None,
    ) -> None:
        """`hello`: up to where its client has everything for certain. `first`: what is missing already.

        With an `outlet` it can take a seat; `acceptance` is then its own.
        """
        self._parts = parts
        self._wish = wish
        self._hello = hello
        self._first = first
        self._opened = opened
        self._acceptance = outlet or acceptance
        self._outlet = outlet
        self._greeted = False
        self._broken: str | None = None
        self._closed: Closed | None = None
        self._resume: Callable[[], None] = _nothing
        now = time.monotonic()
        left = (wish.viewer.expires_at - datetime.now(UTC)).total_seconds()
        age = parts.longest.total_seconds() * random.uniform(0.8, 1)  # noqa: S311 - spread, not secrecy
        self._reauthenticate_at = now + left - REAUTHENTICATE_BEFORE.total_seconds()
        self._closes_at = now + min(left, age)
        self._why_it_ends = Closed.EXPIRED if left <= age else Closed.AGED
        self._start = start
        self._given: Sequence[Given] = ()
        self._place: Consumer[Activity] | Seat[Activity] | None = None

    def _make_consumer(
        self, start: Cursor, *, since: Cursor | None = None, left: Left | None = None
    ) -> Consumer[Activity]:
        return Consumer(
            shared=self._parts.shared,
            start=start,
            opened=self._opened,
            since=since,
            matches=self._wish.chosen.matches,
            acceptance=self._acceptance,
            confirmation=self._wish.confirmation,
            bookmark_every=self._parts.bookmark_every,
            edge=self._parts.fanout if self._outlet else None,
            left=left,
        )

    @property
    def user(self) -> str:
        """Whose it is."""
        return self._wish.viewer.user

    @property
    def subscriber(self) -> Subscriber | None:
        """The device whose position it moves, if it has one."""
        return self._opened.subscriber if self._opened else None

    @property
    def epoch(self) -> int:
        """Of the subscriber's streams, the one with the highest counts; 0 without a device ID."""
        return self._opened.epoch if self._opened else 0

    @property
    def position(self) -> Cursor:
        """How far it has come."""
        place = self._place
        if place is None:
            return self._start
        return (
            place.cohort.reached(place.written, self._parts.fanout.head) if isinstance(place, Seat) else place.position
        )

    @property
    def closed(self) -> Closed | None:
        """Why the server ended it, once it has."""
        return self._closed or (self._place.closed if isinstance(self._place, Consumer) else None)

    @property
    def at_edge(self) -> bool:
        """Whether it has caught up, and may take a seat."""
        if self._place is None:
            return self._greeted and self._start == self._parts.fanout.head
        return isinstance(self._place, Consumer) and self._place.at_edge and self.closed is None

    @property
    def seated(self) -> bool:
        """Whether it has a seat."""
        return isinstance(self._place, Seat)

    def sit(self, render: Render, *, resume: Callable[[], None]) -> None:
        """Take a seat among those with the same `render` and filter. `resume`: go on with `events`, in a task.

        Raises RuntimeError for a stream that is not at the edge.
        """
        outlet, place, fanout = self._outlet, self._place, self._parts.fanout
        if outlet is None or isinstance(place, Seat) or self.position != fanout.head:
            raise RuntimeError("only a stream that has caught up, and has an outlet, can take a seat")
        given = self._given if place is None else place.sit()
        self._resume = resume
        if self._opened is not None and (self._opened.pending or self._opened.mail or self._opened.suspect):
            self._opened = Opened(self._opened.subscriber, self._opened.position, self._opened.epoch)
        self._place, self._given = fanout.sit(self, outlet, self._kind(render), self._opened, given), ()

    def _kind(self, render: Render) -> Kind[Activity]:
        chosen, parts = self._wish.chosen, self._parts
        return parts.fanout.kind((render, chosen)) or Kind(
            key=(render, chosen),
            topics=chosen.topics,
            matches=chosen.matches,
            frames=SharedFrames(render, parts.health, parts.marker),
        )

    def rise(self) -> None:
        """Leave the seat, if it has one, and go on alone."""
        if self.seated:
            self.alone()
            self._resume()

    def alone(self) -> Consumer[Activity]:
        """What drives it when it does not sit; it rises if it does, and whoever calls this must see it driven."""
        if self._place is None:
            given, self._given = self._given, ()
            left = Left(self._start, given, confirmed_at=0.0, progress_at=given[0].at) if given else None
            self._place = self._make_consumer(self._start, since=self._wish.since, left=left).enter()
        elif isinstance(self._place, Seat):
            left = self._parts.fanout.leave(self._place)
            self._place = self._make_consumer(left.position, left=left).enter()
        return self._place

    def close(self, reason: Closed) -> None:
        """End it, with a notice to the client."""
        seated = self.seated
        self.alone().close(reason)
        if seated:
            self._resume()

    def tell(self, kind: NoticeKind) -> None:
        """Send a notice to this client alone, before anything else."""
        self.rise()
        self.alone().say(kind)

    def stalled(self) -> None:
        """Its connection takes nothing: cut it."""
        self._closed = Closed.STALLED
        self._parts.health.delivery.failed(self._place.in_flight if isinstance(self._place, Seat) else 1)
        if self._outlet is not None:
            self._outlet.abort()

    def refused(self, reason: Refusal) -> None:
        """A receipt of its seat did not count."""
        self.close(Closed.SUPERSEDED if reason is Refusal.SUPERSEDED else Closed.REWOUND)

    def acknowledge(self, through: Cursor) -> None:
        """The client says that it has everything up to `through`."""
        if not self.seated:  # who has a seat is confirmed by its connection
            self.alone().acknowledge(through)

    def look_again(self) -> None:
        """Another process has given entries of this subscriber up."""
        if not self.seated:  # who has a seat has nothing pending
            self.alone().look_again()

    def deliver_mail(self, word: str) -> None:
        """There is mail for this subscriber."""
        self.rise()
        self.alone().deliver_mail(word)

    def look_at_clock(self, now: float) -> None:
        """End it when its time has come (`time.monotonic`), and say so in time."""
        if now >= self._closes_at:
            self._closes_at = math.inf
            self.close(self._why_it_ends)
        elif now >= self._reauthenticate_at:
            self._reauthenticate_at = math.inf
            self.tell(NoticeKind.REAUTHENTICATE)

    def tell_read(self, change: ReadChange) -> None:
        """Send what the user has read before anything else. Of changes that wait, a client needs all the IDs."""
        self.rise()
        self.alone().say(change)

    def broken(self, error: str) -> None:
        """The event that was yielded last could not be rendered: nothing of it was sent."""
        self._broken = error

    def rendered(self) -> None:
        """The event that was yielded last has been rendered, or could not be; the process survived it."""
        self._parts.marker.rendered()

    def leave(self) -> None:
        """The stream is over."""
        consumer = self.alone()
        if self._outlet is not None and self._outlet.starved and self._closed is None:
            self._closed = Closed.STALLED
            self._parts.health.delivery.failed(max(1, len(consumer.books.given)))
            consumer.books.stalled()
        consumer.leave()
        self._resume = _nothing  # it leads to who drives this stream, and so back to it

    def greeting(self) -> Notice | None:
        """HELLO, for a stream of which nothing is pending and that has missed little; `events` has what follows it."""
        opened, wish = self._opened, self._wish
        recovers = opened is not None and (opened.pending or opened.mail or opened.suspect)
        if self._greeted or self._place is not None or self._first or recovers or self._outlet is None:
            return None
        if wish.read_state or wish.confirmation is Confirmation.CLIENT or self._missed() is None:
            return None
        self._greeted = True
        return self._own_notice(NoticeKind.HELLO)

    def catch_up(self, render: Render) -> None:
        """After the `greeting`: send what was missed, as all with the same `render` are shown it.

        Does nothing where that cannot be: it then takes `events`.
        """
        entries = self._missed() if self._greeted and self._place is None else None
        if not entries or self._outlet is None:
            return
        wanted = [entry for entry in entries if self._wish.chosen.matches(entry.item)]
        metrics = self._parts.metrics
        given = hand_over(
            wanted,
            frames=self._kind(render).frames,
            outlet=self._outlet,
            flow=metrics.flow,
            type_of=type_of,
            observe=metrics.sse_delivery_latency_ms.observe,
        )
        if given is not None:
            self._given, self._start = given, self._parts.fanout.head

    def _missed(self) -> Sequence[Entry[Activity]] | None:
        shared, head = self._parts.shared, self._parts.fanout.head
        return missed(self._start, head, ring=shared.tail.ring, poison=shared.dead_letters.poison)

    async def events(self) -> AsyncGenerator[Event]:
        """HELLO with the starting cursor, what is missing already, then activities and bookmarks, at last CLOSING."""
        consumer = self.alone()
        if not self._greeted:
            self._greeted = True
            # Read when the stream can already be told of changes: one that comes in between is told twice, not never.
            state = await self._parts.read_state(self.user) if self._wish.read_state else None
            yield self._own_notice(NoticeKind.HELLO, state)
            for gap in self._first:
                yield gap
        async for step in consumer:
            if not isinstance(step, Delivery):
                if (event := self._event(step)) is not None:
                    yield event
                continue
            async for event in self._shown(step):
                yield event
        if self.closed is None:
            return
        if self.closed in (Closed.STALLED, Closed.LAGGING):
            self._parts.health.delivery.failed()
        yield self._own_notice(NoticeKind.CLOSING)

    async def _shown(self, delivery: Delivery[Activity]) -> AsyncGenerator[Event]:
        """The activity, again while it cannot be rendered; in the end, if nobody can be shown it, a gap."""
        event = added(delivery.entry, attempt=delivery.attempt)
        for again_after in (*RENDER_AGAIN_AFTER, None):
            self._parts.marker.rendering(delivery.entry.cursor)
            yield event
            if self._broken is None:
                self._observe(delivery)
                return
            error, self._broken = self._broken, None
            self._parts.metrics.flow.fail(Failure.RENDER, About(delivery.entry.item.type.value, mode_of(delivery)))
            if again_after is not None:
                await asyncio.sleep(again_after)
            elif missing := await self._give_up(delivery, error):
                yield self._gap(missing)

    async def _give_up(self, delivery: Delivery[Activity], error: str) -> Missing | None:
        if delivery.live:
            self._parts.health.delivery.failed()
        return await self.alone().condemn(delivery, error)

    def _event(self, step: Step[Activity]) -> Event | None:
        match step:
            case Missing():
                return self._gap(step)
            case Healed():
                return healed(self.position, step.entries) if step.entries else None
            case Bookmark(position, head):
                return notice(NoticeKind.BOOKMARK, position=self._sure(position), head=head, health=self._parts.health)
            case Note(what=NoticeKind() as kind):
                return self._own_notice(kind)
            case Note(what=ReadChange() as change):
                return ReadChanged(self.position, change)
        return None

    def _gap(self, missing: Missing) -> Gap:
        """A client confirms what it is told of, and with it all before: what comes again must not be among that."""
        return not_delivered(missing.through if self.alone().recovers else self.position, missing)

    def _observe(self, delivery: Delivery[Activity]) -> None:
        """It has just been accepted by the connection."""
        late = datetime.now(UTC).timestamp() * 1_000 - delivery.entry.published_at
        labels = (delivery.entry.item.type.value, mode_of(delivery))
        self._parts.metrics.sse_delivery_latency_ms.observe(labels, late)
        if delivery.live:
            self._parts.health.delivery.delivered(late)

    def _sure(self, position: Cursor) -> Cursor:
        """`position`, or what the client had for certain while entries before it are still to come again.

        It may keep the cursor of a notice as its own, and come back with it before it has them.
        """
        recovers = isinstance(self._place, Consumer) and self._place.recovers
        return min(self._hello, position) if recovers else position

    def _own_notice(self, kind: NoticeKind, read_state: ReadState | None = None) -> Notice:
        """A notice to this client alone."""
        retry_after = None
        if kind is NoticeKind.CLOSING:
            spread = random.uniform(0, COME_BACK_WITHIN)  # noqa: S311 - spread, not secrecy
            retry_after = timedelta(seconds=spread) if self.closed is not Closed.HALTED else timedelta(seconds=30)
        return Notice(
            cursor=(position := self._sure(self.position)),
            kind=kind,
            head=max(position, self._parts.shared.tail.head),
            at=datetime.now(UTC),
            advice=self._parts.health.now.advice,
            reauthenticate_by=self._wish.viewer.expires_at,
            retry_after=retry_after,
            read_state=read_state,
        )


def mode_of(delivery: Delivery[Activity]) -> str:
    """What metrics call the way a delivery came."""
    return LIVE if delivery.live else RECOVERED


def _nothing() -> None:
    """What is to be resumed before there was a seat."""
