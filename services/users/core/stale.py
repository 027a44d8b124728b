"""Silence: no trade for so long while the market is open. A state, latched until there is a trade."""

from collections.abc import Collection
from typing import Final

from services.users.core.condition import Condition, Key, Way
from services.users.core.moment import Moment

SILENCE: Final[Key] = ("silence", 0)


class Stale(Condition, frozen=True, gc=False, tag="stale"):
    """No tick for after_s seconds of one session, by the feed's clock. after_s >= 1.

    after_s 600, the last trade at 15:55:

    | clock               | silence | holds |                                            |
    |---------------------|---------|-------|--------------------------------------------|
    | 15:59               | 240     | no    |                                            |
    | 18:00               | 300     | no    | the market is closed: nothing is due       |
    | 09:39 the next day  | 540     | no    | each session counts by itself              |
    | 09:40 the next day  | 600     | yes   | told with that time, whenever it is noticed|

    A trade at that very instant is in time.
    """

    after_s: int

    def holds(self, now: Moment) -> bool:
        return now.silence >= self.after_s

    def is_back(self, way: Way, hysteresis_pct: float, now: Moment) -> bool:
        return now.silence < self.after_s

    def lines(self, hysteresis_pct: float) -> Collection[tuple[Key, float]]:
        return ((SILENCE, float(self.after_s)),)

    def shown(self, now: Moment) -> float | None:
        return float(self.after_s)
