"""Levels: the price is beyond a threshold. A state: fires once, then again only after it has been false.

Truth tables for threshold 150; q is the price before, p this one.
"""

from collections.abc import Collection
from typing import ClassVar, Self

import msgspec

from services.users.core.condition import PRICE, Condition, Key, Way, rounded, share_below
from services.users.core.moment import Moment


class Level(Condition, frozen=True, gc=False):
    """threshold: a price as traded, > 0."""

    threshold: float

    def is_back(self, way: Way, hysteresis_pct: float, now: Moment) -> bool:
        line = share_below(self.threshold, self.up, hysteresis_pct)
        return now.price is not None and (now.price <= line if self.up > 0 else now.price >= line)

    def lines(self, hysteresis_pct: float) -> Collection[tuple[Key, float]]:
        if not hysteresis_pct:
            return ((PRICE, self.threshold),)
        return (PRICE, self.threshold), (PRICE, share_below(self.threshold, self.up, hysteresis_pct))

    def shown(self, now: Moment) -> float | None:
        return self.threshold

    def after_split(self, ratio: float) -> Self:
        return msgspec.structs.replace(self, threshold=rounded(self.threshold / ratio))


class GreaterThan(Level, frozen=True, gc=False, tag="greater_than"):
    """The price is above the threshold.

    | q   | p   | holds | latched rule          |
    |-----|-----|-------|-----------------------|
    | any | 149 | no    | may fire again        |
    | any | 150 | no    | may fire again        |
    | any | 151 | yes   | stays latched         |

    With hysteresis_pct 2 a latched rule may fire again at 147 or below, and stays latched at 148.
    """

    up: ClassVar[Way] = 1

    def holds(self, now: Moment) -> bool:
        return now.price is not None and now.price > self.threshold


class LessThan(Level, frozen=True, gc=False, tag="less_than"):
    """The price is below the threshold: the mirror of GreaterThan.

    | q   | p   | holds | latched rule          |
    |-----|-----|-------|-----------------------|
    | any | 149 | yes   | stays latched         |
    | any | 150 | no    | may fire again        |
    | any | 151 | no    | may fire again        |

    With hysteresis_pct 2 a latched rule may fire again at 153 or above, and stays latched at 152.
    """

    up: ClassVar[Way] = -1

    def holds(self, now: Moment) -> bool:
        return now.price is not None and now.price < self.threshold
