"""The room's tables. Instants are whole microseconds since 1970 in UTC, dates are YYYY-MM-DD at the exchange."""

from sqlalchemy import BigInteger, Double, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Tables of stock_data."""


class FeedRow(Base):
    """What the feed does and how far it came: one row, held by one process at a time.

    holder: that process; who takes it over writes its own, and the old one finds out at its next write. progress:
    records of `epoch` that Kafka has acknowledged. log_id: of the Kafka log they are in.
    """

    __tablename__ = "feed"

    source: Mapped[str] = mapped_column(String(32), primary_key=True)
    identity: Mapped[str] = mapped_column(String(64))
    epoch: Mapped[str] = mapped_column(String(32))
    started: Mapped[int] = mapped_column(BigInteger)
    progress: Mapped[int] = mapped_column(BigInteger)
    log_id: Mapped[str] = mapped_column(String(64))
    holder: Mapped[str] = mapped_column(String(64))


class TickerRow(Base):
    """A symbol that a source knows."""

    __tablename__ = "tickers"

    symbol: Mapped[str] = mapped_column(String(32), primary_key=True)
    source: Mapped[str] = mapped_column(String(32), primary_key=True)
    sector: Mapped[str] = mapped_column(Text)


class BarRow(Base):
    """A completed bar, as traded. Bars of one source never overwrite another's."""

    __tablename__ = "bars"
    __table_args__ = ({"sqlite_with_rowid": False},)

    symbol: Mapped[str] = mapped_column(String(32), primary_key=True)
    timeframe: Mapped[str] = mapped_column(String(8), primary_key=True)
    source: Mapped[str] = mapped_column(String(32), primary_key=True)
    start: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    end: Mapped[int] = mapped_column(BigInteger)
    date: Mapped[str] = mapped_column(String(10))
    open: Mapped[float] = mapped_column(Double)
    high: Mapped[float] = mapped_column(Double)
    low: Mapped[float] = mapped_column(Double)
    close: Mapped[float] = mapped_column(Double)
    volume: Mapped[float] = mapped_column(Double)


class SplitRow(Base):
    """Each old share became `ratio` new ones from `effective` on; time: midnight in New York of that date."""

    __tablename__ = "splits"

    symbol: Mapped[str] = mapped_column(String(32), primary_key=True)
    source: Mapped[str] = mapped_column(String(32), primary_key=True)
    effective: Mapped[str] = mapped_column(String(10), primary_key=True)
    ratio: Mapped[float] = mapped_column(Double)
    time: Mapped[int] = mapped_column(BigInteger)
