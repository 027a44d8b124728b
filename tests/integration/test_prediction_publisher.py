"""Signals on a real topic: all there, each symbol's in order, also when they fill many of Kafka's batches."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from services.prediction.publisher import SignalTopic
from services.shared.kafka import Kafka
from services.shared.topics import SIGNALS, partition_of

SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")


async def read(kafka: Kafka, count: int) -> dict[str, list[bytes]]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, fetch_max_wait_ms=10)
    await consumer.start()
    partitions = [TopicPartition(SIGNALS.name, number) for number in range(kafka.partitions(SIGNALS))]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    found: dict[str, list[bytes]] = {}
    async with asyncio.timeout(30):
        while sum(map(len, found.values())) < count:
            for where, records in (await consumer.getmany(timeout_ms=100)).items():
                for record in records:
                    assert record.key is not None
                    assert where.partition == partition_of(record.key.decode(), kafka.partitions(SIGNALS))
                    found.setdefault(record.key.decode(), []).append(record.value or b"")
    await consumer.stop()
    return found


async def test_every_symbols_signals_in_order(kafka_cluster: Kafka) -> None:
    events = {symbol: [b"%06d" % number * 100 for number in range(700)] for symbol in SYMBOLS}
    producer = await kafka_cluster.producer(bulk=True)
    try:
        topic = SignalTopic(producer, kafka_cluster.partitions(SIGNALS))
        await topic.publish([])
        for first, last in ((0, 1), (1, 600), (600, 700)):
            await topic.publish([(symbol, events[symbol][at]) for at in range(first, last) for symbol in SYMBOLS])
    finally:
        await producer.stop()
    assert await read(kafka_cluster, 700 * len(SYMBOLS)) == events


async def test_nothing_of_a_symbol_follows_a_lost_batch(kafka_cluster: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    producer = await kafka_cluster.producer()
    send_batch: Any = producer.send_batch
    sent: list[int] = []

    async def lossy(batch: BatchBuilder, topic: str, *, partition: int) -> asyncio.Future[RecordMetadata]:
        sent.append(batch.record_count())
        if len(sent) == 2:
            raise KafkaTimeoutError
        future: asyncio.Future[RecordMetadata] = await send_batch(batch, topic, partition=partition)
        return future

    monkeypatch.setattr(producer, "send_batch", lossy)
    try:
        with pytest.raises(KafkaTimeoutError):
            await SignalTopic(producer, kafka_cluster.partitions(SIGNALS)).publish([("AAPL", b"x" * 4000)] * 10)
    finally:
        await producer.stop()
    assert len(sent) == 2
    assert await read(kafka_cluster, sent[0]) == {"AAPL": [b"x" * 4000] * sent[0]}
