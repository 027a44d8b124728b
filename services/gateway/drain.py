"""How everybody is shown out: readiness turns false, newcomers are sent on, goodbyes are spread over DRAIN_S.

All clients at once at the other replicas' doors would be a storm of our own making.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from math import ceil
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from services.shared.errors import TickroomError, Unavailable

Close = Callable[[TickroomError], None]
"""Closes one socket with the code of the error (replies.py), without waiting for its reader."""

_log = logging.getLogger("tickroom.gateway.sockets")

_SLICE_S: Final = 0.05
_GOODBYES: Final = 0.8  # of the time; in the rest the last ones answer
_SOONEST_S: Final = 0.5
_BACK_WITHIN_S: Final = 2.0


class Drain:
    """The open sockets and the requests in hand of one process, and their end. over_s: how long that may take."""

    def __init__(
        self,
        over_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.draining = False
        self._over_s = over_s
        self._clock = clock
        self._chance = chance
        self._open: set[object] = set()
        self._untold: dict[object, Close] = {}
        self._requests = 0
        self._changed = asyncio.Event()

    @property
    def sockets(self) -> int:
        """Open ones."""
        return len(self._open)

    @contextmanager
    def open(self, close: Close) -> Iterator[None]:
        """As long as this lasts, a socket is open and gets its goodbye by `close`."""
        mark = object()
        self._open.add(mark)
        if self.draining:  # let in just before
            self._tell(close, self._goodbye())
        else:
            self._untold[mark] = close
        try:
            yield
        finally:
            self._open.discard(mark)
            self._untold.pop(mark, None)
            self._changed.set()

    def send_back(self, error: Callable[[float], TickroomError]) -> None:
        """Closes every open socket; this gateway stays. error: for one that is to come back in so many seconds."""
        for close in list(self._untold.values()):
            self._tell(close, error(self._chance() * _BACK_WITHIN_S))

    def check(self) -> None:
        """Raises Unavailable (`draining`) once the goodbyes have begun."""
        if self.draining:
            raise self._goodbye()

    def around(self, app: ASGIApp) -> ASGIApp:
        """`app`, whose HTTP requests are waited for."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            self._requests += 1
            try:
                await app(scope, receive, send)
            finally:
                self._requests -= 1
                self._changed.set()

        def either(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            # a coroutine of ours would live as long as each socket
            return (counted if scope["type"] == "http" else app)(scope, receive, send)

        return either

    async def empty(self) -> None:
        """Returns once every socket was closed and every request answered, after `over_s` seconds at most."""
        self.draining = True
        begun = self._clock()
        while self._untold:
            slices = max(1.0, (begun + self._over_s * _GOODBYES - self._clock()) / _SLICE_S)
            for mark in list(self._untold)[: ceil(len(self._untold) / slices)]:
                if (close := self._untold.pop(mark, None)) is not None:
                    self._tell(close, self._goodbye())
            if self._untold:
                await asyncio.sleep(_SLICE_S * max(1.0, slices / (len(self._untold) + 1)))
        while (self._open or self._requests) and (left_s := begun + self._over_s - self._clock()) > 0:
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left_s)

    def _tell(self, close: Close, error: TickroomError) -> None:
        try:
            close(error)
        except Exception:  # of one socket: the others get their goodbye nevertheless
            _log.exception("a socket could not be closed")

    def _goodbye(self) -> Unavailable:
        """Whoever comes back does so within as long again as the goodbyes take."""
        wait_s = _SOONEST_S + self._chance() * max(1.0, self._over_s)
        return Unavailable("this gateway is stopping; another one goes on", code="draining", retry_after_s=wait_s)
