"""The feed: which page, from which path."""

import base64
import binascii
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from cache.reads import Seen
from cache.segments import newest, ones
from resolvers.activities import EVERYTHING, Activity, ActivityFilter
from resolvers.database.feed import FeedItem, FeedPage, JoinedFeed, Wanted
from resolvers.database.recent import ViewedFeed
from resolvers.errors import CursorRefused
from resolvers.reading import Reading
from resolvers.recent import Recent
from streams.cursor import Cursor
from telemetry.metrics import Metrics

log = logging.getLogger("divisionbell.resolvers")

QUIET_FOR = 10.0


class FeedSource(StrEnum):
    """Which path answered."""

    BITMAP = "BITMAP"
    VIEW = "VIEW"
    LEFT_JOIN = "LEFT_JOIN"


class Reason(StrEnum):
    """Why a path could not answer."""

    EMPTY = "empty"
    TOO_OLD = "too_old"
    REDIS = "redis"


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the feed. See `resolvers.database.feed.FeedPage`."""

    items: tuple[FeedItem, ...]
    has_next: bool
    has_previous: bool
    unread_count: int
    head: Cursor
    served_by: FeedSource


def page_cursor(activity: Activity) -> str:
    """What `after` takes to continue behind this activity. Unlike a Cursor on purpose: it walks into the past."""
    return base64.urlsafe_b64encode(b"n:%d" % activity.n).decode().rstrip("=")


def read_page_cursor(text: str) -> int:
    """The log number in a page cursor. Raises CursorRefused."""
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        prefix, _, number = decoded.partition(b":")
        if prefix == b"n" and number.isdigit() and len(number) < 19:
            return int(number)
    except (binascii.Error, ValueError):
        pass
    raise CursorRefused(
        "'after' takes the cursor of an edge, or pageInfo.endCursor. To continue live from feed.head,"
        " use activityAdded(since:) or updates(since:)."
    )


def fills(found: int, *, first: int, low: int) -> bool:
    """Whether `found` activities of a stretch of the log that begins at the number `low` are all that a page needs.

    They are when there is one more than the page shows, or when nothing is below them.
    """
    return found > first or low <= 1


class Told(NamedTuple):
    """Which path answers, and why not the one before it."""

    source: FeedSource
    reason: Reason | None


class Changes:
    """Says in the log which path answers, when it has changed; at most once in QUIET_FOR seconds.

    A page that the window is too small for says nothing about the server: such answers are left out.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told = Told(FeedSource.BITMAP, None)
        self._quiet_until = float("-inf")

    def note(self, source: FeedSource, reason: Reason | None) -> None:
        """`source` has answered; `reason` is why the window did not."""
        now = Told(source, reason)
        if now == self._told or reason is Reason.TOO_OLD or self._clock() < self._quiet_until:
            return
        level = logging.WARNING if reason is Reason.REDIS else logging.INFO
        extra = {"served_by": source.value, "before": self._told.source.value, "reason": reason and reason.value}
        log.log(level, "the feed is served by another path", extra=extra)
        self._told = now
        self._quiet_until = self._clock() + QUIET_FOR


class Feed:
    """Pages of activities, newest in the log first, with the viewer's marks.

    Three paths give one answer: the window in memory with the user's bitmaps, without SQL but for a count that is
    filtered; the view of recent activities; the LEFT JOIN, which knows everything.
    """

    def __init__(
        self,
        *,
        recent: Recent,
        reading: Reading,
        viewed: ViewedFeed,
        joined: JoinedFeed,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` counts seconds."""
        self._changes = Changes(clock)
        self._recent = recent
        self._reading = reading
        self._viewed = viewed
        self._joined = joined
        self._metrics = metrics

    async def page(
        self, *, user: str, first: int, after: str | None, unread_only: bool, chosen: ActivityFilter
    ) -> Page:
        """Up to `first` items after the page cursor `after`. Raises CursorRefused, Unavailable."""
        before = read_page_cursor(after) if after else None
        wanted = Wanted(user, first, before, unread_only, chosen)
        found, source, reason = await self._first_that_can(wanted)
        self._changes.note(source, reason)
        self._metrics.feed_served_total.labels(source=source.value).inc()
        return Page(found.items, found.has_next, before is not None, found.unread_count, found.head, source)

    async def _first_that_can(self, wanted: Wanted) -> tuple[FeedPage, FeedSource, Reason | None]:
        found = await self.from_window(wanted)
        if not isinstance(found, Reason):
            return found, FeedSource.BITMAP, None
        self._passed_on(FeedSource.BITMAP, found)
        if viewed := await self._viewed.page(wanted):
            return viewed, FeedSource.VIEW, found
        self._passed_on(FeedSource.VIEW, Reason.TOO_OLD)
        return await self._joined.page(wanted), FeedSource.LEFT_JOIN, found

    async def from_window(self, wanted: Wanted) -> FeedPage | Reason:
        """The page from memory and one round trip to Redis, or why not. Raises Unavailable."""
        window, head = self._recent.window, self._recent.head
        if not window:
            return Reason.EMPTY
        low, high = window.low, window.high
        top = high if wanted.before is None else min(wanted.before - 1, high)
        chosen = None if wanted.chosen == EVERYTHING else self._recent.matching(wanted.chosen)
        # What is read decides which ones are shown: then it is asked of the whole window, 625 bytes of 5,000.
        whole = wanted.unread_only or chosen is not None
        reach = low if whole else max(top - wanted.first, low)
        upto = high if whole else max(top, 1)
        if not fills(max(top - low + 1, 0), first=wanted.first, low=low):
            return Reason.TOO_OLD
        seen = await self._reading.look(wanted.user, low=min(reach, upto), high=upto, head=high)
        if seen is None:
            return Reason.REDIS
        if whole:
            candidates = seen.left if wanted.unread_only else ones(high - low + 1)
            candidates = (candidates if chosen is None else candidates & chosen) >> (high - top)
            numbers = list(islice(newest(candidates, high=top), wanted.first + 1))
            if not fills(len(numbers), first=wanted.first, low=low):
                return Reason.TOO_OLD
        else:
            numbers = list(range(top, reach - 1, -1))
        if numbers and not window.low <= numbers[-1] <= numbers[0] <= window.high:
            return Reason.EMPTY  # begun anew while Redis was asked
        shown = numbers[: wanted.first]
        if wanted.unread_only:
            items = tuple([FeedItem(window[n], False) for n in shown])
        else:
            items = tuple([FeedItem(window[n], seen.is_read(n)) for n in shown])
        unread = seen.unread if chosen is None else await self._count(wanted, seen, chosen)
        return FeedPage(items, len(numbers) > wanted.first, unread, head)

    async def _count(self, wanted: Wanted, seen: Seen, chosen: int) -> int:
        """Matching ones that are unread: from the window if there is nothing below it that could be, else from SQL."""
        if max(seen.through + 1, 1) >= seen.low:
            return (seen.left & chosen).bit_count()
        return await self._reading.unread(wanted.user, wanted.chosen)

    def _passed_on(self, source: FeedSource, reason: Reason) -> None:
        self._metrics.feed_passed_on_total.labels(source=source.value, reason=reason.value).inc()
