"""Splits, found in raw daily bars that carry an adjusted close beside the traded one.

The quotient close / adjusted close is constant but for corporate actions: it falls by the split's ratio on the first
day at the new price, and by a per cent or so on a dividend's. So a fall (or rise, for a reverse split) by very nearly
a simple n:m that the traded price followed is a split; anything else is left alone.
"""

from collections.abc import Iterable
from datetime import date
from math import log
from typing import Final

import msgspec

from services.stock_data.core import instants

_LARGEST_PART: Final = 4  # n:1 to n:4; stock dividends below 5:4 look like cash
_SMALLEST_RATIO: Final = 1.25
_TOLERANCE: Final = 0.01  # a dividend on the same day, or adjusted closes rounded to cents


class SplitFound(msgspec.Struct, frozen=True, gc=False):
    """Each old share became `ratio` new ones (4.0 = 4:1, 0.1 = 1:10). time: midnight in New York of `effective`."""

    symbol: str
    ratio: float
    effective: str
    time: int


class AdjustedDay(msgspec.Struct, frozen=True, gc=False):
    """What detection needs of a day; adjusted_close is the close in today's shares."""

    date: date
    open: float
    close: float
    adjusted_close: float


def find(symbol: str, days: Iterable[AdjustedDay]) -> list[SplitFound]:
    """The splits between consecutive days of one symbol, oldest first. All prices must be above 0."""
    found: list[SplitFound] = []
    before: AdjustedDay | None = None
    for day in days:
        if before is not None:
            fall = (before.close / before.adjusted_close) / (day.close / day.adjusted_close)
            ratio = simple_ratio(fall)
            if ratio is not None and _followed(ratio, before.close / day.open):
                found.append(SplitFound(symbol, ratio, day.date.isoformat(), instants.midnight(day.date)))
        before = day
    return found


def simple_ratio(fall: float) -> float | None:
    """The simple n:m, as a number, that `fall` is within 1 % of; None where there is none or it is too near to 1."""
    if fall < 1:
        turned = simple_ratio(1 / fall) if fall > 0 else None
        return None if turned is None else 1 / turned
    for m in range(1, _LARGEST_PART + 1):
        n = round(fall * m)
        if n / m >= _SMALLEST_RATIO and abs(fall * m / n - 1) <= _TOLERANCE:
            return n / m
    return None


def _followed(ratio: float, price_fall: float) -> bool:
    """Is the traded price's own fall overnight nearer to the ratio than to no change?"""
    return abs(log(price_fall / ratio)) < abs(log(price_fall))
