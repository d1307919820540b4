"""The joined row of an activity, and the values made from it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, timedelta
from typing import Any

import sqlalchemy as sa
from asyncpg.exceptions import InterfaceError, PostgresConnectionError, PostgresError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util import greenlet_spawn

from resolvers.activities import Activity, ActivityId, ActivityType, Bill, BillId, Mp, MpId
from resolvers.database.tables import activities, bills, mps
from resolvers.errors import Unavailable
from telemetry.metrics import Metrics
from telemetry.tracing import child

ANSWER_WITHIN = timedelta(seconds=15)
"""A little more than PostgreSQL's own limits, 5 s to connect and 10 s a statement: when it is frozen, or the network
silent, these do not hold, and a request would wait for ever."""

_COLUMNS = [
    *(column for column in activities.c if column.name not in {"mp_id", "bill_id", "source_id"}),
    *(column.label(f"mp_{column.name}") for column in mps.c),
    *(column.label(f"bill_{column.name}") for column in bills.c),
]
_JOINED = activities.outerjoin(mps, mps.c.id == activities.c.mp_id).outerjoin(bills, bills.c.id == activities.c.bill_id)


def select_activities(*more: sa.ColumnElement[Any], also: Any = None) -> sa.Select[Any]:  # noqa: ANN401 - a join's type
    """Activities with their MPs and bills, and `more` columns; `also(join)` may join further tables."""
    source = _JOINED if also is None else also(_JOINED)
    return sa.select(*_COLUMNS, *more).select_from(source)


def to_activity(row: sa.Row[Any]) -> Activity:
    """The activity of a row of `select_activities`, sequenced or not (then `n` is 0)."""
    return Activity(
        id=ActivityId(row.id),
        n=row.n or 0,
        type=ActivityType(row.type),
        title=row.title,
        summary=row.summary,
        url=row.url,
        occurred_at=row.occurred_at.astimezone(UTC),
        created_at=row.created_at.astimezone(UTC),
        metadata=row.metadata,
        mp=None if row.mp_id is None else Mp(MpId(row.mp_id), row.mp_name, row.mp_party, row.mp_riding, row.mp_version),
        bill=None
        if row.bill_id is None
        else Bill(BillId(row.bill_id), row.bill_number, row.bill_title, row.bill_version),
    )


class Database:
    """Connections of an engine, each use of them named, timed and with its failures translated."""

    def __init__(self, *, engine: AsyncEngine, metrics: Metrics) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._snapshots = engine.execution_options(isolation_level="REPEATABLE READ")
        self._metrics = metrics
        pool = engine.pool
        if isinstance(pool, sa.QueuePool):
            metrics.db_connections.labels("in_use").set_function(pool.checkedout)
            metrics.db_connections.labels("idle").set_function(pool.checkedin)

    @asynccontextmanager
    async def reading(self, query: str, *, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection for reads, each a transaction of its own: BEGIN and ROLLBACK would be two more round trips.

        With `snapshot`, all statements of the block see the database as it was at the first. Raises Unavailable if
        PostgreSQL gives no connection, or fails, within its time limits.
        """
        engine = self._snapshots if snapshot else self._single
        with child(f"postgresql {query}"), self._metrics.db_query_duration_seconds.labels(query=query).time():
            async with translated(query), _in_time(), engine.connect() as connection:
                yield connection

    async def fetch(self, query: str, text: str, values: Sequence[object]) -> Sequence[Sequence[Any]]:
        """The rows of one statement in the driver's own SQL, with columns in their order. Raises Unavailable.

        SQLAlchemy makes four fifths of what a short read costs this process: 0.2 of 0.25 ms. For where that counts.
        """
        with child(f"postgresql {query}"), self._metrics.db_query_duration_seconds.labels(query=query).time():
            async with translated(query), _in_time():
                pooled = await self._engine.raw_connection()
                try:
                    driver: Any = pooled.driver_connection  # asyncpg's
                    rows: Sequence[Sequence[Any]] = await driver.fetch(text, *values)
                except BaseException:
                    await greenlet_spawn(pooled.invalidate)  # whatever it is in the middle of
                    raise
                await greenlet_spawn(pooled.close)
                return rows

    @asynccontextmanager
    async def writing(self, query: str, *, single: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end of the block. Raises Unavailable as `reading` does.

        `single`: each statement of the block is a transaction of its own, which for one saves two round trips.
        """
        with child(f"postgresql {query}"), self._metrics.db_query_duration_seconds.labels(query=query).time():
            opened = self._single.connect() if single else self._engine.begin()
            async with translated(query), _in_time(), opened as connection:
                yield connection


def _in_time() -> asyncio.Timeout:
    return asyncio.timeout(ANSWER_WITHIN.total_seconds())


@asynccontextmanager
async def translated(doing: str) -> AsyncIterator[None]:
    """Turn what driver and pool raise when PostgreSQL is away or overloaded into Unavailable.

    A statement that is wrong stays a DBAPIError: that is a fault of ours, not weather.
    """
    try:
        yield
    except DBAPIError as error:
        if error.connection_invalidated or _is_weather(error):
            raise Unavailable(f"The database did not answer ({doing}). Try again in a few seconds.") from error
        raise
    except PostgresError as error:  # from the driver itself
        if isinstance(error, PostgresConnectionError) or _is_code_of_weather(error.sqlstate):
            raise Unavailable(f"The database did not answer ({doing}). Try again in a few seconds.") from error
        raise
    except (SQLAlchemyError, InterfaceError, OSError, TimeoutError) as error:
        raise Unavailable(f"The database did not answer ({doing}). Try again in a few seconds.") from error


def _is_weather(error: DBAPIError) -> bool:
    # Classes 08 connection, 53 resources, 57 operator intervention (shutdown, cancelled by time-out), 25P04 and 40.
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    if code is None:
        return not isinstance(error.orig, PostgresError)
    return _is_code_of_weather(code)


def _is_code_of_weather(code: str | None) -> bool:
    return code is not None and (code[:2] in {"08", "53", "57", "40"} or code == "25P04")
