"""The entrance on a real broker, and followers that stand in for readers with state."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from services.shared.config import load
from services.shared.events import Record, decode_record
from services.shared.kafka import Kafka
from services.shared.topics import READERS_WITH_STATE, TICKS
from services.stock_data.app import StockDataApp, build
from services.stock_data.config import Settings
from services.stock_data.core import sequence
from services.stock_data.core.sequence import Numbering
from services.stock_data.core.ticks import Gate
from services.stock_data.feeds.base import SOURCE, ReplayFeed
from services.stock_data.feeds.catalogue import open_feed
from services.stock_data.pump import WorkedThrough

HEADER = "ticker,sector,date,close,open,low,high,volume,adj_close"


def write_days(path: Path, tickers: Sequence[str], days: int) -> Path:
    """A file of daily bars; on its third day every ticker splits 2:1. 3 records a day and ticker, and the splits."""
    lines = [HEADER]
    for number in range(days):
        ratio = 2.0 if number < 2 else 1.0
        price = (100 + number % 9) * ratio
        day = f"{2001 + number // 336}-{number // 28 % 12 + 1:02d}-{number % 28 + 1:02d}"
        row = f"{day},{price + 1},{price},{price - 1},{price + 2},1000,{(price + 1) / ratio}"
        lines += [f"{ticker},Sector of {ticker},{row}" for ticker in tickers]
    path.write_text("\n".join(lines) + "\n")
    return path


def expected(feed: ReplayFeed, epoch: str) -> list[Record]:
    """Every record of an epoch."""
    return list(
        sequence.records(feed.items(), Numbering(epoch, SOURCE), Gate(), started=feed.started, aggregate=feed.aggregate)
    )


def settings_of(folder: Path, feed: Path, **more: object) -> Settings:
    """As fast as readers keep up, once, unless told otherwise."""
    fixed: dict[str, object] = {"replay_rate": "max", "replay_loop": False, "grpc_listen": f"unix:{folder}/rpc"}
    return load(Settings, data_dir=folder, feed=f"csv:{feed}", **{**fixed, **more})


def feed_of(settings: Settings) -> ReplayFeed:
    return open_feed(settings.feed, symbols=settings.symbols, start=settings.replay_start)


class Followers:
    """Reads all of topic `ticks`; while `committing` is set, commits that for every reader with state."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._partitions = [TopicPartition(TICKS.name, number) for number in range(kafka.partitions(TICKS))]
        self._positions = dict.fromkeys(self._partitions, 0)
        self._arrived = asyncio.Condition()
        self._consumers: list[AIOKafkaConsumer] = []
        self._following: asyncio.Task[None] | None = None
        self.committing = asyncio.Event()
        self.committing.set()
        self.records: list[Record] = []

    async def __aenter__(self) -> Self:
        for reader in READERS_WITH_STATE:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._kafka.bootstrap,
                group_id=reader.name,
                enable_auto_commit=False,
                fetch_max_wait_ms=10,
            )
            await consumer.start()
            consumer.assign(self._partitions)
            self._consumers.append(consumer)
        await self._consumers[0].seek_to_beginning(*self._partitions)
        self._following = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._following is not None
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)
        for consumer in self._consumers:
            await consumer.stop()

    async def until(self, count: int) -> list[Record]:
        """The records so far, at least `count` of them."""
        assert self._following is not None
        while len(self.records) < count:
            if self._following.done():
                self._following.result()
            async with self._arrived:
                await self._arrived.wait()
        return list(self.records)

    async def _follow(self) -> None:
        committed: dict[TopicPartition, int] = {}
        while True:
            got = await self._consumers[0].getmany(timeout_ms=20, max_records=2_000)
            for partition, messages in got.items():
                self.records += [decode_record(message.value or b"") for message in messages]
                self._positions[partition] = messages[-1].offset + 1
            async with self._arrived:
                self._arrived.notify_all()
            if self.committing.is_set() and committed != self._positions:
                committed = dict(self._positions)
                for consumer in self._consumers:
                    await consumer.commit(committed)


@asynccontextmanager
async def running(
    settings: Settings, kafka: Kafka, worked_through: WorkedThrough | None = None
) -> AsyncIterator[StockDataApp]:
    """The entrance while the context is open, stopped in order at its end. Raises what ended it."""
    app, stop = build(settings, kafka, worked_through=worked_through), asyncio.Event()
    task = asyncio.create_task(app.run(stop))
    try:
        started = asyncio.create_task(app.started.wait())
        await asyncio.wait({task, started}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            started.cancel()
            await task
        yield app
    finally:
        stop.set()
        await task
