"""The feed from the materialised view of recent activities, and what keeps view and memory up to date."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from resolvers.activities import ActivityFilter, Bill, BillId, Mp, MpId
from resolvers.database.feed import FeedItem, FeedPage, Wanted
from resolvers.database.queries import Database, matching, select_activities, to_activity
from resolvers.database.reads import count_unread, standing_of
from resolvers.database.tables import activities, bills, mps, user_activity_reads

_JOINED = select_activities()
_VIEW = sa.table("recent_activities", *(sa.column(str(column.key), column.type) for column in _JOINED.selected_columns))


class ViewedFeed:
    """Feed pages from the view and the activities that are newer than it."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def page(self, wanted: Wanted) -> FeedPage | None:
        """As `JoinedFeed.page`; None when the view does not reach back far enough to fill the page."""
        async with self._database.reading("feed_view", snapshot=True) as connection:
            standing = await standing_of(connection, wanted.user)
            reach = sa.select(sa.func.min(_VIEW.c.n).label("low"), sa.func.max(_VIEW.c.n).label("high"))
            low, high = (await connection.execute(reach)).one()
            viewed = _part(sa.select(_VIEW), _VIEW.c.id, _VIEW.c.n, wanted, standing.through)
            viewed = viewed.where(*_matching_view(wanted.chosen))
            newer = _part(select_activities(), activities.c.id, activities.c.n, wanted, standing.through)
            newer = newer.where(
                activities.c.n > (high or 0), activities.c.n <= standing.head.n, *matching(wanted.chosen)
            )
            # Each part brings its own order and limit, so that both stop at their index after a page.
            parts = [part.order_by(sa.desc("n")).limit(wanted.first + 1).subquery() for part in (viewed, newer)]
            both = sa.union_all(*(sa.select(part) for part in parts)).order_by(sa.desc("n")).limit(wanted.first + 1)
            rows = (await connection.execute(both)).all()
            if len(rows) <= wanted.first and (low or 1) > 1:
                return None
            unread = await count_unread(connection, wanted.user, standing, wanted.chosen)
        items = tuple(
            FeedItem(to_activity(row), row.marked or row.n <= standing.through) for row in rows[: wanted.first]
        )
        return FeedPage(items, len(rows) > wanted.first, unread, standing.head.cursor)

    async def refresh(self) -> None:
        """Bring the view up to date beside its readers. Raises Unavailable."""
        async with self._database.writing("refresh_view") as connection:
            await connection.execute(sa.text("REFRESH MATERIALIZED VIEW CONCURRENTLY recent_activities"))


def _part(
    query: sa.Select[Any], id_: sa.ColumnElement[Any], n: sa.ColumnElement[Any], wanted: Wanted, through: int
) -> sa.Select[Any]:
    """`query` with whether the user marked each row, limited to what the page may show."""
    marked = sa.exists().where(user_activity_reads.c.user_id == wanted.user, user_activity_reads.c.activity_id == id_)
    query = query.add_columns(marked.label("marked"))
    if wanted.before is not None:
        query = query.where(n < wanted.before)
    if wanted.unread_only:
        query = query.where(sa.not_(marked), n > through)
    return query


def _matching_view(chosen: ActivityFilter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if chosen.types:
        conditions.append(_VIEW.c.type.in_(sorted(chosen.types)))
    if chosen.mps:
        conditions.append(_VIEW.c.mp_id.in_(sorted(chosen.mps)))
    if chosen.bills:
        conditions.append(_VIEW.c.bill_id.in_(sorted(chosen.bills)))
    return conditions


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
