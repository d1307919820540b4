"""Records into PostgreSQL: once, whole, and beside each other; and in their own rhythm."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.activities import ActivityType
from resolvers.database.importing import _bill_ids, any_activity, import_records, publish_record
from resolvers.database.tables import activities, bills, mps
from resolvers.demo import parliament
from resolvers.importing.records import ActivityRecord, BillRecord, ImportSummary, MpRecord
from resolvers.importing.replaying import replay

AT = datetime(2026, 11, 24, tzinfo=UTC)


def record(id_: str, **more: Any) -> ActivityRecord:
    """A record."""
    return ActivityRecord(
        **{"source_id": id_, "type": ActivityType.SPEECH, "title": f"Title {id_}", "occurred_at": AT, **more}
    )


async def rows(engine: AsyncEngine, table: sa.Table) -> list[Any]:
    """All rows of a table by ID."""
    async with engine.connect() as connection:
        return list((await connection.execute(sa.select(table).order_by(table.c.id))).all())


async def test_importing_twice_adds_nothing(database: AsyncEngine) -> None:
    """The second run finds everything there, and says so."""
    records = [record(str(k), mp=MpRecord("Ada Byron", "Ealing"), bill=BillRecord("C-1", "Bees")) for k in range(1_200)]
    done: list[int] = []

    assert ImportSummary(1_200, 0, 1, 1) == await import_records(database, records, progress=done.append)
    assert ImportSummary(0, 1_200, 0, 0) == await import_records(database, records)

    assert sum(done) == 1_200
    assert [one.source_id for one in records] == [row.source_id for row in await rows(database, activities)]


async def test_failed_import_leaves_nothing(database: AsyncEngine) -> None:
    """One record that PostgreSQL refuses takes the others back, MPs and bills included."""
    records = [record("1", mp=MpRecord("Ada Byron")), record("2", title="")]

    with pytest.raises(sa.exc.IntegrityError):
        await import_records(database, records)

    assert not await any_activity(database)
    assert await rows(database, mps) == []


async def test_imports_beside_each_other_share_mps_and_bills(database: AsyncEngine) -> None:
    """Two imports of overlapping sources at once neither deadlock nor double anything."""
    people = [MpRecord(f"Member {k}", f"Riding {k}") for k in range(30)]
    acts = [BillRecord(f"C-{k}", f"Act {k}") for k in range(30)]
    records = [record(str(k), mp=people[k], bill=acts[-k]) for k in range(30)]

    await asyncio.gather(import_records(database, records), import_records(database, records[::-1]))

    assert [len(await rows(database, table)) for table in (mps, bills, activities)] == [30, 30, 30]


async def test_imports_in_another_order_do_not_deadlock(database: AsyncEngine) -> None:
    """The same activities forwards and backwards at once: one import waits for the other, and finds all there."""
    records = [record(str(k)) for k in range(6_000)]

    done = await asyncio.gather(import_records(database, records), import_records(database, records[::-1]))

    assert sorted(one.inserted for one in done) == [0, 6_000]


async def test_imports_beside_each_other_make_one_mp_of_one(database: AsyncEngine) -> None:
    """One source knows the ridings, the other does not; at once or one after the other makes no difference."""
    without = [record(f"a{k}", mp=MpRecord(f"Member {k}")) for k in range(50)]
    knowing = [record(f"b{k}", mp=MpRecord(f"Member {k}", f"Riding {k}")) for k in range(50)]

    await asyncio.gather(import_records(database, without), import_records(database, knowing))

    assert {f"Riding {k}" for k in range(50)} == {row.riding for row in await rows(database, mps)}
    assert len(await rows(database, mps)) == 50


async def test_mp_is_brought_up_to_date(database: AsyncEngine) -> None:
    """A new party, or a riding that was not known, updates the row and its version; a missing one changes nothing."""
    for k, mp in enumerate(
        [
            MpRecord("Ada Byron"),
            MpRecord("Ada Byron", "Ealing", "Ind."),
            MpRecord("Ada Byron", None, None),
            MpRecord("Ada Byron", "Ealing", "Lib."),
        ]
    ):
        await publish_record(database, record(str(k), mp=mp))

    [row] = await rows(database, mps)
    assert (row.riding, row.party, row.version) == ("Ealing", "Lib.", 3)


async def test_namesakes_for_two_ridings_stay_two(database: AsyncEngine) -> None:
    """A name alone does not make two members one, nor is a third made of neither: it is a person of its own."""
    for k, riding in enumerate(["Ealing", "Acton"]):
        await publish_record(database, record(str(k), mp=MpRecord("Ada Byron", riding)))

    assert [row.riding for row in await rows(database, mps)] == ["Ealing", "Acton"]


async def test_bill_known_by_number_only_gets_its_title_later(database: AsyncEngine) -> None:
    """A placeholder is improved; a title that says something is kept."""
    for k, title in enumerate(["C-7", "Bees Bill", "C-7", "Another"]):
        await publish_record(database, record(str(k), bill=BillRecord("C-7", title)))

    [row] = await rows(database, bills)
    assert (row.title, row.version) == ("Bees Bill", 2)


async def test_replay_waits_as_long_as_it_took_at_the_given_speed() -> None:
    """Ten minutes at sixty times real speed are ten seconds, in order of time; going back is no wait."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    minutes = [10, 0, 10]
    records = [record(str(k), occurred_at=AT + timedelta(minutes=minute)) for k, minute in enumerate(minutes)]

    replayed = [one async for one in replay(records, speed=60, sleep=sleep)]

    assert waits == [0, 10, 0]
    assert [one.source_id for one in replayed] == ["1", "0", "2"]


def test_made_up_past_is_the_same_for_the_same_seed() -> None:
    """340 MPs, 60 bills, 2,000 activities of the last 30 days, in order, each under its own name."""
    first, second = [parliament.past(1867, AT) for _ in range(2)]
    assembled = parliament.assemble(1867)

    assert first == second
    assert (len(set(assembled.mps)), len(set(assembled.bills)), len({r.source_id for r in first})) == (340, 60, 2_000)
    assert first == sorted(first, key=lambda one: one.occurred_at)
    assert all(AT - timedelta(days=30) <= one.occurred_at < AT for one in first)


async def test_made_up_parliament_can_be_stored(database: AsyncEngine) -> None:
    """PostgreSQL takes the past, and what happens next, without complaint."""
    await import_records(database, parliament.past(1, AT, count=300))
    stories = parliament.future(1, lambda: datetime.now(UTC))

    assert all([await publish_record(database, next(stories)) for _ in range(5)])


async def test_publishing_about_a_known_bill_waits_for_no_import(database: AsyncEngine) -> None:
    """An import that is under way holds no lock on a bill that it leaves as it is."""
    bees = BillRecord("C-7", "Bees Bill")
    await publish_record(database, record("1", bill=bees))

    async with database.begin() as importing:
        await _bill_ids(importing, {bees})
        async with asyncio.timeout(5):
            assert await publish_record(database, record("2", bill=bees))
