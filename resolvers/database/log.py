"""The log of record as the streams see it: assigning cursors, and reading in cursor order."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from resolvers.activities import Activity, encode
from resolvers.database.queries import Database, select_activities, to_activity
from resolvers.database.tables import activities, log_head
from streams.cursor import SEQUENCE_BITS, START, Cursor
from streams.entries import Entry, Head, Place

_predecessor = activities.alias("predecessor")
_ENTRIES = select_activities(
    _predecessor.c.cursor.label("prev"),
    also=lambda joined: joined.outerjoin(_predecessor, _predecessor.c.n == activities.c.n - 1),
)
# One statement and so one message: PostgreSQL locks, assigns and commits without waiting for us, and a leader that
# freezes cannot keep the lock. The head is locked first, and only if there is work: `batch` asks for it. The first
# cursor is the first of this millisecond, or the head's successor when the clock is not past it: a full millisecond
# runs over into the next, and a clock that was set back is waited out by counting on. A row that somebody is still
# changing is skipped, not waited for: waiting would hold everybody's lock.
_ASSIGN = sa.text(
    """
    WITH head AS MATERIALIZED (
        SELECT greatest(cursor + 1, :now) AS first, n FROM log_head
        WHERE EXISTS (SELECT FROM activities WHERE cursor IS NULL) FOR UPDATE
    ), batch AS (
        SELECT id FROM activities WHERE cursor IS NULL AND EXISTS (SELECT FROM head)
        ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
    ), assigned AS (
        UPDATE activities SET cursor = head.first + k - 1, n = head.n + k
        FROM (SELECT id, row_number() OVER (ORDER BY id) AS k FROM batch) AS numbered, head
        WHERE activities.id = numbered.id
        RETURNING activities.id
    )
    UPDATE log_head SET cursor = head.first + k - 1, n = head.n + k
    FROM (SELECT count(*) AS k FROM assigned) AS counted, head
    WHERE k > 0
    RETURNING k
    """
).bindparams(sa.bindparam("now", type_=sa.BigInteger))
# By ID: the partial index finds it at once; the first that was inserted is near enough to the one that waits longest.
_LAG = (
    sa.select(sa.func.clock_timestamp() - activities.c.created_at)
    .where(activities.c.cursor.is_(None))
    .order_by(activities.c.id)
    .limit(1)
)
_AT = (
    sa.select(activities.c.n, activities.c.cursor)
    .where(activities.c.cursor <= sa.bindparam("cursor", type_=sa.BigInteger))
    .order_by(activities.c.cursor.desc())
    .limit(1)
    .subquery()
)
_OLDEST = (
    sa.select(activities.c.n, activities.c.cursor)
    .where(activities.c.cursor.is_not(None))
    .order_by(activities.c.cursor)
    .limit(1)
    .subquery()
)
_PLACE = sa.select(_AT.c.n, _AT.c.cursor, _OLDEST.c.n.label("oldest_n"), _OLDEST.c.cursor.label("oldest")).select_from(
    sa.select(sa.literal(1)).subquery().outerjoin(_AT, sa.true()).outerjoin(_OLDEST, sa.true())
)


def to_entry(row: sa.Row[Any]) -> Entry[Activity]:
    """The entry of a sequenced row."""
    activity = to_activity(row)
    return Entry(
        cursor=Cursor(row.cursor),
        prev=Cursor(row.prev or START),
        activity_id=activity.id,
        published_at=int(activity.created_at.timestamp() * 1000),
        data=encode(activity),
        traceparent=row.traceparent,
        item=activity,
    )


class PostgresLog:
    """`streams.entries.SequencedLog` on PostgreSQL.

    Rows get their cursors under the lock of the one row of `log_head`, held until commit. So cursors become visible in
    cursor order, and a reader that has seen one has been able to see all before it, whoever assigned them.
    """

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def head(self) -> Head:
        """Where the log ends."""
        async with self._database.reading("log_head") as connection:
            row = (await connection.execute(sa.select(log_head.c.cursor, log_head.c.n))).one()
        return Head(Cursor(row.cursor), row.n)

    async def lag(self) -> timedelta:
        """How long the oldest committed activity has waited for its place; 0 if none does. Raises Unavailable."""
        async with self._database.reading("sequencer_lag") as connection:
            waited = await connection.scalar(_LAG)
        return max(waited, timedelta(0)) if waited is not None else timedelta(0)

    async def assign(self, *, now_ms: int, limit: int) -> int:
        """Sequence up to `limit` rows; see `streams.entries.SequencedLog.assign`."""
        async with self._database.writing("assign_cursors", single=True) as connection:
            return int(await connection.scalar(_ASSIGN, {"now": now_ms << SEQUENCE_BITS, "limit": limit}) or 0)

    async def raise_head(self, cursor: Cursor) -> None:
        """Move the head forward to `cursor`; the dense number stays."""
        async with self._database.writing("raise_head", single=True) as connection:
            await connection.execute(sa.update(log_head).where(log_head.c.cursor < cursor).values(cursor=int(cursor)))

    async def after(self, cursor: Cursor, limit: int) -> Sequence[Entry[Activity]]:
        """Up to `limit` entries after `cursor`, in order."""
        query = _ENTRIES.where(activities.c.cursor > int(cursor)).order_by(activities.c.cursor).limit(limit)
        async with self._database.reading("entries_after") as connection:
            return [to_entry(row) for row in await connection.execute(query)]

    async def at(self, cursor: Cursor) -> Entry[Activity] | None:
        """The entry at `cursor`, or None."""
        async with self._database.reading("entry_at") as connection:
            row = (await connection.execute(_ENTRIES.where(activities.c.cursor == int(cursor)))).one_or_none()
        return None if row is None else to_entry(row)

    async def place(self, cursor: Cursor) -> Place:
        """Where `cursor` lies in the log."""
        async with self._database.reading("place") as connection:
            row = (await connection.execute(_PLACE, {"cursor": int(cursor)})).one()
        removed = row.oldest_n is not None and row.oldest_n > 1
        return Place(
            at=Cursor(row.cursor or 0),
            n=row.n or 0,
            exact=row.cursor == int(cursor),
            start=Cursor(row.oldest - 1) if removed else START,
        )

    async def floor(self, *, since: Cursor, at_most: int) -> Cursor:
        """The last cursor that is older than `since` or too far from the head to be among the last `at_most`."""
        beyond = sa.select(sa.func.max(activities.c.n) - at_most).scalar_subquery()
        query = sa.select(
            sa.func.greatest(
                sa.select(sa.func.max(activities.c.cursor)).where(activities.c.cursor < int(since)).scalar_subquery(),
                sa.select(activities.c.cursor).where(activities.c.n == beyond).scalar_subquery(),
                0,
            )
        )
        async with self._database.reading("log_floor") as connection:
            return Cursor(await connection.scalar(query) or 0)
