"""What everybody with the same operation is shown, and what becomes of an entry that cannot be."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from resolvers.activities import Activity
from resolvers.events import Event, Notice, NoticeKind, Unshowable, added
from streams.cursor import Cursor
from streams.dead_letters import DeadLetters
from streams.entries import Entry
from streams.marker import RenderMarker
from streams.seats import Frames
from telemetry.flow import LIVE, About, Failure
from telemetry.health import HealthSampler
from telemetry.metrics import Metrics

log = logging.getLogger("divisionbell.resolvers")

RENDER_AGAIN_AFTER = (0.05, 0.2)
"""Seconds between the three times that an activity is rendered before nobody is shown it: within a second."""

Render = Callable[[Event], bytes]
"""Makes an event's bytes for all who sent the same operation. Raises Unshowable."""


@dataclass(slots=True)
class SharedFrames:
    """A cohort's frames. Nothing of a viewer reaches them: they are made from the event and the operation alone."""

    render: Render
    health: HealthSampler
    marker: RenderMarker
    error: str = ""

    def delivery(self, entry: Entry[Activity]) -> bytes | None:
        """The frame of an entry; None, and `error` set, if it has none."""
        self.marker.rendering(entry.cursor)
        try:
            return self.render(added(entry, attempt=1))
        except Unshowable as error:
            self.error = str(error)
            return None
        finally:
            self.marker.rendered()

    def bookmark(self, position: Cursor, head: Cursor) -> bytes:
        """How far streams at `position` have come; empty if the operation cannot show that."""
        return self.note(NoticeKind.BOOKMARK, position, head)

    def note(self, what: object, position: Cursor, head: Cursor) -> bytes:
        """A notice to all; empty if the operation cannot show it."""
        try:
            return self.render(notice(NoticeKind(str(what)), position=position, head=head, health=self.health))
        except Unshowable:
            return b""


def notice(kind: NoticeKind, *, position: Cursor, head: Cursor, health: HealthSampler) -> Notice:
    """A notice that is the same for everybody at `position`."""
    return Notice(cursor=position, kind=kind, head=head, at=datetime.now(UTC), advice=health.now.advice)


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What the fan-out reports to: latencies in bulk, and entries that a cohort cannot be shown."""

    metrics: Metrics
    health: HealthSampler
    dead_letters: DeadLetters

    def handed_out(self, entry: Entry[Activity], seats: int) -> None:
        """So many connections have just accepted the entry."""
        late = datetime.now(UTC).timestamp() * 1_000 - entry.published_at
        self.metrics.sse_delivery_latency_ms.observe((entry.item.type.value, LIVE), late, seats)
        self.health.delivery.delivered(late, seats)

    async def give_up(self, entry: Entry[Activity], frames: Frames[Activity]) -> bool:
        """Render it twice more; then it is a dead letter, once for everybody. False if that is halted.

        Nothing later passes it in the meantime, a quarter of a second.
        """
        flow, about = self.metrics.flow, About(entry.item.type.value, LIVE, entry.published_at)
        flow.fail(Failure.RENDER, about)
        for again_after in RENDER_AGAIN_AFTER:
            await asyncio.sleep(again_after)
            if frames.delivery(entry) is not None:
                return True
            flow.fail(Failure.RENDER, about)
        self.health.delivery.failed()
        error = frames.error if isinstance(frames, SharedFrames) else "cannot be rendered"
        attempts = len(RENDER_AGAIN_AFTER) + 1
        return await self.dead_letters.condemn(entry.cursor, entry.activity_id, error, attempts=attempts)
