"""Writing records: MPs and bills linked or made, activities once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from resolvers.database.engine import LONGEST_STATEMENT
from resolvers.database.tables import activities, bills, mps
from resolvers.importing.records import ActivityRecord, BillRecord, ImportSummary, MpRecord

BATCH = 500
"""Rows a statement: tens of milliseconds, far below the limit on a statement."""

_IMPORT_LOCK = 0x6469_7662_0002  # "divb" 2
# Two imports of the same activities in another order would deadlock on their source IDs, and two of which one knows an
# MP's riding would make two MPs: seen, both. So whole imports take turns; a single record holds nothing up.

_MpKey = tuple[str, str | None]


async def any_activity(engine: AsyncEngine) -> bool:
    """Whether the database holds any activity."""
    async with engine.connect() as connection:
        return bool(await connection.scalar(sa.select(sa.exists().where(activities.c.id.is_not(None)))))


async def import_records(
    engine: AsyncEngine, records: Sequence[ActivityRecord], *, progress: Callable[[int], None] = lambda _: None
) -> ImportSummary:
    """Write all of `records` in one transaction, or nothing of them. `progress` is told how many more were done.

    Records that were imported before are left as they are. Imports take turns: a second one waits for the first.
    """
    async with engine.begin() as connection:
        if len(records) > 1:
            await _take_turn(connection)
        mp_ids, new_mps = await _mp_ids(connection, {record.mp for record in records if record.mp})
        bill_ids, new_bills = await _bill_ids(connection, {record.bill for record in records if record.bill})
        inserted = 0
        for start in range(0, len(records), BATCH):
            batch = records[start : start + BATCH]
            inserted += await _insert(connection, batch, mp_ids, bill_ids)
            progress(len(batch))
    return ImportSummary(inserted, len(records) - inserted, new_mps, new_bills)


async def _take_turn(connection: AsyncConnection) -> None:
    # A long import may outlast the limit on a statement; waiting for it is no slow query.
    await connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
    await connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_IMPORT_LOCK})"))
    await connection.execute(sa.text(f"SET LOCAL statement_timeout = {_milliseconds(LONGEST_STATEMENT)}"))


def _milliseconds(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)


async def publish_record(engine: AsyncEngine, record: ActivityRecord) -> bool:
    """Write one record at once; return False if it was there already."""
    return (await import_records(engine, [record])).inserted == 1


async def _insert(
    connection: AsyncConnection,
    records: Sequence[ActivityRecord],
    mp_ids: Mapping[_MpKey, int],
    bill_ids: Mapping[str, int],
) -> int:
    rows = [
        {
            "source_id": record.source_id,
            "type": record.type.value,
            "title": record.title,
            "summary": record.summary,
            "url": record.url,
            "occurred_at": record.occurred_at,
            "metadata": dict(record.metadata),
            "mp_id": mp_ids[record.mp.name, record.mp.riding] if record.mp else None,
            "bill_id": bill_ids[record.bill.number] if record.bill else None,
        }
        for record in records
    ]
    # RETURNING keeps the order of IDs that of the rows, so the log has the source's order.
    statement = insert(activities).values(rows).on_conflict_do_nothing(index_elements=["source_id"])
    return len((await connection.execute(statement.returning(activities.c.id))).all())


async def _mp_ids(connection: AsyncConnection, records: Iterable[MpRecord]) -> tuple[dict[_MpKey, int], int]:
    # One row a person, in one order for everybody: two imports beside each other must not deadlock.
    named = {(record.name, record.riding): record for record in sorted(records, key=_sortable)}
    ids: dict[_MpKey, int] = {}
    made = 0
    for key, record in named.items():
        id_ = await _known_mp(connection, record)
        if id_ is None:
            new = insert(mps).values(name=record.name, riding=record.riding, party=record.party)
            # Made by somebody else meanwhile: touched, so that it is returned.
            upsert = new.on_conflict_do_update(constraint="uq_mps_name_riding", set_={"name": new.excluded.name})
            id_ = await connection.scalar(upsert.returning(mps.c.id))
            made += 1
        ids[key] = int(id_ or 0)
    return ids, made


async def _known_mp(connection: AsyncConnection, record: MpRecord) -> int | None:
    """The MP's row, brought up to date; None if there is none.

    A source that knows a name without a riding means the one MP of that name, and one that knows the riding completes
    a row that had none.
    """
    query = sa.select(mps).where(mps.c.name == record.name).order_by(mps.c.id)
    namesakes = (await connection.execute(query)).all()
    same = [row for row in namesakes if row.riding == record.riding]
    if not same and (record.riding is None or [row.riding for row in namesakes] == [None]):
        same = list(namesakes)
    if len(same) != 1:
        return None
    [row] = same
    now = {"party": record.party or row.party, "riding": record.riding or row.riding}
    if now != {"party": row.party, "riding": row.riding}:
        change = sa.update(mps).where(mps.c.id == row.id).values(**now, version=mps.c.version + 1)
        await connection.execute(change)
    return int(row.id)


async def _bill_ids(connection: AsyncConnection, records: Iterable[BillRecord]) -> tuple[dict[str, int], int]:
    # A title that says something is sorted after the bare number, and wins.
    named = {record.number: record for record in sorted(records, key=lambda one: (one.number, one.title != one.number))}
    ids: dict[str, int] = {}
    made = 0
    for record in named.values():
        # Looked up first: an upsert locks the row even if it changes nothing. Whoever publishes about that bill would
        # wait for the whole import (4.3 s of one of 30,000 records, seen), or for the limit on a statement.
        known = (await connection.execute(sa.select(bills).where(bills.c.number == record.number))).one_or_none()
        if known is not None and (known.title != known.number or record.title == known.title):
            ids[record.number] = known.id
            continue
        new = insert(bills).values(number=record.number, title=record.title)
        upsert = new.on_conflict_do_update(
            index_elements=["number"],
            set_={"title": new.excluded.title, "version": bills.c.version + 1},
            where=sa.and_(bills.c.title == bills.c.number, new.excluded.title != bills.c.title),
        )
        row = (await connection.execute(upsert.returning(bills.c.id, bills.c.version))).one_or_none()
        if row is None:
            query = sa.select(bills.c.id, sa.literal(2).label("version")).where(bills.c.number == record.number)
            row = (await connection.execute(query)).one()
        ids[record.number] = row.id
        made += row.version == 1
    return ids, made


def _sortable(record: MpRecord) -> tuple[str, str, str]:
    return record.name, record.riding or "", record.party or ""
