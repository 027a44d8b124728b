"""Market data: history and tickers."""

from dataclasses import dataclass
from typing import Literal

import msgspec
from pydantic import Field
from starlette.routing import Route

from services.gateway.backends import Bar, HistoryQuestion, StockData
from services.gateway.http.bodies import QueryOrBody
from services.gateway.http.callers import Callers
from services.gateway.http.routing import Listing, Who, endpoint, listing, number, resource
from services.shared.events import seconds


class HistoryQuery(QueryOrBody):
    symbol: str = Field(min_length=1, max_length=64, description="or the name of a company", examples=["AAPL", "Apple"])
    start: str = Field("", max_length=40, description="a date or a time, inclusive", examples=["2012-01-03"])
    end: str = Field("", max_length=40, description="a date or a time, inclusive", examples=["2012-06-01"])
    timeframe: str = Field("1d", max_length=8, description="of one bar", examples=["1d", "1m"])
    adjustment: Literal["raw", "split"] = Field("raw", description="prices as traded, or as of today's shares")
    limit: int = Field(100, ge=1, le=10_000)
    page_token: str = Field("", max_length=512, description="`next_page_token` of the page before")


class BarShown(msgspec.Struct, frozen=True, kw_only=True):
    """A daily bar has its session's `date`, any other the `time` at which it begins."""

    symbol: str
    date: str | msgspec.UnsetType = msgspec.UNSET
    time: str | msgspec.UnsetType = msgspec.UNSET
    open: float
    high: float
    low: float
    close: float
    volume: float
    source: str


class TickerShown(msgspec.Struct, frozen=True):
    """rows: completed daily bars, from the date `first` to `last`; null where there are none, or nobody said."""

    ticker: str
    sector: str | None
    rows: int
    first: str | None
    last: str | None


@dataclass(frozen=True, slots=True)
class Stocks:
    stock_data: StockData
    callers: Callers

    def routes(self) -> list[Route]:
        return [
            resource("/api/stocks/history", self.callers, GET=self.history),
            resource("/tickers", self.callers, GET=self.tickers),
        ]

    @endpoint("Bars of one symbol, oldest first", who=Who.READER, errors={404: "unknown_symbol"}, kept=True)
    async def history(self, wish: HistoryQuery) -> Listing[BarShown]:
        """Completed bars only, from `start` to `end`; both may be left out."""
        found = await self.stock_data.history(
            HistoryQuestion(
                symbol=wish.symbol,
                timeframe=wish.timeframe,
                start=wish.start,
                end=wish.end,
                split_adjusted=wish.adjustment == "split",
                limit=wish.limit,
                page_token=wish.page_token,
            )
        )
        daily = wish.timeframe == "1d"
        return listing((_bar(found.symbol, bar, daily) for bar in found.bars), found.next_page_token)

    @endpoint("Every symbol that is known here", who=Who.READER, kept=True)
    async def tickers(self) -> Listing[TickerShown]:
        return listing(
            TickerShown(each.ticker, each.sector or None, each.rows, each.first or None, each.last or None)
            for each in await self.stock_data.tickers()
        )


def _bar(symbol: str, bar: Bar, daily: bool) -> BarShown:
    return BarShown(
        symbol=symbol,
        date=bar.date if daily else msgspec.UNSET,
        time=msgspec.UNSET if daily else seconds(bar.start),
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=number(bar.volume),
        source=bar.source,
    )
