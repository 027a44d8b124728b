"""An optional window in which news is gathered: fewer and larger writes, for up to that much more delay."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

_MOST_RECORDS: Final = 2000


class Coalesce:
    """Hands batches of records on, at most one in `window_s` seconds; those between are joined, in order.

    After a quiet window a batch goes on at once, so what comes seldom is never delayed. A batch of `_MOST_RECORDS`
    waits for nothing.
    """

    def __init__(self, window_s: float, deliver: Callable[[Sequence[bytes]], None]) -> None:
        self._window_s = window_s
        self._deliver = deliver
        self._waiting: list[bytes] = []
        self._window: asyncio.TimerHandle | None = None

    def take(self, values: Sequence[bytes]) -> None:
        self._waiting += values
        if self._window is None or len(self._waiting) >= _MOST_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Hands on what waits, and begins a new window."""
        if self._window is not None:
            self._window.cancel()
        self._window = asyncio.get_running_loop().call_later(self._window_s, self._end_window)
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._deliver(waiting)

    def close(self) -> None:
        """Hands on what waits; nothing may be taken after that."""
        if self._waiting:
            self.flush()
        if self._window is not None:
            self._window.cancel()

    def _end_window(self) -> None:
        self._window = None
        if self._waiting:
            self.flush()
