"""I9: bitmap, view and LEFT JOIN return the same rows for the same state."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.activities import EVERYTHING, ActivityFilter, ActivityId, ActivityType, BillId, MpId
from resolvers.database.feed import FeedItem, FeedPage, Wanted
from resolvers.database.tables import mps
from resolvers.feed import Feed, FeedSource, Reason, page_cursor
from streams.connection import connect_alone as connect_redis
from streams.cursor import START
from tests.support.feeding import Feeding
from tests.support.parliament import insert_activities, insert_bill, insert_mp
from tests.support.running import assign_all, start_over

Path = Callable[[Wanted], Awaitable[FeedPage | Reason | None]]


@dataclass(frozen=True)
class Batch:
    """Activities that are inserted together, and what then happens."""

    count: int
    type: str
    mp: bool
    bill: bool
    read: frozenset[int]
    through: int | None
    refreshed: bool
    renamed: bool


batches = st.lists(
    st.builds(
        Batch,
        count=st.integers(1, 4),
        type=st.sampled_from(["VOTE", "SPEECH"]),
        mp=st.booleans(),
        bill=st.booleans(),
        read=st.frozensets(st.integers(0, 11)),
        through=st.none() | st.integers(0, 11),
        refreshed=st.booleans(),
        renamed=st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


async def build(database: AsyncEngine, feeding: Feeding, made: list[Batch]) -> tuple[int, int]:
    """The history of a log and of Ada's marks; returns an MP and a bill."""
    async with database.begin() as connection:
        await connection.execute(sa.text("DELETE FROM mps"))
        await connection.execute(sa.text("DELETE FROM bills"))
    mp, bill = await insert_mp(database), await insert_bill(database)
    for batch in made:
        await insert_activities(
            database,
            batch.count,
            type=batch.type,
            mp_id=mp if batch.mp else None,
            bill_id=bill if batch.bill else None,
        )
        await assign_all(feeding.log)
        await feeding.catch_up()
        log = await feeding.log.after(START, 1_000)
        marked = [ActivityId(log[k].item.id) for k in batch.read if k < len(log)]
        await feeding.reading.mark("ada", marked)
        if batch.through is not None and batch.through < len(log):
            await feeding.reading.mark_through("ada", log[batch.through].cursor)
        if batch.renamed:
            async with database.begin() as connection:
                await connection.execute(sa.update(mps).values(party=mps.c.party + "+"))
        if batch.refreshed or batch.renamed:
            await feeding.viewed.refresh()
    await feeding.recent.look()
    return mp, bill


async def walk(path: Path, wanted: Wanted) -> list[FeedPage] | None:
    """Pages until the last; None as soon as the path says that it cannot answer."""
    pages: list[FeedPage] = []
    before = wanted.before
    while True:
        page = await path(Wanted(wanted.user, wanted.first, before, wanted.unread_only, wanted.chosen))
        if not isinstance(page, FeedPage):
            return None
        pages.append(page)
        if not page.has_next:
            return pages
        before = page.items[-1].activity.n


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=batches, first=st.integers(1, 5), unread_only=st.booleans(), data=st.data())
async def test_three_paths_give_one_answer(
    *, made: list[Batch], first: int, unread_only: bool, data: st.DataObject, database: AsyncEngine, redis: Redis
) -> None:
    """Any log, marks, read-through, filter and size of page: same rows, order, marks, counts, heads and ends."""
    await start_over(database, redis)
    feeding = Feeding(database, redis)
    mp, bill = await build(database, feeding, made)
    chosen = data.draw(
        st.sampled_from(
            [
                EVERYTHING,
                ActivityFilter(types=frozenset({ActivityType.VOTE})),
                ActivityFilter(mps=frozenset({MpId(mp)})),
                ActivityFilter(bills=frozenset({BillId(bill)}), types=frozenset({ActivityType.SPEECH})),
                ActivityFilter(mps=frozenset({MpId(mp + 1)})),
            ]
        )
    )
    before = data.draw(st.none() | st.integers(0, 20))
    wanted = Wanted("ada", first, before, unread_only, chosen)

    joined = await walk(feeding.joined.page, wanted)
    viewed = await walk(feeding.viewed.page, wanted)
    bitmap = await walk(feeding.feed.from_window, wanted)

    assert joined is not None
    assert joined == viewed == bitmap


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=batches, first=st.integers(1, 5), unread_only=st.booleans(), window=st.integers(1, 6))
async def test_paths_take_over_from_one_another(
    *, made: list[Batch], first: int, unread_only: bool, window: int, database: AsyncEngine, redis: Redis
) -> None:
    """A walk that begins in a small window and ends far below it shows what the LEFT JOIN alone shows."""
    await start_over(database, redis)
    feeding = Feeding(database, redis, window=window)
    await build(database, feeding, made)
    walked: list[FeedItem] = []
    after = None
    while True:
        page = await feeding.feed.page(user="ada", first=first, after=after, unread_only=unread_only, chosen=EVERYTHING)
        walked += page.items
        if not page.has_next:
            break
        after = page_cursor(page.items[-1].activity)

    alone = await walk(feeding.joined.page, Wanted("ada", first, None, unread_only, EVERYTHING))

    assert alone is not None
    assert [item for page in alone for item in page.items] == walked


async def newest(feed: Feed, *, first: int = 2, after: str | None = None) -> tuple[list[str], FeedSource, str]:
    """Titles, path, and where to continue."""
    page = await feed.page(user="ada", first=first, after=after, unread_only=False, chosen=EVERYTHING)
    return [item.activity.title for item in page.items], page.served_by, page_cursor(page.items[-1].activity)


async def test_page_that_a_path_cannot_fill_is_the_next_ones(database: AsyncEngine, redis: Redis) -> None:
    """Window, view and LEFT JOIN each answer as far as they reach, and the walk has no seam."""
    async with database.begin() as connection:  # a log that begins long before what view and window have
        await connection.execute(sa.text("UPDATE log_head SET n = 20000"))
    feeding = Feeding(database, redis, window=4)
    await insert_activities(database, 12)
    await assign_all(feeding.log)
    await feeding.viewed.refresh()
    await feeding.catch_up()

    sources, titles, after = [], [], None
    for _ in range(6):
        found, source, after = await newest(feeding.feed, after=after)
        titles += found
        sources.append(source)

    assert [f"Activity {k}" for k in range(11, -1, -1)] == titles
    assert list(dict.fromkeys(sources)) == [FeedSource.BITMAP, FeedSource.VIEW, FeedSource.LEFT_JOIN]
    assert feeding.served("VIEW") == sources.count(FeedSource.VIEW)


async def test_walk_is_stable_while_activities_arrive(database: AsyncEngine, redis: Redis) -> None:
    """What comes in on top moves nothing below, in memory either, and the first page has it."""
    feeding = Feeding(database, redis)
    await insert_activities(database, 4, title="old")
    await assign_all(feeding.log)
    await feeding.catch_up()
    first, _, after = await newest(feeding.feed)
    await insert_activities(database, 3, title="new")
    await assign_all(feeding.log)
    await feeding.catch_up()

    second, source, _ = await newest(feeding.feed, after=after)

    assert first + second == ["old 3", "old 2", "old 1", "old 0"]
    assert source is FeedSource.BITMAP
    assert (await newest(feeding.feed))[0] == ["new 2", "new 1"]


async def test_view_answers_while_redis_is_away(database: AsyncEngine, redis: Redis) -> None:
    """Nobody waits for a dead Redis more than once a second, and the view has what is newer than it."""
    dead = connect_redis("redis://127.0.0.1:9/0")
    feeding = Feeding(database, dead)
    await insert_activities(database, 3)
    await assign_all(feeding.log)
    await feeding.catch_up()

    answers = [(await newest(feeding.feed))[:2] for _ in range(3)]
    await dead.aclose()

    assert answers == [(["Activity 2", "Activity 1"], FeedSource.VIEW)] * 3


async def test_warm_page_needs_no_sql(database: AsyncEngine, redis: Redis) -> None:
    """Once a user is warm, pages and counts come from memory and Redis, with PostgreSQL gone."""
    feeding = Feeding(database, redis)
    ids = await insert_activities(database, 3)
    await assign_all(feeding.log)
    await feeding.catch_up()
    await feeding.reading.mark("ada", [ActivityId(ids[2])])
    await newest(feeding.feed)
    queries: list[str] = []
    sa.event.listen(database.sync_engine, "before_cursor_execute", lambda *args: queries.append(args[2]))

    page = await feeding.feed.page(user="ada", first=2, after=None, unread_only=True, chosen=EVERYTHING)

    assert ([item.is_read for item in page.items], page.unread_count) == ([False, False], 2)
    assert queries == []


@pytest.mark.parametrize("through", [None, 4], ids=["whole log in the window", "all below the window read"])
async def test_filtered_count_needs_no_sql_where_the_window_has_all(
    database: AsyncEngine, redis: Redis, through: int | None
) -> None:
    """Nothing below the window can be unread: then what matches is counted in memory, and is what SQL counts."""
    feeding = Feeding(database, redis, window=4 if through else 1_000)
    for kind in ("VOTE", "SPEECH") * 4:
        await insert_activities(database, 1, type=kind)
    await assign_all(feeding.log)
    await feeding.catch_up()
    log = await feeding.log.after(START, 100)
    if through:
        await feeding.reading.mark_through("ada", log[through - 1].cursor)
    await feeding.reading.mark("ada", [ActivityId(log[6].item.id)])
    votes = ActivityFilter(types=frozenset({ActivityType.VOTE}))
    wanted = Wanted("ada", 1, None, False, votes)
    await feeding.feed.from_window(wanted)
    queries: list[str] = []
    sa.event.listen(database.sync_engine, "before_cursor_execute", lambda *args: queries.append(args[2]))

    page = await feeding.feed.from_window(wanted)

    assert queries == []
    assert page == await feeding.joined.page(wanted)
    assert isinstance(page, FeedPage)
    assert page.unread_count == (1 if through else 3)


@pytest.mark.parametrize("renamed", ["mps", "bills"])
async def test_window_shows_mps_and_bills_as_they_are_now(database: AsyncEngine, redis: Redis, renamed: str) -> None:
    """A change of an MP or a bill moves its version, whoever makes it, and reaches old and new activities in memory."""
    feeding = Feeding(database, redis)
    mp, bill = await insert_mp(database), await insert_bill(database)
    await insert_activities(database, 1, mp_id=mp, bill_id=bill)
    await assign_all(feeding.log)
    await feeding.catch_up()
    await feeding.recent.look()
    [before] = feeding.recent.window.older(None)
    change = {"mps": "UPDATE mps SET party = 'Lib.'", "bills": "UPDATE bills SET title = 'Bees Bill'"}[renamed]
    async with database.begin() as connection:
        await connection.execute(sa.text(change))

    await feeding.recent.look()

    [now] = feeding.recent.window.older(None)
    assert now.mp is not None
    assert now.bill is not None
    assert before.mp is not None
    assert (now.mp.party, now.bill.title) != (before.mp.party, before.bill and before.bill.title)
    assert {now.mp.version, now.bill.version} == {1, 2}
