"""Marks carry the log number of their activity and lie in its order: pages merge with them and look nothing up."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# The place comes from the log, whatever an INSERT says. Activities in the log neither change nor go, so the look-up is
# the foreign key as well, without its lock: that one wrote to every marked activity, which all users share.
MARKS_HAVE_PLACES = """
CREATE FUNCTION user_activity_reads_place() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT activities.n INTO NEW.n FROM activities WHERE activities.id = NEW.activity_id;
    IF NEW.n IS NULL THEN
        RAISE EXCEPTION 'an activity that is not in the log yet cannot be read'
            USING ERRCODE = 'integrity_constraint_violation', HINT = 'Wait until its cursor is set.';
    END IF;
    RETURN NEW;
END $$
"""

MARKS_COUNT = """
CREATE OR REPLACE FUNCTION user_activity_reads_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO user_read_through AS kept (user_id, version, above)
    SELECT user_id, 1, count(*) FROM inserted GROUP BY user_id ORDER BY user_id
    ON CONFLICT (user_id) DO UPDATE SET
        version = kept.version + 1,
        above = kept.above + (
            SELECT count(*) FROM inserted WHERE inserted.user_id = kept.user_id AND inserted.n > kept.n
        ),
        updated_at = clock_timestamp();
    RETURN NULL;
END $$
"""

MARKS_COUNTED_BY_JOIN = """
CREATE OR REPLACE FUNCTION user_activity_reads_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM inserted JOIN activities ON activities.id = activity_id WHERE activities.n IS NULL) THEN
        RAISE EXCEPTION 'an activity that is not in the log yet cannot be read'
            USING ERRCODE = 'integrity_constraint_violation', HINT = 'Wait until its cursor is set.';
    END IF;
    INSERT INTO user_read_through AS kept (user_id, version, above)
    SELECT user_id, 1, count(*) FROM inserted GROUP BY user_id ORDER BY user_id
    ON CONFLICT (user_id) DO UPDATE SET
        version = kept.version + 1,
        above = kept.above + (
            SELECT count(*) FROM inserted JOIN activities ON activities.id = activity_id
            WHERE inserted.user_id = kept.user_id AND activities.n > kept.n
        ),
        updated_at = clock_timestamp();
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.execute("ALTER TABLE user_activity_reads ADD COLUMN n bigint")
    op.execute("UPDATE user_activity_reads SET n = activities.n FROM activities WHERE activities.id = activity_id")
    op.execute("ALTER TABLE user_activity_reads ALTER COLUMN n SET NOT NULL")
    op.execute("COMMENT ON COLUMN user_activity_reads.n IS 'log number of the activity; set by a trigger'")
    op.execute("ALTER TABLE user_activity_reads DROP CONSTRAINT pk_user_activity_reads")
    op.execute("ALTER TABLE user_activity_reads ADD CONSTRAINT pk_user_activity_reads PRIMARY KEY (user_id, n)")
    op.execute("ALTER TABLE user_activity_reads DROP CONSTRAINT fk_user_activity_reads_activity_id")
    op.execute("DROP INDEX ix_user_activity_reads_read_at")  # the sweep compares versions: nobody asks for it
    op.execute(MARKS_HAVE_PLACES)
    op.execute(
        "CREATE TRIGGER user_activity_reads_place BEFORE INSERT ON user_activity_reads"
        " FOR EACH ROW EXECUTE FUNCTION user_activity_reads_place()"
    )
    op.execute(MARKS_COUNT)


def downgrade() -> None:
    op.execute(MARKS_COUNTED_BY_JOIN)
    op.execute("DROP TRIGGER user_activity_reads_place ON user_activity_reads")
    op.execute("DROP FUNCTION user_activity_reads_place")
    op.execute("CREATE INDEX ix_user_activity_reads_read_at ON user_activity_reads (read_at)")
    op.execute(
        "ALTER TABLE user_activity_reads ADD CONSTRAINT fk_user_activity_reads_activity_id"
        " FOREIGN KEY (activity_id) REFERENCES activities (id)"
    )
    op.execute("ALTER TABLE user_activity_reads DROP CONSTRAINT pk_user_activity_reads")
    op.execute(
        "ALTER TABLE user_activity_reads ADD CONSTRAINT pk_user_activity_reads PRIMARY KEY (user_id, activity_id)"
    )
    op.execute("ALTER TABLE user_activity_reads DROP COLUMN n")
