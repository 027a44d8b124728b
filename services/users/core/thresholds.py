"""The prices that a symbol's rules care about, sorted in flat arrays: a tick finds the ones it touches by bisection."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

_PASS_PER_REMOVAL = 32  # one removal costs about as much as passing over that many pairs


class Thresholds:
    """Pairs (price, slot), sorted; two parallel arrays of 8 bytes each. A slot is a number that names a rule.

    Finding costs O(log n + found). Adding and removing moves memory behind the place: a few microseconds at 100,000.
    """

    __slots__ = ("_prices", "_slots")

    def __init__(self) -> None:
        self._prices = array("d")
        self._slots = array("q")

    def __len__(self) -> int:
        return len(self._prices)

    def between(self, low: float, high: float) -> Sequence[int]:
        """The slots of all prices in [low, high], a slot once for each of its prices."""
        prices = self._prices
        first = bisect_left(prices, low)
        last = bisect_right(prices, high, first)
        return self._slots[first:last] if last > first else ()

    def add(self, slot: int, prices: Iterable[float]) -> None:
        for price in prices:
            place = self._place(price, slot)
            self._prices.insert(place, price)
            self._slots.insert(place, slot)

    def remove(self, gone: Sequence[tuple[int, Iterable[float]]]) -> None:
        """Takes out slots, each with the prices it was added with."""
        if len(gone) * _PASS_PER_REMOVAL > len(self):
            self._keep_all_but({slot for slot, _ in gone})
            return
        for slot, prices in gone:
            for price in prices:
                place = self._place(price, slot)
                del self._prices[place]
                del self._slots[place]

    def replace(self, all_of_them: Iterable[tuple[int, Iterable[float]]]) -> None:
        """Everything anew."""
        pairs = sorted((price, slot) for slot, prices in all_of_them for price in prices)
        self._prices = array("d", (price for price, _ in pairs))
        self._slots = array("q", (slot for _, slot in pairs))

    def _place(self, price: float, slot: int) -> int:
        """Where the pair is or belongs: by price, then slot."""
        first = bisect_left(self._prices, price)
        return bisect_left(self._slots, slot, first, bisect_right(self._prices, price, first))

    def _keep_all_but(self, gone: set[int]) -> None:
        kept = [number for number, slot in enumerate(self._slots) if slot not in gone]
        self._prices = array("d", (self._prices[number] for number in kept))
        self._slots = array("q", (self._slots[number] for number in kept))
