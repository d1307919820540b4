"""Rows for tests."""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.activities import Activity, ActivityId, ActivityType
from resolvers.database.tables import activities, bills, mps
from streams.cursor import START, Cursor
from streams.entries import Entry

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


async def insert_activities(
    engine: AsyncEngine, count: int, *, title: str = "Activity", **columns: object
) -> list[int]:
    """Insert `count` activities in one transaction, as an ETL job would; return their IDs in order."""
    rows = [{"type": "SPEECH", "title": f"{title} {k}", **columns} for k in range(count)]
    async with engine.begin() as connection:
        result = await connection.execute(
            sa.insert(activities).returning(activities.c.id, sort_by_parameter_order=True), rows
        )
        return [row.id for row in result]


async def insert_mp(engine: AsyncEngine, name: str = "Ada Byron", riding: str = "Ealing North") -> int:
    """Insert an MP; return its ID."""
    async with engine.begin() as connection:
        query = sa.insert(mps).values(name=name, party="Ind.", riding=riding).returning(mps.c.id)
        return int((await connection.execute(query)).scalar_one())


async def insert_bill(engine: AsyncEngine, number: str = "C-1") -> int:
    """Insert a bill; return its ID."""
    async with engine.begin() as connection:
        query = sa.insert(bills).values(number=number, title=f"An Act about {number}").returning(bills.c.id)
        return int((await connection.execute(query)).scalar_one())


def entry(at: int, prev: int = 0, **fields: object) -> Entry[Activity]:
    """An entry made up for tests: cursor and predecessor as packed integers."""
    activity = Activity(
        id=ActivityId(at),
        n=at,
        type=ActivityType.SPEECH,
        title=f"Activity {at}",
        summary=None,
        url=None,
        occurred_at=NOON,
        created_at=NOON,
        metadata={},
        mp=None,
        bill=None,
    )
    return Entry(Cursor(at), Cursor(prev), at, 0, b"", None, activity)


def chain(length: int, *, start: int = 1) -> list[Entry[Activity]]:
    """`length` entries, each the predecessor of the next."""
    return [entry(at, at - 1 if at > start else START) for at in range(start, start + length)]
