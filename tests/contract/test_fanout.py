"""The front door's reader: everything new once and in order; what was before, from those who remember it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer

from services.gateway import fanout
from services.gateway.core.hall import Hall
from services.gateway.core.inbox import Inbox
from services.gateway.core.positions import Seen
from services.gateway.fanout import Fanout, Remembered
from services.shared.errors import Unavailable
from services.shared.kafka import Kafka
from services.shared.topics import NOTIFICATIONS, SIGNALS, TICKS, Topic, partition_of
from tests.unit.gateway.frames import Sink, notification, signal, tick
from tests.unit.gateway.serving import until


def _remembering(*values: bytes) -> Remembered:
    async def ask() -> Sequence[bytes]:
        return values

    return ask


_NOTHING = _remembering()


@asynccontextmanager
async def _reading(
    kafka: Kafka, hall: Hall, prices: Remembered = _NOTHING, signals: Remembered = _NOTHING, read_back: int = 1200
) -> AsyncIterator[Fanout]:
    reading = Fanout(kafka, hall, prices=prices, signals=signals, read_back=read_back)
    await reading.start()
    try:
        yield reading
    finally:
        await reading.stop()


@asynccontextmanager
async def _publishing(kafka: Kafka) -> AsyncIterator["_Publisher"]:
    producer = await kafka.producer()
    try:
        yield _Publisher(kafka, producer)
    finally:
        await producer.stop()


class _Publisher:
    def __init__(self, kafka: Kafka, producer: AIOKafkaProducer) -> None:
        self._kafka = kafka
        self._producer = producer

    async def publish(self, topic: Topic, key: str, *values: bytes) -> None:
        partition = partition_of(key, self._kafka.partitions(topic))
        for value in values:
            await self._producer.send(topic.name, value, key=key.encode(), partition=partition)
        await self._producer.flush()


async def test_all_three_topics_reach_the_hall(kafka_cluster: Kafka) -> None:
    hall, everything, inbox = Hall(), Sink(), Inbox(lambda: None)
    inbox.behind = False
    hall.enter(everything.seat(), None)
    hall.listen("u1", inbox)
    async with _reading(kafka_cluster, hall), _publishing(kafka_cluster) as publisher:
        await publisher.publish(TICKS, "AAPL", *(tick("AAPL", seq) for seq in range(1, 301)))
        await publisher.publish(TICKS, "IBM", *(tick("IBM", seq) for seq in range(1, 301)))
        await publisher.publish(SIGNALS, "AAPL", signal("AAPL", 5))
        await publisher.publish(NOTIFICATIONS, "u1", notification(1, "u1"))
        await until(lambda: len(everything.heard) >= 601)
        notice = None
        async with asyncio.timeout(20):
            while notice is None:
                notice = inbox.next()
                await asyncio.sleep(0.01)
        assert notice.id == "n1"
    prices = [each for each in everything.heard if each.type == "stock_price_update"]
    for symbol in ("AAPL", "IBM"):
        assert [each.seq for each in prices if each.symbol == symbol] == list(range(1, 301))


async def test_it_begins_at_the_end_and_what_was_before_is_remembered_by_others(kafka_cluster: Kafka) -> None:
    hall, sink = Hall(), Sink()
    hall.enter(sink.seat(), "AAPL")
    async with _publishing(kafka_cluster) as publisher:
        await publisher.publish(TICKS, "AAPL", tick("AAPL", 1), tick("AAPL", 2))
        remembered = _remembering(tick("AAPL", 2))
        async with _reading(kafka_cluster, hall, remembered, _remembering(signal("AAPL", 1)), 0) as reading:
            await asyncio.wait_for(reading.loaded.wait(), 20)
            await publisher.publish(TICKS, "AAPL", tick("AAPL", 2), tick("AAPL", 3))
            await until(lambda: len(sink.heard) >= 3)
    assert [(each.type, each.seq) for each in sink.heard] == [
        ("stock_price_update", 2),
        ("prediction_update", 1),
        ("stock_price_update", 3),
    ]


async def test_what_was_published_before_the_start_can_be_resumed_from(kafka_cluster: Kafka) -> None:
    hall, sink = Hall(), Sink()
    async with _publishing(kafka_cluster) as publisher:
        for symbol in ("AAPL", "IBM"):
            await publisher.publish(TICKS, symbol, *(tick(symbol, seq) for seq in range(1, 501)))
        await publisher.publish(SIGNALS, "AAPL", signal("AAPL", 3), signal("AAPL", 9, prev_seq=3))
        async with _reading(kafka_cluster, hall):
            await publisher.publish(TICKS, "AAPL", tick("AAPL", 501))
            await until(lambda: hall.board.of("AAPL").seq == 501)
            hall.enter(sink.seat(extended=True), "AAPL", {"AAPL": Seen(b"e1", 490, 3)})
    answer, *missed = sink.messages
    assert answer == {"type": "resumed", "symbol": "AAPL", "recovered": True, "replayed": 12}
    assert [each["seq"] for each in missed] == [9, *range(491, 502)]
    assert hall.board.of("IBM").seq == 500


async def test_a_place_that_is_gone_is_told_and_reading_begins_anew(
    kafka_cluster: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    hall, sink, told = Hall(), Sink(), list[str]()
    hall.enter(sink.seat(), None)
    found = asyncio.Event()

    @asynccontextmanager
    async def lost() -> AsyncIterator[None]:
        told.append("lost")
        yield
        told.append("found")
        found.set()

    real, asked = Kafka.ends, list[Topic]()

    async def ends(self: Kafka, topic: Topic) -> dict[int, int]:
        asked.append(topic)
        beyond = 1000 if len(asked) <= 3 else 0  # the first time, for each of three topics
        return {number: end + beyond for number, end in (await real(self, topic)).items()}

    monkeypatch.setattr(Kafka, "ends", ends)
    reading = Fanout(kafka_cluster, hall, prices=_NOTHING, signals=_NOTHING, read_back=0, lost=lost)
    await reading.start()
    await asyncio.wait_for(found.wait(), 20)
    async with _publishing(kafka_cluster) as publisher:
        await publisher.publish(TICKS, "AAPL", tick("AAPL", 7))
        await until(lambda: bool(sink.heard))
    await reading.stop()
    assert told == ["lost", "found"]
    assert [each.seq for each in sink.heard] == [7]


async def test_who_does_not_remember_yet_is_asked_again(
    kafka_cluster: Kafka, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "_WORTH_SAYING_S", 0.0)
    answers: list[Exception | Sequence[bytes]] = [Unavailable("not yet"), Unavailable("not yet"), [tick("AAPL", 9)]]

    async def ask() -> Sequence[bytes]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    hall = Hall()
    async with _reading(kafka_cluster, hall, ask) as reading, _publishing(kafka_cluster) as publisher:
        assert not reading.loaded.is_set()
        await publisher.publish(TICKS, "IBM", tick("IBM", 1))
        await asyncio.wait_for(reading.loaded.wait(), 20)
        await until(lambda: len(hall.board.symbols()) == 2)
    ours = [each.getMessage() for each in caplog.records if each.name == "tickroom.gateway.fanout"]
    assert ours == ["the last prices are still not to be had: not yet"]


async def test_poison_is_counted_said_once_and_stops_nobody(
    kafka_cluster: Kafka, caplog: pytest.LogCaptureFixture
) -> None:
    hall, sink = Hall(), Sink()
    hall.enter(sink.seat(), "AAPL")
    poison = b'{"type":"stock_price_update","symbol":"AAPL","price":1}'
    async with _reading(kafka_cluster, hall), _publishing(kafka_cluster) as publisher:
        for seq in (1, 2, 3):
            await publisher.publish(TICKS, "AAPL", poison, b"\xff", tick("AAPL", seq))
            await until(lambda seq=seq: len(sink.heard) == seq)  # type: ignore[misc]
    assert [each.seq for each in sink.heard] == [1, 2, 3]
    assert len([line for line in caplog.messages if "left out" in line]) == 1


async def test_a_stop_before_the_answers_came_is_clean(kafka_cluster: Kafka) -> None:
    async def never() -> Sequence[bytes]:
        await asyncio.Event().wait()
        return []

    async with _reading(kafka_cluster, Hall(), never) as reading:
        assert not reading.loaded.is_set()
    await Fanout(kafka_cluster, Hall(), prices=never, signals=never).stop()


async def test_a_stop_that_nobody_waits_for_ends_the_reader_too(kafka_cluster: Kafka) -> None:
    async def slow_to_leave() -> Sequence[bytes]:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(60)
        return []

    reading = Fanout(kafka_cluster, Hall(), prices=slow_to_leave, signals=_NOTHING)
    await reading.start()
    await asyncio.sleep(0)  # now it asks
    threads = [each for each in threading.enumerate() if each.name == "gateway reader"]
    assert len(threads) == 1
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reading.stop(), 0.2)
    await until(lambda: not threads[0].is_alive())
