"""When the next tick of a replay is due: at a steady rate on average, however late each single wake-up is."""

from math import inf
from typing import Final

UNLIMITED: Final = 1 << 40
GATHER_S: Final = 0.006
"""Ticks of so long go out together: each batch costs all rooms as much as dozens of ticks do."""


class Pace:
    """per_second: ticks in all, `inf` = no waiting. Times are seconds of any steady clock.

    A replay that had to stand still goes on at its rate; it does not race to make up for it.
    """

    def __init__(self, per_second: float, now: float, *, most_behind_s: float = 0.5) -> None:
        if not per_second > 0:
            raise ValueError("a pace is above 0 ticks a second")
        self._per_second = per_second
        self._most_behind_s = most_behind_s
        self._next = now
        self._together = now

    def due(self, now: float) -> int:
        """How many ticks may go now; none for a moment after there were some."""
        if self._per_second == inf:
            return UNLIMITED
        if now < self._together:
            return 0
        if now - self._next > max(self._most_behind_s, 1 / self._per_second):
            self._next = now
        if now < self._next:
            return 0
        self._together = now + GATHER_S
        return int((now - self._next) * self._per_second) + 1

    def took(self, ticks: int) -> None:
        """`ticks` of them went."""
        if self._per_second != inf:
            self._next += ticks / self._per_second

    def wait_s(self, now: float) -> float:
        """How long until the next ones are due."""
        return 0.0 if self._per_second == inf else max(0.0, self._next - now, self._together - now)
