"""What the fast feed stands on: counted marks, versions that cannot be forgotten, and the view of recent activities."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COUNTED = """
UPDATE user_read_through SET above = counted.marks
FROM (
    SELECT user_read_through.user_id, count(activities.id) AS marks
    FROM user_read_through
    JOIN user_activity_reads USING (user_id)
    JOIN activities ON activities.id = activity_id AND activities.n > user_read_through.n
    GROUP BY 1
) AS counted
WHERE counted.user_id = user_read_through.user_id
"""

# Every INSERT of marks counts, from psql too: the bitmaps in Redis hold exactly the marks up to a version.
# Users in one order: two imports must not deadlock.
MARKS_COUNT = """
CREATE FUNCTION user_activity_reads_count() RETURNS trigger LANGUAGE plpgsql AS $$
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

VERSION_GROWS = """
CREATE FUNCTION version_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END $$
"""

# The newest 10,000: what a reader with Redis away looks at, small enough to be refreshed every 30 seconds.
VIEW = """
CREATE MATERIALIZED VIEW recent_activities AS
SELECT activities.id, activities.n, activities.cursor, type, activities.title, summary, url, occurred_at, created_at,
    metadata, traceparent,
    mps.id AS mp_id, mps.name AS mp_name, mps.party AS mp_party, mps.riding AS mp_riding, mps.version AS mp_version,
    bills.id AS bill_id, bills.number AS bill_number, bills.title AS bill_title, bills.version AS bill_version
FROM activities LEFT JOIN mps ON mps.id = mp_id LEFT JOIN bills ON bills.id = bill_id
WHERE activities.n > (SELECT log_head.n FROM log_head) - 10000
"""


def upgrade() -> None:
    op.execute("ALTER TABLE user_read_through ADD COLUMN above bigint NOT NULL DEFAULT 0")
    op.execute("COMMENT ON COLUMN user_read_through.above IS 'marks of activities after n'")
    op.execute(
        "INSERT INTO user_read_through (user_id, version) SELECT DISTINCT user_id, 1 FROM user_activity_reads"
        " ON CONFLICT DO NOTHING"
    )
    op.execute(COUNTED)
    op.execute("CREATE INDEX ix_user_read_through_updated_at ON user_read_through (updated_at)")
    op.execute(MARKS_COUNT)
    op.execute(
        "CREATE TRIGGER user_activity_reads_count AFTER INSERT ON user_activity_reads"
        " REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION user_activity_reads_count()"
    )
    op.execute(VERSION_GROWS)
    for table in ("mps", "bills"):
        op.execute(
            f"CREATE TRIGGER {table}_version BEFORE UPDATE ON {table} FOR EACH ROW"
            " WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION version_grows()"
        )
    op.execute(VIEW)
    op.execute("CREATE UNIQUE INDEX uq_recent_activities_n ON recent_activities (n)")
    for column in ("type", "mp_id", "bill_id"):
        op.execute(f"CREATE INDEX ix_recent_activities_{column}_n ON recent_activities ({column}, n)")


def downgrade() -> None:
    op.execute("DROP MATERIALIZED VIEW recent_activities")
    op.execute("DROP TRIGGER bills_version ON bills")
    op.execute("DROP TRIGGER mps_version ON mps")
    op.execute("DROP TRIGGER user_activity_reads_count ON user_activity_reads")
    op.execute("DROP FUNCTION version_grows, user_activity_reads_count")
    op.execute("DROP INDEX ix_user_read_through_updated_at")
    op.execute("ALTER TABLE user_read_through DROP COLUMN above")
