"""Numbers that follow a symbol, and the lines of rules on each: where a number passes a line, its rule is looked at."""

from collections.abc import Sequence
from math import inf
from typing import Final

from services.users.core.condition import PRICE, Key
from services.users.core.moment import Moment
from services.users.core.signals import CONFIDENCE, TURNS
from services.users.core.stale import SILENCE
from services.users.core.thresholds import Thresholds

_DUST: Final = 1e-9  # a gauge is arithmetic on prices, and may be off by that share


class Gauge:
    """low, high: the values that rules have been looked at for, None before there was one."""

    __slots__ = ("high", "lines", "low")

    def __init__(self) -> None:
        self.lines = Thresholds()
        self.low: float | None = None
        self.high: float | None = None

    def move(self, value: float | None) -> Sequence[int]:
        """The slots of the rules whose lines lie between the last value and this one, both included."""
        if value is None:
            return ()
        low, high = self.low, self.high
        self.low = self.high = value
        if low is None or high is None:
            return self.lines.between(-inf, inf)
        if low == value == high:
            return ()
        low, high = min(low, value), max(high, value)
        return self.lines.between(low - _DUST * abs(low), high + _DUST * abs(high))

    def widen(self, value: float | None) -> None:
        """It is `value` now, but rules have not been looked at since: a correction."""
        if value is not None and self.low is not None and self.high is not None:
            self.low, self.high = min(self.low, value), max(self.high, value)

    def start(self, value: float | None) -> None:
        """Rules know this value already."""
        self.low = self.high = value


def measure(key: Key, now: Moment) -> float | None:
    """The value of a gauge; None where it can't be told. Silence is no matter of one moment."""
    kind, number = key
    if kind in ("volume", "turns", "confidence"):
        return _measure_other(key, now)
    price = now.price
    if price is None or key in (PRICE, SILENCE):
        return price if key == PRICE else None
    if kind in ("high", "low"):
        found = now.days.extremes(number, now.time)
        return None if found is None else price / found[0 if kind == "high" else 1]
    window = now.windows.get(number)
    start = None if window is None else window.low() if kind.startswith("rise") else window.high()
    if start is None:
        return None
    move = price - start if kind.startswith("rise") else start - price
    return 100 * move / start if kind.endswith("%") else move


def _measure_other(key: Key, now: Moment) -> float | None:
    if key == TURNS:
        return float(now.turns)
    if key == CONFIDENCE:
        return now.confidence
    return now.volume_ratio(key[1])
