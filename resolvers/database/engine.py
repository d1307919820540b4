"""Connecting to PostgreSQL, and bringing its schema up to date."""

from datetime import timedelta
from pathlib import Path

import asyncpg
import orjson
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine import AdaptedConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_MIGRATIONS = Path(__file__).parent / "migrations"
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
    return str(ScriptDirectory.from_config(_config()).get_current_head())


async def revision(engine: AsyncEngine) -> str | None:
    """The revision the database is at; None when it has never been migrated."""
    async with engine.connect() as connection:
        if await connection.scalar(sa.text("SELECT to_regclass('alembic_version')")) is None:
            return None
        at: str | None = await connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        return at


async def connection_limit(engine: AsyncEngine) -> int:
    """How many connections the server allows to users without privileges."""
    names = ("max_connections", "superuser_reserved_connections")
    async with engine.connect() as connection:
        allowed, reserved = [int(await connection.scalar(sa.text(f"SHOW {name}"))) for name in names]
    return allowed - reserved


async def migrate(engine: AsyncEngine, *, target: str = "head") -> None:
    """Bring the schema to `target`, one process at a time, in one transaction: all of it or nothing."""

    def run(connection: sa.Connection) -> None:
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
