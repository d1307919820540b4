"""I1, one log: what PostgreSQL itself guarantees."""

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.activities import decode
from resolvers.database.log import PostgresLog
from resolvers.database.tables import activities
from streams.cursor import SEQUENCE_BITS, START, Cursor
from tests.support.parliament import insert_activities, insert_bill, insert_mp

NOW_MS = 1_790_000_000_000


@pytest.mark.parametrize("head_ms", [0, NOW_MS - 1, NOW_MS, NOW_MS + 60_000])
async def test_cursors_only_grow_whatever_the_clock_says(
    database: AsyncEngine, log_of_record: PostgresLog, head_ms: int
) -> None:
    """The next cursor is beyond the head, and of this millisecond when the clock is past it; a full one runs over."""
    head = Cursor((head_ms << SEQUENCE_BITS) + 2**SEQUENCE_BITS - 1)
    await log_of_record.raise_head(head)
    await insert_activities(database, 2)

    assert await log_of_record.assign(now_ms=NOW_MS, limit=10) == 2

    first, second = [entry.cursor for entry in await log_of_record.after(START, 10)]
    assert (first, second) == (max(Cursor(NOW_MS << SEQUENCE_BITS), head + 1), first + 1)
    assert first.milliseconds == max(NOW_MS, head_ms + 1)


async def test_rows_get_dense_numbers_in_order(database: AsyncEngine, log_of_record: PostgresLog) -> None:
    """Sequenced rows are numbered 1, 2, 3 without a hole, each knowing its predecessor."""
    ids = await insert_activities(database, 5)

    assert await log_of_record.assign(now_ms=NOW_MS, limit=3) == 3
    assert await log_of_record.assign(now_ms=NOW_MS - 60_000, limit=3) == 2

    entries = await log_of_record.after(START, 10)
    assert ids == [entry.activity_id for entry in entries]
    assert [entry.item.n for entry in entries] == [1, 2, 3, 4, 5]
    assert [START, *(entry.cursor for entry in entries[:-1])] == [entry.prev for entry in entries]
    assert (await log_of_record.head()).cursor == entries[-1].cursor


async def test_a_row_committed_late_is_sequenced_late(database: AsyncEngine, log_of_record: PostgresLog) -> None:
    """A transaction that was open while later ones were sequenced gets the next cursor, not a lost one."""
    async with database.connect() as slow:
        await slow.execute(sa.insert(activities).values(type="VOTE", title="slow"))
        await insert_activities(database, 2)
        await log_of_record.assign(now_ms=NOW_MS, limit=10)
        await slow.commit()

    await log_of_record.assign(now_ms=NOW_MS, limit=10)

    titles = [entry.item.title for entry in await log_of_record.after(START, 10)]
    assert titles == ["Activity 0", "Activity 1", "slow"]


async def test_two_sequencers_at_once_make_one_log(database: AsyncEngine, log_of_record: PostgresLog) -> None:
    """Without any leader lock, the row lock alone gives every row one cursor and no two rows the same."""
    await insert_activities(database, 200)

    async def assign_all() -> int:
        total = 0
        while count := await log_of_record.assign(now_ms=NOW_MS, limit=7):
            total += count
        return total

    assert sum(await asyncio.gather(assign_all(), assign_all(), assign_all())) == 200
    entries = await log_of_record.after(START, 300)
    assert list(range(1, 201)) == [entry.item.n for entry in entries]


async def test_cursors_become_visible_in_cursor_order(database: AsyncEngine, log_of_record: PostgresLog) -> None:
    """A reader that has seen a cursor never meets a smaller one later, with sequencers racing."""
    await insert_activities(database, 300)
    seen: list[Cursor] = []

    async def read() -> None:
        while len(seen) < 300:
            seen.extend(entry.cursor for entry in await log_of_record.after(seen[-1] if seen else START, 50))

    async def assign() -> None:
        while await log_of_record.assign(now_ms=NOW_MS, limit=5):
            pass

    await asyncio.gather(read(), assign(), assign())

    entries = await log_of_record.after(START, 500)
    assert [entry.cursor for entry in entries] == seen


async def test_a_row_somebody_is_changing_is_not_waited_for(database: AsyncEngine, log_of_record: PostgresLog) -> None:
    """A lock on one unsequenced row delays that row alone."""
    ids = await insert_activities(database, 3)
    async with database.connect() as busy:
        await busy.execute(sa.update(activities).where(activities.c.id == ids[0]).values(title="edited"))
        async with asyncio.timeout(3):
            assert await log_of_record.assign(now_ms=NOW_MS, limit=10) == 2
        await busy.commit()

    assert await log_of_record.assign(now_ms=NOW_MS, limit=10) == 1


async def test_lock_of_a_leader_frozen_in_its_transaction_is_freed(
    database: AsyncEngine, log_of_record: PostgresLog
) -> None:
    """A process that stops between locking the head and committing holds the log up for seconds, not for ever."""
    await insert_activities(database, 1)
    frozen = await database.connect()
    try:
        await frozen.execute(sa.text("UPDATE log_head SET cursor = cursor"))

        assert await log_of_record.assign(now_ms=NOW_MS, limit=10) == 1

        with pytest.raises(sa.exc.DBAPIError):
            await frozen.commit()
    finally:
        await frozen.invalidate()
        await frozen.close()


async def test_an_inserted_cursor_is_ignored(database: AsyncEngine, log_of_record: PostgresLog) -> None:
    """A place in the log comes from the sequencer, whatever the INSERT said."""
    await insert_activities(database, 1, cursor=7, n=7)

    assert await log_of_record.after(START, 10) == []


async def test_rows_that_bypass_triggers_are_sequenced(database: AsyncEngine, log_of_record: PostgresLog) -> None:
    """A session with triggers off, such as a logical replication apply, is found by the partial index."""
    async with database.begin() as connection:
        await connection.execute(sa.text("SET LOCAL session_replication_role = replica"))
        await connection.execute(sa.insert(activities).values(type="VOTE", title="quiet"))

    assert await log_of_record.assign(now_ms=NOW_MS, limit=10) == 1


@pytest.mark.parametrize(
    "statement",
    ["UPDATE activities SET title = 'other'", "DELETE FROM activities", "TRUNCATE activities CASCADE"],
)
async def test_what_is_in_the_log_cannot_be_changed(
    database: AsyncEngine, log_of_record: PostgresLog, statement: str
) -> None:
    """Once sequenced, content and existence are protected, and the error says so."""
    await insert_activities(database, 1)
    await log_of_record.assign(now_ms=NOW_MS, limit=10)

    with pytest.raises(sa.exc.DBAPIError, match="cannot be"):
        async with database.begin() as connection:
            await connection.execute(sa.text(statement))


async def test_what_is_not_yet_in_the_log_can_be_changed(database: AsyncEngine) -> None:
    """Until it is sequenced, a row is its inserter's."""
    await insert_activities(database, 1)

    async with database.begin() as connection:
        assert (await connection.execute(sa.text("UPDATE activities SET title = 'other'"))).rowcount == 1
        assert (await connection.execute(sa.text("DELETE FROM activities"))).rowcount == 1


@pytest.mark.parametrize(
    "columns",
    [
        {"metadata": {"party": "Ind.", "tags": [1, 2.5, None]}},
        {"summary": "Œuvre — “quoted” 🏛", "url": "https://example.org/?a=1&b=2"},
        {"occurred_at": sa.text("'1867-07-01T12:00:00.123456Z'")},
        {"metadata": sa.text("""'{"huge": 123456789012345678901234567890, "big": 1e400}'""")},
        {"metadata": sa.text("""('{"a":' || repeat('[', 900) || repeat(']', 900) || '}')::jsonb""")},
        {"type": "FROM_THE_FUTURE"},
    ],
    ids=["nested", "text", "old", "huge-numbers", "deep", "unknown-type"],
)
async def test_an_entry_reads_the_same_from_postgresql_and_from_the_stream(
    database: AsyncEngine, log_of_record: PostgresLog, columns: dict[str, object]
) -> None:
    """The JSON in the stream decodes to the very activity that PostgreSQL gives, odd values included."""
    mp, bill = await insert_mp(database), await insert_bill(database)
    async with database.begin() as connection:
        values: dict[str, object] = {"type": "VOTE", "title": "t", "mp_id": mp, "bill_id": bill, **columns}
        await connection.execute(sa.insert(activities).values(values))
    await log_of_record.assign(now_ms=NOW_MS, limit=10)

    [entry] = await log_of_record.after(START, 10)

    assert decode(entry.data) == entry.item


@pytest.mark.parametrize(
    "columns",
    [
        {"title": ""},
        {"type": "lower case"},
        {"metadata": sa.text("'[1]'::jsonb")},
        {"occurred_at": sa.text("'infinity'")},
        {"occurred_at": sa.text("'0044-03-15 BC'")},
        {"summary": "x" * 20_001},
    ],
    ids=["empty-title", "type", "array", "infinite", "bc", "long"],
)
async def test_a_row_that_no_reader_could_show_is_refused_at_the_door(
    database: AsyncEngine, columns: dict[str, object]
) -> None:
    """PostgreSQL itself refuses what would stop the log for everybody."""
    with pytest.raises(sa.exc.DBAPIError):
        async with database.begin() as connection:
            await connection.execute(sa.insert(activities).values({"type": "VOTE", "title": "t", **columns}))


async def test_floor_keeps_what_is_recent_and_not_too_much(database: AsyncEngine, log_of_record: PostgresLog) -> None:
    """The refill of a stream starts where the retention and the longest stream allow."""
    for second in range(10):
        await insert_activities(database, 1)
        await log_of_record.assign(now_ms=NOW_MS + second * 1_000, limit=10)
    cursors = [entry.cursor for entry in await log_of_record.after(START, 20)]

    assert await log_of_record.floor(since=START, at_most=100) == START
    assert cursors[5] == await log_of_record.floor(since=START, at_most=4)
    assert cursors[7] == await log_of_record.floor(since=cursors[8], at_most=4)
    assert cursors[9] == await log_of_record.floor(since=Cursor(cursors[9] + 1), at_most=4)
