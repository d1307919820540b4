"""The migrations."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.engine import Schema, migrate, misfit, newest_revision, revision, schema_of
from resolvers.database.tables import metadata

BEFORE_THE_PROMISE = {"0001", "0002", "0003", "0004"}
"""Migrations that no two released versions have between them."""
TAKES_AWAY = re.compile(
    r"\b(DROP|RENAME|TRUNCATE|SET NOT NULL|ADD CONSTRAINT|(COLUMN|ALTER) \w+ (SET DATA )?TYPE|CREATE UNIQUE INDEX)\b"
    r"|\bdrop_|\bcreate_unique_|\bcreate_check_|\balter_column\b|ADD COLUMN (?!.*DEFAULT)[^\"]*NOT NULL",
    re.IGNORECASE,
)
"""What code that was written before the migration may stumble over."""
SAYS_SO = re.compile(r"COMMENT ON TABLE alembic_version IS 'needs \w+'")


def upgrade_of(source: str) -> str:
    """What a migration does on the way up."""
    return source.partition("def upgrade")[2].partition("def downgrade")[0]


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


@pytest.mark.parametrize(
    ("schema", "remedy"),
    [
        (Schema(None), "run `python -m cli migrate`"),
        (Schema("0001"), "run `python -m cli migrate`"),
        (Schema("0002"), None),
        (Schema("0003"), None),
        (Schema("0003", needs="0002"), None),
        (Schema("0004", needs="0003"), "start a newer version"),
    ],
)
def test_code_runs_on_a_later_schema_that_took_nothing_away(schema: Schema, remedy: str | None) -> None:
    """Not on an earlier one, and on a later one only if it knows what that one needs."""
    problem = misfit(schema, ["0001", "0002"])

    assert remedy == (problem and problem[1])


async def test_a_later_schema_is_left_as_it_is(database: AsyncEngine) -> None:
    """An older version that is deployed again migrates nothing, and reads what the later one needs."""
    async with database.begin() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        await connection.execute(sa.text("COMMENT ON TABLE alembic_version IS 'needs 9998'"))

    await migrate(database)

    assert await schema_of(database) == Schema("9999", needs="9998")


def test_a_migration_that_takes_something_away_says_which_code_it_needs(repository: Path) -> None:
    """Expand, then contract: an earlier version that would stumble over it is kept from starting."""
    for path in sorted((repository / "resolvers/database/migrations/versions").glob("*.py")):
        upgrade = upgrade_of(path.read_text())
        if path.name[:4] not in BEFORE_THE_PROMISE and TAKES_AWAY.search(upgrade):
            assert SAYS_SO.search(upgrade), f"{path.name} takes something away: say which code it needs, in a comment"


@pytest.mark.parametrize(
    ("statement", "takes_away"),
    [
        ("ALTER TABLE bills ADD COLUMN stage text", False),
        ("ALTER TABLE bills ADD COLUMN stage text NOT NULL DEFAULT ''", False),
        ("CREATE INDEX ix_bills_stage ON bills (stage)", False),
        ("CREATE TABLE votes (id bigint PRIMARY KEY, bill_id bigint NOT NULL)", False),
        ("ALTER TABLE bills ADD COLUMN stage text NOT NULL", True),
        ("ALTER TABLE bills DROP COLUMN title", True),
        ("ALTER TABLE bills RENAME COLUMN title TO name", True),
        ("ALTER TABLE bills ALTER COLUMN title TYPE varchar(80)", True),
        ("ALTER TABLE bills ALTER COLUMN title SET NOT NULL", True),
        ("CREATE UNIQUE INDEX uq_bills_title ON bills (title)", True),
    ],
)
def test_what_takes_something_away_is_recognised(statement: str, takes_away: bool) -> None:
    """The statements that the rule above is about."""
    assert takes_away == bool(TAKES_AWAY.search(f'op.execute("{statement}")'))
