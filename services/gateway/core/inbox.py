"""Notifications of one connection: nothing twice, nothing lost, and the reader's pace counts."""

from collections import deque
from collections.abc import Callable, Iterable

from services.gateway.core.wire import Notice


class Inbox:
    """What was pushed and not yet sent, up to `keep`; beyond that the connection is `behind` and pages from the store.

    A notification is stored before it is pushed, so one that is not kept while `behind` is found by any page asked for
    after `behind` was cleared. wake: called when there is something to do. remember: how many sent ids are known; an
    older one may be sent again, which clients tell by its id.
    """

    def __init__(self, wake: Callable[[], None], *, keep: int = 100, remember: int = 10_000) -> None:
        self._wake = wake
        self._keep = keep
        self._waiting: deque[Notice] = deque()
        self._sent: dict[str, None] = {}
        self._remember = remember
        self.behind = True
        """Starts behind: what is unread comes first."""

    def push(self, notice: Notice) -> None:
        if not self.behind:
            if len(self._waiting) < self._keep:
                self._waiting.append(notice)
            else:
                self.behind = True
        self._wake()

    def next(self) -> Notice | None:
        """The notification to send now, or None."""
        while self._waiting:
            notice = self._waiting.popleft()
            if self._is_new(notice):
                return notice
        return None

    def page(self, notices: Iterable[Notice]) -> Iterable[Notice]:
        """Those of a stored page that this connection has not got, one by one as they are sent."""
        return (notice for notice in notices if self._is_new(notice))

    def _is_new(self, notice: Notice) -> bool:
        if notice.id in self._sent:
            return False
        self._sent[notice.id] = None
        if len(self._sent) > self._remember:
            del self._sent[next(iter(self._sent))]
        return True
