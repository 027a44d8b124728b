"""The lowest and the highest price of the last so many seconds, kept up to date in O(1) amortised per price."""

from bisect import bisect_left

import msgspec

Point = tuple[int, float]
"""(microseconds since 1970, price)"""


class Window(msgspec.Struct, omit_defaults=True):
    """seconds: how far it looks back, both ends included.

    lows: the prices that are or can still become the lowest, so that times and prices both rise; highs mirrors it.
    gone_lows, gone_highs: what the last price has made meaningless, for a correction to put back.
    """

    seconds: int
    lows: list[Point] = []
    highs: list[Point] = []
    gone_lows: list[Point] = []
    gone_highs: list[Point] = []

    def push(self, at: int, price: float) -> None:
        """A price at `at`, not earlier than the one before."""
        oldest = at - self.seconds * 1_000_000
        self.gone_lows = _push(self.lows, oldest, at, price, 1)
        self.gone_highs = _push(self.highs, oldest, at, price, -1)

    def take_back(self) -> None:
        """As if the last price had not been, save for what has become too old meanwhile."""
        for points, gone in ((self.lows, self.gone_lows), (self.highs, self.gone_highs)):
            if points:
                points.pop()
            points.extend(reversed(gone))
        self.gone_lows, self.gone_highs = [], []

    def low(self, since: int = 0) -> float | None:
        """The lowest price in the window, of those not before `since` (microseconds)."""
        return _first(self.lows, since)

    def high(self, since: int = 0) -> float | None:
        return _first(self.highs, since)

    def oldest(self) -> int:
        """When the oldest price that still matters was (microseconds), 0 without any."""
        return min(self.lows[0][0], self.highs[0][0]) if self.lows else 0

    def clear(self) -> None:
        self.lows, self.highs, self.gone_lows, self.gone_highs = [], [], [], []

    def rescale(self, ratio: float) -> None:
        """After a split: `ratio` new shares for an old one."""
        for name in ("lows", "highs", "gone_lows", "gone_highs"):
            setattr(self, name, [(at, float(f"{price / ratio:.12g}")) for at, price in getattr(self, name)])


def _push(points: list[Point], oldest: int, at: int, price: float, sign: int) -> list[Point]:
    """Adds a point; returns those that it has made meaningless, newest first."""
    gone = []
    while points and sign * points[-1][1] >= sign * price:
        gone.append(points.pop())
    points.append((at, price))
    if points[0][0] < oldest:
        del points[: bisect_left(points, (oldest,))]
    return [each for each in gone if each[0] >= oldest]


def _first(points: list[Point], since: int) -> float | None:
    if not points:
        return None
    if points[0][0] >= since:
        return points[0][1]
    place = bisect_left(points, (since,))
    return points[place][1] if place < len(points) else None
