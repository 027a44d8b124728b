"""A member of a consumer group: which partitions are ours, and what comes in on them. FastStream, on librdkafka.

librdkafka reads ahead in threads of its own; aiokafka works through every partition of each answer in the event loop,
which everything else then waits for (docs/kafka.md). Sticky and cooperative: whoever comes or goes, a partition that
stays with its owner is not touched.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from faststream import AckPolicy
from faststream.confluent import KafkaBroker

from services.shared.kafka import Kafka
from services.shared.topics import Reader

_ANSWER_WITHIN_S: Final = 30.0
_CLOSE_WITHIN_S: Final = 3.0

_log = logging.getLogger("tickroom.reader")


class Raw(msgspec.Struct, frozen=True, gc=False):
    """A record as it stands in Kafka."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes


class Owner(Protocol):
    """Who works on the partitions. All of it is called in the event loop."""

    async def assigned(self, partitions: Sequence[int]) -> None:
        """These are ours; nothing comes from them until `Member.follow`."""
        ...

    async def revoked(self, partitions: Sequence[int]) -> None:
        """These are ours until this returns."""
        ...

    async def take(self, records: Mapping[int, list[Raw]]) -> None:
        """By partition, in order. Some may be of partitions that are not ours any more. Must not raise."""
        ...


class Member:
    """Reads `reader.topic` for `owner`, as a member of the group that has the reader's name."""

    def __init__(self, kafka: Kafka, reader: Reader, owner: Owner) -> None:
        self._reader, self._owner = reader, owner
        self._loop = asyncio.get_running_loop()
        self._broker: KafkaBroker = kafka.broker(reader.name)
        self._consumer: Consumer | None = None
        self._subscribe(kafka)

    async def start(self) -> None:
        """Joins the group."""
        await self._broker.start()

    async def stop(self) -> None:
        """Leaves the group, which revokes what is ours."""
        try:
            await asyncio.wait_for(self._broker.stop(), _CLOSE_WITHIN_S)
        except TimeoutError:
            _log.warning("%s: left without a word: Kafka does not answer", self._reader.name)

    async def follow(self, partition: int, offset: int) -> None:
        """From now on records of it come, from `offset` on. Raises KafkaException where it is not ours any more."""
        await asyncio.to_thread(self._assigned_consumer.seek, self._partition(partition, offset))
        self._assigned_consumer.resume([self._partition(partition)])

    def hold(self, partitions: Sequence[int]) -> None:
        """Nothing comes from them until `follow`."""
        self._assigned_consumer.pause([self._partition(number) for number in partitions])

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Has Kafka told of the next offset by partition: within a moment, and again until it knows."""
        try:
            self._assigned_consumer.store_offsets(offsets=[self._partition(*each) for each in offsets.items()])
        except KafkaException as error:  # some are not ours any more: the database knows
            _log.debug("%s: offsets not committed: %s", self._reader.name, error)

    @property
    def _assigned_consumer(self) -> Consumer:
        assert self._consumer is not None  # nothing is ours before something was assigned
        return self._consumer

    def _partition(self, number: int, offset: int = 0) -> TopicPartition:
        return TopicPartition(self._reader.topic.name, number, offset)

    def _subscribe(self, kafka: Kafka) -> None:
        subscriber = self._broker.subscriber(
            self._reader.topic.name,
            group_id=self._reader.name,
            ack_policy=AckPolicy.ACK_FIRST,  # librdkafka tells Kafka by itself, of what `commit` has stored
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
            **kafka.batches(prompt=self._reader.prompt),
        )

        @subscriber  # type: ignore[untyped-decorator]  # the types of what `batches` names are open
        async def batch(messages: tuple[Message, ...]) -> None:
            found: dict[int, list[Raw]] = {}
            for each in messages:
                raw = _raw(each)
                found.setdefault(raw.partition, []).append(raw)
            await self._owner.take(found)

    # In the thread that polls

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._consumer = consumer
        # at an offset that needs no look-up, and held before anything can come
        consumer.incremental_assign([self._partition(each.partition) for each in partitions])
        consumer.pause(partitions)
        self._in_loop(self._owner.assigned([each.partition for each in partitions]))

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._in_loop(self._owner.revoked([each.partition for each in partitions]))

    def _in_loop(self, telling: Coroutine[Any, Any, None]) -> None:
        """Returns when the owner has done it; heartbeats go on meanwhile."""
        told = asyncio.run_coroutine_threadsafe(telling, self._loop)
        try:
            told.result(_ANSWER_WITHIN_S)
        except TimeoutError:
            told.cancel()
            _log.warning("%s: a change of partitions took longer than %g s", self._reader.name, _ANSWER_WITHIN_S)


def _raw(message: Message) -> Raw:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    key, value = message.key(), message.value()
    return Raw(partition, offset, key if isinstance(key, bytes) else None, value if isinstance(value, bytes) else b"")
