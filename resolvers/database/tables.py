"""The tables as SQLAlchemy Core knows them; triggers and partial indexes are in the migrations."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True)


def _instant(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.text("clock_timestamp()"))


mps = sa.Table(
    "mps",
    metadata,
    _id(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("party", sa.Text),
    sa.Column("riding", sa.Text),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.UniqueConstraint("name", "riding", postgresql_nulls_not_distinct=True),
)

bills = sa.Table(
    "bills",
    metadata,
    _id(),
    sa.Column("number", sa.Text, nullable=False, unique=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
)

activities = sa.Table(
    "activities",
    metadata,
    _id(),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("summary", sa.Text),
    sa.Column("url", sa.Text),
    sa.Column("mp_id", sa.BigInteger, sa.ForeignKey("mps.id")),
    sa.Column("bill_id", sa.BigInteger, sa.ForeignKey("bills.id")),
    _instant("occurred_at"),
    _instant("created_at"),
    sa.Column("metadata", JSONB, nullable=False, server_default="{}"),
    sa.Column("source_id", sa.Text, unique=True, comment="the source's own name for it: makes imports idempotent"),
    sa.Column("traceparent", sa.Text, comment="W3C trace context of the INSERT"),
    sa.Column("cursor", sa.BigInteger, unique=True, comment="given by the sequencer; see cursor_text(bigint)"),
    sa.Column("n", sa.BigInteger, unique=True, comment="dense log number, from 1; given by the sequencer"),
    sa.CheckConstraint("(cursor IS NULL) = (n IS NULL)", name="sequenced_whole"),
    sa.CheckConstraint("length(title) BETWEEN 1 AND 500", name="title_length"),
    sa.CheckConstraint("type ~ '^[A-Z][A-Z_]{0,39}$'", name="type_form"),
    sa.Index("ix_activities_unsequenced", "id", postgresql_where=sa.text("cursor IS NULL")),
    sa.Index("ix_activities_mp_id_n", "mp_id", "n"),
    sa.Index("ix_activities_bill_id_n", "bill_id", "n"),
    sa.Index("ix_activities_type_n", "type", "n"),
)

log_head = sa.Table(
    "log_head",
    metadata,
    sa.Column("single", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("cursor", sa.BigInteger, nullable=False),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.CheckConstraint("single", name="one_row"),
)

user_activity_reads = sa.Table(
    "user_activity_reads",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("activity_id", sa.BigInteger, nullable=False),
    _instant("read_at"),
    sa.Column("n", sa.BigInteger, primary_key=True, comment="log number of the activity; set by a trigger"),
)

user_read_through = sa.Table(
    "user_read_through",
    metadata,
    sa.Column("user_id", sa.Text, primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False, server_default="0", comment="all up to this log number is read"),
    sa.Column("version", sa.BigInteger, nullable=False, server_default="0", comment="grows with every change of marks"),
    sa.Column("above", sa.BigInteger, nullable=False, server_default="0", comment="marks of activities after n"),
    _instant("updated_at"),
    sa.Index("ix_user_read_through_updated_at", "updated_at"),
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    _id(),
    sa.Column("stream", sa.Text, nullable=False),
    sa.Column("cursor", sa.BigInteger, nullable=False),
    sa.Column("activity_id", sa.BigInteger),
    sa.Column("subscriber", sa.Text, nullable=False, comment="'*' when no subscriber could have got it"),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("delivery_count", sa.Integer, nullable=False),
    _instant("first_delivered_at"),
    _instant("last_delivered_at"),
    _instant("created_at"),
    sa.Column("state", sa.Text, nullable=False, server_default="DEAD"),
    sa.Column("healed_at", sa.DateTime(timezone=True), comment="when a redriven letter reached its subscriber"),
    sa.CheckConstraint("state IN ('DEAD', 'REDRIVEN', 'DISCARDED')", name="state"),
    sa.UniqueConstraint("subscriber", "cursor"),
    sa.Index("ix_dead_letters_to_heal", "id", postgresql_where=sa.text("state = 'REDRIVEN' AND healed_at IS NULL")),
    sa.Index("ix_dead_letters_state_id", "state", "id"),
)

subscriber_positions = sa.Table(
    "subscriber_positions",
    metadata,
    sa.Column("subscriber", sa.Text, primary_key=True),
    sa.Column("cursor", sa.BigInteger, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    _instant("updated_at"),
)
