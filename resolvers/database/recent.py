"""The feed from the materialised view of recent activities, and what keeps view and memory up to date."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from resolvers.activities import Bill, BillId, Mp, MpId
from resolvers.database.feed import FeedItem, FeedPage, Wanted
from resolvers.database.queries import Database, select_activities, to_activity
from resolvers.database.reads import count_unread, standing_of
from resolvers.database.tables import activities, bills, mps, user_activity_reads

_JOINED = select_activities()
_VIEW = sa.table("recent_activities", *(sa.column(str(column.key), column.type) for column in _JOINED.selected_columns))


_LOWEST = sa.select(sa.func.min(_VIEW.c.n))


class ViewedFeed:
    """Feed pages from the view and the activities that are newer than it."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def page(self, wanted: Wanted) -> FeedPage | None:
        """As `JoinedFeed.page`; None when the view does not reach back far enough to fill the page."""
        chosen = wanted.chosen
        shape = (
            wanted.unread_only,
            wanted.before is not None,
            bool(chosen.types),
            bool(chosen.mps),
            bool(chosen.bills),
        )
        values = {
            "user": wanted.user,
            "limit": wanted.first + 1,
            "before": wanted.before,
            "types": sorted(chosen.types),
            "mps": sorted(chosen.mps),
            "bills": sorted(chosen.bills),
        }
        async with self._database.reading("feed_view", snapshot=True) as connection:
            standing = await standing_of(connection, wanted.user)
            through = {"through": standing.through, "head": standing.head.n}
            rows = (await connection.execute(_page_query(*shape), values | through)).all()
            if len(rows) <= wanted.first and (await connection.scalar(_LOWEST) or 1) > 1:
                return None
            unread = await count_unread(connection, wanted.user, standing, chosen)
        shown = rows[: wanted.first]
        items = tuple(FeedItem(to_activity(row), row.marked or row.n <= standing.through) for row in shown)
        return FeedPage(items, len(rows) > wanted.first, unread, standing.head.cursor)

    async def refresh(self) -> None:
        """Bring the view up to date beside its readers. Raises Unavailable."""
        async with self._database.writing("refresh_view") as connection:
            await connection.execute(sa.text("REFRESH MATERIALIZED VIEW CONCURRENTLY recent_activities"))


@cache
def _page_query(unread_only: bool, paged: bool, types: bool, mps_: bool, bills_: bool) -> sa.Select[Any]:
    """The statement for one of 32 shapes of a page: making one takes a millisecond, as long as all the rest.

    Each part brings its own order and limit, so that both stop at their index after a page.
    """

    def part(query: sa.Select[Any], columns: Any) -> sa.Select[Any]:  # noqa: ANN401 - a table's, or the view's
        reads = user_activity_reads.c
        marked = sa.exists().where(reads.user_id == sa.bindparam("user"), reads.activity_id == columns.id)
        query = query.add_columns(marked.label("marked"))
        conditions = [
            (columns.n < sa.bindparam("before", type_=sa.BigInteger), paged),
            (sa.not_(marked), unread_only),
            (columns.n > sa.bindparam("through", type_=sa.BigInteger), unread_only),
            (columns.type.in_(sa.bindparam("types", expanding=True)), types),
            (columns.mp_id.in_(sa.bindparam("mps", expanding=True)), mps_),
            (columns.bill_id.in_(sa.bindparam("bills", expanding=True)), bills_),
        ]
        return query.where(*(condition for condition, wanted in conditions if wanted))

    newer = activities.c.n > sa.func.coalesce(sa.select(sa.func.max(_VIEW.c.n)).scalar_subquery(), 0)
    until = activities.c.n <= sa.bindparam("head", type_=sa.BigInteger)
    limit = sa.bindparam("limit", type_=sa.BigInteger)
    parts = [part(sa.select(_VIEW), _VIEW.c), part(select_activities(), activities.c).where(newer, until)]
    ordered = [sa.select(one.order_by(sa.desc("n")).limit(limit).subquery()) for one in parts]
    both = sa.union_all(*ordered).subquery()
    return sa.select(both).order_by(both.c.n.desc()).limit(limit)


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
