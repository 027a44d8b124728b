"""Feed -> core -> database -> topic `ticks`: in order, at the replay's pace, never faster than readers follow.

A batch's bars and splits are stored before it is published, so whoever has read a record finds all that came before it.
How a crash at any moment is made harmless stands in player.py.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata
from sqlalchemy.exc import SQLAlchemyError

from services.shared.database import is_passing
from services.shared.events import Bar, Record, Split, Tick, encode
from services.shared.kafka import Kafka
from services.shared.positions import Position
from services.shared.process import until
from services.shared.topics import READERS_WITH_STATE, TICKS, partition_of
from services.stock_data import metrics
from services.stock_data.core import instants
from services.stock_data.core.market import Market
from services.stock_data.core.pace import Pace
from services.stock_data.player import Player
from services.stock_data.pressure import Pressure

WorkedThrough = Callable[[], Awaitable[Sequence[Mapping[str, Position]]]]
"""For each reader with state, the last record of every symbol that it has checkpointed."""

_BATCH: Final = 1_000
"""Most records that are stored and published at once: bounds memory, and what a crash repeats."""
_SAVE_EVERY_S: Final = 1.0
_FINISH_WITHIN_S: Final = 1.0
_GOODBYE_WITHIN_S: Final = 0.7
_DRAIN_WITHIN_S: Final = 10.0
_TRY_AGAIN_S: Final = 0.5

_log = logging.getLogger("tickroom.stock_data")


@dataclass(frozen=True, slots=True)
class Plan:
    """How the feed is played. rate: ticks per second in all, inf = as fast as readers with state keep up."""

    rate: float = 10.0
    delay_s: float = 0.0
    loop: bool = True
    reader_lag_limit: int = 10_000


class Pump:
    """Publishes what an opened player plays."""

    def __init__(
        self, player: Player, market: Market, kafka: Kafka, plan: Plan, worked_through: WorkedThrough | None = None
    ) -> None:
        self._player, self._market, self._kafka, self._plan = player, market, kafka, plan
        self._worked_through = worked_through
        self._partition_of = _partitions(kafka.partitions(TICKS))
        self._saved_at = -math.inf

    async def run(self, stop: asyncio.Event) -> None:
        """Returns after `stop`, with the batch in hand finished. Raises Fenced where the feed was taken over."""
        # a batch is handed over whole, and nothing follows it before it is acknowledged: to linger would gather nothing
        producer = await self._kafka.producer(bulk=math.isinf(self._plan.rate), linger_ms=0)
        try:
            async with Pressure(self._kafka, READERS_WITH_STATE, self._plan.reader_lag_limit) as pressure:
                await until(stop, self._wait_for_readers(pressure))
                while not stop.is_set():
                    await self._play(producer, pressure, stop)
                    await self._persist((), stop)
                    if self._player.ended and not stop.is_set():
                        await self._end(pressure, stop)
        finally:
            await _close(producer)

    async def _wait_for_readers(self, pressure: Pressure) -> None:
        await pressure.ready()
        if self._worked_through is not None and (readers := await self._worked_through()):
            await self._player.go_back(readers)
        if self._plan.delay_s:
            _log.info("all readers are ready; the replay begins in %g s", self._plan.delay_s)
            await asyncio.sleep(self._plan.delay_s)

    async def _play(self, producer: AIOKafkaProducer, pressure: Pressure, stop: asyncio.Event) -> None:
        """Publishes batch after batch until the epoch's end, or `stop`."""
        clock = asyncio.get_running_loop().time
        pace = Pace(self._plan.rate, clock())
        while not (self._player.ended or stop.is_set()):
            due = pace.due(clock())
            if due == 0:
                await until(stop, asyncio.sleep(pace.wait_s(clock())))
                continue
            if pressure.left <= 0:
                asked = clock()
                await until(stop, pressure.room())
                metrics.WAITING.inc(clock() - asked)
                if stop.is_set():
                    return
            batch = self._player.take(due, min(pressure.left, _BATCH))
            pace.took(sum(isinstance(record, Tick) for record in batch))
            if not await self._publish(batch, producer, pressure, stop):
                return

    async def _publish(
        self, batch: list[Record], producer: AIOKafkaProducer, pressure: Pressure, stop: asyncio.Event
    ) -> bool:
        """Stores what the batch completes, publishes it and waits for every ack. False: `stop` cut it off."""
        late = asyncio.get_running_loop().time() - self._saved_at >= _SAVE_EVERY_S
        if (late or any(isinstance(record, Bar | Split) for record in batch)) and not await self._persist(batch, stop):
            return False
        pressure.sent(len(batch))
        with metrics.PUBLISH_SECONDS.time():
            acknowledged = await _finish(asyncio.create_task(self._send(batch, producer)), stop)
        if not acknowledged:
            return False
        pressure.acknowledged(len(batch))
        self._player.published(batch)
        _count(batch)
        return True

    async def _send(self, batch: list[Record], producer: AIOKafkaProducer) -> None:
        """Returns when Kafka has the whole batch, in order. What an outage cut short is sent again as a whole."""
        while True:
            try:
                await asyncio.gather(*await self._hand_over(batch, producer))
            except KafkaError as error:
                if not error.retriable:
                    raise
                _log.warning("Kafka does not take records, the feed waits: %s", error or type(error).__name__)
                await asyncio.sleep(_TRY_AGAIN_S)
            else:
                return

    async def _hand_over(self, batch: list[Record], producer: AIOKafkaProducer) -> list[asyncio.Future[RecordMetadata]]:
        """Puts the records into one Kafka batch for each partition, or more: much cheaper than one by one."""
        acks: list[asyncio.Future[RecordMetadata]] = []
        builders: dict[int, BatchBuilder] = {}
        for record in batch:
            partition = self._partition_of(record.symbol)
            builder = builders.get(partition)
            if builder is None:
                builder = builders[partition] = producer.create_batch()
            key, value = record.symbol.encode(), encode(record)
            if builder.append(timestamp=None, key=key, value=value) is None:
                # acknowledged before more of this partition follows: nothing may overtake what has to be sent again
                await (await producer.send_batch(builder, TICKS.name, partition=partition))
                builder = builders[partition] = producer.create_batch()
                builder.append(timestamp=None, key=key, value=value)
        for partition, builder in builders.items():
            acks.append(await producer.send_batch(builder, TICKS.name, partition=partition))
        return acks

    async def _persist(self, batch: Sequence[Record], stop: asyncio.Event) -> bool:
        """Saves until it works or `stop` comes. False: it did not work."""
        while True:
            try:
                await self._player.save(batch)
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                if not is_passing(error):
                    raise
                _log.warning("the database is away, the feed waits: %s", getattr(error, "orig", None) or error)
                await until(stop, asyncio.sleep(_TRY_AGAIN_S))
                if stop.is_set():
                    return False
            else:
                self._saved_at = asyncio.get_running_loop().time()
                return True

    async def _end(self, pressure: Pressure, stop: asyncio.Event) -> None:
        """The file's end: a new epoch, or nothing more."""
        if not self._plan.loop:
            self._market.finished = True
            _log.info("the replay has reached its end")
            await stop.wait()
            return
        try:
            # readers may ask for the bars of the epoch that ends as long as they work on it
            async with asyncio.timeout(_DRAIN_WITHIN_S):
                await until(stop, pressure.drained())
        except TimeoutError:
            _log.warning("a reader with state has not finished the epoch that ends")
        if not stop.is_set():
            await self._player.again()


def _partitions(count: int) -> Callable[[str], int]:
    """partition_of, remembered."""
    known: dict[str, int] = {}

    def of(symbol: str) -> int:
        if (found := known.get(symbol)) is None:
            found = known[symbol] = partition_of(symbol, count)
        return found

    return of


def _count(batch: Sequence[Record]) -> None:
    for kind, name in ((Tick, "tick"), (Bar, "bar"), (Split, "split")):
        if count := sum(isinstance(record, kind) for record in batch):
            metrics.RECORDS.labels(name).inc(count)
    metrics.CLOCK.set(instants.parse(batch[-1].time) / instants.SECOND)


async def _finish(task: asyncio.Task[None], stop: asyncio.Event) -> bool:
    """Did the task end well? Once `stop` is set it gets a moment more, then it is cut off."""
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await asyncio.wait({task}, timeout=_FINISH_WITHIN_S)
    finally:
        stopping.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    if task.cancelled():
        return False
    task.result()
    return True


async def _close(producer: AIOKafkaProducer) -> None:
    """Stops the producer; nothing is lost where it can't say goodbye, for all that counts is acknowledged."""
    try:
        async with asyncio.timeout(_GOODBYE_WITHIN_S):
            await producer.stop()
    except TimeoutError:
        _log.warning("Kafka did not take the producer's goodbye")
