"""The feed from the materialised view of recent activities, and what keeps view and memory up to date."""

from collections.abc import Collection, Mapping, Sequence
from typing import cast

import sqlalchemy as sa

from resolvers.activities import EVERYTHING, Activity, Bill, BillId, Mp, MpId
from resolvers.database.feed import FeedPage, Known, Wanted, in_memory, nothing, page_of, read_page
from resolvers.database.pages import State, shape_of, states, viewed_page
from resolvers.database.queries import Database
from resolvers.database.tables import bills, mps


class NotInMemory:
    """Of a page, something is not in memory in the state that PostgreSQL has."""


class ViewedFeed:
    """Feed pages from the view and the activities that are newer than it."""

    def __init__(self, *, database: Database, known: Known = nothing) -> None:
        self._database = database
        self._known = known

    async def page(self, wanted: Wanted) -> FeedPage | None:
        """As `JoinedFeed.page`; None when the view does not reach back far enough to fill the page."""
        if self._is_near(wanted):
            page = await self._from_memory(wanted)
            if not isinstance(page, NotInMemory):
                return page
        async with self._database.reading("feed_view") as connection:
            return await read_page(connection, wanted, viewed_page, self._known)

    def _is_near(self, wanted: Wanted) -> bool:
        """Whether everything that the page shows is probably in memory."""
        if self._known is nothing or wanted.chosen != EVERYTHING:
            return False
        return wanted.before is None or self._known(wanted.before - 1 - wanted.first) is not None

    async def _from_memory(self, wanted: Wanted) -> FeedPage | NotInMemory | None:
        """The page of which PostgreSQL says only what is on it, by log number and versions."""
        shape = shape_of(EVERYTHING, unread_only=wanted.unread_only, paged=wanted.before is not None)
        text, names, fixed = states(shape)
        values = {**fixed, "user": wanted.user, "limit": wanted.first + 1, "before": wanted.before}
        found = await self._database.fetch("feed_view", text, [values[name] for name in names])
        rows = [State(*row) for row in found]
        kept = {row.n: in_memory(row, self._known) for row in rows[: wanted.first] if row.n is not None}
        if None in kept.values():
            return NotInMemory()
        return page_of(rows, wanted, lambda row: cast("Activity", kept[row.n]))

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
