"""Read marks in PostgreSQL: who has read what, and how many are left."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from cache.reads import Marks, Snapshot
from cache.segments import SIZE, segment_of
from resolvers.activities import Activity, ActivityFilter, ActivityId
from resolvers.database.pages import STANDING, count_of_unread, shape_of, values_of
from resolvers.database.queries import Database, select_activities, to_activity
from resolvers.database.tables import activities, user_activity_reads, user_read_through
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


_AMONG = sa.and_(
    activities.c.id == sa.any_(sa.bindparam("ids", type_=ARRAY(sa.BigInteger))), activities.c.n.is_not(None)
)
_FOUND = select_activities().where(_AMONG).order_by(activities.c.n.desc())
# In one order for everybody: two devices marking the same activities must not deadlock. Made once, for any number of
# IDs: a statement with a row of parameters for each takes SQLAlchemy longer to make than PostgreSQL to run.
_MARK = (
    insert(user_activity_reads)
    .from_select(
        ["user_id", "activity_id"],
        sa.select(sa.bindparam("user", type_=sa.Text), activities.c.id).where(_AMONG).order_by(activities.c.n),
    )
    .on_conflict_do_nothing()
    .returning(sa.literal(1))
)


async def standing_of(connection: AsyncConnection, user: str) -> Standing:
    """The head of the log and the user's marks, of one moment."""
    row = (await connection.execute(STANDING, {"user": user})).one()
    return Standing(Head(Cursor(row.cursor), row.n), Marks(row.version, row.through, row.above))


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
            values = {"user": user, **values_of(chosen)}
            return await connection.scalar(count_of_unread(shape_of(chosen)), values) or 0

    async def snapshot(self, user: str, *, low: int) -> Snapshot:
        """The user's marks from the segment that has the log number `low` to the head. Raises Unavailable."""
        low = segment_of(low) * SIZE
        async with self._database.reading("warm_read_marks", snapshot=True) as connection:
            standing = await standing_of(connection, user)
            mine = user_activity_reads.c.user_id == user
            within = user_activity_reads.c.n.between(low, standing.head.n)
            numbers = (await connection.scalars(sa.select(user_activity_reads.c.n).where(mine, within))).all()
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
            values = {"user": user, "ids": list(ids)}
            changed = bool((await connection.execute(_MARK, values)).all())
            found = [to_activity(row) for row in await connection.execute(_FOUND, values)]
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
                above = sa.select(sa.func.count()).select_from(user_activity_reads)
                above = above.where(user_activity_reads.c.user_id == user, user_activity_reads.c.n > n)
                change = {
                    "n": n,
                    "above": above.scalar_subquery(),
                    "version": user_read_through.c.version + 1,
                    "updated_at": sa.func.clock_timestamp(),
                }
                await connection.execute(sa.update(user_read_through).where(mine).values(change))
            return replace(await standing_of(connection, user), changed=n > through)
