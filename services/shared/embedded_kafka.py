"""The embedded broker: the in-memory Kafka cluster that ships inside librdkafka, set up through its C API.

It speaks Kafka's protocol over TCP on loopback, so aiokafka and FastStream run on it unchanged. Its limits are in
docs/kafka.md: one member per group, about 5 MB kept for each partition, no transactions, everything gone at exit.
"""

import asyncio
import ctypes
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError

from services.shared.errors import StartFailed
from services.shared.kafka import Kafka
from services.shared.topics import EMBEDDED_PARTITIONS, READERS_WITH_STATE, TOPICS

_PRODUCER = 0
_TRIM_KEEP = 6000
"""Records of a partition always kept behind its end, for readers without a group."""
_TRIM_EVERY_S = 1.0

_log = logging.getLogger("tickroom.kafka")


class EmbeddedKafka:
    """One broker. Safe to be called from several threads. partitions: of each topic."""

    def __init__(self, partitions: int = EMBEDDED_PARTITIONS) -> None:
        self._lib = _library()
        self._lock = threading.Lock()
        error = ctypes.create_string_buffer(512)
        configuration = self._lib.rd_kafka_conf_new()
        self._lib.rd_kafka_conf_set(configuration, b"log_level", b"2", error, len(error))
        self._client = self._lib.rd_kafka_new(_PRODUCER, configuration, error, len(error))
        if not self._client:
            raise StartFailed(f"the embedded Kafka broker did not start: {error.value.decode()}")
        self._cluster = self._lib.rd_kafka_mock_cluster_new(self._client, 1)
        if not self._cluster:
            raise StartFailed("the embedded Kafka broker did not start: no free loopback port?")
        self._lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        for topic in TOPICS:
            for name, count in ((topic.name, partitions), (topic.dead, 1)):
                if self._call(self._lib.rd_kafka_mock_topic_create, name.encode(), count, 1) != 0:
                    raise StartFailed(f"the embedded Kafka broker refused topic {name}")
        self.kafka = Kafka(
            bootstrap=self._lib.rd_kafka_mock_cluster_bootstraps(self._cluster).decode(),
            embedded=True,
            log_id=uuid.uuid4().hex,
            partitions={topic.name: partitions for topic in TOPICS},
        )

    def set_up(self, up: bool) -> None:
        """Takes the broker off the network or back: what an outage looks like to clients."""
        switch = self._lib.rd_kafka_mock_broker_set_up if up else self._lib.rd_kafka_mock_broker_set_down
        self._call(switch, 1)

    async def keep_trimmed(self) -> None:
        """Drops records once a second that every reader with state has checkpointed: each fetch scans what is kept.

        Runs until cancelled.
        """
        while True:
            await asyncio.sleep(_TRIM_EVERY_S)
            try:
                for topic in TOPICS:
                    ends = await self.kafka.ends(topic)
                    keep_from = {partition: end - _TRIM_KEEP for partition, end in ends.items()}
                    for reader in READERS_WITH_STATE:
                        if reader.topic == topic:
                            for partition, offset in (await self.kafka.committed(reader)).items():
                                keep_from[partition] = min(keep_from[partition], offset or 0)
                    await asyncio.to_thread(self._trim, topic.name.encode(), keep_from)
            except KafkaError as error:
                _log.warning("trimming the embedded broker failed: %s", error)

    def _trim(self, topic: bytes, keep_from: Mapping[int, int]) -> None:
        for partition, offset in keep_from.items():
            if offset > 0:
                self._call(self._lib.rd_kafka_mock_partition_delete_records, topic, partition, offset)

    def _call(self, function: Callable[..., int], *arguments: object) -> int:
        """Waits until the broker's thread has done it.

        That thread throws away all wake-ups after it has done what it was woken for: a call right behind another would
        wait for its next look, a second later.
        """
        with self._lock:
            if not self._cluster:  # closed meanwhile: nothing is left to do anything with
                return 0
            done = function(self._cluster, *arguments)
            time.sleep(0.001)
        return done

    def close(self) -> None:
        """Ends the broker; everything it held is gone."""
        with self._lock:
            if self._cluster:
                self._lib.rd_kafka_mock_cluster_destroy(self._cluster)
                self._lib.rd_kafka_destroy(self._client)
                self._cluster = self._client = None


@asynccontextmanager
async def embedded_kafka(partitions: int = EMBEDDED_PARTITIONS) -> AsyncIterator[Kafka]:
    """Runs a broker with every topic of `topics.py` while the context is open."""
    broker = await asyncio.to_thread(EmbeddedKafka, partitions)  # which waits for librdkafka's own thread
    trimming = asyncio.create_task(broker.keep_trimmed(), name="trim the embedded broker")
    try:
        yield broker.kafka
    finally:
        trimming.cancel()
        await asyncio.gather(trimming, return_exceptions=True)
        await broker.kafka.close()
        await asyncio.to_thread(broker.close)


def _library() -> ctypes.CDLL:
    from confluent_kafka import cimpl

    lib = ctypes.CDLL(cimpl.__file__)
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures: dict[str, tuple[type | None, tuple[type, ...]]] = {
        "rd_kafka_conf_new": (pointer, ()),
        "rd_kafka_conf_set": (number, (pointer, text, text, text, ctypes.c_size_t)),
        "rd_kafka_new": (pointer, (number, pointer, text, ctypes.c_size_t)),
        "rd_kafka_destroy": (None, (pointer,)),
        "rd_kafka_mock_cluster_new": (pointer, (pointer, number)),
        "rd_kafka_mock_cluster_destroy": (None, (pointer,)),
        "rd_kafka_mock_cluster_bootstraps": (text, (pointer,)),
        "rd_kafka_mock_topic_create": (number, (pointer, text, number, number)),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, (pointer, ctypes.c_int32)),
        "rd_kafka_mock_partition_delete_records": (number, (pointer, text, ctypes.c_int32, ctypes.c_int64)),
        "rd_kafka_mock_broker_set_down": (number, (pointer, ctypes.c_int32)),
        "rd_kafka_mock_broker_set_up": (number, (pointer, ctypes.c_int32)),
    }
    for name, (result, arguments) in signatures.items():
        try:
            function = getattr(lib, name)
        except AttributeError:
            raise StartFailed(
                f"this confluent-kafka wheel does not export {name}; install the pinned version"
            ) from None
        function.restype = result
        function.argtypes = arguments
    return lib
