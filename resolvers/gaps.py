"""From where a client's cursor can be continued, and what it has to be told it misses."""

from dataclasses import dataclass

from resolvers.activities import EVERYTHING, Activity, ActivityFilter
from resolvers.errors import Unavailable
from resolvers.events import Gap, GapReason, ahead, capped, position_lost, trimmed, unknown
from streams.cursor import START, Cursor
from streams.entries import Log
from streams.tail import Tail


@dataclass(frozen=True, slots=True)
class Start:
    """Where to continue; `gap` tells what lies between the client's cursor and there."""

    cursor: Cursor
    gap: Gap | None = None


@dataclass(frozen=True, slots=True)
class Continuations:
    """Looks cursors up. What the ring knows costs nothing, what it does not costs one indexed query.

    `most_replayed`: entries that a stream goes back at most; a poll pages through any number.
    """

    tail: Tail[Activity]
    log_of_record: Log[Activity]
    most_replayed: int

    async def of_cursor(self, since: Cursor, *, chosen: ActivityFilter = EVERYTHING, replayed: bool = True) -> Start:
        """Where a client with the cursor `since` continues. Raises Unavailable when only PostgreSQL knows."""
        ring = self.tail.ring
        if since > ring.head:
            # Another process may be a moment ahead of this one's tail: ask before anybody is told to refetch.
            head = (await self.log_of_record.head()).cursor
            return Start(head, ahead(since, head)) if since > head else Start(since)
        if since == ring.floor or ring.at(since) is not None:
            return Start(since)
        try:
            return await self._beyond_the_ring(since, chosen=chosen, replayed=replayed)
        except Unavailable:
            return Start(since)  # Redis may well have it; a hole would be read from PostgreSQL, and that fails aloud

    async def of_position(self, position: Cursor, *, lost: bool, chosen: ActivityFilter) -> Start:
        """Where a device continues whose position the server kept. Raises Unavailable as `of_cursor` does."""
        if not lost and position > self.tail.head:
            lost = position > (await self.log_of_record.head()).cursor
        if lost:
            return Start(self.tail.head, position_lost(self.tail.head))
        start = await self.of_cursor(position, chosen=chosen)
        if start.gap is not None and start.gap.reason is GapReason.CURSOR_UNKNOWN:
            # It went back before pending entries, and so lies between two cursors. Clients are told of real ones only.
            return Start((await self.log_of_record.place(position)).at)
        return start

    async def before(self, cursor: Cursor) -> Cursor:
        """The cursor of the entry before the one at `cursor`. Raises Unavailable when only PostgreSQL knows."""
        entry = self.tail.ring.at(cursor)
        return entry.prev if entry else (await self.log_of_record.place(Cursor(cursor - 1))).at

    async def _beyond_the_ring(self, since: Cursor, *, chosen: ActivityFilter, replayed: bool) -> Start:
        place = await self.log_of_record.place(since)
        if since < place.start:
            return Start(place.start, trimmed(since, place.start))
        head = await self.log_of_record.head()
        if not place.exact and since not in (START, head.cursor):
            return Start(since, unknown(since))
        if not replayed or head.n - place.n <= self.most_replayed:
            return Start(since)
        floor = await self.log_of_record.floor(since=since, at_most=self.most_replayed)
        missing = head.n - place.n - self.most_replayed if chosen == EVERYTHING else None
        return Start(floor, capped(since, floor, missing))
