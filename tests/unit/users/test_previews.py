"""Previews over stored bars: what stock_data says becomes records, splits among them."""

from pathlib import Path
from typing import Any

import pytest

from services.shared.errors import InvalidInput
from services.shared.rpc import stock_data_pb2 as pb
from services.shared.rpc.channel import serve
from services.shared.rpc.stock_data_pb2_grpc import StockDataServicer, add_StockDataServicer_to_server
from services.users.clients import GrpcMarket
from services.users.core.asked import Asked, AskedCondition
from services.users.previews import OF_BARS, Asking, Previews

_DAYS = (("2024-09-19", 590.0, 598.0), ("2024-09-20", 601.0, 599.0), ("2024-09-23", 149.0, 151.0))
_SPLIT = "2024-09-23"


class StockData(StockDataServicer):
    """One symbol with a 4:1 split before its last day. asked: what History was asked for."""

    def __init__(self) -> None:
        self.asked: list[pb.HistoryRequest] = []

    async def Tickers(self, request: Any, context: Any) -> pb.TickersReply:
        return pb.TickersReply(tickers=[pb.Ticker(ticker="AAPL")])

    async def FeedStatus(self, request: Any, context: Any) -> pb.FeedStatusReply:
        return pb.FeedStatusReply()

    async def Latest(self, request: Any, context: Any) -> pb.LatestReply:
        return pb.LatestReply()

    async def History(self, request: pb.HistoryRequest, context: Any) -> pb.HistoryReply:
        self.asked.append(request)
        bars = []
        for day, open_, close in _DAYS:
            ratio = 4.0 if request.adjustment == pb.ADJUSTMENT_SPLIT and day < _SPLIT else 1.0
            start, end = f"{day}T13:30:00.000000Z", f"{day}T20:00:00.000000Z"
            high, low = max(open_, close) / ratio, min(open_, close) / ratio
            bars.append(
                pb.Bar(date=day, start=start, end=end, open=open_ / ratio, high=high, low=low, close=close / ratio)
            )
        return pb.HistoryReply(symbol="AAPL", bars=bars)


def rule(*conditions: AskedCondition) -> Asked:
    return Asked(symbol="apple", conditions=conditions, trigger="every_time")


async def test_thresholds_are_in_todays_shares_and_prices_as_traded(tmp_path: Path) -> None:
    stock_data, address = StockData(), f"unix:{tmp_path}/stock_data"
    async with serve(
        address,
        "stock_data",
        lambda server: add_StockDataServicer_to_server(stock_data, server),
        token=None,
    ):
        market = GrpcMarket(address, None)
        asked = Asking(rule(AskedCondition("crossing_up", 150.0)), start="2024-09-01", end="2024-09-30")
        found = await Previews(market).run(asked)
        await market.close()
    assert [(each.time[:10], each.price, each.threshold) for each in found.firings] == [
        ("2024-09-20", 601.0, 600.0),
        ("2024-09-23", 151.0, 150.0),
    ]
    assert (found.symbol, found.prices, found.resolution) == ("AAPL", 6, OF_BARS)
    assert {(each.start, each.end) for each in stock_data.asked} == {("2024-09-01", "2024-09-30")}


async def test_predictions_have_no_past(tmp_path: Path) -> None:
    market = GrpcMarket(f"unix:{tmp_path}/nobody", None)
    with pytest.raises(InvalidInput, match="conditions"):
        await Previews(market).run(Asking(rule(AskedCondition("confidence_above", 0.5))))
    await market.close()
