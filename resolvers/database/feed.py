"""The feed straight from the log of record: activities LEFT JOIN the viewer's marks. Always right, never fastest."""

from dataclasses import dataclass

import sqlalchemy as sa

from resolvers.activities import Activity, ActivityFilter, ActivityId
from resolvers.database.queries import Database, matching, select_activities, to_activity
from resolvers.database.reads import count_unread, is_read_by, standing_of
from resolvers.database.tables import activities, user_activity_reads
from resolvers.errors import InvalidInput
from streams.cursor import Cursor

_REFUSALS = {
    "fk_activities_mp_id": "There is no MP with that ID.",
    "fk_activities_bill_id": "There is no bill with that ID.",
}


@dataclass(frozen=True, slots=True)
class FeedItem:
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


class JoinedFeed:
    """Feed pages by LEFT JOIN."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def page(self, wanted: Wanted) -> FeedPage:
        """The page. Raises Unavailable.

        The page and its count end at the head that was read first: what is sequenced meanwhile is for the next look.
        """
        async with self._database.reading("feed_left_join", snapshot=True) as connection:
            standing = await standing_of(connection, wanted.user)
            marked = user_activity_reads.c.activity_id.is_not(None)
            is_read = sa.or_(marked, activities.c.n <= standing.through).label("is_read")
            query = select_activities(
                is_read, also=lambda joined: joined.outerjoin(user_activity_reads, is_read_by(wanted.user))
            ).where(activities.c.n <= standing.head.n, *matching(wanted.chosen))
            if wanted.before is not None:
                query = query.where(activities.c.n < wanted.before)
            if wanted.unread_only:
                query = query.where(sa.not_(marked), activities.c.n > standing.through)
            rows = (await connection.execute(query.order_by(activities.c.n.desc()).limit(wanted.first + 1))).all()
            unread = await count_unread(connection, wanted.user, standing, wanted.chosen)
        items = tuple(FeedItem(to_activity(row), row.is_read) for row in rows[: wanted.first])
        return FeedPage(items, len(rows) > wanted.first, unread, standing.head.cursor)


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
