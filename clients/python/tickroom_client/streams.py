"""What a user iterates over."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from tickroom_client.door import Door
from tickroom_client.inbox import InboxTalk
from tickroom_client.line import Line
from tickroom_client.market import MarketTalk
from tickroom_client.messages import Message, Notification, Problem
from tickroom_client.patience import Patience
from tickroom_client.talk import Talk
from tickroom_client.tokens import Tokens

T = TypeVar("T")


class _End:
    """What stands behind the last message."""


class Stream(Generic[T]):
    """An endless asynchronous iterator over one connection at a time; it connects when it is first iterated over.

    It raises a TickroomError, or what the token provider raised, where going on is useless, behind all that came
    before; it ends where it was closed.
    """

    def __init__(
        self, door: Door, talk: Talk[T], tokens: Tokens, patience: Patience, queue: int, closed: Callable[[], None]
    ) -> None:
        self._talk = talk
        self._queue: asyncio.Queue[T | _End] = asyncio.Queue(queue)
        self._line = Line(door, talk, tokens, patience, self._put)
        self._running: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._closed = False
        self._on_close = closed

    @property
    def connected(self) -> bool:
        """Is a connection open now? What it yields may be older than that."""
        return self._line.connected

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._running is None and not self._closed:
            self._running = asyncio.create_task(self._run())
        if self._closed:
            raise StopAsyncIteration
        item = self._queue.get_nowait() if not self._queue.empty() else await self._queue.get()
        if not isinstance(item, _End):
            return item
        self._queue.put_nowait(item)  # for whoever asks again
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Says what is still to be said, then goodbye. What was not iterated over is dropped."""
        if self._closed:
            return
        self._closed = True
        self._on_close()
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(_End())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _run(self) -> None:
        try:
            await self._line.run()
        except Exception as failure:
            self._failure = failure
            await self._queue.put(_End())

    async def _put(self, message: T) -> None:
        if self._queue.full():
            await self._queue.put(message)
        else:
            self._queue.put_nowait(message)


class MarketStream(Stream[Message]):
    """Prices, predictions, bars, splits and corrections of a list of symbols, or of all.

    Each exactly once and in order of its symbol, over any number of reconnects; where something is missing a Gap says
    so. Symbols are named as the server names them, in any case.
    """

    _talk: MarketTalk

    def subscribe(self, *symbols: str) -> None:
        """Adds symbols: their last known state comes, then what is new. From everything, it is only these from here.

        Nothing is waited for; what the server refuses comes as a Problem.
        """
        self._talk.subscribe(symbols)
        self._line.wake()

    def unsubscribe(self, *symbols: str) -> None:
        """Takes symbols off the list. Raises ValueError while everything is subscribed."""
        self._talk.unsubscribe(symbols)
        self._line.wake()

    def set_rate(self, max_per_second: float) -> None:
        """At most so many prices a second and symbol, the others merged into them (`conflated`); 0 = as they come."""
        self._talk.set_rate(max_per_second)
        self._line.wake()


class NotificationStream(Stream[Notification | Problem]):
    """A user's notifications: the unread ones, oldest first, then each as it comes; none twice."""

    _talk: InboxTalk

    def ack(self, *notifications: Notification) -> None:
        """Marks them as read. It is said until the server confirms it, also on another connection."""
        self._talk.ack(each.id for each in notifications)
        self._line.wake()
