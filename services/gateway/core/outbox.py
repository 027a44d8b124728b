"""What waits for one connection that can't be written to right now."""

from collections import OrderedDict, deque

from services.gateway.core.wire import Kind, Update


class Outbox:
    """Keeps up to `keep` updates as they came; from there on only the newest price and prediction of each symbol.

    So it is bounded by `keep` and the number of symbols, each symbol's updates leave in order, and the newest one is
    always delivered in the end. merged: how many were overtaken by a newer one while they waited.
    """

    __slots__ = ("_keep", "_newest", "_queue", "merged")

    def __init__(self, keep: int = 0) -> None:
        self._keep = keep
        self._queue: deque[Update] = deque()
        self._newest: OrderedDict[tuple[Kind, str], Update] = OrderedDict()
        self.merged = 0

    def __len__(self) -> int:
        return len(self._queue) + len(self._newest)

    def put(self, update: Update) -> None:
        if not self._newest and len(self._queue) < self._keep:
            self._queue.append(update)
            return
        key = (update.kind, update.symbol)
        self.merged += key in self._newest
        self._newest[key] = update

    def take(self, most_bytes: int) -> list[Update]:
        """The updates whose turn it is, up to `most_bytes` of text (at least one where any waits)."""
        taken: list[Update] = []
        size = 0
        while size < most_bytes and (self._queue or self._newest):
            update = self._queue.popleft() if self._queue else self._newest.popitem(last=False)[1]
            taken.append(update)
            size += len(update.text)
        return taken
