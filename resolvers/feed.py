"""The feed: which page, from which path."""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from resolvers.activities import EVERYTHING, Activity, ActivityFilter
from resolvers.database.feed import FeedItem, FeedPage, JoinedFeed, Wanted
from resolvers.database.recent import ViewedFeed
from resolvers.errors import CursorRefused
from resolvers.reading import Reading
from resolvers.recent import Recent
from streams.cursor import Cursor
from telemetry.metrics import Metrics


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


class Feed:
    """Pages of activities, newest in the log first, with the viewer's marks.

    Three paths give one answer: the window in memory with the user's bitmaps, without SQL but for a count that is
    filtered; the view of recent activities; the LEFT JOIN, which knows everything.
    """

    def __init__(
        self, *, recent: Recent, reading: Reading, viewed: ViewedFeed, joined: JoinedFeed, metrics: Metrics
    ) -> None:
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
        found, source = await self._first_that_can(wanted)
        self._metrics.feed_served_total.labels(source=source.value).inc()
        return Page(found.items, found.has_next, before is not None, found.unread_count, found.head, source)

    async def _first_that_can(self, wanted: Wanted) -> tuple[FeedPage, FeedSource]:
        found = await self.from_window(wanted)
        if not isinstance(found, Reason):
            return found, FeedSource.BITMAP
        self._passed_on(FeedSource.BITMAP, found)
        if viewed := await self._viewed.page(wanted):
            return viewed, FeedSource.VIEW
        self._passed_on(FeedSource.VIEW, Reason.TOO_OLD)
        return await self._joined.page(wanted), FeedSource.LEFT_JOIN

    async def from_window(self, wanted: Wanted) -> FeedPage | Reason:
        """The page from memory and one round trip to Redis, or why not. Raises Unavailable."""
        window = self._recent.window
        low, high, head = window.low, window.high, self._recent.head
        if not window:
            return Reason.EMPTY
        top = high if wanted.before is None else min(wanted.before - 1, high)
        if top < low and low > 1:
            return Reason.TOO_OLD
        shown = [] if wanted.unread_only else list(islice(self._matching(wanted, top), wanted.first + 1))
        if not wanted.unread_only and not fills(len(shown), first=wanted.first, low=low):
            return Reason.TOO_OLD
        # Which are unread is known only afterwards: then the marks of all the window are asked for, 625 bytes of 5,000.
        reach = low if wanted.unread_only else shown[-1].n if shown else top
        seen = await self._reading.look(wanted.user, low=max(min(reach, top), 1), high=max(top, 1), head=high)
        if seen is None:
            return Reason.REDIS
        if wanted.unread_only:
            unread = (activity for activity in self._matching(wanted, top) if not seen.is_read(activity.n))
            shown = list(islice(unread, wanted.first + 1))
            if not fills(len(shown), first=wanted.first, low=window.low):
                return Reason.TOO_OLD
        items = tuple(FeedItem(activity, seen.is_read(activity.n)) for activity in shown[: wanted.first])
        count = seen.unread
        if wanted.chosen != EVERYTHING:
            count = await self._reading.unread(wanted.user, wanted.chosen)
        return FeedPage(items, len(shown) > wanted.first, count, head)

    def _matching(self, wanted: Wanted, top: int) -> Iterator[Activity]:
        older = self._recent.window.older(top + 1)
        return older if wanted.chosen == EVERYTHING else filter(wanted.chosen.matches, older)

    def _passed_on(self, source: FeedSource, reason: Reason) -> None:
        self._metrics.feed_passed_on_total.labels(source=source.value, reason=reason.value).inc()
