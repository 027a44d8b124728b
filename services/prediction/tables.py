"""The tables of prediction; `migrations/versions` creates them."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, DateTime, Float, Integer, LargeBinary, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.shared.positions import checkpoint_tables


class Base(DeclarativeBase):
    pass


CHECKPOINTS = checkpoint_tables(Base.metadata)


class ModelRow(Base):
    """A model that decides about bars of (feed, bar, horizon) from `cut` (RFC 3339, the data's time) on.

    version names the file under DATA_DIR/models, sha256 is of its bytes; what it was worth stands in the file too, but
    a look at the table should tell: metrics is by ticker.
    """

    __tablename__ = "models"

    feed: Mapped[str] = mapped_column(String(64), primary_key=True)
    bar: Mapped[str] = mapped_column(String(8), primary_key=True)
    horizon: Mapped[str] = mapped_column(String(8), primary_key=True)
    cut: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64))
    definition: Mapped[str] = mapped_column(String(8))
    promoted: Mapped[bool] = mapped_column(Boolean)
    sessions: Mapped[int] = mapped_column(Integer)
    training_s: Mapped[float] = mapped_column(Float)
    metrics: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class LatestSignalRow(Base):
    """The last signal of each symbol, as it stands on topic `signals`."""

    __tablename__ = "latest_signals"

    symbol: Mapped[str] = mapped_column(String(32), primary_key=True)
    epoch: Mapped[str] = mapped_column(String(32))
    seq: Mapped[int] = mapped_column(BigInteger)
    event: Mapped[bytes] = mapped_column(LargeBinary)
