"""Reads records of whole topics, by librdkafka in a thread of its own.

The gateway reads every partition there is, and aiokafka works through all of them, in Python, at each answer of the
broker: 0.8 ms with 9 partitions and 2 ms with 129, whether it brings records or not. Here that costs a tenth.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from services.shared.kafka import MAX_RECORDS, Kafka

_log = logging.getLogger("tickroom.gateway.reader")

_LOOK_UP_S: Final = 0.1
_COMPLAIN_EVERY_S: Final = 10.0

_GONE: Final = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION})
"""The record that comes next is not there (any more): deleted before it was read, or never written after a failover."""

Take = Callable[[Sequence[bytes]], None]
"""Takes the values of one batch, in order within each partition."""


def _nobody() -> None:
    """Nobody has to know."""


class Reader:
    """Hands on what stands at and behind `offsets` (by topic and partition), one batch at a time, in the event loop.

    lost: called in the event loop where what comes next is not to be had; nothing is handed on after that.
    """

    def __init__(
        self, kafka: Kafka, offsets: Mapping[tuple[str, int], int], take: Take, lost: Callable[[], None] = _nobody
    ) -> None:
        self._kafka = kafka
        self._offsets = offsets
        self._take = take
        self._lost = lost
        self._astray = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._read, name="gateway reader", daemon=True)
        self._stopping = False
        self._taken = threading.Event()
        self._complained_at = float("-inf")

    def start(self) -> None:
        """Returns at once. Where the brokers are not to be had, it goes on asking."""
        self._thread.start()

    async def stop(self) -> None:
        """Finishes the batch in hand."""
        self._stopping = True
        await asyncio.to_thread(self._thread.join)

    # In the thread

    def _read(self) -> None:
        # its own way out, going on at the end, would leave a gap that nobody hears of
        settings: dict[str, Any] = {
            **self._kafka.from_offsets("gateway"),
            "auto.offset.reset": "error",
            "error_cb": self._complain,
        }
        consumer = Consumer(settings)
        try:
            consumer.assign([TopicPartition(*partition, offset) for partition, offset in self._offsets.items()])
            while not (self._stopping or self._astray):
                if values := self._values(consumer):
                    self._taken.clear()
                    self._loop.call_soon_threadsafe(self._hand_on, values)
                    self._taken.wait()
            if self._astray:
                self._loop.call_soon_threadsafe(self._lost)
        finally:
            consumer.close()

    def _values(self, consumer: Consumer) -> list[bytes]:
        """What is there by now; where nothing is, what comes first within `_LOOK_UP_S`."""
        first = consumer.poll(_LOOK_UP_S)
        if first is None:
            return []
        try:
            messages = [first, *consumer.consume(MAX_RECORDS - 1, 0)]
        except KafkaException as error:
            messages = [first]
            self._complain(error.args[0])
        return [value for message in messages if (value := self._value(message)) is not None]

    def _value(self, message: Message) -> bytes | None:
        if (error := message.error()) is not None:
            self._astray = self._astray or error.code() in _GONE
            self._complain(error)
            return None
        value = message.value()
        return value if isinstance(value, bytes) else None

    def _complain(self, error: KafkaError) -> None:
        if time.monotonic() - self._complained_at > _COMPLAIN_EVERY_S:
            self._complained_at = time.monotonic()
            _log.warning("Kafka: %s", error.str())

    # In the event loop

    def _hand_on(self, values: Sequence[bytes]) -> None:
        try:
            self._take(values)
        finally:
            self._taken.set()
