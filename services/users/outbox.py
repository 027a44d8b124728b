"""Publishes notifications that are stored and not yet on topic `notifications`: at start, and whenever the bell rings.

In order per user: one relay at a time, rows by number, one partition per user, and the producer keeps their order.
A crash between Kafka's acknowledgement and the mark, half a second later, repeats some; their ids tell.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared.database import Database
from services.shared.topics import NOTIFICATIONS, partition_of
from services.users import metrics
from services.users.bell import Bell
from services.users.store import notifications
from services.users.store.notifications import Unpublished

MOST_AT_ONCE: Final = 500
_BUSY_S: Final = 0.02  # another process is publishing
_HOLD_S: Final = 0.05
"""So long after the last ring the turn is kept: what is stored meanwhile goes out without asking for it."""

_MARK_S: Final = 0.5
"""So late is marked what was published, all at once: a transaction for each would hold up those that store firings."""

_STORM: Final = 50  # notifications in a batch: from so many on, what fires meanwhile goes out together
_GATHER_S: Final = 0.03
_PAUSE_S: Final = 1.0  # after a failure
_LAST_S: Final = 0.7  # for what is left when the process ends

_log = logging.getLogger("tickroom.users.outbox")


class Relay:
    """every_s: how often to look without being rung. partitions: of topic `notifications`."""

    def __init__(
        self,
        database: Database,
        producer: AIOKafkaProducer,
        partitions: int,
        now: Callable[[], str],
        bell: Bell,
        every_s: float,
    ) -> None:
        self._database = database
        self._producer = producer
        self._count = partitions
        self._now = now
        self._bell = bell
        self._every_s = every_s
        self._stopping = False
        self._published: list[int] = []
        """Numbers of those that are to be marked, at `_mark_at` if not before."""
        self._mark_at = 0.0

    async def run(self) -> None:
        """Publishes until `stop`. While Kafka or the database is away, rows wait."""
        failing = False
        while True:
            last = self._stopping
            try:
                await self.flush(0.0 if last else _HOLD_S)
                failing = False
            except (KafkaError, SQLAlchemyError, OSError, TimeoutError) as error:
                if not failing:
                    _log.warning("notifications can't be published just now: %s", type(error).__name__)
                failing = True
                await asyncio.sleep(_PAUSE_S)
            else:
                if last:
                    return
                await self._bell.wait(self._every_s)

    async def stop(self, running: asyncio.Task[None]) -> None:
        """Ends `running`, which runs `run`: what is stored by now is published first, unless that takes too long."""
        self._stopping = True
        self._bell.ring()
        await asyncio.wait({running}, timeout=_LAST_S)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def flush(self, hold_s: float = 0.0) -> int:
        """Publishes everything that waits, and what comes until the bell was silent for `hold_s`; returns how many."""
        if self._database.sqlite:  # one process, whose one writer must not wait for Kafka
            return await self._empty(None, hold_s)
        while True:
            async with self._database.holding(notifications.PUBLISHED) as session:
                if session is not None:
                    return await self._empty(session, hold_s)
            await asyncio.sleep(_BUSY_S)

    async def _empty(self, session: AsyncSession | None, hold_s: float) -> int:
        total = 0
        while True:
            count = await self._some(session)
            total += count
            if self._published and time.monotonic() >= self._mark_at:
                await self._mark(session)
            if count >= _STORM and not self._stopping:
                await asyncio.sleep(_GATHER_S)
            if count < MOST_AT_ONCE and not await self._bell.wait(hold_s if total and not self._stopping else 0.0):
                await self._mark(session)
                return total

    async def _some(self, session: AsyncSession | None) -> int:
        """The oldest that wait: how many they were. Without a session it takes one for each step."""
        # rows are numbered in the order in which they become visible: none comes in before those
        after = max(self._published, default=0)
        async with nullcontext(session) if session else self._database.reading(brief=True) as reading:
            rows = await notifications.unpublished(reading, MOST_AT_ONCE, after)
        if rows:
            await self._publish(rows)
            if not self._published:
                self._mark_at = time.monotonic() + _MARK_S
            self._published += [row.number for row in rows]
        return len(rows)

    async def _mark(self, session: AsyncSession | None) -> None:
        if self._published:
            async with nullcontext(session) if session else self._database.transaction(brief=True) as writing:
                await notifications.mark_published(writing, self._published, self._now())
            self._published = []

    async def _publish(self, rows: Sequence[Unpublished]) -> None:
        """Returns when Kafka has all of them. Raises KafkaError."""
        sent = [
            await self._producer.send(
                NOTIFICATIONS.name,
                row.event,
                key=row.user_id.encode(),
                partition=partition_of(row.user_id, self._count),
            )
            for row in rows
        ]
        await asyncio.gather(*sent)
        metrics.PUBLISHED.inc(len(rows))
