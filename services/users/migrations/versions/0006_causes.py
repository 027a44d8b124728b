"""What a rule waited for when it fired, and when what a notification tells of happened."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("firings", sa.Column("rule", sa.LargeBinary))
    op.add_column("notifications", sa.Column("happened_at", sa.String(27), nullable=False, server_default=""))
    op.execute("UPDATE notifications SET happened_at = substr(created_at, 1, 19) || 'Z'")
