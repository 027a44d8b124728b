"""What the entrance answers over gRPC: history by pages and splits, last prices, tickers, the feed's clock."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio

from services.shared.embedded_kafka import embedded_kafka
from services.shared.errors import InvalidInput, NotFound, TickroomError
from services.shared.events import Tick, decode_record
from services.shared.rpc import stock_data_pb2 as pb
from services.shared.rpc.channel import open_channel
from services.shared.rpc.status import to_error
from services.shared.rpc.stock_data_pb2_grpc import StockDataStub
from tests.integration.stock_data_house import Followers, running, settings_of, write_days

if TYPE_CHECKING:
    from services.shared.rpc.stock_data_pb2_grpc import StockDataAsyncStub  # stands in the type stub alone

pytestmark = pytest.mark.asyncio(loop_scope="module")

LAST_CLOSE = "2001-01-20T21:00:00.000000Z"
ALL = 3 * (3 * 20 - 3 * 2) + 1 + 2  # three tickers, 18 of 20 days, the splits on the first of them


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def entrance(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator["StockDataAsyncStub"]:
    """Twenty days of AAPL, IBM and ZZZ, two of them history, played to the end. The split is on the third."""
    tmp_path = tmp_path_factory.mktemp("entrance")
    days = write_days(tmp_path / "days.csv", ("AAPL", "IBM", "ZZZ"), 20)
    settings = settings_of(tmp_path, days, replay_start=date(2001, 1, 3))
    async with embedded_kafka() as kafka, Followers(kafka) as followers, running(settings, kafka):
        await followers.until(ALL)
        async with open_channel(
            settings.grpc_listen, token=None, service="tickroom.stock_data.v1.StockData"
        ) as channel:
            stub: StockDataAsyncStub = StockDataStub(channel)
            async with asyncio.timeout(10):
                while not (await stub.FeedStatus(pb.FeedStatusRequest())).finished:  # noqa: ASYNC110 (of the server)
                    await asyncio.sleep(0.01)
            yield stub


async def failure(call: "grpc.aio.UnaryUnaryCall[Any, Any]") -> TickroomError:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return to_error(failed.value)


def ask(**fields: object) -> pb.HistoryRequest:
    return pb.HistoryRequest(**{"symbol": "AAPL", **fields})  # type: ignore[arg-type]


async def dates(entrance: "StockDataAsyncStub", **fields: object) -> list[int]:
    return [int(bar.date[-2:]) for bar in (await entrance.History(ask(**fields))).bars]


async def test_history_is_complete_and_oldest_first(entrance: "StockDataAsyncStub") -> None:
    reply = await entrance.History(ask())
    assert (reply.symbol, reply.next_page_token) == ("AAPL", "")
    assert [int(bar.date[-2:]) for bar in reply.bars] == list(range(1, 21))
    assert reply.bars[0] == pb.Bar(
        date="2001-01-01", start="2001-01-01T14:30:00.000000Z", end="2001-01-01T21:00:00.000000Z",
        open=200.0, high=202.0, low=199.0, close=201.0, volume=1000.0, source="replay",
    )  # fmt: skip


async def test_symbols_may_be_names(entrance: "StockDataAsyncStub") -> None:
    assert (await entrance.History(ask(symbol=" apple "))).symbol == "AAPL"
    assert (await entrance.History(ask(symbol="zzz"))).symbol == "ZZZ"


async def test_start_and_end_are_inclusive(entrance: "StockDataAsyncStub") -> None:
    assert await dates(entrance, start="2001-01-05", end="2001-01-07") == [5, 6, 7]
    assert await dates(entrance, end="2001-01-02") == [1, 2]
    assert await dates(entrance, start="2001-01-19") == [19, 20]
    assert await dates(entrance, start="2002-01-01") == []


async def test_before_leaves_out_what_ended_then(entrance: "StockDataAsyncStub") -> None:
    assert await dates(entrance, before="2001-01-03T21:00:00.000000Z") == [1, 2]
    assert await dates(entrance, before="2001-01-03T21:00:00.000001Z") == [1, 2, 3]


async def test_pages_join_to_the_whole(entrance: "StockDataAsyncStub") -> None:
    whole, pages, token = (await entrance.History(ask())).bars, [], ""
    while True:
        reply = await entrance.History(ask(limit=7, page_token=token))
        pages.append(len(reply.bars))
        assert list(reply.bars) == list(whole[sum(pages[:-1]) : sum(pages)])
        if not (token := reply.next_page_token):
            break
    assert pages == [7, 7, 6]


async def test_a_last_page_that_is_full_has_no_next(entrance: "StockDataAsyncStub") -> None:
    assert (await entrance.History(ask(limit=20))).next_page_token == ""
    assert (await entrance.History(ask(limit=19))).next_page_token != ""


async def test_pages_are_seen_from_one_instant(entrance: "StockDataAsyncStub") -> None:
    first = await entrance.History(ask(limit=1, before="2001-01-03T04:00:00Z", adjustment=pb.ADJUSTMENT_SPLIT))
    second = await entrance.History(ask(limit=1, page_token=first.next_page_token, adjustment=pb.ADJUSTMENT_SPLIT))
    assert [bar.close for bar in (*first.bars, *second.bars)] == [201.0, 203.0]  # the split is later
    assert second.next_page_token == ""


async def test_the_newest(entrance: "StockDataAsyncStub") -> None:
    assert await dates(entrance, latest=True, limit=3) == [18, 19, 20]
    assert await dates(entrance, latest=True, limit=3, before="2001-01-05T00:00:00Z") == [2, 3, 4]
    assert (await entrance.History(ask(latest=True, limit=3))).next_page_token == ""


async def test_split_adjusted_and_raw(entrance: "StockDataAsyncStub") -> None:
    raw = (await entrance.History(ask(limit=3))).bars
    adjusted = (await entrance.History(ask(limit=3, adjustment=pb.ADJUSTMENT_SPLIT))).bars
    assert [bar.close for bar in raw] == [201.0, 203.0, 103.0]
    assert [bar.close for bar in adjusted] == [100.5, 101.5, 103.0]
    assert [bar.volume for bar in adjusted] == [2000.0, 2000.0, 1000.0]
    at_the_split = ask(limit=1, adjustment=pb.ADJUSTMENT_SPLIT, before="2001-01-03T05:00:00.000000Z")
    assert (await entrance.History(at_the_split)).bars[0].close == 201.0
    at_the_open = ask(limit=1, adjustment=pb.ADJUSTMENT_SPLIT, before="2001-01-03T14:30:00.000000Z")
    assert (await entrance.History(at_the_open)).bars[0].close == 100.5


async def test_a_daily_feed_has_no_minutes(entrance: "StockDataAsyncStub") -> None:
    assert await dates(entrance, timeframe="1m", start="2001-01-05T10:00:00Z", end="2001-01-06") == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("symbol", " "),
        ("timeframe", "5m"),
        ("limit", -1),
        ("limit", 10_001),
        ("start", "yesterday"),
        ("start", "2001-01-05T00:00:00Z"),
        ("end", "2001-02-30"),
        ("before", "2001-01-05"),
        ("page_token", "???"),
        ("page_token", "MTIz"),
        ("page_token", "é"),
    ],
)
async def test_bad_questions_name_the_field(entrance: "StockDataAsyncStub", field: str, value: object) -> None:
    error = await failure(entrance.History(ask(**{field: value})))
    assert isinstance(error, InvalidInput)
    assert [each.loc for each in error.errors] == [field]


async def test_questions_that_contradict_themselves(entrance: "StockDataAsyncStub") -> None:
    backwards = await failure(entrance.History(ask(start="2001-01-05", end="2001-01-04")))
    assert backwards.detail == "start lies after end"
    both = await failure(entrance.History(ask(latest=True, page_token="MTIzLjQ1Ng")))
    assert [each.loc for each in both.errors] == ["page_token"]


async def test_an_unknown_symbol(entrance: "StockDataAsyncStub") -> None:
    for call in (entrance.History(ask(symbol="TSLA")), entrance.Latest(pb.LatestRequest(symbols=["IBM", "Tesla"]))):
        error = await failure(call)
        assert isinstance(error, NotFound)
        assert error.code == "unknown_symbol"


async def test_the_last_prices(entrance: "StockDataAsyncStub") -> None:
    prices = (await entrance.Latest(pb.LatestRequest())).prices
    assert [price.symbol for price in prices] == ["AAPL", "IBM", "ZZZ"]
    one = (await entrance.Latest(pb.LatestRequest(symbols=["ibm", "IBM"]))).prices
    assert list(one) == [prices[1]]
    tick = decode_record(one[0].event)
    assert isinstance(tick, Tick)
    assert (tick.symbol, tick.price, tick.time, tick.seq) == ("IBM", 102.0, LAST_CLOSE, 3 * 18)
    assert (one[0].price, one[0].time, one[0].epoch, one[0].seq) == (tick.price, tick.time, tick.epoch, tick.seq)


async def test_tickers(entrance: "StockDataAsyncStub") -> None:
    tickers = (await entrance.Tickers(pb.TickersRequest())).tickers
    assert [ticker.ticker for ticker in tickers] == ["AAPL", "IBM", "ZZZ"]
    assert tickers[1] == pb.Ticker(ticker="IBM", sector="Sector of IBM", rows=20, first="2001-01-01", last="2001-01-20")


async def test_the_feeds_status(entrance: "StockDataAsyncStub") -> None:
    status = await entrance.FeedStatus(pb.FeedStatusRequest())
    assert (status.feed, status.clock, status.started) == ("csv", LAST_CLOSE, "2001-01-03T05:00:00.000000Z")


async def test_before_the_first_tick_only_history_is_known(tmp_path: Path) -> None:
    """No reader is there yet, so nothing was played."""
    days = write_days(tmp_path / "days.csv", ("AAPL",), 20)
    settings = settings_of(tmp_path, days, replay_start=date(2001, 1, 3))
    async with (
        embedded_kafka() as kafka,
        running(settings, kafka),
        open_channel(settings.grpc_listen, token=None, service="tickroom.stock_data.v1.StockData") as channel,
    ):
        stub: StockDataAsyncStub = StockDataStub(channel)
        assert await dates(stub) == [1, 2]
        assert (await stub.FeedStatus(pb.FeedStatusRequest())).clock == ""
        assert list((await stub.Latest(pb.LatestRequest())).prices) == []
        assert [ticker.rows for ticker in (await stub.Tickers(pb.TickersRequest())).tickers] == [2]


async def test_after_a_restart_prices_and_clock_are_there_at_once(tmp_path: Path) -> None:
    days = write_days(tmp_path / "days.csv", ("AAPL",), 20)
    settings = settings_of(tmp_path, days)
    async with embedded_kafka() as kafka, Followers(kafka) as followers, running(settings, kafka):
        await followers.until(61)
    async with (
        embedded_kafka() as kafka,
        running(settings, kafka),
        open_channel(settings.grpc_listen, token=None, service="tickroom.stock_data.v1.StockData") as channel,
    ):
        stub: StockDataAsyncStub = StockDataStub(channel)
        assert (await stub.FeedStatus(pb.FeedStatusRequest())).clock == LAST_CLOSE
        assert [price.seq for price in (await stub.Latest(pb.LatestRequest())).prices] == [60]
