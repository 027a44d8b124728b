"""Roles, devices, refresh tokens that rotate, tickets, the ends of logins, repeated registrations."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.String(27)
ID = sa.String(36)


def upgrade() -> None:
    op.add_column("accounts", sa.Column("role", sa.String(8), nullable=False, server_default="user"))
    op.add_column("sessions", sa.Column("previous_hash", sa.LargeBinary))
    op.add_column("sessions", sa.Column("rotated_at", TIME))
    op.add_column("sessions", sa.Column("device", sa.Text, nullable=False, server_default=""))
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.add_column("notifications", sa.Column("shown", sa.Boolean, nullable=False, server_default=sa.true()))
    op.create_index(
        "ix_notifications_hidden",
        "notifications",
        ["number"],
        sqlite_where=sa.text("NOT shown"),
        postgresql_where=sa.text("NOT shown"),
    )
    op.create_table(
        "tickets",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("user_id", ID, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("session_id", ID, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("token_expires_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
    )
    op.create_table(
        "registrations",
        sa.Column("scope", sa.LargeBinary, primary_key=True),
        sa.Column("user_id", ID, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("body_hash", sa.LargeBinary, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
    )
