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
    """partitions: on Kafka."""

    name: str
    partitions: int

    @property
    def dead(self) -> str:
        return f"{self.name}.dead"


TICKS: Final = Topic("ticks", partitions=16)
SIGNALS: Final = Topic("signals", partitions=16)
NOTIFICATIONS: Final = Topic("notifications", partitions=16)
TOPICS: Final = (TICKS, SIGNALS, NOTIFICATIONS)
EMBEDDED_PARTITIONS: Final = 1
"""Of each topic, where nobody shares them: each one more costs whoever writes or reads a part of every batch."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader with state. name: its consumer group and the name of its checkpoints.

    prompt: people wait for what it makes of each record; the others may take a few milliseconds more, and less of the
    processor.
    """

    name: str
    topic: Topic
    prompt: bool = False


ALERTS: Final = Reader("users-alerts", TICKS, prompt=True)
ALERTS_ON_SIGNALS: Final = Reader("users-signals", SIGNALS)
PREDICTION: Final = Reader("prediction-signals", TICKS)
READERS_WITH_STATE: Final = (ALERTS, PREDICTION)
"""Whom the pump waits for: it never runs further ahead than these can follow."""


def partition_of(key: str, partitions: int) -> int:
    """The partition of a symbol or user id. Ours, because Kafka clients hash differently; always pass it explicitly."""
    return crc32(key.encode()) % partitions
