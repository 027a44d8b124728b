"""Crossings: the price goes past a threshold. An event: each occurrence fires.

Truth tables for threshold 150; q is the price before, p this one, `-` none (the first ever, or of a new epoch).
"""

from collections.abc import Collection
from typing import ClassVar, Self

import msgspec

from services.users.core.condition import PRICE, Condition, Key, Way, rounded, share_below
from services.users.core.moment import Moment


class Crosses(Condition, frozen=True, gc=False):
    """threshold: a price as traded, > 0. ways: which it can go."""

    event: ClassVar[bool] = True
    ways: ClassVar[tuple[Way, ...]] = (1, -1)

    threshold: float

    def holds(self, now: Moment) -> bool:
        return bool(self._went(now))

    def way(self, now: Moment) -> Way:
        return self._went(now) or self.ways[0]

    def is_back(self, way: Way, hysteresis_pct: float, now: Moment) -> bool:
        line = share_below(self.threshold, way, hysteresis_pct)
        return now.price is not None and (now.price <= line if way > 0 else now.price >= line)

    def lines(self, hysteresis_pct: float) -> Collection[tuple[Key, float]]:
        if not hysteresis_pct:
            return ((PRICE, self.threshold),)
        backs = [(PRICE, share_below(self.threshold, way, hysteresis_pct)) for way in self.ways]
        return (PRICE, self.threshold), *backs

    def shown(self, now: Moment) -> float | None:
        return self.threshold

    def after_split(self, ratio: float) -> Self:
        return msgspec.structs.replace(self, threshold=rounded(self.threshold / ratio))

    def _went(self, now: Moment) -> Way:
        if now.before is None or now.price is None:
            return 0
        if now.before < self.threshold <= now.price and 1 in self.ways:
            return 1
        return -1 if now.before > self.threshold >= now.price and -1 in self.ways else 0


class CrossingUp(Crosses, frozen=True, gc=False, tag="crossing_up"):
    """q < threshold <= p.

    | q   | p   | holds |                                            |
    |-----|-----|-------|--------------------------------------------|
    | -   | 151 | no    | the first price only sets the side         |
    | 149 | 150 | yes   | reaching the line is crossing it           |
    | 149 | 151 | yes   | also over a gap                            |
    | 150 | 151 | no    | it had been reached before                 |
    | 151 | 149 | no    |                                            |

    With hysteresis_pct 2, having fired it is held back until the price is at 147 or below.
    """

    ways: ClassVar[tuple[Way, ...]] = (1,)


class CrossingDown(Crosses, frozen=True, gc=False, tag="crossing_down"):
    """q > threshold >= p.

    | q   | p   | holds |                                            |
    |-----|-----|-------|--------------------------------------------|
    | -   | 149 | no    | the first price only sets the side         |
    | 151 | 150 | yes   | reaching the line is crossing it           |
    | 151 | 149 | yes   | also over a gap                            |
    | 150 | 149 | no    | it had been reached before                 |
    | 149 | 151 | no    |                                            |

    With hysteresis_pct 2, having fired it is held back until the price is at 153 or above.
    """

    ways: ClassVar[tuple[Way, ...]] = (-1,)


class Crossing(Crosses, frozen=True, gc=False, tag="crossing"):
    """CrossingUp or CrossingDown.

    | q   | p   | holds |
    |-----|-----|-------|
    | -   | 151 | no    |
    | 149 | 150 | yes   |
    | 151 | 150 | yes   |
    | 150 | 151 | no    |
    | 150 | 149 | no    |

    With hysteresis_pct 2, having fired upwards it is held back until the price is at 147 or below, having fired
    downwards until it is at 153 or above. A price that gets there in one step from across the line fires at once.
    """
