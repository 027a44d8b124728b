"""Bars, splits and tickers in the database, and how far the feed came.

Every write of the feed proves first that the feed is still ours (`holder`), in the same transaction. So whoever takes
the feed over knows that nothing of the old holder comes after it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, cast

from sqlalchemy import Table, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared.database import Database, upsert
from services.shared.errors import Fenced
from services.stock_data.core.bars import FinalBar
from services.stock_data.core.splits import SplitFound
from services.stock_data.tables import BarRow, FeedRow, SplitRow, TickerRow

_FEED, _TICKERS = cast(Table, FeedRow.__table__), cast(Table, TickerRow.__table__)
_BARS, _SPLITS = cast(Table, BarRow.__table__), cast(Table, SplitRow.__table__)

_ROWS_AT_ONCE: Final = 5_000
_BAR_FIELDS = FinalBar.__struct_fields__
_SPLIT_FIELDS = SplitFound.__struct_fields__


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a feed came. epoch and identity: see positions.py and feeds/base.py; records: acknowledged by the Kafka
    log `log_id`."""

    identity: str
    epoch: str
    records: int
    log_id: str


@dataclass(frozen=True, slots=True)
class Beginning:
    """What an epoch starts from. history: bars and splits to be stored, None where they are stored already."""

    identity: str
    epoch: str
    started: int
    log_id: str
    sectors: Mapping[str, str]
    history: tuple[Sequence[FinalBar], Sequence[SplitFound]] | None


@dataclass(frozen=True, slots=True)
class Page:
    """Which bars of one symbol. before: only bars that ended earlier, an instant. first_start, last_start: instants,
    inclusive. newest: the last `limit` of them instead of the first."""

    symbol: str
    timeframe: str
    before: int
    limit: int
    first_start: int | None = None
    last_start: int | None = None
    newest: bool = False


@dataclass(frozen=True, slots=True)
class Coverage:
    """Completed daily bars of a symbol: how many, and the dates of the first and last of them."""

    rows: int
    first: str
    last: str


class Store:
    """What one feed's `source` has in the database. holder: who we are."""

    def __init__(self, database: Database, source: str, holder: str) -> None:
        self._database = database
        self._source = source
        self._holder = holder

    # -- the feed --------------------------------------------------------------------------------------------------

    async def take_over(self, log_id: str) -> Progress | None:
        """Makes the feed ours, whoever had it; says how far it came, None where it never began."""
        async with self._database.transaction() as session:
            row = _FEED.c
            found = (
                await session.execute(
                    select(row.identity, row.epoch, row.progress, row.log_id)
                    .where(row.source == self._source)
                    .with_for_update()
                )
            ).one_or_none()
            await session.execute(
                update(_FEED).where(row.source == self._source).values(holder=self._holder, log_id=log_id)
            )
        return None if found is None else Progress(*found)

    async def begin(self, start: Beginning) -> None:
        """Starts an epoch: what the source has of later than its begin goes, its history comes where it is given.

        Raises Fenced where somebody else has taken the feed over.
        """
        async with self._database.transaction() as session:
            await self._write_feed(session, start)
            bars, splits = _BARS.c, _SPLITS.c
            if start.history is None:
                await session.execute(delete(_BARS).where(bars.source == self._source, bars.end > start.started))
                await session.execute(
                    delete(_SPLITS).where(splits.source == self._source, splits.time >= start.started)
                )
                return
            for table in (_BARS, _SPLITS, _TICKERS):
                await session.execute(delete(table).where(table.c.source == self._source))
            await self._add(session, *start.history)
            known = [
                {"symbol": symbol, "source": self._source, "sector": sector} for symbol, sector in start.sectors.items()
            ]
            await session.execute(insert(_TICKERS), known)

    async def advance(self, records: int, bars: Iterable[FinalBar] = (), splits: Iterable[SplitFound] = ()) -> None:
        """Stores what is about to be published and that `records` are acknowledged. Raises Fenced as `begin` does."""
        async with self._database.transaction() as session:
            row = _FEED.c
            mine = update(_FEED).where(row.source == self._source, row.holder == self._holder)
            kept = (await session.execute(mine.values(progress=records).returning(row.source))).one_or_none()
            if kept is None:
                raise _taken_over()
            await self._add(session, bars, splits)

    async def _write_feed(self, session: AsyncSession, start: Beginning) -> None:
        values = {
            "identity": start.identity,
            "epoch": start.epoch,
            "started": start.started,
            "progress": 0,
            "log_id": start.log_id,
        }
        written = await session.execute(
            upsert(session, _FEED)
            .values(source=self._source, holder=self._holder, **values)
            .on_conflict_do_update(index_elements=["source"], set_=values, where=_FEED.c.holder == self._holder)
            .returning(_FEED.c.source)
        )
        if written.one_or_none() is None:
            raise _taken_over()

    async def _add(self, session: AsyncSession, bars: Iterable[FinalBar], splits: Iterable[SplitFound]) -> None:
        for table, fields, rows in ((_BARS, _BAR_FIELDS, bars), (_SPLITS, _SPLIT_FIELDS, splits)):
            # a replay that went back comes by the same rows again
            statement, left = upsert(session, table).on_conflict_do_nothing(), iter(rows)
            while some := list(islice(left, _ROWS_AT_ONCE)):
                values = [{"source": self._source, **{name: getattr(row, name) for name in fields}} for row in some]
                await session.execute(statement, values)

    # -- questions -------------------------------------------------------------------------------------------------

    async def bars(self, page: Page) -> list[FinalBar]:
        """The bars of a page, oldest first."""
        bars = _BARS.c
        asked: list[Any] = [
            bars.symbol == page.symbol,
            bars.timeframe == page.timeframe,
            bars.source == self._source,
            bars.end < page.before,
        ]
        if page.first_start is not None:
            asked.append(bars.start >= page.first_start)
        if page.last_start is not None:
            asked.append(bars.start <= page.last_start)
        order = bars.start.desc() if page.newest else bars.start
        statement = select(*(bars[name] for name in _BAR_FIELDS)).where(*asked).order_by(order).limit(page.limit)
        async with self._database.reading() as session:
            found = [FinalBar(*row) for row in await session.execute(statement)]
        return found[::-1] if page.newest else found

    async def splits(self, symbol: str) -> list[SplitFound]:
        """Every split of a symbol, oldest first."""
        splits = _SPLITS.c
        statement = (
            select(*(splits[name] for name in _SPLIT_FIELDS))
            .where(splits.symbol == symbol, splits.source == self._source)
            .order_by(splits.time)
        )
        async with self._database.reading() as session:
            return [SplitFound(*row) for row in await session.execute(statement)]

    async def coverage(self, before: int) -> dict[str, Coverage]:
        """For each symbol, its daily bars that ended earlier than the instant `before`."""
        bars = _BARS.c
        statement = (
            select(bars.symbol, func.count(), func.min(bars.date), func.max(bars.date))
            .where(bars.source == self._source, bars.timeframe == "1d", bars.end < before)
            .group_by(bars.symbol)
        )
        async with self._database.reading() as session:
            return {
                symbol: Coverage(rows, first, last) for symbol, rows, first, last in await session.execute(statement)
            }

    async def sectors(self) -> dict[str, str]:
        """Every symbol that the database knows, and its sector or ``."""
        async with self._database.reading() as session:
            rows = await session.execute(select(_TICKERS.c.symbol, _TICKERS.c.sector).order_by(_TICKERS.c.symbol))
            return {symbol: sector for symbol, sector in rows}


def _taken_over() -> Fenced:
    return Fenced("another stock_data has taken the feed over; this one stops", code="feed_taken_over")
