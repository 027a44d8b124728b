"""The study on the embedded broker and the bundled real bars: trained at start, a signal at every final bar, the same
after a restart in the middle."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from bokeh_sampledata import stocks

from services.prediction import app
from services.prediction.config import Settings
from services.prediction.core.bars import PastBar
from services.shared.calendars import close_time, open_time
from services.shared.embedded_kafka import embedded_kafka
from services.shared.errors import NotFound
from services.shared.events import Bar, Signal, Tick, decode_signal, encode, rfc3339
from services.shared.kafka import Kafka
from services.shared.positions import Position
from services.shared.rpc import prediction_pb2, stock_data_pb2
from services.shared.rpc.channel import open_channel, serve
from services.shared.rpc.prediction_pb2_grpc import PredictionStub
from services.shared.rpc.stock_data_pb2_grpc import StockDataServicer, add_StockDataServicer_to_server
from services.shared.topics import SIGNALS, TICKS, partition_of
from tests.unit.prediction.samples import records

FIRST, LAST = "2012-06-01", "2012-07-13"
STARTED = rfc3339(open_time(date.fromisoformat(FIRST)))
SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
SPLITS = {"AAPL": {"2000-06-21": 2.0, "2005-02-28": 2.0}, "MSFT": {"2003-02-18": 2.0}}


@cache
def bundled(symbol: str) -> tuple[PastBar, ...]:
    """Real daily bars, split-adjusted."""
    raw = getattr(stocks, symbol)
    bars: list[PastBar] = []
    for row in zip(*(raw[name] for name in ("date", "open", "high", "low", "close", "volume")), strict=True):
        day, *prices, volume = row
        ratio = 1.0
        for effective, factor in SPLITS.get(symbol, {}).items():
            ratio *= factor if day < effective else 1.0
        opened, high, low, close = (price / ratio for price in prices)
        end = rfc3339(close_time(date.fromisoformat(day)))
        bars.append(PastBar(day, end, opened, high, low, close, volume * ratio))
    return tuple(bars)


class Entrance(StockDataServicer):
    """stock_data as it would answer, from the bundled bars."""

    async def History(self, request: stock_data_pb2.HistoryRequest, context: Any) -> stock_data_pb2.HistoryReply:
        if request.symbol not in SYMBOLS:
            raise NotFound("unknown symbol", code="unknown_symbol")
        found = [bar for bar in bundled(request.symbol) if bar.time < (request.before or STARTED)]
        found = found[-request.limit :] if request.latest else found
        bars = [
            stock_data_pb2.Bar(
                date=bar.date,
                end=bar.time,
                open=bar.open,
                high=bar.high,
                low=bar.low,
                close=bar.close,
                volume=bar.volume,
            )
            for bar in found
        ]
        return stock_data_pb2.HistoryReply(symbol=request.symbol, bars=bars)

    async def Latest(self, request: stock_data_pb2.LatestRequest, context: Any) -> stock_data_pb2.LatestReply:
        return stock_data_pb2.LatestReply()

    async def Tickers(self, request: stock_data_pb2.TickersRequest, context: Any) -> stock_data_pb2.TickersReply:
        return stock_data_pb2.TickersReply(tickers=[stock_data_pb2.Ticker(ticker=symbol) for symbol in SYMBOLS])

    async def FeedStatus(
        self, request: stock_data_pb2.FeedStatusRequest, context: Any
    ) -> stock_data_pb2.FeedStatusReply:
        return stock_data_pb2.FeedStatusReply(feed="replay", epoch="e1", started=STARTED)


@pytest.fixture
async def kafka() -> AsyncIterator[Kafka]:
    async with embedded_kafka(partitions=4) as cluster:
        yield cluster


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        stock_data_address=f"unix:{tmp_path}/stock_data",
        grpc_listen=f"unix:{tmp_path}/prediction",
    )


@asynccontextmanager
async def entrance(settings: Settings) -> AsyncIterator[None]:
    def register(server: Any) -> None:
        add_StockDataServicer_to_server(Entrance(), server)

    async with serve(settings.stock_data_address, "stock_data", register, token=None):
        yield


@asynccontextmanager
async def running(study: app.App) -> AsyncIterator[app.App]:
    stop = asyncio.Event()
    task = asyncio.create_task(study.run(stop))
    try:
        await asyncio.wait({task, started := asyncio.create_task(study.started.wait())}, return_when="FIRST_COMPLETED")
        started.cancel()
        yield study
    finally:
        stop.set()
        await task


def replay() -> list[Tick | Bar]:
    made = [
        record
        for symbol in SYMBOLS
        for record in records(symbol, [bar for bar in bundled(symbol) if FIRST <= bar.date <= LAST])
    ]
    return sorted(made, key=lambda record: (record.time, record.symbol, record.seq))


async def publish(kafka: Kafka, ticks: Sequence[Tick | Bar]) -> None:
    producer = await kafka.producer(bulk=True)
    for record in ticks:
        where = partition_of(record.symbol, kafka.partitions(TICKS))
        await producer.send(TICKS.name, encode(record), key=record.symbol.encode(), partition=where)
    await producer.stop()


async def published(kafka: Kafka, enough: Callable[[list[bytes]], bool]) -> list[bytes]:
    """The values of topic `signals` from its begin, as soon as they are `enough`."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, fetch_max_wait_ms=10)
    await consumer.start()
    partitions = [TopicPartition(SIGNALS.name, number) for number in range(kafka.partitions(SIGNALS))]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    found: list[bytes] = []
    async with asyncio.timeout(60):
        while not enough(found):
            batch = await consumer.getmany(timeout_ms=100)
            found += [record.value or b"" for each in batch.values() for record in each]
    await consumer.stop()
    return found


def causes(events: Sequence[bytes]) -> set[tuple[str, int]]:
    return {(said.symbol, said.seq) for said in map(decode_signal, events)}


async def test_signals_from_real_bars(kafka: Kafka, settings: Settings) -> None:
    ticks = replay()
    finals = {(record.symbol, record.seq): record for record in ticks if isinstance(record, Bar)}
    async with entrance(settings), running(app.build(settings, kafka)):
        await publish(kafka, ticks)
        events = await published(kafka, lambda found: len(found) >= len(finals))
        async with calling(settings) as stub:
            status = await stub.ModelStatus(prediction_pb2.ModelStatusRequest(ticker="AAPL"))
            predicted = await stub.Predict(prediction_pb2.PredictRequest(ticker="AAPL"))
            latest = await everyone(stub)
    assert len(events) == len(finals)
    assert causes(events) == set(finals)
    by_symbol: dict[str, list[Signal]] = {}
    for said in map(decode_signal, events):
        by_symbol.setdefault(said.symbol, []).append(said)
    assert {said.reason for said in by_symbol["FB"]} == {"warming_up"}  # listed two weeks before
    for said in (said for symbol in SYMBOLS if symbol != "FB" for said in by_symbol[symbol]):
        bar = finals[said.symbol, said.seq]
        assert said.reason in (None, "outside_domain")
        assert (said.price_target > bar.close) is (said.direction == "bullish")
        assert said.interval is not None
        assert 0.9 * bar.close < said.interval.low < said.price_target < said.interval.high < 1.1 * bar.close
        assert said.skill is not None
        assert said.skill.hit_rate_interval[0] < said.skill.hit_rate < said.skill.hit_rate_interval[1]
        assert said.model_version == status.model_version
    assert status.model_loaded
    assert status.metrics.train_samples > 3000
    assert (settings.data_dir / "models" / f"{status.model_version}.json").exists()
    assert predicted.current_price == next(bar.close for bar in bundled("AAPL") if bar.date == "2012-05-31")
    assert {each.event for each in latest} == {encode(signals[-1]) for signals in by_symbol.values()}


async def everyone(stub: Any) -> Sequence[prediction_pb2.LatestSignal]:
    """The latest signals, once the last checkpoint is made."""
    async with asyncio.timeout(10):
        while True:
            found = (await stub.LatestSignals(prediction_pb2.LatestSignalsRequest())).signals
            if len(found) == len(SYMBOLS) and {each.seq for each in found} == {3 * sessions()}:
                return list(found)
            await asyncio.sleep(0.05)


def sessions() -> int:
    return sum(FIRST <= bar.date <= LAST for bar in bundled("AAPL"))


@asynccontextmanager
async def calling(settings: Settings) -> AsyncIterator[Any]:
    channel = open_channel(settings.grpc_listen, token=None, service="tickroom.prediction.v1.Prediction")
    yield PredictionStub(channel)
    await channel.close()


async def test_a_restart_in_the_middle_changes_nothing(kafka: Kafka, settings: Settings, tmp_path: Path) -> None:
    """The log dies with the process: the replay goes on behind what was worked through, some of it again."""
    ticks = replay()
    half = len(ticks) // 2
    finals = {(record.symbol, record.seq) for record in ticks if isinstance(record, Bar)}
    first_finals = {(record.symbol, record.seq) for record in ticks[:half] if isinstance(record, Bar)}
    async with entrance(settings):
        whole = settings.model_copy(update={"data_dir": tmp_path / "whole"})
        async with embedded_kafka(partitions=4) as other, running(app.build(whole, other)):
            await publish(other, ticks)
            expected = await published(other, lambda found: causes(found) == finals)

        study = app.build(settings, kafka)
        assert await study.worked_through() == {}
        async with running(study):
            await publish(kafka, ticks[:half])
            first = await published(kafka, lambda found: causes(found) == first_finals)

        async with embedded_kafka(partitions=4) as other, running(app.build(settings, other)) as study:
            assert await study.worked_through() == last_positions(ticks[:half])
            await publish(other, ticks[half - 60 :])
            second = await published(other, lambda found: causes(found) == finals - first_finals)
            while await study.worked_through() != last_positions(ticks):  # noqa: ASYNC110 (the database tells nobody)
                await asyncio.sleep(0.05)
    assert sorted(first + second) == sorted(expected)


def last_positions(ticks: Sequence[Tick | Bar]) -> dict[str, Position]:
    return {record.symbol: Position(record.epoch, record.seq) for record in ticks}


async def test_stops_while_it_waits(kafka: Kafka, settings: Settings) -> None:
    """Without stock_data nobody knows which model decides; a stop ends the wait, and nothing is worked through."""
    ticks = replay()[:30]
    async with asyncio.timeout(20), running(app.build(settings, kafka)) as study:
        await publish(kafka, ticks)
        await asyncio.sleep(0.2)
        assert await study.worked_through() == {}


async def test_records_wait_for_stock_data(kafka: Kafka, settings: Settings) -> None:
    """The reader is there before the feed: it commits at once, and works when it knows which model decides."""
    ticks = [record for record in replay() if record.symbol == "IBM"][:30]
    async with running(app.build(settings, kafka)):
        await publish(kafka, ticks)
        await asyncio.sleep(0.2)
        assert await published(kafka, lambda found: True) == []
        async with entrance(settings):
            events = await published(kafka, lambda found: len(found) >= 10)
    assert {decode_signal(event).reason for event in events} <= {None, "outside_domain"}
