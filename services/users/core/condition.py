"""What every kind of condition is: a pure predicate over a moment of its symbol, and where a latch of it ends.

So that a record need not look at every rule, a condition names the lines of the **gauges** it goes by: it can only
change its mind where a gauge passes one of them. A gauge is a number that follows a symbol: its price, how far it rose
within 300 s, the confidence of its signal.
"""

from collections.abc import Collection
from typing import ClassVar, Final, Literal, Self

import msgspec

from services.users.core.moment import Moment

Way = Literal[-1, 0, 1]
"""Which way things went when a rule fired: 1 up, -1 down. 0 stands for a rule that is armed."""

Source = Literal["prices", "signals"]

Key = tuple[str, int]
"""A gauge: its kind and its parameter (seconds, days, bars; 0 where there is none)."""

PRICE: Final[Key] = ("price", 0)


def rounded(price: float) -> float:
    """`price` to 12 significant digits: what arithmetic on decimal prices means, without its binary dust."""
    return float(f"{price:.12g}")


def share_below(price: float, way: Way, hysteresis_pct: float) -> float:
    """The line that is `hysteresis_pct` back from `price`, for who went `way`: below it after going up, else above."""
    return rounded(price * (100 - way * hysteresis_pct) / 100) if hysteresis_pct else price


class Condition(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True, gc=False):
    """`event`: it happens at a record; else it is a state, which lasts."""

    event: ClassVar[bool] = False
    source: ClassVar[Source] = "prices"
    up: ClassVar[Way] = 1
    """Which way things go when a state begins to hold."""

    @property
    def type(self) -> str:
        """The name that clients use."""
        return str(self.__struct_config__.tag)

    def holds(self, now: Moment) -> bool:
        """Is it true now?"""
        raise NotImplementedError

    def way(self, now: Moment) -> Way:
        """Which way things have gone, where the condition holds."""
        return self.up

    def is_back(self, way: Way, hysteresis_pct: float, now: Moment) -> bool:
        """Has what went `way` when it fired gone back past the line, by the share that hysteresis asks for?"""
        raise NotImplementedError

    def lines(self, hysteresis_pct: float) -> Collection[tuple[Key, float]]:
        """Every line at which this condition, or its latch, can change its mind, each once."""
        raise NotImplementedError

    def shown(self, now: Moment) -> float | None:
        """The number that a notification names as the threshold."""
        raise NotImplementedError

    def unsettled(self, way: Way, hysteresis_pct: float, now: Moment) -> bool:
        """Can it change its mind without a gauge passing one of its lines? Then it is looked at again next time."""
        return False

    def after_split(self, ratio: float) -> Self:
        """The same condition where one old share has become `ratio` new ones."""
        return self
