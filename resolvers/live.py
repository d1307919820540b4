"""Opening streams: from where they start, who may have how many, and how they end together."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from resolvers.activities import ActivityFilter, ActivityId
from resolvers.errors import CursorFromTheFuture, InvalidInput, Unavailable
from resolvers.events import NoticeKind, ReadChange, ReadState
from resolvers.gaps import Continuations, Start
from resolvers.identity import Viewer
from resolvers.stream import LiveStream, StreamParts, Wish
from streams.cursor import Cursor
from streams.errors import StreamsUnavailable
from streams.seats import Outlet
from streams.signals import Signal, SignalKind
from streams.steps import Acceptance, Closed, Confirmation
from streams.subscribers import Acknowledged, Opened, Subscriber, SubscriberInvalid
from telemetry.advice import Advice

LOOK_AT_CLOCKS_EVERY = 0.5
SLICES = 20
"""Steps in which streams are ended when the process drains."""


class LiveFeed:
    """Opens streams, tells them what other processes say, and ends all of them when the server drains."""

    def __init__(self, *, parts: StreamParts, continuations: Continuations) -> None:
        self._parts = parts
        self._shared = parts.shared
        self._continuations = continuations
        self._metrics = parts.metrics
        self._open: set[LiveStream] = set()
        self._newest: dict[str, LiveStream] = {}
        self._of_user: defaultdict[str, set[LiveStream]] = defaultdict(set)
        parts.health.changed.append(self._advise)

    async def open(
        self,
        *,
        viewer: Viewer,
        since: Cursor | None,
        chosen: ActivityFilter,
        device: str | None,
        acceptance: Acceptance | None = None,
        outlet: Outlet | None = None,
        confirmation: Confirmation = Confirmation.SOCKET,
        read_state: bool = True,
    ) -> LiveStream:
        """Open a stream after `since`, or where `device` left off, or at the head. Its owner calls `leave`.

        `acceptance`, or `outlet`, tells what the client's side has taken; without, what is asked past counts as taken.
        Without `read_state`, HELLO does not tell it, which saves a question to Redis.
        Raises InvalidInput for a device ID that is none, or is missing where the client confirms, and Unavailable when
        a position is needed and Redis is away.
        """
        if confirmation is Confirmation.CLIENT and device is None:
            raise InvalidInput("confirm: CLIENT needs 'subscriber', the ID of the device that confirms.")
        start = await self._continuations.of_cursor(since, chosen=chosen) if since is not None else None
        opened = await self._opened(viewer, device, start.cursor if start else None, by_client=confirmation)
        if start is None and opened is not None:
            start = await self._continuations.of_position(opened.position, lost=opened.lost, chosen=chosen)
        start = start or Start(self._shared.tail.head)
        hello = start.cursor
        if since is None and opened is not None and opened.pending:
            hello = min(hello, await self._continuations.before(min(one.cursor for one in opened.pending)))
        stream = LiveStream(
            parts=self._parts,
            wish=Wish(viewer, chosen, confirmation, start.cursor if since is not None else None, read_state),
            start=start.cursor,
            hello=hello,
            first=(start.gap,) if start.gap else (),
            opened=opened,
            acceptance=acceptance,
            outlet=outlet,
        )
        self._enter(stream)
        return stream

    @asynccontextmanager
    async def stream(self, **wish: Any) -> AsyncIterator[LiveStream]:  # noqa: ANN401 - those of `open`
        """`open` as a block that leaves the stream in the end."""
        stream = await self.open(**wish)
        try:
            yield stream
        finally:
            self.leave(stream)

    def leave(self, stream: LiveStream) -> None:
        """The stream is over; does nothing the second time."""
        if stream not in self._open:
            return
        stream.leave()
        reason = stream.closed.value if stream.closed else "client"
        self._metrics.sse_connections_closed_total.labels(reason=reason).inc()
        self._open.discard(stream)
        self._of_user[stream.user].discard(stream)
        if not self._of_user[stream.user]:
            del self._of_user[stream.user]
        if stream.subscriber and self._newest.get(stream.subscriber.name) is stream:
            del self._newest[stream.subscriber.name]

    async def run(self) -> None:
        """Look at every stream's clock until cancelled: tokens expire, and no stream lives for ever."""
        while True:
            await asyncio.sleep(LOOK_AT_CLOCKS_EVERY)
            now = time.monotonic()
            for stream in tuple(self._open):
                stream.look_at_clock(now)

    async def acknowledge(self, viewer: Viewer, *, device: str, through: Cursor) -> Acknowledged | None:
        """The client has everything up to `through`; None for a device never seen.

        Raises InvalidInput, CursorFromTheFuture and Unavailable.
        """
        subscriber = _subscriber(viewer, device)
        if through > self._shared.tail.head:
            start = await self._continuations.of_cursor(through)
            if start.gap is not None:
                raise CursorFromTheFuture(f"'through' is beyond the end of the log, {start.cursor}.")
        try:
            acknowledged = await self._shared.subscribers.acknowledge(subscriber, through)
        except StreamsUnavailable as error:
            raise Unavailable("Your confirmation cannot be kept now. Send it again in a minute.") from error
        if newest := self._newest.get(subscriber.name):
            newest.acknowledge(through)
        return acknowledged

    def heard(self, signal: Signal) -> None:
        """Another process says something about a subscriber, or about everybody."""
        if signal.kind is SignalKind.REDRIVEN and signal.name == "*":
            cursor = Cursor.parse(signal.detail.rpartition(":")[2])
            self._shared.dead_letters.poison.discard(cursor)
            for one in tuple(self._open):
                if one.position >= cursor:
                    one.deliver_mail(signal.detail)
            return
        if signal.kind is SignalKind.READ:
            self.tell_read(signal.name, to_read_change(signal.detail))
            return
        stream = self._newest.get(signal.name)
        if stream is None:
            return
        match signal.kind:
            case SignalKind.TAKEN_OVER if stream.epoch < int(signal.detail):
                stream.close(Closed.SUPERSEDED)
            case SignalKind.RELEASED:
                stream.look_again()
            case SignalKind.ACKNOWLEDGED:
                stream.acknowledge(Cursor.parse(signal.detail))
            case SignalKind.REDRIVEN:
                stream.deliver_mail(signal.detail)

    def tell_read(self, user: str, change: ReadChange) -> None:
        """Say to all streams of the user here what was read, on whichever device."""
        for stream in self._of_user.get(user, ()):
            stream.tell_read(change)

    def close_streams_of(self, user: str, reason: Closed) -> None:
        """End all streams that the user has here, with a notice."""
        for stream in tuple(self._of_user.get(user, ())):
            stream.close(reason)

    def open_streams(self, user: str | None = None) -> int:
        """How many streams this process has open; with `user`, how many of theirs."""
        return len(self._open) if user is None else len(self._of_user.get(user, ()))

    def users(self) -> int:
        """How many users have a stream open here."""
        return len(self._of_user)

    async def close_all(self, reason: Closed, *, within: timedelta = timedelta(0)) -> None:
        """End every open stream with a notice, spread at random over `within`."""
        left = list(self._open)
        random.shuffle(left)
        size = max(1, -(-len(left) // SLICES))
        for first in range(0, len(left), size):
            for stream in left[first : first + size]:
                stream.close(reason)
            if first + size < len(left):
                await asyncio.sleep(within.total_seconds() / SLICES)

    async def _opened(
        self, viewer: Viewer, device: str | None, since: Cursor | None, *, by_client: Confirmation
    ) -> Opened | None:
        if device is None:
            return None
        subscriber = _subscriber(viewer, device)
        try:
            await self._shared.ledger.settle(subscriber)
            return await self._shared.subscribers.open(subscriber, since=since, head=self._shared.tail.head)
        except StreamsUnavailable as error:
            if since is not None and by_client is Confirmation.SOCKET:
                return None  # the client's own cursor is all that is needed to go on
            raise Unavailable("Your position cannot be read now. Send 'since', or try again in a minute.") from error

    def _enter(self, stream: LiveStream) -> None:
        self._open.add(stream)
        self._of_user[stream.user].add(stream)
        if stream.subscriber:
            # A newer stream of the same device takes over; one in another process hears of it by a signal.
            if older := self._newest.get(stream.subscriber.name):
                older.close(Closed.SUPERSEDED)
            self._newest[stream.subscriber.name] = stream

    def _advise(self, _: Advice) -> None:
        self._parts.fanout.say(NoticeKind.ADVICE)
        for stream in self._open:
            if not stream.seated:
                stream.tell(NoticeKind.ADVICE)


def to_detail(change: ReadChange) -> str:
    """The change as a signal carries it."""
    return " ".join(str(number) for number in (change.state.version, change.state.unread_count, *change.ids))


def to_read_change(detail: str) -> ReadChange:
    """What `to_detail` wrote. Raises ValueError for anything else."""
    version, unread, *ids = (int(number) for number in detail.split(" "))
    return ReadChange(tuple(ActivityId(id_) for id_ in ids), ReadState(unread, version))


def _subscriber(viewer: Viewer, device: str) -> Subscriber:
    try:
        return Subscriber.of(viewer.user, device)
    except SubscriberInvalid as error:
        raise InvalidInput(str(error)) from error
