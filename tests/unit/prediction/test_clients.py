"""stock_data over a real channel: our types, all pages, our errors."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.prediction.clients import SAFE, SERVICE, Feed, History, Price, StockDataClient
from services.prediction.core.bars import PastBar
from services.shared.errors import NotFound, Unavailable
from services.shared.rpc import stock_data_pb2 as pb
from services.shared.rpc.channel import open_channel, serve
from services.shared.rpc.stock_data_pb2_grpc import StockDataServicer, add_StockDataServicer_to_server
from tests.unit.prediction.samples import walk

BARS = walk(25, seed=1)


class Entrance(StockDataServicer):
    """Answers ten bars a page."""

    def __init__(self) -> None:
        self.asked: list[pb.HistoryRequest] = []
        self.prices: list[pb.Price] = []

    async def History(self, request: pb.HistoryRequest, context: Any) -> pb.HistoryReply:
        self.asked.append(pb.HistoryRequest.FromString(request.SerializeToString()))
        if request.symbol == "NOPE":
            raise NotFound("unknown symbol", code="unknown_symbol")
        first = int(request.page_token or 0)
        page = BARS[-request.limit :] if request.latest else BARS[first : first + 10]
        token = str(first + 10) if not request.latest and first + 10 < len(BARS) else ""
        bars = [
            pb.Bar(date=b.date, end=b.time, open=b.open, high=b.high, low=b.low, close=b.close, volume=b.volume)
            for b in page
        ]
        return pb.HistoryReply(symbol="AAPL", bars=bars, next_page_token=token)

    async def Latest(self, request: pb.LatestRequest, context: Any) -> pb.LatestReply:
        return pb.LatestReply(prices=self.prices)

    async def Tickers(self, request: pb.TickersRequest, context: Any) -> pb.TickersReply:
        return pb.TickersReply(tickers=[pb.Ticker(ticker="AAPL"), pb.Ticker(ticker="IBM")])

    async def FeedStatus(self, request: pb.FeedStatusRequest, context: Any) -> pb.FeedStatusReply:
        return pb.FeedStatusReply(feed="replay", epoch="e1", clock="c", started="s")


@pytest.fixture
def entrance() -> Entrance:
    return Entrance()


@pytest.fixture
async def client(entrance: Entrance, tmp_path: Path) -> AsyncIterator[StockDataClient]:
    address = f"unix:{tmp_path}/stock_data"
    channel = open_channel(address, token=None, service=SERVICE, safe=SAFE)
    async with serve(
        address, "stock_data", lambda server: add_StockDataServicer_to_server(entrance, server), token=None
    ):
        yield StockDataClient(channel)
        await channel.close()


async def test_history_is_read_to_its_end(client: StockDataClient, entrance: Entrance) -> None:
    assert await client.history("apple", before="2012-06-01T00:00:00.000000Z") == History("AAPL", BARS)
    assert [request.page_token for request in entrance.asked] == ["", "10", "20"]
    for request in entrance.asked:
        assert (request.symbol, request.timeframe, request.before) == ("apple", "1d", "2012-06-01T00:00:00.000000Z")
        assert (request.adjustment, request.limit, request.latest) == (pb.ADJUSTMENT_SPLIT, 10_000, False)


async def test_the_newest_bars(client: StockDataClient, entrance: Entrance) -> None:
    found = await client.history("AAPL", latest=3)
    assert found.bars == BARS[-3:]
    assert isinstance(found.bars[0], PastBar)
    assert [(request.limit, request.latest) for request in entrance.asked] == [(3, True)]


async def test_latest_price(client: StockDataClient, entrance: Entrance) -> None:
    assert await client.latest("AAPL") is None
    entrance.prices = [pb.Price(symbol="AAPL", price=1.5, time="t")]
    assert await client.latest("AAPL") == Price(1.5, "t")


async def test_tickers_and_feed(client: StockDataClient) -> None:
    assert await client.tickers() == ["AAPL", "IBM"]
    assert await client.feed() == Feed("replay", "e1", "s", "c")


async def test_errors_are_ours(client: StockDataClient) -> None:
    with pytest.raises(NotFound) as caught:
        await client.history("NOPE")
    assert caught.value.code == "unknown_symbol"


async def test_nobody_there(tmp_path: Path) -> None:
    channel = open_channel(f"unix:{tmp_path}/nobody", token=None, service=SERVICE)
    with pytest.raises(Unavailable):
        await StockDataClient(channel).tickers()
    await channel.close()
