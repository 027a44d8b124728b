"""Kafka as every room uses it: one place for client settings, in two profiles (embedded broker, Apache Kafka).

The numbers were measured, see docs/kafka.md: the embedded broker answers an empty fetch only after the whole wait, so
it gets short waits; Apache Kafka answers as soon as data is there, so long waits cost nothing.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    IncompatibleBrokerVersion,
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)
from confluent_kafka import Message
from faststream.confluent import KafkaBroker
from faststream.confluent.helpers.config import ConfluentConfig
from faststream.confluent.message import KafkaMessage

from services.shared.errors import StartFailed
from services.shared.topics import TOPICS, Reader, Topic

_log = logging.getLogger("tickroom.kafka")

_REQUEST_TIMEOUT_MS: Final = 40_000  # above the session's timeout, always: below it a member rejoins for ever
_CLIENT: Final[dict[str, Any]] = {
    "request_timeout_ms": _REQUEST_TIMEOUT_MS,
    "retry_backoff_ms": 100,
    "metadata_max_age_ms": 60_000,
}

_COMMIT_EVERY_MS: Final = 100  # where Kafka does not know yet: the feed waits for its readers by this
_READING: Final[dict[str, Any]] = {  # by librdkafka
    "enable.auto.offset.store": False,
    "queued.max.messages.kbytes": 8 << 10,
    "fetch.queue.backoff.ms": 10,
    "reconnect.backoff.max.ms": 500,
    "topic.metadata.refresh.interval.ms": 60_000,
    "log_level": 2,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How long a fetch waits at the broker, and how long a batch is gathered after its first look."""

    fetch_max_wait_ms: int
    batch_timeout_ms: int


@dataclass(frozen=True, slots=True)
class Profile:
    """What differs between the two brokers. calm: of readers that are not prompt."""

    prompt: Reading
    calm: Reading
    linger_ms: int
    bulk_linger_ms: int


EMBEDDED: Final = Profile(prompt=Reading(5, 3), calm=Reading(20, 15), linger_ms=2, bulk_linger_ms=5)
APACHE: Final = Profile(prompt=Reading(500, 5), calm=Reading(500, 15), linger_ms=1, bulk_linger_ms=5)

MAX_RECORDS: Final = 2000
"""Most records that a reader takes in one batch."""


class Kafka:
    """The way to one cluster. `log_id` names its log: where it differs from a stored one, stored offsets are void."""

    def __init__(self, *, bootstrap: str, embedded: bool, log_id: str, partitions: Mapping[str, int]) -> None:
        self.bootstrap = bootstrap
        self.embedded = embedded
        self.log_id = log_id
        self._partitions = dict(partitions)
        self.profile = EMBEDDED if embedded else APACHE
        self._admin: AIOKafkaAdminClient | None = None
        self._ends: AIOKafkaConsumer | None = None
        self._opening = asyncio.Lock()

    def partitions(self, topic: Topic) -> int:
        """How many the topic has on this cluster."""
        return self._partitions[topic.name]

    def broker(self, name: str) -> KafkaBroker:
        """A FastStream broker for room `name`, not started. Its own log lines (two a batch) are off."""
        return KafkaBroker(
            self.bootstrap,
            client_id=name,
            allow_auto_create_topics=False,
            logger=None,
            apply_types=False,  # FastDepends would take four turns of threads for each batch
            graceful_timeout=2.0,
            config=cast(ConfluentConfig, _READING),
            **_CLIENT,
        )

    def batches(self, *, prompt: bool) -> dict[str, Any]:
        """Arguments of `subscriber(...)` for a reader that takes batches of raw records."""
        reading = self.profile.prompt if prompt else self.profile.calm
        return {
            "batch": True,
            "decoder": raw_messages,
            "max_records": MAX_RECORDS,
            "polling_interval": reading.batch_timeout_ms / 1000,
            "partition_assignment_strategy": ("cooperative-sticky",),
            "fetch_max_wait_ms": reading.fetch_max_wait_ms,
            "fetch_max_bytes": 8 << 20,
            "max_partition_fetch_bytes": 1 << 20,
            "session_timeout_ms": 6_000 if not self.embedded else 10_000,
            # an answer to one is how a member hears that another's session has ended
            "heartbeat_interval_ms": 1_000 if not self.embedded else 3_000,
            "auto_offset_reset": "earliest",
            "auto_commit_interval_ms": _COMMIT_EVERY_MS,
        }

    def from_offsets(self, name: str) -> dict[str, Any]:
        """Settings of a librdkafka consumer that is told its offsets and belongs to no group."""
        return {
            "bootstrap.servers": self.bootstrap,
            "client.id": name,
            "group.id": name,  # its constructor insists
            "enable.auto.commit": False,
            "auto.offset.reset": "latest",
            "fetch.wait.max.ms": self.profile.prompt.fetch_max_wait_ms,
            "fetch.max.bytes": 8 << 20,
            "max.partition.fetch.bytes": 1 << 20,
            **_READING,
        }

    async def producer(self, *, bulk: bool = False, linger_ms: int | None = None) -> AIOKafkaProducer:
        """A started producer that loses nothing it acknowledged. bulk: larger batches, a few milliseconds later."""
        if linger_ms is None:
            linger_ms = self.profile.bulk_linger_ms if bulk else self.profile.linger_ms
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            linger_ms=linger_ms,
            max_batch_size=(128 if bulk else 16) << 10,
            **_CLIENT,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def ends(self, topic: Topic) -> dict[int, int]:
        """The next offset of each partition. Raises KafkaError."""
        consumer = await self._end_reader()
        offsets = await consumer.end_offsets(
            [TopicPartition(topic.name, number) for number in range(self.partitions(topic))]
        )
        return {partition.partition: offset for partition, offset in offsets.items()}

    async def beginnings(self, topic: Topic) -> dict[int, int]:
        """The first offset that each partition still holds. Raises KafkaError."""
        consumer = await self._end_reader()
        offsets = await consumer.beginning_offsets(
            [TopicPartition(topic.name, number) for number in range(self.partitions(topic))]
        )
        return {partition.partition: offset for partition, offset in offsets.items()}

    async def tail(self, topic: Topic, ends: Mapping[int, int], records: int) -> AsyncIterator[list[bytes]]:
        """What stands before `ends` (next offsets by partition), up to `records` of each partition, in batches.

        In order within a partition. Raises KafkaError.
        """
        begins = await self.beginnings(topic)
        left = {
            TopicPartition(topic.name, number): end
            for number, end in ends.items()
            if max(begins[number], end - records) < end
        }
        if not left:
            return
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=self.profile.prompt.fetch_max_wait_ms,
            **_CLIENT,
        )
        await consumer.start()
        try:
            consumer.assign(list(left))
            for partition, end in left.items():
                consumer.seek(partition, max(begins[partition.partition], end - records))
            while left:
                found = await consumer.getmany(*left, timeout_ms=500, max_records=MAX_RECORDS)
                for partition, messages in found.items():
                    yield [each.value for each in messages if each.offset < left[partition] and each.value is not None]
                left = {each: end for each, end in left.items() if await consumer.position(each) < end}
        finally:
            await consumer.stop()

    async def committed(self, reader: Reader) -> dict[int, int | None]:
        """The offset that each partition's owner committed last; None where nobody has yet. Raises KafkaError."""
        admin = await self._administrator()
        partitions = [TopicPartition(reader.topic.name, number) for number in range(self.partitions(reader.topic))]
        try:
            offsets = await admin.list_consumer_group_offsets(reader.name, partitions=partitions)
        except GroupCoordinatorNotAvailableError:
            offsets = {}  # a new cluster: no group has ever joined
        return {
            partition.partition: stored.offset if (stored := offsets.get(partition)) and stored.offset >= 0 else None
            for partition in partitions
        }

    async def lag(self, reader: Reader) -> dict[int, int | None]:
        """Records between each partition's committed offset and its end; None = has never committed, so not ready."""
        committed, ends = await asyncio.gather(self.committed(reader), self.ends(reader.topic))
        return {
            number: None if offset is None else max(0, ends[number] - offset) for number, offset in committed.items()
        }

    async def close(self) -> None:
        """Closes what `ends`, `committed` and `lag` opened."""
        if self._admin is not None:
            await self._admin.close()
        if self._ends is not None:
            await self._ends.stop()
        self._admin = self._ends = None

    async def _administrator(self) -> AIOKafkaAdminClient:
        async with self._opening:
            if self._admin is None:
                admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, **_CLIENT)
                try:
                    await admin.start()
                except BaseException:
                    await admin.close()
                    raise
                self._admin = admin
        return self._admin

    async def _end_reader(self) -> AIOKafkaConsumer:
        async with self._opening:
            if self._ends is None:
                consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, **_CLIENT)
                try:
                    await consumer.start()
                except BaseException:
                    await consumer.stop()
                    raise
                self._ends = consumer
        return self._ends


async def raw_messages(message: KafkaMessage) -> tuple[Message, ...]:
    """FastStream decoder that leaves a batch as it came: readers decode (or slice) the bytes for themselves."""
    raw = message.raw_message
    return raw if isinstance(raw, tuple) else (raw,)


def calm_log() -> None:
    """aiokafka writes about 145 lines a second during an outage: from here on one of each kind in ten seconds."""
    aiokafka = logging.getLogger("aiokafka")
    if not any(isinstance(each, _Calm) for each in aiokafka.handlers):
        aiokafka.addHandler(_Calm())
    aiokafka.propagate = False


async def connect(bootstrap: str, timeout_s: float) -> Kafka:
    """The cluster at `bootstrap`, its topics created where they are missing. Raises StartFailed after `timeout_s`."""
    calm_log()
    deadline = time.monotonic() + timeout_s
    said = False
    while True:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **_CLIENT)
        try:
            await asyncio.wait_for(admin.start(), max(0.1, deadline - time.monotonic()))
            try:
                return await _prepare(admin, bootstrap)
            finally:
                await admin.close()
        except (TimeoutError, KafkaError, OSError, ValueError) as error:
            await _quietly(admin.close())
            if isinstance(error, ValueError | IncompatibleBrokerVersion) or time.monotonic() >= deadline:
                reason = str(error) or type(error).__name__
                raise StartFailed(
                    f"KAFKA_BOOTSTRAP_SERVERS: no Kafka answers at {bootstrap} (waited {timeout_s:g} s): {reason}"
                ) from None
            if not said and not isinstance(error, UnknownTopicOrPartitionError):
                _log.info("waiting for Kafka at %s (%g s at most)", bootstrap, timeout_s)
                said = True
            await asyncio.sleep(0.2)


async def _prepare(admin: AIOKafkaAdminClient, bootstrap: str) -> Kafka:
    cluster = await admin.describe_cluster()
    copies = min(3, len(cluster["brokers"]))
    present = set(await admin.list_topics())
    for topic in TOPICS:
        for name, partitions in ((topic.name, topic.partitions), (topic.dead, 1)):
            if name not in present:
                try:
                    await admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=copies)])
                except TopicAlreadyExistsError:
                    continue  # another service was faster
    described = await admin.describe_topics([topic.name for topic in TOPICS])
    counts = {found["topic"]: len(found["partitions"]) for found in described}
    if not all(counts.get(topic.name) for topic in TOPICS):
        raise UnknownTopicOrPartitionError("its topics were just created")  # the caller asks again
    return Kafka(bootstrap=bootstrap, embedded=False, log_id=str(cluster["cluster_id"]), partitions=counts)


async def _quietly(closing: Awaitable[None]) -> None:
    try:
        await closing
    except (KafkaError, OSError) as error:
        _log.debug("closing failed: %s", error)


class _Calm(logging.Handler):
    """Hands one line of each kind in ten seconds on to the root logger.

    A handler, because a logger's filters don't see what its children log, and aiokafka logs by its modules.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._last.get(record.msg, -10.0) >= 10.0:
            self._last[record.msg] = now
            logging.getLogger().handle(record)
