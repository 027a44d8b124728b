"""Records that nobody can read: parked on `<topic>.dead` with the reason; where nearly all are so, the reader ends."""

from typing import Final

from aiokafka import AIOKafkaProducer

from services.shared.errors import TickroomError
from services.shared.members import Raw
from services.shared.topics import Topic

_WINDOW: Final = 200  # records over which "nearly all is bad" is judged
_SHARE: Final = 0.9


class Unreadable(TickroomError):
    """Nearly all of a topic is bad: then it is us who can't read it."""

    code = "unreadable"


class DeadLetters:
    """Parks records of `topic`; headers `reason` and `origin` (topic/partition/offset) say why and whence."""

    def __init__(self, topic: Topic, producer: AIOKafkaProducer) -> None:
        self._topic, self._producer = topic, producer

    async def send(self, raw: Raw, reason: str) -> None:
        """Returns when the broker has it. Raises KafkaError."""
        origin = f"{self._topic.name}/{raw.partition}/{raw.offset}"
        headers = [("reason", reason.encode()), ("origin", origin.encode())]
        await self._producer.send_and_wait(self._topic.dead, raw.value, key=raw.key, partition=0, headers=headers)

    async def close(self) -> None:
        await self._producer.stop()


class Poison:
    """Counts how much of what was read is bad."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._seen = self._bad = 0

    def judge(self, seen: int, bad: int) -> None:
        """Takes a batch into account. Raises Unreadable where nearly all of the last records were bad."""
        self._seen, self._bad = self._seen + seen, self._bad + bad
        if self._seen < _WINDOW:
            return
        if self._bad >= _SHARE * self._seen:
            raise Unreadable(f"{self._bad} of the last {self._seen} records of topic {self._topic.name} are unreadable")
        self._seen = self._bad = 0
