"""Volume: the last final bar saw more trade than those before it. A state, latched until it has been false."""

from collections.abc import Collection

from services.users.core.condition import Condition, Key, Way, share_below
from services.users.core.moment import Moment


class VolumeAbove(Condition, frozen=True, gc=False, tag="volume_above"):
    """A final bar's volume > times x the average of the `bars` before it. times > 0, bars >= 1.

    Judged when a bar becomes final, and true until the next one does. times 2, bars 3, volumes 100, 110, 90, then:

    | volume | average before | holds |                               |
    |--------|----------------|-------|-------------------------------|
    | 200    | 100            | no    | twice is not more than twice  |
    | 300    | 133.3          | yes   |                               |
    | 500    | 196.7          | yes   | stays latched                 |
    | 600    | 333.3          | no    | may fire again                |

    False with fewer bars. With hysteresis_pct 10 a latched rule may fire again after a bar of 1.8 times the average.
    """

    times: float
    bars: int

    def holds(self, now: Moment) -> bool:
        ratio = self.ratio(now)
        return ratio is not None and ratio > self.times

    def is_back(self, way: Way, hysteresis_pct: float, now: Moment) -> bool:
        ratio = self.ratio(now)
        return ratio is not None and ratio <= share_below(self.times, 1, hysteresis_pct)

    def lines(self, hysteresis_pct: float) -> Collection[tuple[Key, float]]:
        key = ("volume", self.bars)
        return {(key, self.times), (key, share_below(self.times, 1, hysteresis_pct))}

    def shown(self, now: Moment) -> float | None:
        return self.times

    def ratio(self, now: Moment) -> float | None:
        """The last final bar's volume by the average before it; None with fewer bars, or where nothing was traded."""
        return now.volume_ratio(self.bars)
