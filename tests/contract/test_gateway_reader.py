"""The gateway's own reader: from given offsets on, in order, in batches, through outages."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.gateway import reader
from services.gateway.reader import Reader, Take
from services.shared.embedded_kafka import EmbeddedKafka
from services.shared.kafka import Kafka
from services.shared.topics import SIGNALS, TICKS
from tests.unit.gateway.serving import Run, on_both_loops, until


class Shelf:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []

    def take(self, values: Sequence[bytes]) -> None:
        self.batches.append(list(values))

    @property
    def values(self) -> list[bytes]:
        return [value for batch in self.batches for value in batch]


@asynccontextmanager
async def _reading(
    kafka: Kafka, offsets: dict[tuple[str, int], int], take: Take, lost: Callable[[], None] = lambda: None
) -> AsyncIterator[Reader]:
    reading = Reader(kafka, offsets, take, lost)
    reading.start()
    try:
        yield reading
    finally:
        await reading.stop()


async def _publish(kafka: Kafka, *values: bytes, topic: str = TICKS.name, partition: int = 0) -> None:
    producer = await kafka.producer()
    try:
        for value in values:
            await producer.send(topic, value, partition=partition)
        await producer.flush()
    finally:
        await producer.stop()


def _numbered(first: int, count: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


async def test_it_reads_from_the_offsets_on_in_order_within_each_partition(kafka_cluster: Kafka) -> None:
    await _publish(kafka_cluster, *_numbered(0, 10))
    await _publish(kafka_cluster, b"old", topic=SIGNALS.name)
    shelf = Shelf()
    offsets = {(TICKS.name, 0): 7, (TICKS.name, 1): 0, (SIGNALS.name, 0): 1}
    async with _reading(kafka_cluster, offsets, shelf.take):
        await _publish(kafka_cluster, *_numbered(10, 500))
        await _publish(kafka_cluster, *(b"other %d" % number for number in range(500)), partition=1)
        await _publish(kafka_cluster, b"new", topic=SIGNALS.name)
        await until(lambda: len(shelf.values) == 503 + 500 + 1)
    assert [value for value in shelf.values if value.isdigit()] == _numbered(7, 503)
    assert [value for value in shelf.values if value.startswith(b"other")] == [b"other %d" % n for n in range(500)]
    assert shelf.values.count(b"new") == 1


async def test_what_was_published_together_arrives_together(kafka_cluster: Kafka) -> None:
    shelf = Shelf()
    async with _reading(kafka_cluster, {(TICKS.name, 0): 0}, shelf.take):
        await _publish(kafka_cluster, b"first")
        await until(lambda: len(shelf.values) == 1)
        producer = await kafka_cluster.producer()
        batch = producer.create_batch()
        for value in _numbered(0, 64):
            assert batch.append(key=None, value=value, timestamp=None) is not None
        await (await producer.send_batch(batch, TICKS.name, partition=0))
        await producer.stop()
        await until(lambda: len(shelf.values) == 65)
    assert shelf.batches == [[b"first"], _numbered(0, 64)]


@on_both_loops
def test_one_batch_at_a_time_however_slow_it_is_taken(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_RECORDS", 10)

    async def go() -> None:
        broker = EmbeddedKafka()
        shelf = Shelf()
        await _publish(broker.kafka, *_numbered(0, 100))
        async with _reading(broker.kafka, {(TICKS.name, 0): 0}, shelf.take):
            await until(lambda: len(shelf.values) == 100)
        assert shelf.values == _numbered(0, 100)
        assert max(map(len, shelf.batches)) == 10
        await asyncio.to_thread(broker.close)

    run(go())


async def test_records_without_a_value_are_nothing(kafka_cluster: Kafka) -> None:
    shelf = Shelf()
    async with _reading(kafka_cluster, {(TICKS.name, 0): 0}, shelf.take):
        producer = await kafka_cluster.producer()
        for value in (b"1", None, b"2"):
            await producer.send_and_wait(TICKS.name, value, partition=0, key=b"k")
        await producer.stop()
        await until(lambda: len(shelf.values) == 2)
    assert shelf.values == [b"1", b"2"]


async def test_where_what_comes_next_is_not_there_it_says_so_and_goes_nowhere(kafka_cluster: Kafka) -> None:
    await _publish(kafka_cluster, *_numbered(0, 10))
    shelf, lost = Shelf(), asyncio.Event()
    async with _reading(kafka_cluster, {(TICKS.name, 0): 11}, shelf.take, lost.set):
        await asyncio.wait_for(lost.wait(), 60)
        await _publish(kafka_cluster, b"later")
    assert shelf.values == []


async def test_an_error_of_the_taker_is_told_and_stops_nothing(kafka_cluster: Kafka) -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context["exception"]))
    shelf = Shelf()

    def take(values: Sequence[bytes]) -> None:
        shelf.take(values)
        if values == [b"bad"]:
            raise ValueError("bad")

    async with _reading(kafka_cluster, {(TICKS.name, 0): 0}, take):
        for value in (b"bad", b"good"):
            await _publish(kafka_cluster, value)
            await until(lambda value=value: value in shelf.values)  # type: ignore[misc]
    assert [str(each) for each in complaints] == ["bad"]


async def test_an_outage_is_said_once_and_ends_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    broker = await asyncio.to_thread(EmbeddedKafka)
    shelf = Shelf()
    async with _reading(broker.kafka, {(TICKS.name, 0): 0}, shelf.take):
        await _publish(broker.kafka, b"before")
        await until(lambda: shelf.values == [b"before"])
        broker.set_up(False)
        await until(lambda: bool(caplog.messages))
        await asyncio.sleep(1.0)
        broker.set_up(True)
        await _publish(broker.kafka, b"after")
        await until(lambda: shelf.values == [b"before", b"after"])
    assert len([each for each in caplog.records if each.name == "tickroom.gateway.reader"]) == 1
    await broker.kafka.close()
    await asyncio.to_thread(broker.close)


async def test_it_can_start_before_the_broker_and_stop_without_it(caplog: pytest.LogCaptureFixture) -> None:
    nowhere = Kafka(bootstrap="127.0.0.1:9", embedded=True, log_id="", partitions={})
    async with _reading(nowhere, {(TICKS.name, 0): 0}, Shelf().take) as reading:
        await until(lambda: bool(caplog.messages))
        await asyncio.wait_for(reading.stop(), 10)
