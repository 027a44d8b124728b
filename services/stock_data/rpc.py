"""gRPC of the entrance: History, Latest, Tickers, FeedStatus, as proto/stock_data.proto says."""

import base64
import binascii
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from services.shared.errors import FieldError, InvalidInput, NotFound
from services.shared.events import encode
from services.shared.rpc import stock_data_pb2 as pb
from services.shared.rpc.stock_data_pb2_grpc import StockDataServicer
from services.shared.symbols import resolve
from services.stock_data.core import instants
from services.stock_data.core.adjust import adjust
from services.stock_data.core.bars import TIMEFRAMES, FinalBar
from services.stock_data.core.market import Market
from services.stock_data.store import Coverage, Page, Store

DEFAULT_LIMIT: Final = 100
MOST_BARS: Final = 10_000


class StockData(StockDataServicer):
    """Answers from the database and from what the feed has told. sectors: every known symbol."""

    def __init__(self, store: Store, market: Market, sectors: Mapping[str, str], source: str) -> None:
        self._store, self._market, self._source = store, market, source
        self._sectors, self._symbols = dict(sectors), frozenset(sectors)

    async def History(self, request: pb.HistoryRequest, context: Any) -> pb.HistoryReply:
        symbol = self._known(request.symbol)
        page = _page(request, symbol, self._market.known_before)
        found = await self._store.bars(page)
        more = len(found) > (limit := _limit(request.limit))
        bars = found[:limit]
        if request.adjustment == pb.ADJUSTMENT_SPLIT and bars:
            bars = adjust(bars, await self._store.splits(symbol), page.before)
        return pb.HistoryReply(
            symbol=symbol,
            bars=[_to_bar(bar, self._source) for bar in bars],
            next_page_token=_to_token(bars[-1].start, page.before) if more else "",
        )

    async def Latest(self, request: pb.LatestRequest, context: Any) -> pb.LatestReply:
        latest = self._market.told.latest
        wanted = sorted({self._known(name) for name in request.symbols} or latest)
        return pb.LatestReply(
            prices=[
                pb.Price(
                    symbol=symbol,
                    price=tick.price,
                    time=tick.time,
                    epoch=tick.epoch,
                    seq=tick.seq,
                    source=tick.source,
                    event=encode(tick),
                )
                for symbol in wanted
                if (tick := latest.get(symbol)) is not None
            ]
        )

    async def Tickers(self, request: pb.TickersRequest, context: Any) -> pb.TickersReply:
        covered = await self._store.coverage(self._market.known_before)
        nothing = Coverage(0, "", "")
        return pb.TickersReply(
            tickers=[
                pb.Ticker(
                    ticker=symbol,
                    sector=sector,
                    rows=(coverage := covered.get(symbol, nothing)).rows,
                    first=coverage.first,
                    last=coverage.last,
                )
                for symbol, sector in sorted(self._sectors.items())
            ]
        )

    async def FeedStatus(self, request: pb.FeedStatusRequest, context: Any) -> pb.FeedStatusReply:
        market = self._market
        return pb.FeedStatusReply(
            feed=market.feed,
            epoch=market.epoch,
            clock=market.told.clock,
            started=instants.text(market.started),
            finished=market.finished,
        )

    def _known(self, name: str) -> str:
        if not name.strip():
            raise _invalid("symbol", "a symbol or company name is needed")
        if (symbol := resolve(name, self._symbols)) is None:
            raise NotFound(f"unknown symbol {name.strip()[:32]!r}", code="unknown_symbol")
        return symbol


def _page(request: pb.HistoryRequest, symbol: str, known_before: int) -> Page:
    """One bar more than asked is read: it tells whether another page follows."""
    timeframe = request.timeframe or "1d"
    if timeframe not in TIMEFRAMES:
        raise _invalid("timeframe", f"is {' or '.join(TIMEFRAMES)}")
    limit = _limit(request.limit)
    before = _instant("before", request.before) if request.before else known_before
    first, last = _first(request.start, timeframe), _last(request.end, timeframe)
    if first is not None and last is not None and first > last:
        raise _invalid("start", "lies after end")
    if request.latest:
        if request.page_token:
            raise _invalid("page_token", "has no meaning together with latest")
        return Page(symbol, timeframe, before, limit, first, last, newest=True)
    if request.page_token:
        behind, before = _from_token(request.page_token)
        first = behind + 1
    return Page(symbol, timeframe, before, limit + 1, first, last)


def _limit(asked: int) -> int:
    if not 0 <= asked <= MOST_BARS:
        raise _invalid("limit", f"is 1 to {MOST_BARS:,}")
    return asked or DEFAULT_LIMIT


def _first(start: str, timeframe: str) -> int | None:
    """The earliest begin of a bar that `start` allows."""
    if not start:
        return None
    return _begin_of_day("start", start) if _is_date(start, timeframe) else _instant("start", start)


def _last(end: str, timeframe: str) -> int | None:
    """The latest begin of a bar that `end` allows: a date means all of its day."""
    if not end:
        return None
    return _begin_of_day("end", end, days=1) - 1 if _is_date(end, timeframe) else _instant("end", end)


def _is_date(written: str, timeframe: str) -> bool:
    return timeframe == "1d" or len(written) <= len("YYYY-MM-DD")


def _begin_of_day(name: str, written: str, days: int = 0) -> int:
    try:
        return instants.midnight(instants.parse_date(written) + timedelta(days=days))
    except ValueError:
        raise _invalid(name, "is a date YYYY-MM-DD, for minute bars also an RFC 3339 time") from None


def _instant(name: str, written: str) -> int:
    try:
        return instants.parse(written)
    except ValueError:
        raise _invalid(name, "is an RFC 3339 time") from None


def _to_token(start: int, before: int) -> str:
    """Where the next page begins, and the instant that all pages are seen from."""
    return base64.urlsafe_b64encode(f"{start}.{before}".encode()).decode().rstrip("=")


def _from_token(token: str) -> tuple[int, int]:
    try:
        start, before = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).split(b".")
        return int(start), int(before)
    except (ValueError, binascii.Error):
        raise _invalid("page_token", "is not one that an answer gave") from None


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(f"{field} {message}", errors=(FieldError(field, message),))


def _to_bar(bar: FinalBar, source: str) -> pb.Bar:
    return pb.Bar(
        date=bar.date,
        start=instants.text(bar.start),
        end=instants.text(bar.end),
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=bar.volume,
        source=source,
    )
