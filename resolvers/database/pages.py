"""The statement of a page: the feed and the viewer's marks, both in the order of the log, merged until it is full.

The usual join looks up each activity among the marks: a viewer who has read almost everything costs thousands of
look-ups before twenty are unread. Marks carry log numbers (migration 0004), so here PostgreSQL walks two indexes side
by side. `OFFSET 0` keeps it from looking up each one after all, as its estimate of what is unread makes it want to.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg

from resolvers.activities import ActivityFilter
from resolvers.database.queries import select_activities
from resolvers.database.tables import activities, log_head, user_activity_reads, user_read_through

RECENT = sa.table(
    "recent_activities",
    *(sa.column(str(column.key), column.type) for column in select_activities().selected_columns),
)
_DIALECT: sa.Dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy gives its dialects no types
_STATE = ("n", "mp_version", "bill_version")
STANDING = (
    sa.select(
        log_head.c.cursor,
        log_head.c.n,
        sa.func.coalesce(user_read_through.c.n, 0).label("through"),
        sa.func.coalesce(user_read_through.c.version, 0).label("version"),
        sa.func.coalesce(user_read_through.c.above, 0).label("above"),
    )
    .select_from(log_head)
    .outerjoin(user_read_through, user_read_through.c.user_id == sa.bindparam("user"))
)
"""The head of the log and the marks of `user`."""


class Shape(NamedTuple):
    """What changes the statement of a page; its values change with every page."""

    unread_only: bool
    paged: bool
    types: bool
    mps: bool
    bills: bool

    @property
    def filtered(self) -> bool:
        """Whether not everything is wanted."""
        return self.types or self.mps or self.bills


def shape_of(chosen: ActivityFilter, *, unread_only: bool = False, paged: bool = False) -> Shape:
    """The shape of a page of what is `chosen`."""
    return Shape(unread_only, paged, bool(chosen.types), bool(chosen.mps), bool(chosen.bills))


def values_of(chosen: ActivityFilter) -> dict[str, object]:
    """What the statements take for a filter."""
    return {"types": sorted(chosen.types), "mps": sorted(chosen.mps), "bills": sorted(chosen.bills)}


@cache
def joined_page(shape: Shape) -> sa.Select[Any]:
    """From the log of record: see `_answer`."""
    standing = STANDING.cte("standing")
    page = _part(shape, select_activities(), activities.c, standing, activities.c.n <= _only(standing.c.n))
    return _answer(shape, standing, page, sa.literal(1))


@cache
def viewed_page(shape: Shape, *, slim: bool = False) -> sa.Select[Any]:
    """From the view, and from the log of record what is newer than it; each part stops at its index after a page.

    A `slim` one has of each row only what tells which activity it is, and in which state.
    """
    standing = STANDING.cte("standing")
    reach = sa.select(sa.func.min(RECENT.c.n).label("low"), sa.func.max(RECENT.c.n).label("high")).cte("reach")
    high = sa.func.coalesce(_only(reach.c.high), 0)
    newer = sa.and_(activities.c.n > high, activities.c.n <= _only(standing.c.n))
    recent, all_ = sa.select(RECENT), select_activities()
    if slim:
        recent = recent.with_only_columns(*(RECENT.c[name] for name in _STATE))
        all_ = all_.with_only_columns(*(all_.selected_columns[name] for name in _STATE), maintain_column_froms=True)
    parts = [
        _part(shape, recent, RECENT.c, standing, None, above=_only(reach.c.low) - 1),
        _part(shape, all_, activities.c, standing, newer, above=high),
    ]
    ordered = [sa.select(part.subquery()) for part in parts]
    both = sa.union_all(*ordered).subquery()
    page = sa.select(both).order_by(both.c.n.desc()).limit(_LIMIT)
    return _answer(shape, standing, page, sa.func.coalesce(_only(reach.c.low), 1))


class State(NamedTuple):
    """A row of `states`: the columns of `_answer`, and of an activity only which one it is and in which state."""

    head_cursor: int
    head_n: int
    through: int
    version: int
    above: int
    reach: int
    unread: int | None
    n: int | None
    mp_version: int | None
    bill_version: int | None
    marked: bool | None


@cache
def states(shape: Shape) -> tuple[str, Sequence[str], Mapping[str, object]]:
    """`viewed_page` for the driver, for a shape without a filter: its text, the names of its parameters, and of some
    the values.
    """
    compiled = viewed_page(shape, slim=True).compile(dialect=_DIALECT)
    return str(compiled), compiled.positiontup or (), compiled.params


@cache
def count_of_unread(shape: Shape) -> sa.Select[Any]:
    """How many that match `shape` are unread, up to the head."""
    standing = STANDING.cte("standing")
    return sa.select(_unread(shape, standing).label("unread"))


_USER = sa.bindparam("user", type_=sa.Text)
_LIMIT = sa.bindparam("limit", type_=sa.BigInteger)
_BEFORE = sa.bindparam("before", type_=sa.BigInteger)


def _only(column: sa.ColumnElement[Any]) -> sa.ScalarSelect[Any]:
    return sa.select(column).scalar_subquery()


def _matching(shape: Shape, columns: Any) -> list[sa.ColumnElement[bool]]:  # noqa: ANN401 - a table's, or the view's
    return [
        column.in_(sa.bindparam(name, expanding=True))
        for column, name, wanted in (
            (columns.type, "types", shape.types),
            (columns.mp_id, "mps", shape.mps),
            (columns.bill_id, "bills", shape.bills),
        )
        if wanted
    ]


def _part(
    shape: Shape,
    query: sa.Select[Any],
    columns: Any,  # noqa: ANN401 - a table's, or the view's
    standing: sa.CTE,
    within: sa.ColumnElement[bool] | None,
    *,
    above: sa.ColumnElement[Any] | None = None,
) -> sa.Select[Any]:
    """Up to `limit` rows `within`, newest first, `marked` or not. `above`: no mark up to there can be one of them."""
    marks = sa.select(user_activity_reads.c.n).where(user_activity_reads.c.user_id == _USER)
    conditions = _matching(shape, columns) + ([] if within is None else [within])
    if above is not None:
        marks = marks.where(user_activity_reads.c.n > above)
    if shape.paged:
        marks = marks.where(user_activity_reads.c.n < _BEFORE)
        conditions.append(columns.n < _BEFORE)
    if shape.unread_only:
        marks = marks.where(user_activity_reads.c.n > _only(standing.c.through))
        conditions.append(columns.n > _only(standing.c.through))
    merged = marks.order_by(user_activity_reads.c.n.desc()).offset(sa.literal_column("0")).subquery("marks")
    if shape.unread_only:
        conditions.append(merged.c.n.is_(None))
    source = query.get_final_froms()[0].outerjoin(merged, merged.c.n == columns.n)
    query = query.add_columns(merged.c.n.is_not(None).label("marked")).select_from(source)
    return query.where(*conditions).order_by(columns.n.desc()).limit(_LIMIT)


def _unread(shape: Shape, standing: sa.CTE) -> sa.ScalarSelect[Any]:
    marked = sa.and_(user_activity_reads.c.n == activities.c.n, user_activity_reads.c.user_id == _USER)
    return (
        sa.select(sa.func.count())
        .select_from(activities.outerjoin(user_activity_reads, marked))
        .where(
            activities.c.n > _only(standing.c.through),
            activities.c.n <= _only(standing.c.n),
            user_activity_reads.c.n.is_(None),
            *_matching(shape, activities.c),
        )
        .scalar_subquery()
    )


def _answer(shape: Shape, standing: sa.CTE, page: sa.Select[Any], low: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """One statement, which sees one moment: the standing beside each row of the page, or beside none (`n` is NULL).

    `reach` is the lowest log number that the source has, `unread` the count with a filter; without, it is arithmetic.
    """
    rows = page.subquery("page")
    unread = _unread(shape, standing) if shape.filtered else sa.null()
    mine = [standing.c.through, standing.c.version, standing.c.above]
    head = [standing.c.cursor.label("head_cursor"), standing.c.n.label("head_n")]
    return (
        sa.select(*head, *mine, low.label("reach"), unread.label("unread"), rows)
        .select_from(standing.outerjoin(rows, sa.true()))
        .order_by(rows.c.n.desc())
    )
