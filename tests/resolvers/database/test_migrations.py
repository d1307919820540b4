"""The migrations."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.engine import migrate, newest_revision, revision
from resolvers.database.tables import metadata


async def test_migrated_database_is_what_the_code_expects(database: AsyncEngine) -> None:
    """Tables, columns, indexes and comments made by the migrations are those of `tables.py`."""

    def differences(connection: sa.Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))

    async with database.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_migrating_again_changes_nothing(database: AsyncEngine) -> None:
    """A second server that starts finds the work done."""
    await migrate(database)

    assert newest_revision() == await revision(database)


async def test_migrations_go_down_and_up_again(database: AsyncEngine) -> None:
    """A downgrade leaves nothing behind that an upgrade would trip over."""
    await migrate(database, target="base")
    assert await revision(database) is None

    await migrate(database)

    assert newest_revision() == await revision(database)
