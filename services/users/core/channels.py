"""Channels: the price enters or leaves [lower, upper], its ends included. An event: each occurrence fires.

Truth tables for 140 to 150; q is the price before, p this one, `-` none (the first ever, or of a new epoch).
"""

from collections.abc import Collection
from typing import ClassVar, Self

import msgspec

from services.users.core.condition import PRICE, Condition, Key, Way, rounded, share_below
from services.users.core.moment import Moment


class Channel(Condition, frozen=True, gc=False):
    """0 < lower < upper, prices as traded."""

    event: ClassVar[bool] = True

    lower: float
    upper: float

    def inside(self, price: float) -> bool:
        return self.lower <= price <= self.upper

    def after_split(self, ratio: float) -> Self:
        return msgspec.structs.replace(self, lower=rounded(self.lower / ratio), upper=rounded(self.upper / ratio))


class EnteringChannel(Channel, frozen=True, gc=False, tag="entering_channel"):
    """q outside, p inside.

    | q   | p   | holds |                                          |
    |-----|-----|-------|------------------------------------------|
    | -   | 145 | no    | the first price only sets the side       |
    | 139 | 140 | yes   | the ends belong to the channel           |
    | 151 | 145 | yes   |                                          |
    | 145 | 146 | no    |                                          |
    | 139 | 151 | no    | it went past, and was never seen inside  |

    With hysteresis_pct 10, having fired it is held back until the price is at 126 or below or at 165 or above.
    """

    def holds(self, now: Moment) -> bool:
        if now.before is None or now.price is None:
            return False
        return not self.inside(now.before) and self.inside(now.price)

    def way(self, now: Moment) -> Way:
        return 1 if now.before is not None and now.before < self.lower else -1

    def is_back(self, way: Way, hysteresis_pct: float, now: Moment) -> bool:
        if now.price is None:
            return False
        low, high = share_below(self.lower, 1, hysteresis_pct), share_below(self.upper, -1, hysteresis_pct)
        if hysteresis_pct:
            return now.price <= low or now.price >= high
        return not self.inside(now.price)

    def lines(self, hysteresis_pct: float) -> Collection[tuple[Key, float]]:
        lines = {self.lower, self.upper}
        lines |= {share_below(self.lower, 1, hysteresis_pct), share_below(self.upper, -1, hysteresis_pct)}
        return [(PRICE, line) for line in lines]

    def shown(self, now: Moment) -> float | None:
        return self.lower if self.way(now) > 0 else self.upper


class ExitingChannel(Channel, frozen=True, gc=False, tag="exiting_channel"):
    """q inside, p outside.

    | q   | p   | holds |                                          |
    |-----|-----|-------|------------------------------------------|
    | -   | 151 | no    | the first price only sets the side       |
    | 150 | 151 | yes   |                                          |
    | 145 | 139 | yes   |                                          |
    | 145 | 150 | no    | the ends belong to the channel           |
    | 151 | 139 | no    | it went past, and was never seen inside  |

    With hysteresis_pct 2, having fired upwards it is held back until the price is at 147 or below, having fired
    downwards until it is at 142.8 or above.
    """

    def holds(self, now: Moment) -> bool:
        if now.before is None or now.price is None:
            return False
        return self.inside(now.before) and not self.inside(now.price)

    def way(self, now: Moment) -> Way:
        return 1 if now.price is not None and now.price > self.upper else -1

    def is_back(self, way: Way, hysteresis_pct: float, now: Moment) -> bool:
        if now.price is None:
            return False
        if way > 0:
            return now.price <= share_below(self.upper, 1, hysteresis_pct)
        return now.price >= share_below(self.lower, -1, hysteresis_pct)

    def lines(self, hysteresis_pct: float) -> Collection[tuple[Key, float]]:
        lines = {self.lower, self.upper}
        lines |= {share_below(self.upper, 1, hysteresis_pct), share_below(self.lower, -1, hysteresis_pct)}
        return [(PRICE, line) for line in lines]

    def shown(self, now: Moment) -> float | None:
        return self.upper if self.way(now) > 0 else self.lower
