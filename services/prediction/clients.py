"""stock_data as prediction sees it: behind a protocol, with our own types, errors of our own families."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import grpc

from services.prediction.core.bars import PastBar
from services.shared.rpc import stock_data_pb2 as pb
from services.shared.rpc.status import to_error
from services.shared.rpc.stock_data_pb2_grpc import StockDataStub

SERVICE: Final = "tickroom.stock_data.v1.StockData"
SAFE: Final = ("History", "Latest", "Tickers", "FeedStatus")

_PAGE: Final = 10_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class History:
    """Completed, split-adjusted daily bars of `symbol` (as resolved), oldest first."""

    symbol: str
    bars: tuple[PastBar, ...]


@dataclass(frozen=True, slots=True)
class Price:
    """The last accepted price, as traded; time: RFC 3339; epoch and seq: its position."""

    price: float
    time: str
    epoch: str = ""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Feed:
    """What the feed is doing. epoch: empty while it has none; started: RFC 3339 where that begins in the data's time;
    clock: the data's time, empty before the first record."""

    name: str
    epoch: str
    started: str
    clock: str


class StockData(Protocol):
    """Every call raises Unavailable where stock_data does not answer."""

    async def history(self, symbol: str, *, before: str = "", latest: int = 0) -> History:
        """Bars final strictly before the instant `before` (empty: the feed's clock), the newest `latest` of them (0:
        all). Raises NotFound for an unknown symbol."""
        ...

    async def latest(self, symbol: str) -> Price | None:
        """None where it had no price yet."""
        ...

    async def tickers(self) -> list[str]: ...

    async def feed(self) -> Feed: ...


class StockDataClient:
    """StockData over gRPC."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = StockDataStub(channel)

    async def history(self, symbol: str, *, before: str = "", latest: int = 0) -> History:
        request = pb.HistoryRequest(
            symbol=symbol,
            timeframe="1d",
            before=before,
            adjustment=pb.ADJUSTMENT_SPLIT,
            limit=latest or _PAGE,
            latest=latest > 0,
        )
        bars: list[PastBar] = []
        while True:
            reply = await _answer(self._stub.History(request))
            bars.extend(_bar(each) for each in reply.bars)
            if latest or not reply.next_page_token:
                return History(reply.symbol, tuple(bars))
            request.page_token = reply.next_page_token

    async def latest(self, symbol: str) -> Price | None:
        reply = await _answer(self._stub.Latest(pb.LatestRequest(symbols=[symbol])))
        if not reply.prices:
            return None
        found = reply.prices[0]
        return Price(found.price, found.time, found.epoch, found.seq)

    async def tickers(self) -> list[str]:
        reply = await _answer(self._stub.Tickers(pb.TickersRequest()))
        return [each.ticker for each in reply.tickers]

    async def feed(self) -> Feed:
        reply = await _answer(self._stub.FeedStatus(pb.FeedStatusRequest()))
        return Feed(reply.feed, reply.epoch, reply.started, reply.clock)


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except grpc.aio.AioRpcError as failure:
        raise to_error(failure) from None


def _bar(bar: pb.Bar) -> PastBar:
    return PastBar(bar.date, bar.end, bar.open, bar.high, bar.low, bar.close, bar.volume)
