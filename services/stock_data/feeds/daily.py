"""Replays daily bars: for each date its splits, every open, every close, then the final bars."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from services.shared.errors import StartFailed
from services.stock_data.core import instants, splits
from services.stock_data.core.bars import FinalBar
from services.stock_data.core.csv_import import DayRow
from services.stock_data.core.sequence import Item
from services.stock_data.core.splits import AdjustedDay, SplitFound
from services.stock_data.core.start import Start, begin
from services.stock_data.core.ticks import Quote
from services.stock_data.feeds.base import chosen, identity


class DailyFeed:
    """A day is told as two prices, open and close at the exchange's times; the rest is unknown before its bar."""

    aggregate = False

    def __init__(
        self, name: str, rows: Iterable[DayRow], digest: str, *, symbols: Sequence[str], start: Start | None
    ) -> None:
        """Raises StartFailed for symbols that the rows don't have, or a start behind the last of them."""
        by_symbol: dict[str, list[DayRow]] = {}
        for row in rows:
            by_symbol.setdefault(row.ticker, []).append(row)
        self.name = name
        self._days: dict[date, list[DayRow]] = {}
        self._splits: dict[date, list[SplitFound]] = {}
        self.sectors: dict[str, str] = {}
        for symbol in sorted(chosen(symbols, set(by_symbol))):
            self._add(symbol, sorted(by_symbol[symbol], key=lambda row: row.date))
        self.started = self._begin(start)
        self.identity = identity(digest, list(self.sectors), self.started)

    def _add(self, symbol: str, rows: list[DayRow]) -> None:
        self.sectors[symbol] = rows[-1].sector
        for row in rows:
            self._days.setdefault(row.date, []).append(row)
        adjusted = [
            AdjustedDay(row.date, row.open, row.close, row.adj_close) for row in rows if row.adj_close is not None
        ]
        for split in splits.find(symbol, adjusted):
            self._splits.setdefault(date.fromisoformat(split.effective), []).append(split)

    def _begin(self, start: Start | None) -> int:
        first, last = min(self._days), max(self._days)
        day = instants.new_york_date(begin(start, instants.midnight(first), instants.midnight(last)))
        if day > last:
            raise StartFailed(f"REPLAY_START: {day} is after the last row, {last}")
        return instants.midnight(day)

    def items(self) -> Iterator[Item]:
        for day in sorted(self._days):
            rows = self._days[day]
            opens, closes, written = instants.open_of(day), instants.close_of(day), day.isoformat()
            yield from self._splits.get(day, ())
            for row in rows:
                yield Quote(row.ticker, row.open, opens)
            for row in rows:
                yield Quote(row.ticker, row.close, closes)
            for row in rows:
                yield FinalBar(
                    row.ticker, "1d", opens, closes, written, row.open, row.high, row.low, row.close, row.volume
                )
