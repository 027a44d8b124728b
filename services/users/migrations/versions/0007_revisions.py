"""Rules count their changes, so that one made while another is being taken in is not taken for it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alerts", sa.Column("revision", sa.Integer, nullable=False, server_default="1"))
