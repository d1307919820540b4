"""One client's stream: what the consumer finds, as the events a client sees."""

import asyncio
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from resolvers.activities import Activity
from resolvers.events import Event, Gap, Notice, NoticeKind, added, healed, not_delivered
from resolvers.identity import Viewer
from streams.consumer import Consumer
from streams.marker import RenderMarker
from streams.steps import Bookmark, Closed, Delivery, Healed, Missing, Note, Step
from telemetry.health import HealthSampler
from telemetry.metrics import Metrics

RENDER_AGAIN_AFTER = (0.05, 0.2)
"""Seconds between the three times that an activity is rendered before nobody is shown it: within a second."""
REAUTHENTICATE_BEFORE = timedelta(seconds=60)
COME_BACK_WITHIN = 5.0
"""Seconds over which clients whose streams are ended together are told to come back."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long a stream may be open at most: `longest`, or up to a fifth less, so that they do not end together."""

    longest: timedelta = timedelta(hours=1)


class LiveStream:
    """`async for event in stream.events()`. Ends when the server closes it; see `closed`."""

    def __init__(
        self,
        *,
        consumer: Consumer[Activity],
        first: tuple[Gap, ...],
        viewer: Viewer,
        health: HealthSampler,
        metrics: Metrics,
        marker: RenderMarker,
        lifetimes: Lifetimes,
    ) -> None:
        self._consumer = consumer
        self._first = first
        self._viewer = viewer
        self._health = health
        self._metrics = metrics
        self._marker = marker
        self._broken: str | None = None
        loop = asyncio.get_running_loop()
        left = (viewer.expires_at - datetime.now(UTC)).total_seconds()
        age = lifetimes.longest.total_seconds() * random.uniform(0.8, 1)  # noqa: S311 - spread, not secrecy
        self._timers = [
            loop.call_later(max(left - REAUTHENTICATE_BEFORE.total_seconds(), 0), self.tell, NoticeKind.REAUTHENTICATE),
            loop.call_later(max(left, 0), self.close, Closed.EXPIRED),
            loop.call_later(age, self.close, Closed.AGED),
        ]

    @property
    def user(self) -> str:
        """Whose it is."""
        return self._viewer.user

    @property
    def closed(self) -> Closed | None:
        """Why the server ended it, once it has."""
        return self._consumer.closed

    @property
    def consumer(self) -> Consumer[Activity]:
        """What drives it."""
        return self._consumer

    def close(self, reason: Closed) -> None:
        """End it, with a notice to the client."""
        self._consumer.close(reason)

    def tell(self, kind: NoticeKind) -> None:
        """Send a notice before anything else."""
        self._consumer.say(kind)

    def broken(self, error: str) -> None:
        """The event that was yielded last could not be rendered: nothing of it was sent."""
        self._broken = error

    def rendered(self) -> None:
        """The event that was yielded last has been rendered, or could not be; the process survived it."""
        self._marker.rendered()

    def forget(self) -> None:
        """The stream is over."""
        for timer in self._timers:
            timer.cancel()

    async def events(self) -> AsyncGenerator[Event]:
        """HELLO with the starting cursor, what is missing already, then activities and bookmarks, at last CLOSING."""
        yield self._notice(NoticeKind.HELLO)
        for gap in self._first:
            yield gap
        async for step in self._consumer:
            if not isinstance(step, Delivery):
                if (event := self._event(step)) is not None:
                    yield event
                continue
            event = added(step.entry, attempt=step.attempt)
            for again_after in (*RENDER_AGAIN_AFTER, None):
                self._marker.rendering(step.entry.cursor)
                yield event
                if self._broken is None:
                    self._observe(step)
                    break
                error, self._broken = self._broken, None
                self._metrics.flow.failures["render"] += 1
                if again_after is not None:
                    await asyncio.sleep(again_after)
                elif missing := await self._give_up(step, error):
                    yield not_delivered(self._consumer.position, missing)
        if self.closed in (Closed.STALLED, Closed.LAGGING):
            self._health.delivery.failed()
        yield self._notice(NoticeKind.CLOSING)

    async def _give_up(self, delivery: Delivery[Activity], error: str) -> Missing | None:
        if delivery.live:
            self._health.delivery.failed()
        return await self._consumer.condemn(delivery, error)

    def _event(self, step: Step[Activity]) -> Event | None:
        match step:
            case Missing():
                return not_delivered(self._consumer.position, step)
            case Healed():
                return healed(self._consumer.position, step.entries) if step.entries else None
            case Bookmark():
                return self._notice(NoticeKind.BOOKMARK)
            case Note(what=NoticeKind() as kind):
                return self._notice(kind)
        return None

    def _observe(self, delivery: Delivery[Activity]) -> None:
        """It has just been accepted by the connection."""
        late = datetime.now(UTC).timestamp() * 1_000 - delivery.entry.published_at
        mode = "live" if delivery.live else "recovered"
        self._metrics.sse_delivery_latency_ms.labels(delivery.entry.item.type.value, mode).observe(late)
        if delivery.live:
            self._health.delivery.delivered(late)

    def _notice(self, kind: NoticeKind) -> Notice:
        retry_after = None
        if kind is NoticeKind.CLOSING:
            spread = random.uniform(0, COME_BACK_WITHIN)  # noqa: S311 - spread, not secrecy
            retry_after = timedelta(seconds=spread) if self.closed is not Closed.HALTED else timedelta(seconds=30)
        return Notice(
            cursor=self._consumer.position,
            kind=kind,
            head=self._consumer.head,
            at=datetime.now(UTC),
            advice=self._health.now.advice,
            reauthenticate_by=self._viewer.expires_at,
            retry_after=retry_after,
        )
