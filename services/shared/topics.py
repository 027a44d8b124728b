"""Every topic: its key, its one writer, its readers, and who owns a partition.

| topic         | key     | writer     | readers                                                                     |
|---------------|---------|------------|-----------------------------------------------------------------------------|
| ticks         | symbol  | stock_data | gateway (no group: every replica reads all), prediction and users (groups)  |
| signals       | symbol  | prediction | gateway (no group), users (group)                                           |
| notifications | user id | users      | gateway (no group)                                                          |
| <topic>.dead  | as was  | its reader | people                                                                      |

Ack policy: readers with state (prediction, users) are MANUAL: checkpoint in the database first, then commit to Kafka,
so the committed offset never runs ahead of what is stored. The gateway keeps nothing and has no group: nothing to ack.
The member of the group that holds a partition owns its symbols.
"""

from dataclasses import dataclass
from typing import Final
from zlib import crc32


@dataclass(frozen=True, slots=True)
class Topic:
    """partitions: on Kafka; embedded_partitions: in the embedded broker, which keeps about 5 MB for each."""

    name: str
    partitions: int
    embedded_partitions: int

    @property
    def dead(self) -> str:
        return f"{self.name}.dead"


TICKS: Final = Topic("ticks", partitions=16, embedded_partitions=4)
SIGNALS: Final = Topic("signals", partitions=16, embedded_partitions=4)
NOTIFICATIONS: Final = Topic("notifications", partitions=16, embedded_partitions=1)
TOPICS: Final = (TICKS, SIGNALS, NOTIFICATIONS)


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader with state. name: its consumer group and the name of its checkpoints."""

    name: str
    topic: Topic


ALERTS: Final = Reader("users-alerts", TICKS)
ALERTS_ON_SIGNALS: Final = Reader("users-signals", SIGNALS)
PREDICTION: Final = Reader("prediction-signals", TICKS)
READERS_WITH_STATE: Final = (ALERTS, PREDICTION)
"""Whom the pump waits for: it never runs further ahead than these can follow."""


def partition_of(key: str, partitions: int) -> int:
    """The partition of a symbol or user id. Ours, because Kafka clients hash differently; always pass it explicitly."""
    return crc32(key.encode()) % partitions
