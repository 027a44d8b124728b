"""Channels beyond the socket, what is on its way over them, and how each attempt ended."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.String(27)
ID = sa.String(36)
COUNTER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "channels",
        sa.Column("number", COUNTER, primary_key=True),
        sa.Column("id", ID, nullable=False, unique=True),
        sa.Column("user_id", ID, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("mark", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("reason", sa.String(32)),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("failing_since", TIME),
        sa.Column("delivered_at", TIME),
        sa.Column("free_at", TIME, nullable=False),
        sa.Column("lease", ID),
        sa.Column("gathering", sa.Boolean, nullable=False),
        sa.Column("window_at", TIME),
        sa.Column("window_sent", sa.Integer, nullable=False),
        sa.UniqueConstraint("user_id", "mark"),
    )
    op.create_index("ix_channels_user", "channels", ["user_id", "number"])
    op.create_table(
        "deliveries",
        sa.Column("number", COUNTER, primary_key=True),
        sa.Column("channel_id", ID, nullable=False),
        sa.Column("notification_id", ID, nullable=False),
        sa.Column("created_at", TIME, nullable=False, index=True),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("status", sa.String(9), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("message_id", ID),
        sa.Column("tried_at", TIME),
        sa.UniqueConstraint("channel_id", "notification_id"),
    )
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["channel_id", "due_at"],
        sqlite_where=sa.text("status = 'waiting'"),
        postgresql_where=sa.text("status = 'waiting'"),
    )
    op.create_table(
        "delivery_attempts",
        sa.Column("number", COUNTER, primary_key=True),
        sa.Column("channel_id", ID, nullable=False),
        sa.Column("message_id", ID, nullable=False),
        sa.Column("notification_id", ID),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("time", TIME, nullable=False, index=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("status", sa.String(9), nullable=False),
        sa.Column("code", sa.Integer),
        sa.Column("error", sa.String(32)),
    )
    op.create_index("ix_delivery_attempts_channel", "delivery_attempts", ["channel_id", "number"])
