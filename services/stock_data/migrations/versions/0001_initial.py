"""Feed, tickers, bars, splits."""

from alembic import op
from sqlalchemy import BigInteger, Column, Double, String, Text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feed",
        Column("source", String(32), primary_key=True),
        Column("identity", String(64), nullable=False),
        Column("epoch", String(32), nullable=False),
        Column("started", BigInteger, nullable=False),
        Column("progress", BigInteger, nullable=False),
        Column("log_id", String(64), nullable=False),
        Column("holder", String(64), nullable=False),
    )
    op.create_table(
        "tickers",
        Column("symbol", String(32), primary_key=True),
        Column("source", String(32), primary_key=True),
        Column("sector", Text, nullable=False),
    )
    op.create_table(
        "bars",
        Column("symbol", String(32), primary_key=True),
        Column("timeframe", String(8), primary_key=True),
        Column("source", String(32), primary_key=True),
        Column("start", BigInteger, primary_key=True, autoincrement=False),
        Column("end", BigInteger, nullable=False),
        Column("date", String(10), nullable=False),
        Column("open", Double, nullable=False),
        Column("high", Double, nullable=False),
        Column("low", Double, nullable=False),
        Column("close", Double, nullable=False),
        Column("volume", Double, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "splits",
        Column("symbol", String(32), primary_key=True),
        Column("source", String(32), primary_key=True),
        Column("effective", String(10), primary_key=True),
        Column("ratio", Double, nullable=False),
        Column("time", BigInteger, nullable=False),
    )
