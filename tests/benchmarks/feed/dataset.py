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
# Every other activity of the newest 2 x `reads`.
_READS = """
INSERT INTO user_activity_reads (user_id, activity_id)
SELECT 'user' || u, id FROM generate_series(CAST(:first AS int), CAST(:last AS int)) u, activities
WHERE n > CAST(:count AS bigint) - 2 * CAST(:reads AS bigint) AND (n + u) % 2 = 0
"""
_STATES = """
INSERT INTO user_read_through (user_id, version, above)
SELECT user_id, 1, count(*) FROM user_activity_reads GROUP BY 1
"""
_USUAL_INDEX = "CREATE INDEX benchmark_usual ON activities (created_at DESC, id DESC)"
BATCH = 50


async def fill(engine: AsyncEngine, *, activities: int, users: int, reads: int) -> None:
    """Write all of it, past the triggers, which would do it one by one."""
    async with engine.begin() as connection:
        await _unhurried(connection)
        for statement in (_MPS, _BILLS):
            await connection.execute(sa.text(statement))
        await connection.execute(sa.text(_ACTIVITIES), {"count": activities})
        head = "UPDATE log_head SET (cursor, n) = (SELECT max(cursor), max(n) FROM activities)"
        await connection.execute(sa.text(head))
        await connection.execute(sa.text(_USUAL_INDEX))
    for first in range(0, users, BATCH):
        async with engine.begin() as connection:
            await _unhurried(connection)
            values = {"first": first, "last": min(first + BATCH, users) - 1, "count": activities, "reads": reads}
            await connection.execute(sa.text(_READS), values)
    async with engine.begin() as connection:
        await _unhurried(connection)
        await connection.execute(sa.text(_STATES))
        await connection.execute(sa.text("REFRESH MATERIALIZED VIEW recent_activities"))
        await connection.execute(sa.text("ANALYZE"))


async def _unhurried(connection: AsyncConnection) -> None:
    await connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
    await connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
