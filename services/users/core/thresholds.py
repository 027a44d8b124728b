"""The lines that rules care about, sorted in flat arrays: a tick finds the ones it touches by bisection."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

_PASS_PER_REMOVAL = 32  # one removal costs about as much as passing over that many pairs
_PASS_PER_ADDITION = 16


class Thresholds:
    """Pairs (line, slot), sorted; two parallel arrays of 8 and 4 bytes. A slot is a number that names a rule.

    Finding costs O(log n + found). Adding and removing moves memory behind the place: a few microseconds at 100,000.
    Many at once are put down as they come and sorted when somebody asks next.
    """

    __slots__ = ("_lines", "_loose_lines", "_loose_slots", "_slots")

    def __init__(self) -> None:
        self._lines = array("d")
        self._slots = array("I")
        self._loose_lines = array("d")
        self._loose_slots = array("I")

    def __len__(self) -> int:
        return len(self._lines) + len(self._loose_lines)

    def between(self, low: float, high: float) -> Sequence[int]:
        """The slots of all lines in [low, high], a slot once for each of its lines."""
        if self._loose_lines:
            self._settle()
        lines = self._lines
        first = bisect_left(lines, low)
        last = bisect_right(lines, high, first)
        return self._slots[first:last] if last > first else ()

    def above(self, value: float) -> float | None:
        """The first line above `value`."""
        self._settle()
        place = bisect_right(self._lines, value)
        return self._lines[place] if place < len(self._lines) else None

    def add(self, slot: int, lines: Iterable[float]) -> None:
        self._settle()
        for line in lines:
            place = self._place(line, slot)
            self._lines.insert(place, line)
            self._slots.insert(place, slot)

    def extend(self, pairs: Sequence[tuple[float, int]]) -> None:
        """Adds (line, slot)s: for many at once."""
        if len(pairs) * _PASS_PER_ADDITION < len(self._lines) and not self._loose_lines:
            for line, slot in pairs:
                self.add(slot, (line,))
            return
        self._loose_lines.extend([line for line, _ in pairs])
        self._loose_slots.extend([slot for _, slot in pairs])

    def remove(self, gone: Sequence[tuple[int, Iterable[float]]]) -> None:
        """Takes out slots, each with the lines it was added with."""
        self._settle()
        if len(gone) * _PASS_PER_REMOVAL > len(self):
            self._keep_all_but({slot for slot, _ in gone})
            return
        for slot, lines in gone:
            for line in lines:
                place = self._place(line, slot)
                del self._lines[place]
                del self._slots[place]

    def replace(self, all_of_them: Iterable[tuple[int, Iterable[float]]]) -> None:
        """Everything anew."""
        self._lines, self._slots = array("d"), array("I")
        pairs = [(line, slot) for slot, lines in all_of_them for line in lines]
        self._loose_lines = array("d", (line for line, _ in pairs))
        self._loose_slots = array("I", (slot for _, slot in pairs))

    def _place(self, line: float, slot: int) -> int:
        """Where the pair is or belongs: by line, then slot."""
        first = bisect_left(self._lines, line)
        return bisect_left(self._slots, slot, first, bisect_right(self._lines, line, first))

    def _settle(self) -> None:
        if not self._loose_lines:
            return
        pairs = sorted(zip(self._lines + self._loose_lines, self._slots + self._loose_slots, strict=True))
        self._lines, self._loose_lines = array("d", [line for line, _ in pairs]), array("d")
        self._slots, self._loose_slots = array("I", [slot for _, slot in pairs]), array("I")

    def _keep_all_but(self, gone: set[int]) -> None:
        kept = [number for number, slot in enumerate(self._slots) if slot not in gone]
        self._lines = array("d", [self._lines[number] for number in kept])
        self._slots = array("I", [self._slots[number] for number in kept])
