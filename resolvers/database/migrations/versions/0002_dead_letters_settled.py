"""When a redriven dead letter reached its subscriber: those that have not must be found again after a flush."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE dead_letters ADD COLUMN healed_at timestamptz")
    op.execute("COMMENT ON COLUMN dead_letters.healed_at IS 'when a redriven letter reached its subscriber'")
    op.execute(
        "CREATE INDEX ix_dead_letters_to_heal ON dead_letters (id) WHERE state = 'REDRIVEN' AND healed_at IS NULL"
    )
    op.execute("CREATE INDEX ix_dead_letters_state_id ON dead_letters (state, id)")


def downgrade() -> None:
    op.execute("DROP INDEX ix_dead_letters_state_id, ix_dead_letters_to_heal")
    op.execute("ALTER TABLE dead_letters DROP COLUMN healed_at")
