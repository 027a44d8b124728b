"""Topic `signals`: keyed by symbol, in order, nothing overtaking what may have to be sent again."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

from services.shared.topics import SIGNALS, partition_of


class SignalTopic:
    """Writes to `signals`. partitions: how many it has."""

    def __init__(self, producer: AIOKafkaProducer, partitions: int) -> None:
        self._producer, self._partitions = producer, partitions

    async def publish(self, signals: Sequence[tuple[str, bytes]]) -> None:
        """Publishes (symbol, event) pairs; returns when the broker has all of them.

        Raises KafkaError; then no signal behind a failed one of the same symbol was sent.
        """
        lanes: dict[int, list[tuple[bytes, bytes]]] = {}
        for symbol, event in signals:
            lanes.setdefault(partition_of(symbol, self._partitions), []).append((symbol.encode(), event))
        ends = await asyncio.gather(*(self._follow(*lane) for lane in lanes.items()), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end

    async def _follow(self, partition: int, signals: Sequence[tuple[bytes, bytes]]) -> None:
        """One partition's signals in Kafka batches, each acknowledged before the next is sent."""
        builder = self._producer.create_batch()
        for key, event in signals:
            if builder.append(timestamp=None, key=key, value=event) is None:
                await (await self._producer.send_batch(builder, SIGNALS.name, partition=partition))
                builder = self._producer.create_batch()
                builder.append(timestamp=None, key=key, value=event)
        await (await self._producer.send_batch(builder, SIGNALS.name, partition=partition))
