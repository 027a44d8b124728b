"""Replays a file of ticks in order of time; ticks of one instant keep the order of the file."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from math import isnan, nan

from services.shared.errors import StartFailed
from services.stock_data.core import instants
from services.stock_data.core.sequence import Item
from services.stock_data.core.start import Start, begin
from services.stock_data.core.ticks import Quote
from services.stock_data.feeds.base import chosen, identity


class TickFeed:
    """Kept in columns, 28 bytes a tick: files of millions of rows fit into memory."""

    name = "csv"
    aggregate = True

    def __init__(self, ticks: Iterable[Quote], digest: str, *, symbols: Sequence[str], start: Start | None) -> None:
        """Raises StartFailed for symbols that the ticks don't have, or a start behind the last of them."""
        self._names: list[str] = []
        self._which, self._times = array("i"), array("q")
        self._prices, self._sizes = array("d"), array("d")
        self._read(ticks)
        self._sort()
        followed = chosen(symbols, set(self._names))
        self._followed = [name in followed for name in self._names]
        self.sectors = dict.fromkeys(sorted(followed), "")
        self.started = self._begin(start)
        self.identity = identity(digest, list(self.sectors), self.started)

    def _read(self, ticks: Iterable[Quote]) -> None:
        numbers: dict[str, int] = {}
        for tick in ticks:
            if (number := numbers.get(tick.symbol)) is None:
                number = numbers[tick.symbol] = len(self._names)
                self._names.append(tick.symbol)
            self._which.append(number)
            self._times.append(tick.time)
            self._prices.append(tick.price)
            self._sizes.append(nan if tick.volume is None else tick.volume)

    def _sort(self) -> None:
        times = self._times
        if all(times[n] <= times[n + 1] for n in range(len(times) - 1)):
            return
        order = sorted(range(len(times)), key=times.__getitem__)
        self._which = array("i", (self._which[n] for n in order))
        self._prices = array("d", (self._prices[n] for n in order))
        self._sizes = array("d", (self._sizes[n] for n in order))
        self._times = array("q", (times[n] for n in order))

    def _begin(self, start: Start | None) -> int:
        first, last = self._times[0], self._times[-1]
        begins = begin(start, first, last)
        if begins > last:
            named = start.isoformat() if isinstance(start, date) else instants.text(begins)
            raise StartFailed(f"REPLAY_START: {named} is after the last row, {instants.text(last)}")
        return begins

    def items(self) -> Iterator[Item]:
        names, followed = self._names, self._followed
        for which, time, price, size in zip(self._which, self._times, self._prices, self._sizes, strict=True):
            if followed[which]:
                yield Quote(names[which], price, time, None if isnan(size) else size)
