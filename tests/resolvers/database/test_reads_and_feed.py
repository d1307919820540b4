"""Read marks, counts and pages straight from PostgreSQL."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.activities import EVERYTHING, ActivityFilter, ActivityId, ActivityType, BillId, MpId
from resolvers.database.engine import connect, driver_url
from resolvers.database.feed import StoredActivities, Wanted
from resolvers.database.log import PostgresLog
from resolvers.database.queries import Database
from resolvers.database.reads import ReadMarks
from resolvers.errors import CursorRefused, InvalidInput, Unavailable
from resolvers.events import ReadState
from resolvers.feed import Feed, Page, page_cursor, read_page_cursor
from resolvers.publishing import publish_activity
from streams.cursor import START, Cursor
from telemetry.metrics import Metrics
from tests.support.feeding import Feeding
from tests.support.parliament import insert_activities, insert_bill, insert_mp
from tests.support.running import assign_all, start_over

VOTES = ActivityFilter(types=frozenset({ActivityType.VOTE}))


@pytest.fixture
def reading(database: AsyncEngine, metrics: Metrics) -> Database:
    """The database as resolvers have it."""
    return Database(engine=database, metrics=metrics)


@pytest.fixture
def marks(reading: Database) -> ReadMarks:
    """Read marks."""
    return ReadMarks(database=reading)


@pytest.fixture
def feed(database: AsyncEngine, redis: Redis) -> Feed:
    """The feed of a process whose window is empty: everything comes from PostgreSQL."""
    return Feeding(database, redis).feed


async def page(
    feed: Feed, *, after: str | None = None, first: int = 100, unread: bool = False, chosen: ActivityFilter = EVERYTHING
) -> Page:
    """Ada's page."""
    return await feed.page(user="ada", first=first, after=after, unread_only=unread, chosen=chosen)


def titles(of: Page) -> list[str]:
    """Titles in order."""
    return [item.activity.title for item in of.items]


async def test_marking_again_changes_nothing(
    database: AsyncEngine, log_of_record: PostgresLog, marks: ReadMarks
) -> None:
    """The count and the version move with the first mark only; unknown and unsequenced IDs are left out."""
    ids = [ActivityId(id_) for id_ in await insert_activities(database, 3)]
    await assign_all(log_of_record)
    [waiting] = await insert_activities(database, 1)

    for _ in range(2):
        found, standing = await marks.mark("ada", [*ids[:2], ActivityId(waiting), ActivityId(999_999)])
        assert (ids[:2][::-1], ReadState(1, 1)) == ([activity.id for activity in found], standing.state)
    assert ReadState(3, 0) == (await marks.standing("bob")).state


async def test_marking_nothing_is_no_error(marks: ReadMarks) -> None:
    """An empty list marks nothing and tells the state."""
    found, standing = await marks.mark("ada", [])

    assert ([], ReadState(0, 0)) == (found, standing.state)


async def test_devices_that_mark_at_once_do_not_deadlock(
    database: AsyncEngine, log_of_record: PostgresLog, marks: ReadMarks
) -> None:
    """The same activities in opposite orders from several devices: every mark counts, once."""
    ids = [ActivityId(id_) for id_ in await insert_activities(database, 60)]
    await assign_all(log_of_record)

    await asyncio.gather(*(marks.mark("ada", ids[:: 1 if k % 2 else -1]) for k in range(6)))

    assert (await marks.standing("ada")).state.unread_count == 0


async def test_everything_up_to_a_cursor_is_read(
    database: AsyncEngine, log_of_record: PostgresLog, marks: ReadMarks, feed: Feed
) -> None:
    """`markAllRead` moves one number; pages and counts honour it, and it never goes back."""
    await insert_activities(database, 5)
    await assign_all(log_of_record)
    cursors = [entry.cursor for entry in await log_of_record.after(START, 10)]

    assert ReadState(2, 1) == (await marks.mark_through("ada", cursors[2])).state
    assert ReadState(2, 1) == (await marks.mark_through("ada", cursors[0])).state

    assert [item.is_read for item in (await page(feed)).items] == [False, False, True, True, True]
    assert len((await page(feed, unread=True)).items) == 2


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    steps=st.lists(st.sampled_from(["insert", "mark", "mark through", "other marks"]), max_size=12),
    size=st.integers(1, 4),
)
async def test_counts_and_pages_agree_with_a_simple_model(
    data: st.DataObject, steps: list[str], size: int, database: AsyncEngine, redis: Redis
) -> None:
    """Random inserts and marks: counts, marks and pages of any size, filtered or not, are those of a plain list."""
    await start_over(database, redis)
    reading = Database(engine=database, metrics=Metrics())
    log_of_record, marks = PostgresLog(database=reading), ReadMarks(database=reading)
    feed = Feeding(database, redis).feed
    log: list[tuple[ActivityId, str, Cursor]] = []
    read: set[ActivityId] = set()
    for step in ["insert", *steps]:
        chosen = data.draw(st.sampled_from(log)) if log else None
        match step:
            case "insert":
                await insert_activities(database, 3, type=data.draw(st.sampled_from(["VOTE", "SPEECH"])))
                await assign_all(log_of_record)
                entries = await log_of_record.after(log[-1][2] if log else START, 100)
                log += [(entry.item.id, entry.item.type.value, entry.cursor) for entry in entries]
            case "mark" if chosen:
                await marks.mark("ada", [chosen[0]])
                read.add(chosen[0])
            case "mark through" if chosen:
                await marks.mark_through("ada", chosen[2])
                read |= {id_ for id_, _, cursor in log if cursor <= chosen[2]}
            case "other marks" if chosen:
                await marks.mark("bob", [chosen[0]])

    for wanted in (EVERYTHING, VOTES):
        for unread in (False, True):
            expected = [
                (id_, id_ in read)
                for id_, type_, _ in reversed(log)
                if (wanted is EVERYTHING or type_ == "VOTE") and not (unread and id_ in read)
            ]
            walked: list[tuple[ActivityId, bool]] = []
            after = None
            while True:
                part = await page(feed, after=after, first=size, unread=unread, chosen=wanted)
                walked += [(item.activity.id, item.is_read) for item in part.items]
                if not part.has_next:
                    break
                after = page_cursor(part.items[-1].activity)
            assert expected == walked
            matching = [id_ for id_, type_, _ in log if wanted is EVERYTHING or type_ == "VOTE"]
            assert len([id_ for id_ in matching if id_ not in read]) == part.unread_count


async def test_pages_are_stable_while_activities_arrive(
    database: AsyncEngine, log_of_record: PostgresLog, feed: Feed
) -> None:
    """Walking on shows each activity once, whatever was inserted on top meanwhile."""
    await insert_activities(database, 4, title="old")
    await assign_all(log_of_record)
    first = await page(feed, first=2)
    await insert_activities(database, 3, title="new")
    await assign_all(log_of_record)

    second = await page(feed, first=2, after=page_cursor(first.items[-1].activity))

    assert titles(first) + titles(second) == ["old 3", "old 2", "old 1", "old 0"]
    assert second.has_previous
    assert not second.has_next
    assert [f"new {k}" for k in range(3)] == [entry.item.title for entry in await log_of_record.after(first.head, 9)]


async def test_filters_by_mp_and_bill(database: AsyncEngine, log_of_record: PostgresLog, feed: Feed) -> None:
    """Pages and counts of one MP, of one bill, of both."""
    mp, bill = await insert_mp(database), await insert_bill(database)
    await insert_activities(database, 1, title="mp", mp_id=mp)
    await insert_activities(database, 1, title="bill", bill_id=bill)
    await insert_activities(database, 1, title="both", mp_id=mp, bill_id=bill)
    await assign_all(log_of_record)
    by_mp, by_bill = frozenset({MpId(mp)}), frozenset({BillId(bill)})

    assert titles(await page(feed, chosen=ActivityFilter(mps=by_mp))) == ["both 0", "mp 0"]
    assert titles(await page(feed, chosen=ActivityFilter(bills=by_bill))) == ["both 0", "bill 0"]
    both = await page(feed, chosen=ActivityFilter(mps=by_mp, bills=by_bill))
    assert (titles(both), both.unread_count) == (["both 0"], 1)


async def test_empty_feed_is_a_page(feed: Feed) -> None:
    """Nothing is no error."""
    assert (
        (empty := await page(feed)).items,
        empty.has_next,
        empty.unread_count,
        empty.head,
    ) == ((), False, 0, START)


@pytest.mark.parametrize("text", ["x", "1790000000000-0", "bjo", "bjotMQ", "=", "é", "bjoxMjM0NTY3ODkwMTIzNDU2Nzg5MA"])
def test_what_is_no_page_cursor_is_refused_with_a_hint(text: str) -> None:
    """Whoever passes a stream's cursor is told which argument wants it."""
    with pytest.raises(CursorRefused, match=r"pageInfo\.endCursor"):
        read_page_cursor(text)


async def test_activity_is_found_before_and_after_it_is_sequenced(
    database: AsyncEngine, reading: Database, log_of_record: PostgresLog
) -> None:
    """What was just published can be asked for at once."""
    stored = StoredActivities(database=reading)
    [id_] = await insert_activities(database, 1)

    before = await stored.find(ActivityId(id_))
    await assign_all(log_of_record)
    after = await stored.find(ActivityId(id_))

    assert before is not None
    assert after is not None
    assert (before.n, after.n) == (0, 1)
    assert await stored.find(ActivityId(id_ + 1)) is None


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"title": "  "}, "'title' must have 1 to 500"),
        ({"title": "x" * 501}, "'title' must have 1 to 500"),
        ({"title": "a\x00"}, "U\\+0000"),
        ({"summary": "x" * 5_001}, "'summary'"),
        ({"url": "javascript:alert(1)"}, "'url' must be"),
        ({"url": "http://"}, "'url' must be"),
        ({"mp": 77}, "no MP"),
        ({"bill": 77}, "no bill"),
    ],
)
async def test_publishing_what_cannot_be_is_refused(reading: Database, wrong: dict[str, object], told: str) -> None:
    """The first thing that is wrong is told in a sentence, and nothing is inserted."""
    usual: dict[str, object] = {
        "type_": ActivityType.VOTE,
        "title": "t",
        "summary": None,
        "url": None,
        "mp": None,
        "bill": None,
        "occurred_at": None,
        "metadata": {},
        "traceparent": None,
    }

    with pytest.raises(InvalidInput, match=told):
        await publish_activity(StoredActivities(database=reading), **(usual | wrong))  # type: ignore[arg-type]  # wrong on purpose


async def test_database_that_is_away_is_unavailable(metrics: Metrics) -> None:
    """A refused connection is weather, told in a sentence a client may read."""
    engine = connect("postgresql://nobody@127.0.0.1:9/none")

    with pytest.raises(Unavailable, match="Try again"):
        await ReadMarks(database=Database(engine=engine, metrics=metrics)).standing("ada")
    await engine.dispose()


async def test_ended_session_and_cancelled_statement_are_unavailable(database: AsyncEngine, reading: Database) -> None:
    """A restart of PostgreSQL, or a statement over its time, is weather; a wrong statement is a fault of ours."""
    with pytest.raises(Unavailable):
        async with reading.reading("killed") as connection:
            await connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with pytest.raises(Unavailable):
        await run_slowly(reading)
    with pytest.raises(sa.exc.ProgrammingError):
        async with reading.reading("wrong") as connection:
            await connection.execute(sa.text("SELECT nothing"))


async def test_weather_of_the_driver_is_told_as_that_of_sqlalchemy(
    reading: Database, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, ended, too slow or silent, the database is away; a wrong statement is a fault; then it answers again."""
    refused = connect("postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(Unavailable, match="Try again"):
        await Database(engine=refused, metrics=metrics).fetch("refused", "SELECT 1", [])
    await refused.dispose()
    with pytest.raises(Unavailable):
        await reading.fetch("killed", "SELECT pg_terminate_backend(pg_backend_pid())", [])
    with monkeypatch.context() as patched:
        patched.setattr("resolvers.database.queries.ANSWER_WITHIN", timedelta(seconds=0.2))
        with pytest.raises(Unavailable, match="Try again"):
            await reading.fetch("silent", "SELECT pg_sleep(60)", [])
    with pytest.raises(asyncpg.UndefinedColumnError):
        await reading.fetch("wrong", "SELECT nothing", [])

    assert [tuple(row) for row in await reading.fetch("afterwards", "SELECT $1::bigint, 2", [1])] == [(1, 2)]


@pytest.mark.parametrize("renamed", [False, True])
async def test_view_is_asked_for_what_is_not_in_memory(database: AsyncEngine, redis: Redis, renamed: bool) -> None:
    """Numbers and versions are enough while memory has every activity as it is; whole rows are read only if not."""
    feeding = Feeding(database, redis)
    mp = await insert_mp(database)
    await insert_activities(database, 3, mp_id=mp)
    await assign_all(feeding.log)
    await feeding.catch_up()
    if renamed:
        async with database.begin() as connection:
            await connection.execute(sa.text("UPDATE mps SET party = 'Lib.'"))
    whole: list[str] = []
    sa.event.listen(database.sync_engine, "before_cursor_execute", lambda *args: whole.append(args[2]))
    wanted = Wanted("ada", 2, None, False, EVERYTHING)

    page = await feeding.viewed.page(wanted)

    assert len(whole) == renamed
    assert page == await feeding.joined.page(wanted)


async def test_database_that_says_nothing_is_unavailable(reading: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frozen, or behind a silent network, PostgreSQL keeps none of its own time limits; it is asked again later."""
    with monkeypatch.context() as patched:
        patched.setattr("resolvers.database.queries.ANSWER_WITHIN", timedelta(seconds=0.2))
        with pytest.raises(Unavailable, match="Try again"):
            await run_slowly(reading, limit=0, seconds=60)

    async with reading.reading("afterwards") as connection:
        assert await connection.scalar(sa.text("SELECT 1")) == 1


async def run_slowly(reading: Database, *, limit: int = 20, seconds: int = 5) -> None:
    """A statement that PostgreSQL cancels after `limit` milliseconds; never if that is 0."""
    async with reading.writing("slow") as connection:
        await connection.execute(sa.text(f"SET LOCAL statement_timeout = {limit}"))
        await connection.execute(sa.text(f"SELECT pg_sleep({seconds})"))


@pytest.mark.parametrize("url", ["mysql://host/db", "host/db", "sqlite:///x"])
def test_address_of_another_database_is_refused(url: str) -> None:
    """Whoever sets the wrong URL is told which kind is wanted."""
    with pytest.raises(ValueError, match="postgresql://"):
        driver_url(url)
