"""The readers that bench_pipeline.py compares, each a process of its own.

    python -m tests.bench.pipeline_readers WHICH CORE BOOTSTRAP RECORDS FOLDER

It prepares itself (opens its database in FOLDER, trains its model from the stock_data beside FOLDER), says `ready`,
waits for a line, joins its group, takes RECORDS records in, makes a last checkpoint, and prints its `Result` as JSON.
"""

import asyncio
import gc
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil
import uvloop
from aiokafka import AIOKafkaProducer
from confluent_kafka import Message
from faststream import AckPolicy
from faststream.confluent import KafkaBroker
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared.config import SharedSettings
from services.shared.database import Database, open_database
from services.shared.events import rfc3339
from services.shared.kafka import Kafka
from services.shared.positions import SymbolState
from services.shared.readers import Fresh, StatefulReader, Work
from services.shared.rpc.channel import open_channel
from services.shared.topics import ALERTS, NOTIFICATIONS, PREDICTION, SIGNALS, TICKS, TOPICS, Reader

PARTITIONS: Final = 4
"""Of the embedded broker, which keeps about 5 MB of each: all records fit."""


class Result(msgspec.Struct, frozen=True):
    """wall_s, cpu_s: from the first batch to the checkpoint behind the last record; cpu_s: user and system time of all
    threads. made: signals or firings. rss: bytes at the end."""

    wall_s: float
    cpu_s: float
    made: int
    rss: int


class Progress:
    """Starts both clocks at the first batch; `done` is set when all records are taken in."""

    def __init__(self, records: int) -> None:
        self.done = asyncio.Event()
        self._left = records
        self._wall = self._cpu = 0.0

    def begins(self) -> None:
        if not self._wall:
            self._wall, self._cpu = time.perf_counter(), time.process_time()

    def took(self, records: int) -> None:
        self._left -= records
        if self._left <= 0:
            self.done.set()

    def result(self, made: int) -> Result:
        wall_s, cpu_s = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return Result(wall_s, cpu_s, made, psutil.Process().memory_info().rss)


class Watched:
    """A room's Work, and how far it is."""

    def __init__(self, work: Work, progress: Progress) -> None:
        self._work, self._progress = work, progress
        self.effects, self.store_effects, self.effects_stored = work.effects, work.store_effects, work.effects_stored
        self.open, self.urgent, self.store = work.open, work.urgent, work.store
        self.stored, self.forget = work.stored, work.forget

    async def work(self, partition: int, records: Sequence[Fresh]) -> int:
        self._progress.begins()
        done = await self._work.work(partition, records)
        self._progress.took(done)
        return done


class Idle:
    """Work of somebody who only keeps positions."""

    async def open(self, partition: int, states: Mapping[str, SymbolState]) -> None: ...

    async def work(self, partition: int, records: Sequence[Fresh]) -> int:
        return len(records)

    def effects(self, partition: int) -> bool:
        return False

    async def store_effects(self, session: AsyncSession, partitions: Sequence[int]) -> None: ...

    def effects_stored(self, partition: int) -> None: ...

    def urgent(self, partition: int) -> bool:
        return False

    async def store(self, session: AsyncSession, partitions: Sequence[int]) -> Mapping[int, Mapping[str, bytes]]:
        return {each: {} for each in partitions}

    def stored(self, partition: int) -> None: ...

    def forget(self, partition: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Contender:
    """made: asked for when all is stored."""

    reader: StatefulReader | KafkaBroker
    made: Callable[[], Awaitable[int]]


async def _nothing() -> int:
    return 0


@asynccontextmanager
async def alone(kafka: Kafka, folder: Path, progress: Progress) -> AsyncIterator[Contender]:
    """Reads and looks at nothing."""
    broker = kafka.broker("bench-alone")
    how = kafka.batches(prompt=True)
    subscriber = broker.subscriber(TICKS.name, group_id="bench-alone", ack_policy=AckPolicy.MANUAL, **how)

    @subscriber  # type: ignore[untyped-decorator]  # an argument of `batches()` may be anything
    async def batch(messages: tuple[Message, ...]) -> None:
        progress.begins()
        progress.took(len(messages))

    yield Contender(broker, _nothing)


@asynccontextmanager
async def positions(kafka: Kafka, folder: Path, progress: Progress) -> AsyncIterator[Contender]:
    """What every reader with state does, without a room behind it: decode, drop repeats, checkpoint."""
    from services.prediction.tables import CHECKPOINTS

    async with _database(folder, "prediction") as database:
        work = Watched(Idle(), progress)
        yield Contender(StatefulReader(kafka, Reader("bench-positions", TICKS), database, CHECKPOINTS, work), _nothing)


@asynccontextmanager
async def prediction(kafka: Kafka, folder: Path, progress: Progress) -> AsyncIterator[Contender]:
    """The study, put together as in its app.py, its model trained."""
    from services.prediction import clients
    from services.prediction.artifacts import Artifacts
    from services.prediction.publisher import SignalTopic
    from services.prediction.registry import Registry
    from services.prediction.tables import CHECKPOINTS
    from services.prediction.worker import Worker

    async with (
        _database(folder, "prediction") as database,
        open_channel(
            f"unix:{folder.parent}/stock_data", token=None, service=clients.SERVICE, safe=clients.SAFE
        ) as channel,
        _producer(kafka, bulk=True) as producer,
    ):
        stock = clients.StockDataClient(channel)
        registry = Registry(stock, database, Artifacts(folder), horizon="1d", clock=_now)
        await registry.prepare()
        topic = SignalTopic(producer, kafka.partitions(SIGNALS))
        work = Watched(Worker(stock, registry, topic, bar="1d", policy="lean"), progress)

        async def made() -> int:
            return sum((await kafka.ends(SIGNALS)).values())

        yield Contender(StatefulReader(kafka, PREDICTION, database, CHECKPOINTS, work), made)


@asynccontextmanager
async def alerts(kafka: Kafka, folder: Path, progress: Progress) -> AsyncIterator[Contender]:
    """The office's worker, put together as in its app.py: it also publishes the notifications."""
    from services.users.bell import Bell, Takings
    from services.users.intake import Desk, Intake
    from services.users.outbox import Relay
    from services.users.tables import CHECKPOINTS, FiringRow
    from services.users.worker import AlertWork

    async with _database(folder, "users") as database, _producer(kafka, bulk=False) as producer:
        outbox, watched = Bell(), kafka.partitions(TICKS)
        relay = Relay(database, producer, kafka.partitions(NOTIFICATIONS), _timestamp, outbox, 1.0)
        work = AlertWork(database, watched, _timestamp, outbox, Bell(), Takings())
        reader = StatefulReader(kafka, ALERTS, database, CHECKPOINTS, Watched(work, progress))
        intake = Intake(database, [Desk(reader, work, watched)], Bell(), 1.0)

        async def made() -> int:
            async with database.reading() as session:
                return await session.scalar(select(func.count()).select_from(FiringRow)) or 0

        relaying, taking = asyncio.create_task(relay.run()), asyncio.create_task(intake.run())
        try:
            yield Contender(reader, made)
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
            await relay.stop(relaying)


@asynccontextmanager
async def _database(folder: Path, room: str) -> AsyncIterator[Database]:
    database = open_database(SharedSettings.model_validate({"data_dir": folder}), room)
    try:
        await database.migrate()
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _producer(kafka: Kafka, *, bulk: bool) -> AsyncIterator[AIOKafkaProducer]:
    producer = await kafka.producer(bulk=bulk)
    try:
        yield producer
    finally:
        await producer.stop()


def _now() -> datetime:
    return datetime.now(UTC)


def _timestamp() -> str:
    return rfc3339(_now())


CONTENDERS: dict[str, Callable[[Kafka, Path, Progress], AbstractAsyncContextManager[Contender]]] = {
    "alone": alone,
    "positions": positions,
    "prediction": prediction,
    "alerts": alerts,
}


async def measure(which: str, bootstrap: str, records: int, folder: Path) -> Result:
    partitions = dict.fromkeys((topic.name for topic in TOPICS), PARTITIONS)
    kafka = Kafka(bootstrap=bootstrap, embedded=True, log_id="bench", partitions=partitions)
    progress = Progress(records)
    try:
        async with CONTENDERS[which](kafka, folder, progress) as contender:
            gc.collect()
            gc.freeze()  # as a process does once its rooms have started
            print("ready", flush=True)
            if not await asyncio.to_thread(sys.stdin.readline):
                raise SystemExit("nobody wants to measure")
            await contender.reader.start()
            try:
                await _taken_in(contender.reader, progress)
                return progress.result(await contender.made())
            finally:
                await contender.reader.stop()
    finally:
        await kafka.close()


async def _taken_in(reader: StatefulReader | KafkaBroker, progress: Progress) -> None:
    """Returns when all records are stored, without waiting for the reader to notice that no more come."""
    done: asyncio.Future[Any] = asyncio.create_task(progress.done.wait())
    if not isinstance(reader, StatefulReader):
        await done
        return
    await asyncio.wait({done, reader.failed}, return_when=asyncio.FIRST_COMPLETED)
    if reader.failed.done():
        reader.failed.result()
    for partition in reader.owned:
        async with reader.exclusive(partition):
            await reader.checkpoint(partition)


if __name__ == "__main__":
    which, core, bootstrap, records, folder = sys.argv[1:]
    os.sched_setaffinity(0, {int(core)})
    print(msgspec.json.encode(uvloop.run(measure(which, bootstrap, int(records), Path(folder)))).decode())
