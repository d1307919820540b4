"""Read marks in PostgreSQL: who has read what, and how many are left."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from cache.reads import Marks, Snapshot
from cache.segments import SIZE, segment_of
from resolvers.activities import EVERYTHING, Activity, ActivityFilter, ActivityId
from resolvers.database.queries import Database, matching, select_activities, to_activity
from resolvers.database.tables import activities, log_head, user_activity_reads, user_read_through
from resolvers.events import ReadState
from streams.cursor import Cursor
from streams.entries import Head

BATCH = 1_000
"""Users whose versions are read at once."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The head of the log and a user's marks, as one statement saw them.

    `changed` if the version is the work of the transaction that read it. If not, somebody else may still be on the way
    to Redis with the marks of that version.
    """

    head: Head
    marks: Marks
    changed: bool = False

    @property
    def through(self) -> int:
        """All up to this log number is read."""
        return self.marks.through

    @property
    def state(self) -> ReadState:
        """What is left. Arithmetic: log numbers are dense, and marks after `through` are counted as they are made."""
        left = self.head.n - self.through - self.marks.above if self.through < self.head.n else 0
        return ReadState(left, self.marks.version)


_STANDING = (
    sa.select(
        log_head.c.cursor,
        log_head.c.n,
        sa.func.coalesce(user_read_through.c.n, 0).label("through"),
        sa.func.coalesce(user_read_through.c.version, 0).label("version"),
        sa.func.coalesce(user_read_through.c.above, 0).label("above"),
    )
    .select_from(log_head)
    .outerjoin(user_read_through, user_read_through.c.user_id == sa.bindparam("user"))
)


def is_read_by(user: str) -> Any:  # noqa: ANN401 - a join's type
    """Joins the user's mark, if any, to activities."""
    return sa.and_(user_activity_reads.c.activity_id == activities.c.id, user_activity_reads.c.user_id == user)


async def standing_of(connection: AsyncConnection, user: str) -> Standing:
    """The head of the log and the user's marks, of one moment."""
    row = (await connection.execute(_STANDING, {"user": user})).one()
    return Standing(Head(Cursor(row.cursor), row.n), Marks(row.version, row.through, row.above))


async def count_unread(connection: AsyncConnection, user: str, standing: Standing, chosen: ActivityFilter) -> int:
    """Matching activities up to the head of `standing` that the user has not read; a query only with a filter."""
    if chosen == EVERYTHING:
        return standing.state.unread_count
    unread = (
        sa.select(sa.func.count())
        .select_from(activities.outerjoin(user_activity_reads, is_read_by(user)))
        .where(
            activities.c.n.between(standing.through + 1, standing.head.n),
            user_activity_reads.c.activity_id.is_(None),
            *matching(chosen),
        )
    )
    return await connection.scalar(unread) or 0


class ReadMarks:
    """Marking and counting. Marks are only ever added, so doing a thing twice changes nothing.

    A trigger counts them and moves the user's version, under the lock of the user's row: whoever sees a version sees
    all the marks up to it.
    """

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def standing(self, user: str) -> Standing:
        """The user's marks now. Raises Unavailable."""
        async with self._database.reading("read_state") as connection:
            return await standing_of(connection, user)

    async def unread(self, user: str, chosen: ActivityFilter) -> int:
        """How many activities that match the user has not read. Raises Unavailable."""
        async with self._database.reading("count_unread") as connection:
            return await count_unread(connection, user, await standing_of(connection, user), chosen)

    async def snapshot(self, user: str, *, low: int) -> Snapshot:
        """The user's marks from the segment that has the log number `low` to the head. Raises Unavailable."""
        low = segment_of(low) * SIZE
        async with self._database.reading("warm_read_marks", snapshot=True) as connection:
            standing = await standing_of(connection, user)
            marked = user_activity_reads.join(activities, activities.c.id == user_activity_reads.c.activity_id)
            query = sa.select(activities.c.n).select_from(marked)
            query = query.where(user_activity_reads.c.user_id == user, activities.c.n.between(low, standing.head.n))
            numbers = (await connection.scalars(query)).all()
        return Snapshot(standing.marks, numbers, low, standing.head.n)

    async def changed_within(self, age: timedelta) -> AsyncIterator[Mapping[str, int]]:
        """Users whose marks changed within `age`, with their versions, in batches. Raises Unavailable."""
        after = ""
        while True:
            query = (
                sa.select(user_read_through.c.user_id, user_read_through.c.version)
                .where(user_read_through.c.updated_at > sa.func.clock_timestamp() - age)
                .where(user_read_through.c.user_id > after)
                .order_by(user_read_through.c.user_id)
                .limit(BATCH)
            )
            async with self._database.reading("changed_read_marks") as connection:
                rows = (await connection.execute(query)).all()
            yield {row.user_id: row.version for row in rows}
            if len(rows) < BATCH:
                return
            after = rows[-1].user_id

    async def mark(self, user: str, ids: Sequence[ActivityId]) -> tuple[list[Activity], Standing]:
        """Mark the sequenced ones of `ids` as read; return them, newest first, and the marks afterwards.

        IDs that name no activity are left out. Raises Unavailable; then nothing was marked.
        """
        async with self._database.writing("mark_read") as connection:
            query = select_activities().where(activities.c.id.in_(ids), activities.c.n.is_not(None))
            found = [to_activity(row) for row in await connection.execute(query.order_by(activities.c.n.desc()))]
            changed = False
            if found:
                # In one order for everybody: two devices marking the same activities must not deadlock.
                rows = [{"user_id": user, "activity_id": id_} for id_ in sorted(activity.id for activity in found)]
                new = insert(user_activity_reads).values(rows).on_conflict_do_nothing().returning(sa.literal(1))
                changed = bool((await connection.execute(new)).all())
            return found, replace(await standing_of(connection, user), changed=changed)

    async def mark_through(self, user: str, cursor: Cursor) -> Standing:
        """Mark everything up to and with `cursor` as read. Raises Unavailable; then nothing was marked."""
        async with self._database.writing("mark_all_read") as connection:
            reached = sa.select(sa.func.max(activities.c.n)).where(activities.c.cursor <= int(cursor))
            n = await connection.scalar(reached) or 0
            await connection.execute(insert(user_read_through).values(user_id=user).on_conflict_do_nothing())
            mine = user_read_through.c.user_id == user
            # Locked before it is counted: marks that another device is making are counted by exactly one of the two.
            through = await connection.scalar(sa.select(user_read_through.c.n).where(mine).with_for_update()) or 0
            if n > through:
                marked = user_activity_reads.join(activities, activities.c.id == user_activity_reads.c.activity_id)
                above = sa.select(sa.func.count()).select_from(marked)
                above = above.where(user_activity_reads.c.user_id == user, activities.c.n > n)
                change = {
                    "n": n,
                    "above": above.scalar_subquery(),
                    "version": user_read_through.c.version + 1,
                    "updated_at": sa.func.clock_timestamp(),
                }
                await connection.execute(sa.update(user_read_through).where(mine).values(change))
            return replace(await standing_of(connection, user), changed=n > through)
