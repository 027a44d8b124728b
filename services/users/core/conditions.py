"""What a rule waits for, one small state machine a kind. p is this trade price, q the one before of the same symbol.

A condition is a pure predicate over (q, p) plus the line that the price must go back past before it may fire again.
Each class shows its truth table for threshold 150; `-` = no price before (the first one ever, or of a new epoch).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal, Self

Way = Literal[-1, 0, 1]
"""Which way the price went when a rule fired: 1 up, -1 down. 0 stands for a rule that is armed."""


def rounded(price: float) -> float:
    """`price` to 12 significant digits: what arithmetic on decimal prices means, without its binary dust."""
    return float(f"{price:.12g}")


@dataclass(frozen=True, slots=True)
class Condition(ABC):
    """threshold: a price as traded, > 0. `event`: it happens at a tick; else it is a level, which lasts."""

    type: ClassVar[str]
    event: ClassVar[bool]
    ways: ClassVar[tuple[Way, ...]]
    """Which ways the price can have gone when it holds."""

    threshold: float

    @abstractmethod
    def holds(self, before: float | None, price: float) -> bool:
        """Is it true at this price, coming from `before`?"""

    def way(self, before: float | None) -> Way:
        """Which way the price has gone, coming from `before`, where the condition holds."""
        return self.ways[0]

    def way_back(self, way: Way, hysteresis_pct: float) -> float:
        """The price that ends a latch: having fired upwards the price must fall to it, downwards rise to it."""
        return rounded(self.threshold * (100 - way * hysteresis_pct) / 100) if hysteresis_pct else self.threshold

    def is_back(self, way: Way, hysteresis_pct: float, price: float) -> bool:
        """Has the price gone back past the line by the share that hysteresis asks for?"""
        line = self.way_back(way, hysteresis_pct)
        return price <= line if way > 0 else price >= line

    def lines(self, hysteresis_pct: float) -> set[float]:
        """Every price at which this condition, or its latch, can change its mind."""
        return {self.threshold, *(self.way_back(way, hysteresis_pct) for way in self.ways)}

    def after_split(self, ratio: float) -> Self:
        """The same condition where one old share has become `ratio` new ones."""
        return replace(self, threshold=rounded(self.threshold / ratio))


class GreaterThan(Condition):
    """The price is above the threshold. A level: fires once, then again only after it has been false.

    | q   | p   | holds | latched rule          |
    |-----|-----|-------|-----------------------|
    | any | 149 | no    | may fire again        |
    | any | 150 | no    | may fire again        |
    | any | 151 | yes   | stays latched         |

    With hysteresis_pct 2 a latched rule may fire again at 147 or below, and stays latched at 148.
    """

    __slots__ = ()
    type = "greater_than"
    event = False
    ways = (1,)

    def holds(self, before: float | None, price: float) -> bool:
        return price > self.threshold


class LessThan(Condition):
    """The price is below the threshold: the mirror of GreaterThan.

    | q   | p   | holds | latched rule          |
    |-----|-----|-------|-----------------------|
    | any | 149 | yes   | stays latched         |
    | any | 150 | no    | may fire again        |
    | any | 151 | no    | may fire again        |

    With hysteresis_pct 2 a latched rule may fire again at 153 or above, and stays latched at 152.
    """

    __slots__ = ()
    type = "less_than"
    event = False
    ways = (-1,)

    def holds(self, before: float | None, price: float) -> bool:
        return price < self.threshold


class CrossingUp(Condition):
    """q < threshold <= p. An event: each occurrence fires.

    | q   | p   | holds |                                            |
    |-----|-----|-------|--------------------------------------------|
    | -   | 151 | no    | the first price only sets the side         |
    | 149 | 150 | yes   | reaching the line is crossing it           |
    | 149 | 151 | yes   | also over a gap                            |
    | 150 | 151 | no    | it had been reached before                 |
    | 151 | 149 | no    |                                            |

    With hysteresis_pct 2, having fired it is held back until the price is at 147 or below.
    """

    __slots__ = ()
    type = "crossing_up"
    event = True
    ways = (1,)

    def holds(self, before: float | None, price: float) -> bool:
        return before is not None and before < self.threshold <= price


class CrossingDown(Condition):
    """q > threshold >= p. An event: each occurrence fires.

    | q   | p   | holds |                                            |
    |-----|-----|-------|--------------------------------------------|
    | -   | 149 | no    | the first price only sets the side         |
    | 151 | 150 | yes   | reaching the line is crossing it           |
    | 151 | 149 | yes   | also over a gap                            |
    | 150 | 149 | no    | it had been reached before                 |
    | 149 | 151 | no    |                                            |

    With hysteresis_pct 2, having fired it is held back until the price is at 153 or above.
    """

    __slots__ = ()
    type = "crossing_down"
    event = True
    ways = (-1,)

    def holds(self, before: float | None, price: float) -> bool:
        return before is not None and before > self.threshold >= price


class Crossing(Condition):
    """CrossingUp or CrossingDown. An event: each occurrence fires.

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

    __slots__ = ()
    type = "crossing"
    event = True
    ways = (1, -1)

    def holds(self, before: float | None, price: float) -> bool:
        return before is not None and (before < self.threshold <= price or before > self.threshold >= price)

    def way(self, before: float | None) -> Way:
        return 1 if before is not None and before < self.threshold else -1


KINDS: Final[Mapping[str, type[Condition]]] = {
    kind.type: kind for kind in (GreaterThan, LessThan, Crossing, CrossingUp, CrossingDown)
}
"""Each kind by the name that clients use."""
