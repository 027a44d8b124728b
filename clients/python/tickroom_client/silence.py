"""A connection that died without a word looks like a quiet one, until it has been quiet for too long."""

import asyncio
import logging
from typing import Self

_log = logging.getLogger("tickroom_client")


class Silence:
    """Cuts a connection off where nothing was heard for `most_s`; what waits for a slow user is no silence."""

    def __init__(self, most_s: float, transport: asyncio.WriteTransport) -> None:
        self._most_s = most_s
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._since_s: float | None = None

    def begins(self) -> None:
        self._since_s = self._loop.time()

    def ends(self) -> None:
        self._since_s = None

    def __enter__(self) -> Self:
        self._timer = self._loop.call_later(self._most_s, self._look)
        return self

    def __exit__(self, *_error: object) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        lasted_s = 0.0 if self._since_s is None else self._loop.time() - self._since_s
        if lasted_s >= self._most_s:
            _log.warning("nothing was heard for %g s", self._most_s)
            self._transport.abort()
        else:
            self._timer = self._loop.call_later(self._most_s - lasted_s, self._look)
