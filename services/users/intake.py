"""Takes in rules that were made, changed or deleted while prices flow, by whatever replica of the API.

Each owner of symbols looks for news ten times a second, or at once when the API of its own process rings. News come in
between two batches, under the reader's lock, and are checkpointed before the next one: from a stated position on the
rule counts, and nobody can lose or double a price because of it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.shared.database import Database
from services.shared.errors import TickroomError
from services.shared.readers import StatefulReader
from services.shared.topics import partition_of
from services.users.bell import Bell
from services.users.store import watching
from services.users.store.watching import News
from services.users.worker import AlertWork

MOST_AT_ONCE: Final = 2_000
_SOON_S: Final = 0.05
_log = logging.getLogger("tickroom.users.intake")


@dataclass(frozen=True, slots=True)
class Desk:
    """Where rules of one source are taken in. partitions: of the topic that they wait on."""

    reader: StatefulReader
    work: AlertWork
    partitions: int


class Intake:
    """every_s: how often to look without being rung."""

    def __init__(self, database: Database, desks: Sequence[Desk], bell: Bell, every_s: float) -> None:
        self._database = database
        self._desks = desks
        self._bell = bell
        self._every_s = every_s

    async def run(self) -> None:
        """Looks until it is cancelled. A failure (the database away, the partition lost) is tried again."""
        failing, pause_s = False, 0.0
        while True:
            await self._bell.wait(pause_s)
            try:
                pause_s = await self.look()
                failing = False
            except (TickroomError, SQLAlchemyError, OSError, TimeoutError) as error:
                if not failing:
                    _log.warning("rules can't be taken in just now: %s", type(error).__name__)
                failing, pause_s = True, self._every_s

    async def look(self) -> float:
        """Takes in what is new for the partitions that are ours. Returns after how many seconds to look again."""
        async with self._database.reading(brief=True) as session:
            found = await watching.symbols_with_news(session)
        sources = ((desk, [symbol for source, symbol in found if source == desk.work.source]) for desk in self._desks)
        return min([await self._look_at(desk, symbols) for desk, symbols in sources])

    async def _look_at(self, desk: Desk, symbols: Sequence[str]) -> float:
        owned, by_partition = desk.reader.owned, dict[int, list[str]]()
        for symbol in symbols:
            by_partition.setdefault(partition_of(symbol, desk.partitions), []).append(symbol)
        ours = [(partition, mine) for partition, mine in by_partition.items() if partition in owned]
        found = [await self._take(desk, partition, mine) for partition, mine in ours]
        if MOST_AT_ONCE in found:
            return 0.0
        # what is not ours (yet) may be so in a moment: a partition that is just being loaded has read its rules before
        return self._every_s if owned.issuperset(by_partition) else _SOON_S

    async def _take(self, desk: Desk, partition: int, symbols: Sequence[str]) -> int:
        reader, work = desk.reader, desk.work
        async with reader.exclusive(partition):
            news = await self._news(symbols, work)
            if work.has_unsaved(partition, news):  # what a change leaves as it is, is read from the database
                await reader.checkpoint(partition)
                news = await self._news(symbols, work)
            if news:
                reached = {symbol: position for symbol in symbols if (position := reader.position(symbol))}
                await work.take(partition, news, reached)
                await reader.checkpoint(partition)
        return len(news)

    async def _news(self, symbols: Sequence[str], work: AlertWork) -> list[News]:
        async with self._database.reading() as session:
            return await watching.news(session, symbols, MOST_AT_ONCE, work.source)
