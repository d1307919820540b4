"""The feed from the materialised view of recent activities, and what keeps view and memory up to date."""

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from resolvers.activities import Bill, BillId, Mp, MpId
from resolvers.database.feed import FeedPage, Known, Wanted, nothing, read_page
from resolvers.database.pages import viewed_page
from resolvers.database.queries import Database
from resolvers.database.tables import bills, mps


class ViewedFeed:
    """Feed pages from the view and the activities that are newer than it."""

    def __init__(self, *, database: Database, known: Known = nothing) -> None:
        self._database = database
        self._known = known

    async def page(self, wanted: Wanted) -> FeedPage | None:
        """As `JoinedFeed.page`; None when the view does not reach back far enough to fill the page."""
        async with self._database.reading("feed_view") as connection:
            return await read_page(connection, wanted, viewed_page, self._known)

    async def refresh(self) -> None:
        """Bring the view up to date beside its readers. Raises Unavailable."""
        async with self._database.writing("refresh_view") as connection:
            await connection.execute(sa.text("REFRESH MATERIALIZED VIEW CONCURRENTLY recent_activities"))


class Parliament:
    """MPs and bills as they are now."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def fingerprint(self) -> Sequence[int]:
        """Other numbers after any change of any row: versions only grow, so their sums do. Raises Unavailable."""
        query = sa.select(
            *(
                sa.select(value).select_from(table).scalar_subquery()
                for table in (mps, bills)
                for value in (sa.func.count(), sa.func.coalesce(sa.func.sum(table.c.version), 0))
            )
        )
        async with self._database.reading("parliament_versions") as connection:
            return tuple((await connection.execute(query)).one())

    async def mps(self, ids: Collection[MpId]) -> Mapping[MpId, Mp]:
        """Those of `ids` that there are. Raises Unavailable."""
        async with self._database.reading("mps") as connection:
            rows = await connection.execute(sa.select(mps).where(mps.c.id.in_(ids)))
            return {row.id: Mp(MpId(row.id), row.name, row.party, row.riding, row.version) for row in rows}

    async def bills(self, ids: Collection[BillId]) -> Mapping[BillId, Bill]:
        """Those of `ids` that there are. Raises Unavailable."""
        async with self._database.reading("bills") as connection:
            rows = await connection.execute(sa.select(bills).where(bills.c.id.in_(ids)))
            return {row.id: Bill(BillId(row.id), row.number, row.title, row.version) for row in rows}
