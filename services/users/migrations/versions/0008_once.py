"""A rule fires once at a record, whatever its version. Firings from before are as they were: their source is null."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_BEFORE = "firings_alert_id_rule_version_epoch_seq_key"
"""The name that PostgreSQL gave it, and the one by which it is found on SQLite, which gave it none."""


def upgrade() -> None:
    with op.batch_alter_table("firings", naming_convention={"uq": _BEFORE}) as firings:
        firings.add_column(sa.Column("source", sa.String(8)))
        firings.drop_constraint(_BEFORE, type_="unique")
        firings.create_unique_constraint("firings_once", ["alert_id", "symbol", "epoch", "seq", "source"])
