"""Connecting to PostgreSQL, and bringing its schema up to date."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg
import orjson
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import AdaptedConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_MIGRATIONS = Path(__file__).parent / "migrations"
_SCHEMA = sa.text("SELECT version_num, obj_description('alembic_version'::regclass) AS comment FROM alembic_version")
_NEEDS = re.compile(r"needs (\w+)")
_MIGRATION_LOCK = 0x6469_7662_0001  # "divb" 1: one process migrates at a time, the others wait and find it done
CONNECT_WITHIN = timedelta(seconds=5)
LONGEST_STATEMENT = timedelta(seconds=10)
LONGEST_SILENCE = timedelta(seconds=3)


def driver_url(url: str) -> str:
    """`url` as asyncpg takes it, which reads libpq's parameters such as `sslmode` itself.

    Raises ValueError for a URL that is none of PostgreSQL's.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ValueError("DATABASE_URL is not a URL; write postgresql://user:password@host:5432/database")
    if scheme.split("+")[0] not in {"postgresql", "postgres"}:
        raise ValueError(f"DATABASE_URL names {scheme}; Division Bell runs on postgresql://")
    return f"postgresql://{rest}"


def connect(url: str, *, pool_size: int = 10, application_name: str = "divisionbell") -> AsyncEngine:
    """Make an engine for a `postgresql://` URL, as PostgreSQL's own tools take it. Opens nothing yet.

    A statement that runs for 10 s is cancelled: no query of ours is meant to, and clients have left by then. A session
    that is silent inside a transaction for 3 s is ended: a process frozen while it held the log's lock would stop the
    log. Raises ValueError for a URL that is none of PostgreSQL's.
    """
    dsn = driver_url(url)

    async def open_connection() -> asyncpg.Connection:
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_WITHIN.total_seconds(),
            server_settings={
                "application_name": application_name,
                "statement_timeout": _milliseconds(LONGEST_STATEMENT),
                "idle_in_transaction_session_timeout": _milliseconds(LONGEST_SILENCE),
                "timezone": "UTC",
            },
        )

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=open_connection,
        hide_parameters=True,  # errors are logged, and parameters are what people wrote
        json_deserializer=read_json,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        pool_size=pool_size,
        max_overflow=pool_size,
    )
    sa.event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(connection: AdaptedConnection, *_: object) -> None:
    """Have the pool replace a connection that PostgreSQL has closed: the driver knows, a ping would be a round trip."""
    driver: asyncpg.Connection = connection.driver_connection
    if driver.is_closed():
        raise sa.exc.DisconnectionError


def _milliseconds(span: timedelta) -> str:
    return str(int(span.total_seconds() * 1000))


def read_json(text: str | bytes) -> object:
    """Decode a jsonb value to what orjson can write again.

    A row that somebody inserted with a number or a depth that JSON parsers refuse must not stop the log: such a value
    reads as an object that carries its text.
    """
    try:
        value: object = orjson.loads(text)
        orjson.dumps([[[value]]])  # as deep as it will stand in a stream entry
    except (ValueError, TypeError):
        return {"unreadable": text if isinstance(text, str) else text.decode()}
    return value


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def newest_revision() -> str:
    """The revision this code was written for."""
    return known_revisions()[-1]


def known_revisions() -> Sequence[str]:
    """The revisions this code knows, oldest first."""
    return [str(one.revision) for one in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


@dataclass(frozen=True, slots=True)
class Schema:
    """What the database says of itself: its revision, None if it was never migrated, and which one code has to know.

    A migration that takes something away writes the latter into the comment of `alembic_version`: `needs 0005`.
    """

    at: str | None
    needs: str | None = None


async def schema_of(engine: AsyncEngine) -> Schema:
    """Ask the database."""
    async with engine.connect() as connection:
        if await connection.scalar(sa.text("SELECT to_regclass('alembic_version')")) is None:
            return Schema(None)
        row = (await connection.execute(_SCHEMA)).one_or_none()
    if row is None:
        return Schema(None)
    needs = _NEEDS.search(row.comment or "")
    return Schema(row.version_num, needs[1] if needs else None)


def misfit(schema: Schema, known: Sequence[str]) -> tuple[str, str] | None:
    """Why code that knows the revisions `known` cannot run on `schema`, and the remedy; None if it can.

    It can on its newest, and on a later one that only added, so that a version runs on beside its successor, and again
    in place of it.
    """
    newest = known[-1]
    if schema.at is None or (schema.at in known and schema.at != newest):
        return f"at revision {schema.at or 'none'}, this version needs {newest}", "run `python -m cli migrate`"
    if schema.needs is not None and schema.needs not in known:
        return f"at revision {schema.at}, for versions that know {schema.needs}", "start a newer version"
    return None


async def revision(engine: AsyncEngine) -> str | None:
    """The revision the database is at; None when it has never been migrated."""
    return (await schema_of(engine)).at


async def connection_limit(engine: AsyncEngine) -> int:
    """How many connections the server allows to users without privileges."""
    names = ("max_connections", "superuser_reserved_connections")
    async with engine.connect() as connection:
        allowed, reserved = [int(await connection.scalar(sa.text(f"SHOW {name}"))) for name in names]
    return allowed - reserved


async def migrate(engine: AsyncEngine, *, target: str = "head") -> None:
    """Bring the schema to `target`, one process at a time, in one transaction: all of it or nothing.

    A schema that is later than all this code knows is left as it is: an older version is deployed again, beside it.
    """

    def run(connection: sa.Connection) -> None:
        at = MigrationContext.configure(connection).get_current_revision()
        if at is not None and at not in known_revisions():
            return
        config = _config()
        config.attributes["connection"] = connection
        if target == "base":
            command.downgrade(config, target)
        else:
            command.upgrade(config, target)

    async with engine.begin() as connection:
        await connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
        await connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        await connection.run_sync(run)
