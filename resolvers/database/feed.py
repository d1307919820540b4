"""The feed straight from the log of record: activities LEFT JOIN the viewer's marks. Always right, never fastest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from cache.reads import Marks
from resolvers.activities import EVERYTHING, Activity, ActivityFilter, ActivityId
from resolvers.database.pages import Shape, joined_page, shape_of, values_of
from resolvers.database.queries import Database, select_activities, to_activity
from resolvers.database.reads import Standing
from resolvers.database.tables import activities
from resolvers.errors import InvalidInput
from streams.cursor import Cursor
from streams.entries import Head

_REFUSALS = {
    "fk_activities_mp_id": "There is no MP with that ID.",
    "fk_activities_bill_id": "There is no bill with that ID.",
}


class FeedItem(NamedTuple):
    """An activity, and whether the viewer has read it."""

    activity: Activity
    is_read: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: up to `first` activities with log numbers below `before`."""

    user: str
    first: int
    before: int | None
    unread_only: bool
    chosen: ActivityFilter


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Items newest in the log first. `head` was read before them: a stream from there continues without a hole."""

    items: tuple[FeedItem, ...]
    has_next: bool
    unread_count: int
    head: Cursor


Known = Callable[[int], Activity | None]
"""The activity with a log number, if this process has it in memory."""


def nothing(_: int) -> None:
    """Of a process that keeps nothing in memory."""


def in_memory(row: Any, known: Known) -> Activity | None:  # noqa: ANN401 - a row of any statement of pages
    """The activity in memory if it is of the row's versions."""
    kept = known(row.n)
    if kept is None:
        return None
    mp, bill = kept.mp, kept.bill
    return kept if (mp and mp.version, bill and bill.version) == (row.mp_version, row.bill_version) else None


def _activity(row: sa.Row[Any], known: Known) -> Activity:
    """The one in memory if it is there: to make another one takes as long as to fetch its row."""
    return in_memory(row, known) or to_activity(row)


async def read_page(
    connection: AsyncConnection, wanted: Wanted, query: Callable[[Shape], sa.Select[Any]], known: Known
) -> FeedPage | None:
    """The page that a statement of `resolvers.database.pages` finds; None if its source does not reach back so far.

    The page and its count end at the head that was read with them: what is sequenced meanwhile is for the next look.
    """
    shape = shape_of(wanted.chosen, unread_only=wanted.unread_only, paged=wanted.before is not None)
    values = {"user": wanted.user, "limit": wanted.first + 1, "before": wanted.before, **values_of(wanted.chosen)}
    rows = (await connection.execute(query(shape), values)).all()
    return page_of(rows, wanted, lambda row: _activity(row, known))


def page_of(rows: Sequence[Any], wanted: Wanted, activity: Callable[[Any], Activity]) -> FeedPage | None:
    """The page of such rows, of which `activity` makes what it shows."""
    of = rows[0]
    found = [row for row in rows if row.n is not None]
    if len(found) <= wanted.first and of.reach > 1:
        return None
    standing = Standing(Head(Cursor(of.head_cursor), of.head_n), Marks(of.version, of.through, of.above))
    shown = found[: wanted.first]
    items = tuple([FeedItem(activity(row), row.marked or row.n <= of.through) for row in shown])
    unread = standing.state.unread_count if wanted.chosen == EVERYTHING else of.unread
    return FeedPage(items, len(found) > wanted.first, unread, standing.head.cursor)


class JoinedFeed:
    """Feed pages by LEFT JOIN."""

    def __init__(self, *, database: Database, known: Known = nothing) -> None:
        self._database = database
        self._known = known

    async def page(self, wanted: Wanted) -> FeedPage:
        """The page. Raises Unavailable."""
        async with self._database.reading("feed_left_join") as connection:
            page = await read_page(connection, wanted, joined_page, self._known)
        if page is None:
            raise RuntimeError("the log of record reaches back to its beginning")
        return page


class StoredActivities:
    """Single activities by ID, and new ones."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def find(self, id_: ActivityId) -> Activity | None:
        """The activity, sequenced or not yet; None if there is none. Raises Unavailable."""
        async with self._database.reading("activity") as connection:
            row = (await connection.execute(select_activities().where(activities.c.id == id_))).one_or_none()
        return None if row is None else to_activity(row)

    async def insert(self, values: dict[str, object]) -> Activity:
        """Insert one activity by column; the sequencer does the rest.

        Raises InvalidInput if its MP or bill does not exist, and Unavailable; then nothing was inserted.
        """
        try:
            async with self._database.writing("publish_activity") as connection:
                id_ = await connection.scalar(sa.insert(activities).values(values).returning(activities.c.id))
                return to_activity((await connection.execute(select_activities().where(activities.c.id == id_))).one())
        except sa.exc.IntegrityError as error:
            for constraint, sentence in _REFUSALS.items():
                if constraint in str(error.orig):
                    raise InvalidInput(sentence) from error
            raise
