"""Accounts, sessions, rules, firings, notifications, idempotency keys, checkpoints."""

import sqlalchemy as sa
from alembic import op

from services.shared.positions import create_checkpoint_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.String(27)
ID = sa.String(36)
COUNTER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    create_checkpoint_tables(op)
    _accounts()
    _alerts()
    _notifications()


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", ID, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("email", sa.String(254), nullable=False, unique=True),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("token_version", sa.Integer, nullable=False),
        sa.Column("preferences", sa.Text, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("id", ID, primary_key=True),
        sa.Column("user_id", ID, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("refresh_hash", sa.LargeBinary, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_used_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", ID, sa.ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("body_hash", sa.LargeBinary, nullable=False),
        sa.Column("made_id", ID, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
    )


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("number", COUNTER, primary_key=True),
        sa.Column("id", ID, nullable=False, unique=True),
        sa.Column("user_id", ID, sa.ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("symbol", sa.String(32), nullable=False),
        sa.Column("conditions", sa.LargeBinary, nullable=False),
        sa.Column("trigger", sa.String(16), nullable=False),
        sa.Column("cooldown_s", sa.Integer, nullable=False),
        sa.Column("hysteresis_pct", sa.Float, nullable=False),
        sa.Column("expires_at", TIME),
        sa.Column("message", sa.Text),
        sa.Column("channels", sa.LargeBinary, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("taken", sa.Boolean, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("active_from_epoch", sa.String(32)),
        sa.Column("active_from_seq", sa.BigInteger),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Index("ix_alerts_user", "user_id", "number"),
        sa.Index("ix_alerts_symbol", "symbol"),
        _partial("ix_alerts_news", "symbol", where="NOT taken"),
    )
    op.create_table("watched_symbols", sa.Column("symbol", sa.String(32), primary_key=True))
    op.create_table(
        "firings",
        sa.Column("id", ID, primary_key=True),
        sa.Column("alert_id", ID, nullable=False),
        sa.Column("rule_version", sa.Integer, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("symbol", sa.String(32), nullable=False),
        sa.Column("epoch", sa.String(32), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("time", TIME, nullable=False),
        sa.Column("condition", sa.String(32), nullable=False),
        sa.Column("threshold", sa.Float),
        sa.Column("price", sa.Float, nullable=False),
        sa.Column("previous_price", sa.Float),
        sa.UniqueConstraint("alert_id", "rule_version", "epoch", "seq"),
    )


def _notifications() -> None:
    op.create_table(
        "notifications",
        sa.Column("number", COUNTER, primary_key=True),
        sa.Column("id", ID, nullable=False, unique=True),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("event", sa.LargeBinary, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("published_at", TIME),
        sa.Column("read_at", TIME),
        sa.Index("ix_notifications_user", "user_id", "number"),
        _partial("ix_notifications_unread", "user_id", "number", where="read_at IS NULL"),
        _partial("ix_notifications_outbox", "number", where="published_at IS NULL"),
    )


def _partial(name: str, *columns: str, where: str) -> sa.Index:
    return sa.Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
