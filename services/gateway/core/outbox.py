"""What waits for one connection that can't be written to right now: bounded, and the newest is delivered in the end."""

from collections import OrderedDict
from typing import Final, Protocol

from services.gateway.core.wire import Kind, Update

MOST_FACTS: Final = 1024
"""Bars, predictions, splits and corrections that may wait for one extended connection; with more it is too slow."""


class Waiting:
    """One update in an outbox. conflated: how many records of its symbol were merged into it."""

    __slots__ = ("conflated", "snapshot", "stale", "update")

    def __init__(self, update: Update, *, snapshot: bool = False, stale: bool = False) -> None:
        self.update = update
        self.conflated = 0
        self.snapshot = snapshot
        self.stale = stale


class Outbox(Protocol):
    """merged: how many updates were overtaken by a newer one. overflowed: something was lost that may not be."""

    merged: int
    overflowed: bool

    def __len__(self) -> int: ...

    def put(self, waiting: Waiting) -> None: ...

    def take(self) -> Waiting:
        """What has waited longest. Raises KeyError where nothing waits."""
        ...

    def drop(self, symbol: str) -> None:
        """Forgets what waits of `symbol`."""
        ...


class PlainOutbox:
    """The newest price and the newest prediction of each symbol, in the order in which they began to wait."""

    __slots__ = ("_newest", "merged", "overflowed")

    def __init__(self) -> None:
        self._newest: OrderedDict[tuple[Kind, str], Waiting] = OrderedDict()
        self.merged = 0
        self.overflowed = False

    def __len__(self) -> int:
        return len(self._newest)

    def put(self, waiting: Waiting) -> None:
        key = (waiting.update.kind, waiting.update.symbol)
        self.merged += key in self._newest
        self._newest[key] = waiting

    def take(self) -> Waiting:
        return self._newest.popitem(last=False)[1]

    def drop(self, symbol: str) -> None:
        self._newest.pop(("price", symbol), None)
        self._newest.pop(("prediction", symbol), None)


class ExtendedOutbox:
    """Of each symbol, in order: the newest price, and every fact.

    A price that is overtaken is counted in `conflated` of the record that follows it, so a client that adds these up
    arrives at `seq`. Facts (bars, predictions, splits, corrections) are never merged: more than MOST_FACTS overflow.
    """

    __slots__ = ("_facts", "_of_symbol", "_size", "merged", "overflowed")

    def __init__(self) -> None:
        self._of_symbol: OrderedDict[str, list[Waiting]] = OrderedDict()
        self._size = 0
        self._facts = 0
        self.merged = 0
        self.overflowed = False

    def __len__(self) -> int:
        return self._size

    def put(self, waiting: Waiting) -> None:
        if self.overflowed:
            return
        queue = self._of_symbol.setdefault(waiting.update.symbol, [])
        queue.append(waiting)
        self._size += 1
        if waiting.update.kind == "price":
            self._merge(queue, waiting)
        else:
            self._facts += 1
            self.overflowed = self._facts > MOST_FACTS

    def take(self) -> Waiting:
        symbol, queue = next(iter(self._of_symbol.items())) if self._of_symbol else (None, [])
        if symbol is None:
            raise KeyError("nothing waits")
        found = queue.pop(0)
        if not queue:
            del self._of_symbol[symbol]
        self._forget(found)
        return found

    def drop(self, symbol: str) -> None:
        for waiting in self._of_symbol.pop(symbol, ()):
            self._forget(waiting)

    def _merge(self, queue: list[Waiting], newest: Waiting) -> None:
        for at, waiting in enumerate(queue[:-1]):
            if waiting.update.kind == "price":
                del queue[at]
                self._size -= 1
                self.merged += 1
                newest.snapshot = newest.snapshot or waiting.snapshot
                heir = next(each for each in queue[at:] if each.update.kind != "prediction")
                heir.conflated += 1 + waiting.conflated
                return

    def _forget(self, waiting: Waiting) -> None:
        self._size -= 1
        self._facts -= waiting.update.kind != "price"
