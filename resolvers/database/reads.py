"""Read marks in PostgreSQL: who has read what, and how many are left."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from resolvers.activities import EVERYTHING, Activity, ActivityFilter, ActivityId
from resolvers.database.queries import Database, matching, select_activities, to_activity
from resolvers.database.tables import activities, log_head, user_activity_reads, user_read_through
from streams.cursor import Cursor
from streams.entries import Head


@dataclass(frozen=True, slots=True)
class ReadState:
    """How many activities the user has not read, and the version of the marks that were counted."""

    unread_count: int
    version: int


@dataclass(frozen=True, slots=True)
class Marks:
    """A user's marks as one statement saw them: all up to log number `through` is read."""

    head: Head
    through: int
    version: int


_MARKS = (
    sa.select(
        log_head.c.cursor,
        log_head.c.n,
        sa.func.coalesce(user_read_through.c.n, 0).label("through"),
        sa.func.coalesce(user_read_through.c.version, 0).label("version"),
    )
    .select_from(log_head)
    .outerjoin(user_read_through, user_read_through.c.user_id == sa.bindparam("user"))
)


def is_read_by(user: str) -> Any:  # noqa: ANN401 - a join's type
    """Joins the user's mark, if any, to activities."""
    return sa.and_(user_activity_reads.c.activity_id == activities.c.id, user_activity_reads.c.user_id == user)


async def marks_of(connection: AsyncConnection, user: str) -> Marks:
    """The head of the log and the user's marks, of one moment."""
    row = (await connection.execute(_MARKS, {"user": user})).one()
    return Marks(Head(Cursor(row.cursor), row.n), row.through, row.version)


async def count_unread(connection: AsyncConnection, user: str, marks: Marks, chosen: ActivityFilter) -> int:
    """Matching activities up to the head of `marks` that the user has not read.

    Log numbers are dense, so without a filter it is arithmetic on the user's own marks.
    """
    span = activities.c.n.between(marks.through + 1, marks.head.n)
    if chosen == EVERYTHING:
        read = sa.select(sa.func.count()).select_from(
            user_activity_reads.join(activities, activities.c.id == user_activity_reads.c.activity_id)
        )
        read = read.where(user_activity_reads.c.user_id == user, span)
        return marks.head.n - min(marks.through, marks.head.n) - (await connection.scalar(read) or 0)
    unread = (
        sa.select(sa.func.count())
        .select_from(activities.outerjoin(user_activity_reads, is_read_by(user)))
        .where(span, user_activity_reads.c.activity_id.is_(None), *matching(chosen))
    )
    return await connection.scalar(unread) or 0


class ReadMarks:
    """Marking and counting. Marks are only ever added, so doing a thing twice changes nothing."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def state(self, user: str) -> ReadState:
        """How many activities the user has not read now. Raises Unavailable."""
        async with self._database.reading("read_state") as connection:
            marks = await marks_of(connection, user)
            return ReadState(await count_unread(connection, user, marks, EVERYTHING), marks.version)

    async def mark(self, user: str, ids: Sequence[ActivityId]) -> tuple[list[Activity], ReadState]:
        """Mark the sequenced ones of `ids` as read; return them, newest first, and the state afterwards.

        IDs that name no activity are left out. Raises Unavailable; then nothing was marked.
        """
        async with self._database.writing("mark_read") as connection:
            query = select_activities().where(activities.c.id.in_(ids), activities.c.n.is_not(None))
            found = [to_activity(row) for row in await connection.execute(query.order_by(activities.c.n.desc()))]
            changed = 0
            if found:
                # In one order for everybody: two devices marking the same activities must not deadlock.
                rows = [{"user_id": user, "activity_id": id_} for id_ in sorted(activity.id for activity in found)]
                inserted = await connection.execute(
                    insert(user_activity_reads).values(rows).on_conflict_do_nothing().returning(sa.literal(1))
                )
                changed = len(inserted.all())
            if changed:
                await connection.execute(_bump(user, n=0))
            marks = await marks_of(connection, user)
            return found, ReadState(await count_unread(connection, user, marks, EVERYTHING), marks.version)

    async def mark_through(self, user: str, cursor: Cursor) -> ReadState:
        """Mark everything up to and with `cursor` as read. Raises Unavailable; then nothing was marked."""
        async with self._database.writing("mark_all_read") as connection:
            reached = sa.select(sa.func.max(activities.c.n)).where(activities.c.cursor <= int(cursor))
            n = await connection.scalar(reached) or 0
            marks = await marks_of(connection, user)
            if n > marks.through:
                await connection.execute(_bump(user, n=n))
                marks = await marks_of(connection, user)
            return ReadState(await count_unread(connection, user, marks, EVERYTHING), marks.version)


def _bump(user: str, *, n: int) -> sa.Executable:
    new = insert(user_read_through).values(user_id=user, n=n, version=1)
    return new.on_conflict_do_update(
        index_elements=[user_read_through.c.user_id],
        set_={
            "n": sa.func.greatest(user_read_through.c.n, new.excluded.n),
            "version": user_read_through.c.version + 1,
            "updated_at": sa.func.clock_timestamp(),
        },
    )
