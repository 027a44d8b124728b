"""Bars from ticks: open, high, low, close and volume of half-open intervals, final when time has passed their end.

`1m` bars are the minutes of UTC. A `1d` bar is the exchange's session [open, close) of calendars.py: what trades before
the open or from the close on is in minute bars only. Intervals without a tick have no bar.
"""

from typing import Final, Literal

import msgspec

from services.stock_data.core import instants

Timeframe = Literal["1m", "1d"]
TIMEFRAMES: Final[tuple[Timeframe, ...]] = ("1m", "1d")


class FinalBar(msgspec.Struct, frozen=True, gc=False):
    """A completed bar, prices as traded. start, end: the half-open interval; date: the session's, at the exchange."""

    symbol: str
    timeframe: Timeframe
    start: int
    end: int
    date: str
    open: float
    high: float
    low: float
    close: float
    volume: float


class _Growing:
    """A bar that ticks still change."""

    __slots__ = ("close", "date", "end", "high", "low", "open", "start", "volume")

    def __init__(self, start: int, end: int, date: str, price: float) -> None:
        self.start, self.end, self.date = start, end, date
        self.open = self.high = self.low = self.close = price
        self.volume = 0.0

    def add(self, price: float, volume: float | None) -> None:
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        self.volume += volume or 0.0

    def final(self, symbol: str, timeframe: Timeframe) -> FinalBar:
        return FinalBar(
            symbol, timeframe, self.start, self.end, self.date,
            self.open, self.high, self.low, self.close, self.volume,
        )  # fmt: skip


class _Day:
    """A date in New York: from midnight to midnight, with the session in between."""

    __slots__ = ("begins", "closes", "date", "ends", "opens")

    def __init__(self, instant: int) -> None:
        day = instants.new_york_date(instant)
        self.date = day.isoformat()
        self.begins = instants.midnight(day)
        self.opens, self.closes = instants.open_of(day), instants.close_of(day)
        self.ends = instants.midnight(day.fromordinal(day.toordinal() + 1))


class Aggregator:
    """Bars of every symbol from one stream of ticks whose times never fall (over all symbols)."""

    def __init__(self) -> None:
        self._growing: dict[Timeframe, dict[str, _Growing]] = {timeframe: {} for timeframe in TIMEFRAMES}
        self._next_end: int | None = None
        self._day: _Day | None = None

    def add(self, symbol: str, price: float, volume: float | None, time: int) -> None:
        """Takes a tick in. Bars that ended at or before `time` must have been taken out by `until` first."""
        day = self._day
        if day is None or not day.begins <= time < day.ends:
            day = self._day = _Day(time)
        minute = time - time % instants.MINUTE
        self._grow("1m", symbol, price, volume, (minute, minute + instants.MINUTE, day.date))
        if day.opens <= time < day.closes:
            self._grow("1d", symbol, price, volume, (day.opens, day.closes, day.date))

    def until(self, time: int) -> list[FinalBar]:
        """Removes and returns the bars that ended at or before `time`: by end, minutes before days, by symbol."""
        if self._next_end is None or time < self._next_end:
            return []
        return self._take(time)

    def rest(self) -> list[FinalBar]:
        """Removes and returns all that is left, in the same order: no further tick will come."""
        return self._take(instants.LATEST)

    def _grow(
        self, timeframe: Timeframe, symbol: str, price: float, volume: float | None, span: tuple[int, int, str]
    ) -> None:
        bars = self._growing[timeframe]
        bar = bars.get(symbol)
        if bar is None:
            bar = bars[symbol] = _Growing(*span, price)
            self._next_end = bar.end if self._next_end is None else min(self._next_end, bar.end)
        bar.add(price, volume)

    def _take(self, time: int) -> list[FinalBar]:
        done: list[FinalBar] = []
        for timeframe, bars in self._growing.items():
            ended = [symbol for symbol, bar in bars.items() if bar.end <= time]
            done += [bars.pop(symbol).final(symbol, timeframe) for symbol in ended]
        self._next_end = min((bar.end for bars in self._growing.values() for bar in bars.values()), default=None)
        done.sort(key=lambda bar: (bar.end, TIMEFRAMES.index(bar.timeframe), bar.symbol))
        return done
