"""New highs and lows: the price goes beyond every one of the last completed days. An event: each occurrence fires.

A day is completed by its final daily bar, and counts for prices after its end. The price of a day under way is no
extreme of it yet: within a day the first price beyond the line fires, the next one only when it has been back.
"""

from collections.abc import Collection
from typing import ClassVar

from services.users.core.condition import Condition, Key, Way, share_below
from services.users.core.moment import Moment


class Extreme(Condition, frozen=True, gc=False):
    """days: how many completed days, >= 1. False with fewer of them."""

    event: ClassVar[bool] = True
    kind: ClassVar[str]

    days: int

    def holds(self, now: Moment) -> bool:
        line = self.line(now)
        if line is None or now.price is None or now.before is None:
            return False
        return now.before <= line < now.price if self.up > 0 else now.before >= line > now.price

    def is_back(self, way: Way, hysteresis_pct: float, now: Moment) -> bool:
        line = self.line(now)
        if line is None or now.price is None:
            return False
        back = share_below(line, self.up, hysteresis_pct)
        return now.price <= back if self.up > 0 else now.price >= back

    def lines(self, hysteresis_pct: float) -> Collection[tuple[Key, float]]:
        key = (self.kind, self.days)
        return {(key, 1.0), (key, share_below(1.0, self.up, hysteresis_pct))}

    def shown(self, now: Moment) -> float | None:
        return self.line(now)

    def line(self, now: Moment) -> float | None:
        """The price that has to be passed."""
        found = now.days.extremes(self.days, now.time)
        return None if found is None else found[0 if self.up > 0 else 1]


class NewHigh(Extreme, frozen=True, gc=False, tag="new_high"):
    """q <= line < p, where the line is the highest high of the last `days` completed days.

    days 2, highs 100 and 102:

    | q   | p   | holds |                                             |
    |-----|-----|-------|---------------------------------------------|
    | -   | 103 | no    | the first price only sets the side          |
    | 101 | 102 | no    | as high is not higher                       |
    | 102 | 103 | yes   |                                             |
    | 103 | 104 | no    | it has been beyond before                   |
    | 103 | 104 | yes   | where a day with a high of 103 came between |

    With hysteresis_pct 1, having fired it is held back until the price is 1 % below the line of that moment.
    """

    up: ClassVar[Way] = 1
    kind: ClassVar[str] = "high"


class NewLow(Extreme, frozen=True, gc=False, tag="new_low"):
    """q >= line > p, where the line is the lowest low of the last `days` completed days: the mirror of NewHigh.

    days 2, lows 90 and 92:

    | q   | p   | holds |
    |-----|-----|-------|
    | -   | 89  | no    |
    | 91  | 90  | no    |
    | 90  | 89  | yes   |
    | 89  | 88  | no    |
    """

    up: ClassVar[Way] = -1
    kind: ClassVar[str] = "low"
