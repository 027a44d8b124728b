"""Prices or signals in, firings out: what this room does with the partitions of their topic that it owns.

The engine decides in memory. Firings are stored at once; the states of rules and symbols follow with the reader's next
checkpoint. After a crash between the two the same firings come again, under the same ids, and are recognised.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from services.shared.database import Database
from services.shared.positions import Position, SymbolState
from services.shared.readers import Fresh
from services.shared.topics import ALERTS, partition_of
from services.users import metrics
from services.users.bell import Bell, Takings
from services.users.core import wording
from services.users.core.alerts import Alerts
from services.users.core.condition import Source
from services.users.core.journal import Firing, Journal, Watch
from services.users.core.moment import Timeframe
from services.users.core.rules import looks_back
from services.users.history import History, NoHistory
from services.users.store import notifications, watching
from services.users.store.watching import News

MOST_IN_ONE_TRANSACTION: Final = 2_000
"""Firings. When more rules fire in one batch, the rest of it waits until those are stored."""

_REPLAYED: Final = ("replay", "")
"""Sources whose clock is the data's own."""

Now = Callable[[], str]
"""The wall clock as RFC 3339."""


@dataclass(slots=True)
class _Partition:
    """What one partition has in memory, and which rules (id, revision) are to be marked at its next checkpoint."""

    alerts: Alerts
    taken: dict[tuple[str, int], Position] = field(default_factory=dict)
    settled: set[tuple[str, int]] = field(default_factory=set)
    let_go: list[str] = field(default_factory=list)
    storing: int = 0
    """How many of the first firings of the journal are in the transaction in hand; `fired`: not known before."""
    fired: int = 0
    live: bool = False
    """Does its feed go by the wall clock? Known from its last price."""


class AlertWork:
    """`services.shared.readers.Work` for alerts: of rules on prices, or (another object) of those on signals."""

    def __init__(
        self,
        database: Database,
        partitions: int,
        now: Now,
        outbox: Bell,
        post: Bell,
        takings: Takings,
        history: History | None = None,
        bar: Timeframe = "1d",
        source: Source = "prices",
    ) -> None:
        """partitions: of the topic. bar: SIGNAL_BAR.

        outbox: rung when there is something to publish; post: when something has to go further than the socket.
        """
        self.source: Source = source
        self._database = database
        self._count = partitions
        self._now = now
        self._outbox = outbox
        self._post = post
        self._posted = False
        self._takings = takings
        self._history = history or NoHistory()
        self._bar: Timeframe = bar
        self._partitions: dict[int, _Partition] = {}
        self._rules: dict[int, int] = {}

    # -- what the reader calls -------------------------------------------------------------------------------------

    async def open(self, partition: int, states: Mapping[str, SymbolState]) -> None:
        """Loads the rules. Those that nobody has taken in yet count from the checkpoint: nothing after it is missed."""
        alerts = Alerts({symbol: each.state for symbol, each in states.items()}, self._bar)
        fresh: list[News] = []
        async with self._database.reading(streams=True) as session:
            watched = await watching.watched_symbols(session)
            mine = [symbol for symbol in watched if partition_of(symbol, self._count) == partition]
            async for active, news in watching.rules_of(session, sorted(mine), self.source):
                alerts.load(active)
                fresh += news
        await self._look_back(alerts, {symbol: alerts.known_before(symbol) for symbol in mine})
        self._partitions[partition] = _Partition(alerts)
        reached = {symbol: Position(each.epoch, each.seq) for symbol, each in states.items()}
        await self.take(partition, fresh, reached)

    async def work(self, partition: int, records: Sequence[Fresh]) -> int:
        mine = self._partitions[partition]
        alerts, journal = mine.alerts, mine.alerts.journal
        mine.live = records[-1].record.source not in _REPLAYED
        for number, each in enumerate(records, 1):
            record, step = each.record, each.step
            if (step.new_epoch or step.missed) and any(alerts.looks_back(record.symbol)):
                await self._look_back(alerts, {record.symbol: record.time})
            alerts.apply(record, new_epoch=step.new_epoch)
            if len(journal.firings) >= MOST_IN_ONE_TRANSACTION:
                return number
        return len(records)

    def effects(self, partition: int) -> bool:
        return bool(self._partitions[partition].alerts.journal.firings)

    async def store_effects(self, session: AsyncSession, partitions: Sequence[int]) -> None:
        left = MOST_IN_ONE_TRANSACTION
        firings: list[tuple[_Partition, Firing]] = []
        for mine in (self._partitions[each] for each in partitions):
            some = mine.alerts.journal.firings[:left]
            firings += [(mine, each) for each in some]
            mine.storing, mine.fired = len(some), 0
            left -= len(some)
        with metrics.STORE_SECONDS.time():
            await self._store_firings(session, firings)

    def effects_stored(self, partition: int) -> None:
        mine = self._partitions[partition]
        del mine.alerts.journal.firings[: mine.storing]
        if mine.fired:
            self._outbox.ring()
        if self._posted:
            self._posted = False
            self._post.ring()
        metrics.FIRINGS.inc(mine.fired)
        mine.storing = mine.fired = 0

    def urgent(self, partition: int) -> bool:
        return bool(self._partitions[partition].alerts.journal.rescaled)

    async def store(self, session: AsyncSession, partitions: Sequence[int]) -> Mapping[int, Mapping[str, bytes]]:
        mine = [self._partitions[each] for each in partitions]
        journals = [each.alerts.journal for each in mine]
        await watching.take(session, {rule: at for each in mine for rule, at in each.taken.items()})
        await watching.settle(session, [rule for each in mine for rule in each.settled])
        await watching.purge(session, [rule_id for each in mine for rule_id in each.let_go])
        await watching.save(session, [watch for each in journals for watch in each.changed.values()])
        told = [wording.rescaled(change) for each in journals for change in each.rescaled]
        await notifications.add_notifications(session, told, self._now())
        return {
            number: {symbol: each.alerts.state(symbol) for symbol in each.alerts.journal.moved}
            for number, each in zip(partitions, mine, strict=True)
        }

    def stored(self, partition: int) -> None:
        mine = self._partitions[partition]
        journal = mine.alerts.journal
        if journal.rescaled:
            self._outbox.ring()
        metrics.TAKEN.inc(len(mine.taken) + len(mine.let_go))
        self._takings.tell(rule_id for rule_id, _ in (*mine.taken, *mine.settled))
        mine.taken, mine.settled, mine.let_go = {}, set(), []
        journal.clear()
        self._count_rules(partition)

    def forget(self, partition: int) -> None:
        self._partitions.pop(partition, None)
        self._count_rules(partition)

    def journal(self, partition: int) -> Journal:
        """What has come of records since the last checkpoint."""
        return self._partitions[partition].alerts.journal

    # -- what the intake calls -------------------------------------------------------------------------------------

    async def take(self, partition: int, news: Iterable[News], reached: Mapping[str, Position]) -> None:
        """Rules made, changed or deleted: in force from the record after `reached`, marked so at the next checkpoint.

        Only while nothing else works on the partition. reached: the last record worked on, by symbol.
        """
        mine = self._partitions[partition]
        live = []
        for each in news:
            rule = each.watch.rule
            if each.deleted:
                mine.alerts.remove(rule.symbol, rule.id)
                mine.let_go.append(rule.id)
            elif each.live:
                live.append(each.watch)
                mine.taken[rule.id, each.revision] = reached.get(rule.symbol, Position("", 0))
            else:
                mine.alerts.remove(rule.symbol, rule.id)
                mine.settled.add((rule.id, each.revision))
        mine.alerts.add(live)
        symbols = {each.rule.symbol for each in live if looks_back(each.rule)}
        await self._look_back(mine.alerts, {symbol: mine.alerts.known_before(symbol) for symbol in symbols})

    def has_unsaved(self, partition: int, news: Iterable[News]) -> bool:
        """Does memory know of one of these rules what the database does not?"""
        changed = self._partitions[partition].alerts.journal.changed
        return any(each.watch.rule.id in changed for each in news)

    # -- what the clock calls --------------------------------------------------------------------------------------

    def listening(self, partition: int, clock: str) -> bool:
        """Has the feed of this partition the time of the wall, and is there a silence to be told of at `clock`?"""
        mine = self._partitions.get(partition)
        return mine is not None and mine.live and mine.alerts.is_silent(clock)

    def pass_time(self, partition: int, clock: str) -> None:
        """It is `clock`, and no record has come. Only while nothing else works on the partition."""
        self._partitions[partition].alerts.pass_time(clock)

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _look_back(self, alerts: Alerts, before: Mapping[str, str]) -> None:
        """Gives rules the past that they look back at; before: for these symbols, where it ends. Raises Unavailable."""

        async def give(symbol: str, until: str, days: int, bars: int) -> None:
            found = await self._history.past(symbol, "1d", days + 1, until) if days else ()
            others = await self._history.past(symbol, self._bar, bars + 1, until) if bars else ()
            alerts.give(symbol, found, others)

        asked = [(symbol, until, *alerts.looks_back(symbol)) for symbol, until in before.items()]
        await asyncio.gather(*(give(*each) for each in asked if any(each[2:])))

    async def _store_firings(self, session: AsyncSession, firings: Sequence[tuple[_Partition, Firing]]) -> None:
        """Stores firings and their notifications, save for rules that nobody wants any more; those are let go of."""
        wanted = await watching.still_wanted(session, (each.rule.id for _, each in firings), self.source)
        for mine, each in firings:
            if (each.rule.id, each.rule.symbol) not in wanted:
                mine.alerts.remove(each.rule.symbol, each.rule.id)
        if self.source == "signals":
            firings = await self._priced(session, firings)
        told = [
            (mine, each, wording.triggered(each))
            for mine, each in firings
            if (each.rule.id, each.rule.symbol) in wanted
        ]
        new = await notifications.add_firings(session, [(firing, notice) for _, firing, notice in told])
        await watching.save(session, _ended((mine.alerts.journal, each) for mine, each, _ in told))
        fresh = [each for _, _, each in told if each.id in new]
        channels = {rule_id: names for (rule_id, _), names in wanted.items()}
        self._posted |= await notifications.add_notifications(session, fresh, self._now(), channels)
        for mine, _, notice in told:
            mine.fired += notice.id in new

    async def _priced(
        self, session: AsyncSession, firings: Sequence[tuple[_Partition, Firing]]
    ) -> list[tuple[_Partition, Firing]]:
        """Firings of signals with the last price that is known here: a signal tells only where it may go."""
        prices = await watching.last_prices(session, ALERTS.name, {each.rule.symbol for _, each in firings})
        return [(mine, replace(each, price=prices.get(each.rule.symbol, each.price))) for mine, each in firings]

    def _count_rules(self, partition: int) -> None:
        """Of this partition anew: a checkpoint is no time to go through the symbols of all."""
        mine = self._partitions.get(partition)
        self._rules[partition] = 0 if mine is None else len(mine.alerts)
        metrics.RULES.labels(self.source).set(sum(self._rules.values()))


def _ended(fired: Iterable[tuple[Journal, Firing]]) -> list[Watch]:
    """Rules that wait for nothing more: their users see that with the firing.

    No others: a state that is newer than the checkpoint would keep them from doing once more what they did. Nor any of
    a split that is yet to be told of, to the users of rules that a start would load.
    """
    changed = {each.rule.id: journal.changed.get(each.rule.id) for journal, each in fired if not journal.rescaled}
    return [watch for watch in changed.values() if watch is not None and watch.status == "fired"]
