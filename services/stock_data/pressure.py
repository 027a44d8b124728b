"""Back-pressure: how many more records the feed may publish before the slowest reader with state must catch up.

A reader is behind by what stands between its committed offset and the end of the log. That is asked every now and
then; in between, the feed spends what was left at the last answer. So a reader is never further behind on a partition
than the limit, however fast the feed is and however late the answer.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from aiokafka.errors import KafkaError

from services.shared.topics import Reader
from services.stock_data import metrics

_BUSY_SHARE: Final = 0.1  # of the limit, sent between two questions

_log = logging.getLogger("tickroom.stock_data")


class Lags(Protocol):
    """The part of shared.kafka.Kafka that is needed here."""

    async def lag(self, reader: Reader) -> Mapping[int, int | None]: ...


class Pressure:
    """Use as a context manager: it asks as long as it is open. For one task at a time.

    often_s: between two questions while the feed is fast or room is short; seldom_s: else.
    """

    def __init__(
        self, kafka: Lags, readers: Sequence[Reader], limit: int, *, often_s: float = 0.1, seldom_s: float = 0.5
    ) -> None:
        self._kafka = kafka
        self._often_s, self._seldom_s = often_s, seldom_s
        self._readers = readers
        self._limit = limit
        self._sent = self._acknowledged = 0
        self._allowed = 0
        self._ready = self._empty = False
        self._answered = asyncio.Event()
        self._asking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._asking = asyncio.create_task(self._ask(), name="lag of readers with state")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._asking is not None
        self._asking.cancel()
        await asyncio.gather(self._asking, return_exceptions=True)

    async def ready(self) -> None:
        """Returns once every reader with state has committed an offset on every partition."""
        while not self._ready:
            await self._answer()

    @property
    def left(self) -> int:
        """How many records may be sent now; none where it is not above 0."""
        return self._allowed - self._sent

    async def room(self) -> None:
        """Returns once some may be sent."""
        while self.left <= 0:
            await self._answer()

    def sent(self, records: int) -> None:
        self._sent += records

    def acknowledged(self, records: int) -> None:
        self._acknowledged += records

    async def drained(self) -> None:
        """Returns once every reader has worked through all that was sent."""
        self._empty = False
        while not self._empty:
            await self._answer()

    async def _answer(self) -> None:
        """Waits for the next answer. Raises what ended the asking, where something did."""
        assert self._asking is not None
        self._answered.clear()
        news = asyncio.ensure_future(self._answered.wait())
        try:
            await asyncio.wait({news, self._asking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
        if self._asking.done():
            self._asking.result()

    async def _ask(self) -> None:
        before = 0
        while True:
            sent, acknowledged = self._sent, self._acknowledged
            try:
                lags = await asyncio.gather(*(self._kafka.lag(reader) for reader in self._readers))
            except (KafkaError, OSError, TimeoutError) as error:
                _log.debug("lag of the readers is unknown: %s", error)
            else:
                self._take(lags, acknowledged, everything=sent == acknowledged)
            busy = sent - before > self._limit * _BUSY_SHARE or self._allowed - self._sent < self._limit / 2
            before = sent
            await asyncio.sleep(self._often_s if busy else self._seldom_s)

    def _take(self, lags: Sequence[Mapping[int, int | None]], acknowledged: int, *, everything: bool) -> None:
        """acknowledged: records that were in the log when it was asked; everything: no more were under way."""
        worst = 0
        self._ready = True
        for reader, partitions in zip(self._readers, lags, strict=True):
            known = [lag for lag in partitions.values() if lag is not None]
            behind = max(known, default=0)
            metrics.READER_LAG.labels(reader.name).set(behind)
            worst = max(worst, behind)
            self._ready = self._ready and len(known) == len(partitions)
        self._allowed = acknowledged + (self._limit - worst if self._ready else 0)
        self._empty = self._ready and everything and worst == 0
        self._answered.set()
