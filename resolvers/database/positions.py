"""Checkpoints of subscribers' positions in PostgreSQL."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resolvers.database.queries import Database
from resolvers.database.tables import subscriber_positions
from streams.checkpoints import Checkpoint
from streams.cursor import Cursor

# Arrays, so that there is one statement to prepare, whatever the number of newcomers. Who is known is written as it is:
# only so does one statement return all, those included whom another process introduces at the same time.
_INTRODUCE = sa.text(
    "INSERT INTO subscriber_positions AS kept (subscriber, cursor, epoch)"
    " SELECT subscriber, cursor, 0 FROM unnest(CAST(:subscribers AS text[]), CAST(:cursors AS bigint[]))"
    " AS given (subscriber, cursor)"
    " ON CONFLICT (subscriber) DO UPDATE SET epoch = kept.epoch RETURNING subscriber, cursor, epoch"
)


class Positions:
    """`streams.checkpoints.CheckpointStore` on PostgreSQL. Every method raises Unavailable."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def introduce(self, newcomers: Mapping[str, Cursor]) -> Mapping[str, Checkpoint]:
        """Keep a checkpoint for those that have none; what is then kept for each."""
        subscribers = sorted(newcomers)  # one order for all: no deadlocks
        given = {"subscribers": subscribers, "cursors": [int(newcomers[subscriber]) for subscriber in subscribers]}
        async with self._database.writing("introduce_subscribers", single=True) as connection:
            kept = await connection.execute(_INTRODUCE, given)
            return {row.subscriber: Checkpoint(row.subscriber, Cursor(row.cursor), row.epoch) for row in kept}

    async def save(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Keep these, but none of an epoch older than what is kept."""
        rows = [
            {"subscriber": one.subscriber, "cursor": int(one.position), "epoch": one.epoch}
            for one in sorted(checkpoints, key=lambda one: one.subscriber)
        ]
        query = insert(subscriber_positions)
        query = query.on_conflict_do_update(
            index_elements=["subscriber"],
            set_={
                "cursor": query.excluded.cursor,
                "epoch": query.excluded.epoch,
                "updated_at": sa.func.clock_timestamp(),
            },
            where=query.excluded.epoch >= subscriber_positions.c.epoch,
        )
        async with self._database.writing("save_positions") as connection:
            await connection.execute(query, rows)
