"""Reads everything that is new on Kafka and hands it to the hall: one reader of three topics, without a group.

It starts at the current end. Before that it reads back what every symbol's tape needs, so that a client can resume at
a gateway that has just started. What is older comes from the rooms that remember it: the last prices and signals, asked
for after the reading position is fixed, so that nothing falls between the answer and the first record read.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

from aiokafka.errors import KafkaError
from prometheus_client import Counter

from services.gateway.coalesce import Coalesce
from services.gateway.core.hall import Hall
from services.gateway.reader import Reader
from services.shared.errors import TickroomError
from services.shared.events import SessionRevoked
from services.shared.kafka import Kafka
from services.shared.topics import NOTIFICATIONS, SIGNALS, TICKS

_log = logging.getLogger("tickroom.gateway.fanout")

_UPDATES = Counter("gateway_updates", "Prices and predictions that were news")
_FRAMES = Counter("gateway_frames", "Frames written to sockets that keep up")
_NOTICES = Counter("gateway_notices", "Notifications pushed to sockets")
_MALFORMED = Counter("gateway_malformed_records", "Records that are not of the form their topic promises")

_TOPICS: Final = (TICKS, SIGNALS, NOTIFICATIONS)
_ASK_AGAIN_S: Final = 0.25
_WORTH_SAYING_S: Final = 10.0
_COMPLAIN_EVERY_S: Final = 10.0
_LOOK_AGAIN_S: Final = 1.0

Remembered = Callable[[], Awaitable[Sequence[bytes]]]
"""The last record of each symbol, as it stands on its topic. May raise a TickroomError: it is asked again then."""


class Fanout:
    """The gateway's reader. prices and signals: ask the rooms that remember. read_back: records of each partition.

    revoked: is told at once whose sessions have ended. window_s: over which news is gathered (coalesce.py); 0 = none.
    lost: entered where records are gone that were not read yet, and left when reading has begun anew, behind them.
    """

    def __init__(
        self,
        kafka: Kafka,
        hall: Hall,
        *,
        prices: Remembered,
        signals: Remembered,
        read_back: int = 1200,
        revoked: Callable[[SessionRevoked], None] = lambda _revoked: None,
        window_s: float = 0.0,
        lost: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self.loaded = asyncio.Event()
        """Set once prices and signals from before the start are known."""
        self._kafka = kafka
        self._hall = hall
        self._remembered = {"prices": prices, "signals": signals}
        self._read_back = read_back
        self._revoked = revoked
        self._window = Coalesce(window_s, self._take) if window_s else None
        self._lost = lost
        self._reader: Reader | None = None
        self._beginning_anew: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._complained_at = float("-inf")

    async def start(self) -> None:
        """Returns when the reading position is fixed: whatever is published from then on arrives. Raises KafkaError.

        By then the tapes are read back, and what is new waits no longer.
        """
        await self._begin()
        self._loading = asyncio.create_task(self._load(), name="last prices and signals")

    async def stop(self) -> None:
        """Finishes the batch in hand."""
        try:
            for task in (self._loading, self._beginning_anew):
                if task is not None:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
        finally:  # even where somebody does not wait for that: its thread would never end
            if self._reader is not None:
                await self._reader.stop()
            if self._window is not None:
                self._window.close()

    async def _begin(self) -> None:
        ends = {
            (topic.name, number): end for topic in _TOPICS for number, end in (await self._kafka.ends(topic)).items()
        }
        await self._fill(ends)
        take = self._take if self._window is None else self._window.take
        self._reader = Reader(self._kafka, ends, take, self._begin_anew)
        self._reader.start()

    def _begin_anew(self) -> None:
        _log.warning("Kafka no longer has what comes next: everybody is sent to resume, and reading begins anew")
        self._beginning_anew = asyncio.create_task(self._find_a_place(), name="reading anew")

    async def _find_a_place(self) -> None:
        async with self._lost():
            while True:
                try:
                    return await self._begin()
                except KafkaError as error:
                    _log.warning("Kafka: %s", error)
                    await asyncio.sleep(_LOOK_AGAIN_S)

    async def _fill(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Reads the tapes back."""
        for topic in (TICKS, SIGNALS):
            ends = {number: end for (name, number), end in positions.items() if name == topic.name}
            async for values in self._kafka.tail(topic, ends, self._read_back):
                self._hall.deliver(values)

    def _take(self, values: Sequence[bytes]) -> None:
        delivered = self._hall.deliver(values)
        for each in delivered.revoked:  # behind the sockets that have just been woken: they say why before they close
            asyncio.get_running_loop().call_soon(self._revoked, each)
        _UPDATES.inc(delivered.updates)
        _FRAMES.inc(delivered.frames)
        _NOTICES.inc(delivered.notices)
        if delivered.malformed:
            self._complain(delivered.malformed)

    def _complain(self, malformed: int) -> None:
        _MALFORMED.inc(malformed)
        if time.monotonic() - self._complained_at > _COMPLAIN_EVERY_S:
            self._complained_at = time.monotonic()
            _log.warning("%d records of a batch are not of the form their topic promises; left out", malformed)

    async def _load(self) -> None:
        await asyncio.gather(*(self._recall(what, ask) for what, ask in self._remembered.items()))
        self.loaded.set()

    async def _recall(self, what: str, ask: Remembered) -> None:
        begun, said = time.monotonic(), False
        while True:
            try:
                malformed = self._hall.learn(await ask())
            except TickroomError as error:
                if not said and time.monotonic() - begun > _WORTH_SAYING_S:
                    _log.warning("the last %s are still not to be had: %s", what, error.detail)
                    said = True
                await asyncio.sleep(_ASK_AGAIN_S)
            else:
                if malformed:
                    self._complain(malformed)
                return
