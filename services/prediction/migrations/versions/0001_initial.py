"""Models, latest signals, checkpoints."""

import sqlalchemy as sa
from alembic import op

from services.shared.positions import create_checkpoint_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_checkpoint_tables(op)
    op.create_table(
        "models",
        sa.Column("feed", sa.String(64), primary_key=True),
        sa.Column("bar", sa.String(8), primary_key=True),
        sa.Column("horizon", sa.String(8), primary_key=True),
        sa.Column("cut", sa.String(32), primary_key=True),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("definition", sa.String(8), nullable=False),
        sa.Column("promoted", sa.Boolean, nullable=False),
        sa.Column("sessions", sa.Integer, nullable=False),
        sa.Column("training_s", sa.Float, nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "latest_signals",
        sa.Column("symbol", sa.String(32), primary_key=True),
        sa.Column("epoch", sa.String(32), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("event", sa.LargeBinary, nullable=False),
    )
