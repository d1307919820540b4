"""A parliament with a past: activities, users, and what they have read of the newest tenth."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_MPS = """
INSERT INTO mps (name, party, riding)
SELECT 'MP ' || k, 'Party ' || k % 5, 'Riding ' || k FROM generate_series(1, 338) k
"""
_BILLS = "INSERT INTO bills (number, title) SELECT 'C-' || k, 'An Act about ' || k FROM generate_series(1, 400) k"
_ACTIVITIES = """
INSERT INTO activities (type, title, summary, url, mp_id, bill_id, occurred_at, created_at, metadata, cursor, n)
SELECT (ARRAY['VOTE', 'SPEECH', 'QUESTION'])[1 + k % 3], 'Activity ' || k, repeat('word ', 30),
    'https://example.org/' || k,
    (SELECT min(id) FROM mps) + k % 338, (SELECT min(id) FROM bills) + k % 400, at, at, '{"source": "benchmark"}',
    (extract(epoch FROM at) * 1000)::bigint << 20, k
FROM generate_series(1, :count) k,
    LATERAL (SELECT now() - (:count - k) * interval '1 second' - interval '1 hour' AS at) a
"""
# The user was here a moment ago: none to 19 have come since, and of what was there before `reads` were read, with
# `missed` in a hundred left out on the way. Which ones differs between users.
_READS = """
INSERT INTO user_activity_reads (user_id, activity_id, n)
SELECT CAST(:group AS text) || u, recent.id, recent.n
FROM generate_series(CAST(:first AS int), CAST(:last AS int)) u,
    LATERAL (
        SELECT id, n FROM activities
        WHERE n <= CAST(:count AS bigint) - u % 20 AND hashint8(n * 1009 + u) & 65535 >= 655.36 * CAST(:missed AS int)
        ORDER BY n DESC LIMIT CAST(:reads AS bigint)
    ) recent
"""
_STATES = """
INSERT INTO user_read_through (user_id, version, above)
SELECT user_id, 1, count(*) FROM user_activity_reads GROUP BY 1
"""
_USUAL_INDEXES = (
    "CREATE INDEX benchmark_usual ON activities (created_at DESC, id DESC)",
    "CREATE UNIQUE INDEX benchmark_usual_reads ON user_activity_reads (user_id, activity_id)",
)
# PostGraphile finds relations by foreign keys; marks have none, so it is told.
_RELATION = "COMMENT ON TABLE user_activity_reads IS E'@foreignKey (activity_id) references activities (id)'"
BATCH = 50
GROUPS = {"user": 1, "skimmer": 10, "sampler": 50}
"""How many activities in a hundred the users of a group left unread among those they have seen. """
MEASURED = "user"
FEW = 100
"""Users of each other group."""


async def fill(engine: AsyncEngine, *, activities: int, users: int, reads: int) -> None:
    """Write all of it, past the triggers, which would do it one by one."""
    async with engine.begin() as connection:
        await _unhurried(connection)
        for statement in (_MPS, _BILLS):
            await connection.execute(sa.text(statement))
        await connection.execute(sa.text(_ACTIVITIES), {"count": activities})
        head = "UPDATE log_head SET (cursor, n) = (SELECT max(cursor), max(n) FROM activities)"
        await connection.execute(sa.text(head))
        for statement in (*_USUAL_INDEXES, _RELATION):
            await connection.execute(sa.text(statement))
    for group, missed in GROUPS.items():
        size = users if group == MEASURED else min(users, FEW)
        for first in range(0, size, BATCH):
            values = {"first": first, "last": min(first + BATCH, size) - 1, "count": activities, "reads": reads}
            async with engine.begin() as connection:
                await _unhurried(connection)
                await connection.execute(sa.text(_READS), values | {"group": group, "missed": missed})
    async with engine.begin() as connection:
        await _unhurried(connection)
        await connection.execute(sa.text(_STATES))
        await connection.execute(sa.text("REFRESH MATERIALIZED VIEW recent_activities"))
    async with engine.connect() as connection:
        lonely = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await lonely.execute(sa.text("SET statement_timeout = 0"))
        await lonely.execute(sa.text("VACUUM ANALYZE"))  # as autovacuum would have: index-only scans need it


async def _unhurried(connection: AsyncConnection) -> None:
    await connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
    await connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
