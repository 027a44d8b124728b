"""Where a replay stands: its epoch, how many records are behind it, and how it finds back there after a crash.

The records of an epoch are a function of the file and the settings, so "how far" is one number. It is stored only after
Kafka's acknowledgements: after a crash some records come twice, under the same (epoch, seq), and none is left out.
Where the log dies with the process (embedded broker) that number is not enough, for what was acknowledged may be gone
unread. Then the replay goes on at the first record that any reader with state has not worked through.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from services.shared.events import Bar, Record, Split
from services.shared.positions import Position, new_epoch
from services.stock_data import metrics
from services.stock_data.core import instants, sequence
from services.stock_data.core.bars import FinalBar
from services.stock_data.core.market import Market, Told
from services.stock_data.core.sequence import Numbering, Playback
from services.stock_data.core.splits import SplitFound
from services.stock_data.core.ticks import Gate, Limits, Refusal
from services.stock_data.feeds.base import SOURCE, ReplayFeed
from services.stock_data.store import Beginning, Store

_log = logging.getLogger("tickroom.stock_data")


class Player:
    """One feed, played record by record. now: the wall clock, which names epochs."""

    def __init__(
        self, feed: ReplayFeed, store: Store, market: Market, log_id: str, now: Callable[[], datetime]
    ) -> None:
        self._feed, self._store, self._market, self._log_id, self._now = feed, store, market, log_id, now
        self._gate = Gate()
        self._playback = Playback(iter(()))
        self._counted: Counter[Refusal] = Counter()
        self.acknowledged = self.saved = 0
        """Records of this epoch that Kafka has, and how many of them the database knows of."""

    @property
    def ended(self) -> bool:
        """Is the last record of the epoch behind us?"""
        return self._playback.ended

    async def open(self, *, log_dies: bool) -> None:
        """Makes the feed ours and stands where it stood, or begins an epoch for a feed that is new.

        log_dies: `go_back` follows, so a new Kafka log is nothing to warn of.
        """
        found = await self._store.take_over(self._log_id)
        if found is None or found.identity != self._feed.identity:
            await self._begin(found.epoch if found else "", await asyncio.to_thread(self._history))
            return
        if found.log_id != self._log_id and found.records and not log_dies:
            _log.warning("this Kafka log is a new one: readers count what they had not read of the old one as missing")
        await self._stand(found.epoch, lambda playback, told: playback.skip(found.records, told.add))
        _log.info("epoch %s goes on behind record %d", found.epoch, self.acknowledged)

    async def again(self) -> None:
        """Begins a new epoch at the feed's begin. Raises Fenced where somebody else has taken the feed over."""
        await self._begin(self._market.epoch, None)

    async def go_back(self, readers: Sequence[Mapping[str, Position]]) -> None:
        """Stands before the first record of this epoch that any of the readers has not worked through."""
        epoch, before = self._market.epoch, self.acknowledged
        seen = [
            {symbol: position.seq for symbol, position in reader.items() if position.epoch == epoch}
            for reader in readers
        ]
        await self._stand(epoch, lambda playback, told: playback.skip_worked(seen, told.add))
        if before != self.acknowledged:
            _log.info(
                "epoch %s goes on behind record %d, which every reader has worked through", epoch, self.acknowledged
            )

    def take(self, ticks: int, most: int) -> list[Record]:
        """The next records, see Playback.take."""
        batch = self._playback.take(ticks, most)
        for reason, count in (self._gate.refused - self._counted).items():
            metrics.REFUSED.labels(reason.value).inc(count)
        self._counted = self._gate.refused.copy()
        return batch

    async def save(self, batch: Sequence[Record] = ()) -> None:
        """Stores the batch's bars and splits and what is acknowledged. Raises Fenced as `again` does."""
        bars = [sequence.final_bar(record) for record in batch if isinstance(record, Bar)]
        splits = [sequence.split_found(record) for record in batch if isinstance(record, Split)]
        records = self.acknowledged
        await self._store.advance(records, bars, splits)
        self.saved = records
        metrics.BARS_STORED.inc(len(bars))

    def published(self, batch: Sequence[Record]) -> None:
        """Kafka has the batch."""
        self.acknowledged += len(batch)
        for record in batch:
            self._market.told.add(record)

    async def _begin(self, after: str, history: tuple[list[FinalBar], list[SplitFound]] | None) -> None:
        feed, epoch = self._feed, new_epoch(self._now(), after)
        await self._store.begin(Beginning(feed.identity, epoch, feed.started, self._log_id, feed.sectors, history))
        await self._stand(epoch, lambda _playback, _told: None)
        self.saved = 0
        metrics.EPOCHS.inc()
        _log.info("epoch %s begins on %s", epoch, instants.new_york_date(feed.started))

    async def _stand(self, epoch: str, move: Callable[[Playback, Told], None]) -> None:
        """A new run through the records of `epoch`, moved to where it goes on. Long files take seconds: in a thread."""
        told, gate, feed = Told(), self._new_gate(), self._feed
        made = sequence.records(
            feed.items(), Numbering(epoch, SOURCE), gate, started=feed.started, aggregate=feed.aggregate
        )

        def run() -> Playback:
            playback = Playback(made)
            move(playback, told)
            return playback

        self._playback = await asyncio.to_thread(run)
        self._gate, self._counted = gate, gate.refused.copy()
        self.acknowledged = self._playback.taken
        self._market.begin(epoch, feed.started, told)

    def _history(self) -> tuple[list[FinalBar], list[SplitFound]]:
        feed = self._feed
        return sequence.history(feed.items(), self._new_gate(), started=feed.started, aggregate=feed.aggregate)

    def _new_gate(self) -> Gate:
        """Daily rows were checked as rows: a jump from one to the next is what happened."""
        return Gate(Limits() if self._feed.aggregate else Limits(max_jump=None))
