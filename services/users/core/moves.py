"""Moves: the price is so far from the lowest or highest of the last seconds. A state, latched until it has been false.

Prices from before the rule was made don't count, save the last one of them. The line is the lowest price plus `amount`
or `percent` of it (the highest, minus); with hysteresis_pct a latched rule waits until the price is that share back
from the line of the moment.
"""

from collections.abc import Collection
from typing import ClassVar, Self

import msgspec

from services.users.core.condition import Condition, Key, Way, rounded, share_below
from services.users.core.instants import micros
from services.users.core.moment import Moment
from services.users.core.windows import Window


class Move(Condition, frozen=True, gc=False):
    """One of amount (> 0, in the price's currency) and percent (> 0). window_s: seconds of tick time, >= 1."""

    kind: ClassVar[str]

    window_s: int
    amount: float | None = None
    percent: float | None = None

    def holds(self, now: Moment) -> bool:
        line = self.line(now)
        return line is not None and now.price is not None and self._beyond(now.price, line)

    def is_back(self, way: Way, hysteresis_pct: float, now: Moment) -> bool:
        line = self.line(now)
        if line is None or now.price is None:
            return False
        back = share_below(line, self.up, hysteresis_pct)
        return not self._beyond(now.price, line) and (now.price <= back if self.up > 0 else now.price >= back)

    def lines(self, hysteresis_pct: float) -> Collection[tuple[Key, float]]:
        if self.amount is not None:
            return (((self.kind, self.window_s), self.amount),)
        return (((f"{self.kind}%", self.window_s), self.percent or 0.0),)

    def shown(self, now: Moment) -> float | None:
        return self.percent if self.amount is None else self.amount

    def unsettled(self, way: Way, hysteresis_pct: float, now: Moment) -> bool:
        """While a line that moves holds a latch, or prices that don't count for this rule are in the window."""
        if way and hysteresis_pct:
            return True
        window = now.windows.get(self.window_s)
        if window is None or now.price is None or self._from(now) <= window.oldest():
            return False
        line = self._line(window, 0)
        return bool(way) or (line is not None and self._beyond(now.price, line))

    def after_split(self, ratio: float) -> Self:
        return self if self.amount is None else msgspec.structs.replace(self, amount=rounded(self.amount / ratio))

    def line(self, now: Moment) -> float | None:
        """The price at which it begins to hold, None without prices."""
        window = now.windows.get(self.window_s)
        return None if window is None else self._line(window, self._from(now))

    def _line(self, window: Window, since: int) -> float | None:
        start = (window.low if self.up > 0 else window.high)(since)
        if start is None:
            return None
        if self.amount is not None:
            return rounded(start + self.up * self.amount)
        return rounded(start * (100 + self.up * (self.percent or 0.0)) / 100)

    def _from(self, now: Moment) -> int:
        """Microseconds: prices before don't count. A rule from the future: the feed's clock went back meanwhile."""
        return micros(now.since) if now.since <= now.time else 0

    def _beyond(self, price: float, line: float) -> bool:
        return price >= line if self.up > 0 else price <= line


class MovingUp(Move, frozen=True, gc=False, tag="moving_up"):
    """p is at least `amount` or `percent` above the lowest price of the last window_s, p's own among them.

    amount 5, window_s 60:

    | second | p   | lowest | holds |                                   |
    |--------|-----|--------|-------|-----------------------------------|
    | 0      | 100 | 100    | no    |                                   |
    | 30     | 105 | 100    | yes   |                                   |
    | 60     | 106 | 100    | yes   | both ends of the window belong    |
    | 61     | 106 | 105    | no    | the lowest price has become old   |
    """

    up: ClassVar[Way] = 1
    kind: ClassVar[str] = "rise"


class MovingDown(Move, frozen=True, gc=False, tag="moving_down"):
    """p is at least `amount` or `percent` below the highest price of the last window_s: the mirror of MovingUp.

    percent 5, window_s 60:

    | second | p    | highest | holds |
    |--------|------|---------|-------|
    | 0      | 100  | 100     | no    |
    | 30     | 95   | 100     | yes   |
    | 60     | 95.1 | 100     | no    |
    | 61     | 95   | 95.1    | no    |
    """

    up: ClassVar[Way] = -1
    kind: ClassVar[str] = "fall"
