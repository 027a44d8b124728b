"""Publishes notifications that are stored and not yet on topic `notifications`: at start, and whenever the bell rings.

In order per user: one relay at a time, rows by number, one partition per user, and the producer keeps their order.
A crash between Kafka's acknowledgement and the mark repeats some; their ids tell.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
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
_ROUNDS: Final = 5
"""What is stored while others are on their way goes out right behind them, so often before all of them are marked."""

_BUSY_S: Final = 0.02  # another process is publishing: its batch takes milliseconds
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

    async def run(self) -> None:
        """Publishes until `stop`. While Kafka or the database is away, rows wait."""
        failing = False
        while True:
            last = self._stopping
            try:
                published = await self.flush()
                failing = False
            except (KafkaError, SQLAlchemyError, OSError, TimeoutError) as error:
                if not failing:
                    _log.warning("notifications can't be published just now: %s", type(error).__name__)
                failing = True
                await asyncio.sleep(_PAUSE_S)
            else:
                if last:
                    return
                if published >= _STORM:
                    await asyncio.sleep(_GATHER_S)
                await self._bell.wait(self._every_s)

    async def stop(self, running: asyncio.Task[None]) -> None:
        """Ends `running`, which runs `run`: what is stored by now is published first, unless that takes too long."""
        self._stopping = True
        self._bell.ring()
        await asyncio.wait({running}, timeout=_LAST_S)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def flush(self) -> int:
        """Publishes everything that waits; returns how many were acknowledged."""
        total = 0
        while (count := await self._some()) is None or count >= MOST_AT_ONCE:
            if count is None:
                await asyncio.sleep(_BUSY_S)
            total += count or 0
        return total + count

    async def _some(self) -> int | None:
        """A batch, or some that are not full: how many they had, None where another process is publishing."""
        if self._database.sqlite:  # its one writer must not wait for Kafka
            async with self._database.reading() as session:
                rows = await notifications.unpublished(session, MOST_AT_ONCE)
            await self._publish(rows)
            if rows:
                async with self._database.transaction() as session:
                    await self._mark(session, rows)
            return len(rows)
        async with self._database.transaction() as session:
            if not await notifications.claim_relay(session):
                return None
            done = list[Unpublished]()
            for _ in range(_ROUNDS):
                rows = await notifications.unpublished(session, MOST_AT_ONCE, done[-1].number if done else 0)
                await self._publish(rows)
                done += rows
                if not 0 < len(rows) < MOST_AT_ONCE:
                    break
            if done:
                await self._mark(session, done)
        return len(done)

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

    async def _mark(self, session: AsyncSession, rows: Sequence[Unpublished]) -> None:
        await notifications.mark_published(session, [row.number for row in rows], self._now())
