"""Read status: PostgreSQL first, then the bitmaps, then the user's other devices."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from cache.reads import ReadBits, Seen
from resolvers.activities import Activity, ActivityFilter, ActivityId
from resolvers.database.reads import ReadMarks, Standing
from resolvers.events import ReadChange, ReadState
from streams.cursor import Cursor
from streams.errors import StreamsUnavailable
from telemetry.metrics import Metrics

log = logging.getLogger("divisionbell.resolvers")

TRIES = 3
"""Times that marks are read again because newer ones were made meanwhile."""
ASK_DEAD_REDIS_EVERY = 1.0
"""Seconds. One request in this time waits for Redis to answer, two seconds at most; the others are not held up."""


class Told(Protocol):
    """Brings a change to all open streams of its user."""

    async def __call__(self, user: str, change: ReadChange) -> None:
        """Never raises: a stream that was not told learns the version with the next answer."""
        ...


class Reading:
    """What users have read. PostgreSQL has the truth; Redis answers for it as long as it follows every version."""

    def __init__(
        self, *, marks: ReadMarks, bits: ReadBits, metrics: Metrics, told: Told, clock: Callable[[], float]
    ) -> None:
        """`clock` counts seconds."""
        self._marks = marks
        self._bits = bits
        self._metrics = metrics
        self._told = told
        self._clock = clock
        self._ask_again_at = float("-inf")

    async def look(self, user: str, *, low: int, high: int, head: int) -> Seen | None:
        """The user's marks from `low` to `high`, and the count up to `head`, all log numbers, in one round trip.

        A user who is not known to Redis is read from PostgreSQL first. None when Redis does not answer, or marks come
        in faster than they are read. Raises Unavailable when PostgreSQL was needed and is away.
        """
        if self._clock() < self._ask_again_at:
            return None
        try:
            for _ in range(TRIES):
                if seen := await self._bits.look(user, low=low, high=high, head=head):
                    self._answers()
                    return seen
                snapshot = await self._marks.snapshot(user, low=low)
                if await self._bits.warm(user, snapshot):
                    self._metrics.read_marks_warmed_total.inc()
        except StreamsUnavailable as error:
            self._silent(error)
        return None

    async def state(self, user: str, *, head: int) -> ReadState:
        """How much the user has not read, up to the log number `head`. Raises Unavailable."""
        if head and (seen := await self.look(user, low=head, high=head, head=head)):
            return ReadState(seen.unread, seen.version)
        return (await self._marks.standing(user)).state

    async def glance(self, user: str, *, head: int) -> ReadState | None:
        """As `state`, but None where PostgreSQL would have to be asked: for thousands of streams that open at once."""
        if not head or self._clock() < self._ask_again_at:
            return None
        try:
            seen = await self._bits.look(user, low=head, high=head, head=head)
        except StreamsUnavailable as error:
            self._silent(error)
            return None
        return ReadState(seen.unread, seen.version) if seen else None

    async def unread(self, user: str, chosen: ActivityFilter) -> int:
        """How many activities that match the user has not read. Raises Unavailable."""
        return await self._marks.unread(user, chosen)

    async def mark(self, user: str, ids: Sequence[ActivityId]) -> tuple[list[Activity], ReadState]:
        """As `ReadMarks.mark`; the user's open streams hear of it."""
        found, standing = await self._marks.mark(user, ids)
        if standing.changed:
            await self._follow(user, [activity.n for activity in found], standing)
            await self._told(user, ReadChange(tuple(activity.id for activity in found), standing.state))
        return found, standing.state

    async def mark_through(self, user: str, cursor: Cursor) -> ReadState:
        """As `ReadMarks.mark_through`; the user's open streams hear of it."""
        standing = await self._marks.mark_through(user, cursor)
        if standing.changed:
            await self._follow(user, [], standing)
            await self._told(user, ReadChange((), standing.state))
        return standing.state

    async def _follow(self, user: str, numbers: Sequence[int], standing: Standing) -> None:
        if self._clock() < self._ask_again_at:
            return  # the sweep finds it
        try:
            await self._bits.mark(user, numbers, standing.marks)
            self._answers()
        except StreamsUnavailable as error:
            self._silent(error)

    def _answers(self) -> None:
        if self._ask_again_at != float("-inf"):
            self._ask_again_at = float("-inf")
            log.warning("read marks come from Redis again")

    def _silent(self, error: Exception) -> None:
        if self._ask_again_at == float("-inf"):
            log.warning("read marks come from PostgreSQL while Redis is away", extra={"error": str(error)})
        self._ask_again_at = self._clock() + ASK_DEAD_REDIS_EVERY
