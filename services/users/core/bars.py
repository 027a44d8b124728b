"""The completed bars of a symbol, as far back as its rules look."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple


class Past(NamedTuple):
    """A final bar; end: RFC 3339, the instant at which it was final. Prices and volume are of today's shares."""

    end: str
    high: float
    low: float
    volume: float


class Bars:
    """Final bars of one timeframe in order, `most` of them: what the longest of the rules asks for."""

    __slots__ = ("_bars", "_cached", "_ends", "_found", "most")

    def __init__(self) -> None:
        self.most = 0
        self._bars: list[Past] = []
        self._ends: list[str] = []
        self._cached = ("", 0)
        self._found: dict[int, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._bars)

    def replace(self, bars: Iterable[Past]) -> None:
        """All anew, in any order."""
        self._bars = sorted({each.end: each for each in bars}.values())
        self._settle()

    def add(self, bar: Past) -> None:
        """A bar has become final; one of the same end is replaced."""
        place = bisect_left(self._ends, bar.end)
        if place < len(self._ends) and self._ends[place] == bar.end:
            self._bars[place] = bar
        else:
            self._bars.insert(place, bar)
        if len(self._bars) > 2 * self.most + 8:
            del self._bars[: -self.most - 1]
        self._settle()

    def rescale(self, ratio: float) -> None:
        """After a split: `ratio` new shares for an old one."""
        self._bars = [
            Past(end, float(f"{high / ratio:.12g}"), float(f"{low / ratio:.12g}"), volume * ratio)
            for end, high, low, volume in self._bars
        ]
        self._settle()

    def last(self, time: str) -> Past | None:
        """The newest bar that was final at `time`, or became so just then."""
        place = bisect_left(self._ends, time)
        if place < len(self._ends) and self._ends[place] == time:
            return self._bars[place]
        return self._bars[place - 1] if place else None

    def extremes(self, count: int, time: str) -> tuple[float, float] | None:
        """The highest high and the lowest low of the last `count` bars that ended before `time`, None with fewer."""
        known, place = self._cached
        if known != time:
            now = bisect_left(self._ends, time)
            if now != place:
                self._found.clear()
            place = now
            self._cached = (time, place)
        if place < count:
            return None
        found = self._found.get(count)
        if found is None:
            some = self._bars[place - count : place]
            found = self._found[count] = max(each.high for each in some), min(each.low for each in some)
        return found

    def average_volume(self, count: int, end: str) -> float | None:
        """Of the last `count` bars before the one that ended at `end`, None with fewer."""
        place = bisect_left(self._ends, end)
        if place < count:
            return None
        return sum(each.volume for each in self._bars[place - count : place]) / count

    def _settle(self) -> None:
        self._ends = [each.end for each in self._bars]
        self._cached = ("", 0)
        self._found.clear()
