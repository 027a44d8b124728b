"""Market data: history and tickers."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.backends import Bar, HistoryQuestion, StockData
from services.gateway.http.bodies import Query, given, read_tolerated, validate
from services.gateway.http.callers import Callers
from services.gateway.http.routing import listing, number, resource
from services.shared.events import seconds


class HistoryQuery(Query):
    symbol: str = Field(min_length=1, max_length=64)
    start: str = Field("", max_length=40)
    end: str = Field("", max_length=40)
    timeframe: str = Field("1d", max_length=8)
    adjustment: Literal["raw", "split"] = "raw"
    limit: int = Field(100, ge=1, le=10_000)
    page_token: str = Field("", max_length=512)


@dataclass(frozen=True, slots=True)
class Stocks:
    stock_data: StockData
    callers: Callers

    def routes(self) -> list[Route]:
        return [
            resource("/api/stocks/history", GET=self.history),
            resource("/tickers", GET=self.tickers),
        ]

    async def history(self, request: Request) -> Response:
        await self.callers.reader(request)
        asked: dict[str, Any] = given(request)
        if "symbol" not in asked:  # old clients send it as the JSON body of a GET
            asked = await read_tolerated(request) | asked
        wish = validate(HistoryQuery, asked)
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

    async def tickers(self, request: Request) -> Response:
        await self.callers.reader(request)
        return listing(
            {
                "ticker": each.ticker,
                "sector": each.sector or None,
                "rows": each.rows,
                "first": each.first or None,
                "last": each.last or None,
            }
            for each in await self.stock_data.tickers()
        )


def _bar(symbol: str, bar: Bar, daily: bool) -> dict[str, Any]:
    """A daily bar has its session's `date`, any other the `time` at which it begins."""
    when = {"date": bar.date} if daily else {"time": seconds(bar.start)}
    return {
        "symbol": symbol,
        **when,
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "close": bar.close,
        "volume": number(bar.volume),
        "source": bar.source,
    }
