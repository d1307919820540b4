"""The feed: which page, from which path."""

import base64
import binascii
from dataclasses import dataclass
from enum import StrEnum

from resolvers.activities import Activity, ActivityFilter
from resolvers.database.feed import FeedItem, JoinedFeed
from resolvers.errors import CursorRefused
from streams.cursor import Cursor


class FeedSource(StrEnum):
    """Which path answered."""

    LEFT_JOIN = "LEFT_JOIN"


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


class Feed:
    """Pages of activities, newest in the log first, with the viewer's marks."""

    def __init__(self, *, joined: JoinedFeed) -> None:
        self._joined = joined

    async def page(
        self, *, user: str, first: int, after: str | None, unread_only: bool, chosen: ActivityFilter
    ) -> Page:
        """Up to `first` items after the page cursor `after`. Raises CursorRefused, Unavailable."""
        before = read_page_cursor(after) if after else None
        page = await self._joined.page(user=user, first=first, before=before, unread_only=unread_only, chosen=chosen)
        return Page(page.items, page.has_next, before is not None, page.unread_count, page.head, FeedSource.LEFT_JOIN)
