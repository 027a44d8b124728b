"""Rules on signals beside those on prices; market hours and snoozing; a symbol's rules in the order of their making."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alerts", sa.Column("source", sa.String(8), nullable=False, server_default="prices"))
    op.add_column("alerts", sa.Column("market_hours_only", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("alerts", sa.Column("snoozed_until", sa.String(27)))
    op.drop_index("ix_alerts_symbol", "alerts")
    op.create_index("ix_alerts_symbol", "alerts", ["symbol", "number"])
