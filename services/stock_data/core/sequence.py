"""A replay as one sequence of numbered records: the same file and start give the same records, each time.

That is what lets a replay go on after a crash: nothing about it is stored but how far it came, and whoever needs the
records before that makes them again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from services.shared.events import Bar, Record, Split, Tick, seconds
from services.stock_data.core import instants
from services.stock_data.core.bars import Aggregator, FinalBar
from services.stock_data.core.splits import SplitFound
from services.stock_data.core.ticks import Gate, Quote, Refusal

Item = Quote | FinalBar | SplitFound
"""What a feed yields, in order over all symbols: a quote at its time, a bar at its end, a split at its midnight."""

VERSION = 1
"""Raise it when the same input gives other records: stored progress counts for one version only."""


class Numbering:
    """Makes records of what was accepted: seq counts 1, 2, 3 ... for each symbol within the epoch."""

    def __init__(self, epoch: str, source: str) -> None:
        self._epoch = epoch
        self._source = source
        self._last: dict[str, int] = {}

    def _next(self, symbol: str) -> int:
        seq = self._last[symbol] = self._last.get(symbol, 0) + 1
        return seq

    def tick(self, quote: Quote) -> Tick:
        time = instants.text(quote.time)
        return Tick(
            symbol=quote.symbol,
            price=quote.price,
            timestamp=seconds(time),
            epoch=self._epoch,
            seq=self._next(quote.symbol),
            time=time,
            volume=quote.volume,
            source=self._source,
            trade_id=msgspec.UNSET if quote.trade_id is None else quote.trade_id,
        )

    def bar(self, bar: FinalBar) -> Bar:
        return Bar(
            symbol=bar.symbol,
            timeframe=bar.timeframe,
            start=instants.text(bar.start),
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=bar.volume,
            final=True,
            epoch=self._epoch,
            seq=self._next(bar.symbol),
            time=instants.text(bar.end),
            date=bar.date,
            source=self._source,
        )

    def split(self, split: SplitFound) -> Split:
        return Split(
            symbol=split.symbol,
            ratio=split.ratio,
            effective=split.effective,
            epoch=self._epoch,
            seq=self._next(split.symbol),
            time=instants.text(split.time),
            source=self._source,
        )


def final_bar(record: Bar) -> FinalBar:
    """The bar that `record` tells of, as it is stored."""
    return FinalBar(
        record.symbol,
        "1m" if record.timeframe == "1m" else "1d",
        instants.parse(record.start),
        instants.parse(record.time),
        record.date,
        record.open,
        record.high,
        record.low,
        record.close,
        record.volume,
    )


def split_found(record: Split) -> SplitFound:
    """The split that `record` tells of, as it is stored."""
    return SplitFound(record.symbol, record.ratio, record.effective, instants.parse(record.time))


def records(
    items: Iterable[Item], numbering: Numbering, gate: Gate, *, started: int, aggregate: bool
) -> Iterator[Record]:
    """The records of an epoch that begins at the instant `started`; what is before it is history and has no record.

    aggregate: make 1m and 1d bars of the quotes, for feeds that bring none. At the end of the items all bars are final.
    """
    growing = Aggregator() if aggregate else None
    for item in items:
        if isinstance(item, Quote):
            if growing is None and item.time < started:
                continue
            quote = gate.judge(item)
            if isinstance(quote, Refusal):
                continue
            if growing is not None:
                for bar in growing.until(quote.time):
                    if bar.end > started:
                        yield numbering.bar(bar)
                growing.add(quote.symbol, quote.price, quote.volume, quote.time)
            if quote.time >= started:
                yield numbering.tick(quote)
        elif isinstance(item, FinalBar):
            if item.end > started:
                yield numbering.bar(item)
        elif item.time >= started:
            yield numbering.split(item)
    if growing is not None:
        for bar in growing.rest():
            yield numbering.bar(bar)


def history(
    items: Iterable[Item], gate: Gate, *, started: int, aggregate: bool
) -> tuple[list[FinalBar], list[SplitFound]]:
    """The bars that were final at `started` and the splits before it: exactly what `records` has no record of."""
    growing = Aggregator() if aggregate else None
    bars: list[FinalBar] = []
    splits: list[SplitFound] = []
    for item in items:
        if isinstance(item, Quote):
            if item.time >= started:
                break
            quote = gate.judge(item) if growing is not None else None
            if growing is not None and isinstance(quote, Quote):
                bars += growing.until(quote.time)
                growing.add(quote.symbol, quote.price, quote.volume, quote.time)
        elif isinstance(item, FinalBar):
            if item.end > started:
                break
            bars.append(item)
        elif item.time < started:
            splits.append(item)
    if growing is not None:
        bars += growing.until(started)
    return bars, splits


class Playback:
    """One run through an epoch's records. taken: how many are behind it."""

    def __init__(self, source: Iterator[Record]) -> None:
        self.taken = 0
        self._source = source
        self._ahead = next(source, None)

    @property
    def ended(self) -> bool:
        return self._ahead is None

    def take(self, ticks: int, most: int) -> list[Record]:
        """The next `ticks` ticks with all bars and splits up to the tick after them; at most `most` records."""
        batch: list[Record] = []
        while self._ahead is not None and len(batch) < most:
            if isinstance(self._ahead, Tick):
                if ticks == 0:
                    break
                ticks -= 1
            batch.append(self._next())
        return batch

    def skip(self, count: int, seen: Callable[[Record], None]) -> None:
        """Leaves `count` records behind; `seen` is told each."""
        while self._ahead is not None and count > 0:
            seen(self._next())
            count -= 1

    def skip_worked(self, readers: Sequence[Mapping[str, int]], seen: Callable[[Record], None]) -> None:
        """Goes to the first record that any reader has not worked through.

        readers: for each, the last seq in this epoch of every symbol that it has seen.
        """
        while (record := self._ahead) is not None:
            if any(reader.get(record.symbol, 0) < record.seq for reader in readers):
                return
            seen(self._next())

    def _next(self) -> Record:
        record = self._ahead
        assert record is not None
        self._ahead = next(self._source, None)
        self.taken += 1
        return record
