"""Connections as members of rooms: written to directly while they keep up, spared while they don't."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from services.gateway.core.dialects import Dialect
from services.gateway.core.outbox import Outbox, Waiting
from services.gateway.core.wire import Update, frame

Write = Callable[[bytes], None]
"""Takes whole frames, never blocks, never raises for a peer that is gone."""

Item = bytes | Waiting
"""What leaves a seat: the text of an answer, or an update."""

KEEP: Final = 256
"""Live updates kept whole for a connection on a server that takes no ready-made frames."""

_FLUSH_BYTES: Final = 32 << 10
_MOST_BEHIND: Final = 100_000


def _nothing() -> None:
    """Whom it concerns that a connection is too slow which has ended."""


class Sink(Protocol):
    """A connection that takes whole frames."""

    @property
    def write(self) -> Write: ...

    @property
    def paused(self) -> bool:
        """Is its buffer over the mark?"""
        ...


class Seat:
    """One connection's place. What waits leaves in this order: answers and what was missed, whole; then the outbox.

    write: where live frames go directly, None while the connection is spared. rooms: where it sits, by symbol (None:
    the room of all). listed: the symbols it asked for; None: whatever its room brings. too_slow: called once, when
    something is lost that may not be.
    """

    __slots__ = ("_backlog", "_outbox", "_paced_by", "_too_slow", "dialect", "listed", "rooms", "spoke", "write")

    def __init__(self, dialect: Dialect, too_slow: Callable[[], None]) -> None:
        self.dialect = dialect
        self.write: Write | None = None
        self.rooms: dict[str | None, Callable[[], None]] = {}
        self.listed: dict[str, None] | None = None
        self.spoke = False
        self._too_slow = too_slow
        self._paced_by: Callable[[], None] | None = None
        self._backlog: deque[Item] | None = None  # made when needed: most connections of thousands never fall behind
        self._outbox: Outbox | None = None

    @property
    def merged(self) -> int:
        """How many updates were overtaken by newer ones while this connection was slow."""
        return 0 if self._outbox is None else self._outbox.merged

    def say(self, text: bytes) -> None:
        """Sends an answer, behind whatever is to be sent whole."""
        self._append([text])
        self.flush()

    def put(self, update: Update) -> None:
        """Leaves a live update for a spared connection."""
        self._leave(Waiting(update, stale=update.stale))
        self.flush()

    def show(self, snapshot: Iterable[Waiting]) -> None:
        """What is known already. It goes through the outbox: a newer update takes its place while it waits."""
        for waiting in snapshot:
            self._leave(waiting)
        self.flush()

    def retell(self, missed: Iterable[Item]) -> None:
        """Answers and updates that go out whole and in this order."""
        self._append(missed)
        self.flush()

    def drop(self, symbol: str) -> None:
        """Forgets live updates of `symbol` that wait."""
        if self._outbox is not None:
            self._outbox.drop(symbol)

    @property
    def waiting(self) -> bool:
        """Is there anything in the outbox?"""
        return bool(self._outbox)

    def pace(self, due: Callable[[], None] | None) -> None:
        """Live updates wait for `tick` from now on, and conflate meanwhile. due: asks for it; None: as they come."""
        self._paced_by = due
        if due is None:
            self.tick()
        else:
            self._divert(None)

    def tick(self) -> None:
        """The time for what waits has come, unless its reader has not even taken what came before."""
        if self._outbox and not self._backlog:
            self._append(self._take_outbox() for _ in range(len(self._outbox)))
        self.flush()

    def forsake(self) -> None:
        """Nobody sits here any more. What waits in a circle of references would wait for the garbage collector."""
        self._too_slow = _nothing
        self._paced_by = None

    def flush(self) -> None:
        """Sends what may go now."""
        raise NotImplementedError

    def next(self) -> Item | None:
        """What is to be sent next, None where nothing is."""
        if self._backlog:
            return self._backlog.popleft()
        return None if self._paced_by or not self._outbox else self._outbox.take()

    def _leave(self, waiting: Waiting) -> None:
        if self._outbox is None:
            self._outbox = self.dialect.outbox()
        self._outbox.put(waiting)
        if self._outbox.overflowed:
            self._too_slow()
        elif self._paced_by is not None:
            self._paced_by()

    def _append(self, items: Iterable[Item]) -> None:
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.extend(items)
        if len(self._backlog) > _MOST_BEHIND:
            self._backlog.clear()
            self._too_slow()

    def _take_outbox(self) -> Waiting:
        assert self._outbox is not None
        return self._outbox.take()

    def _divert(self, write: Write | None) -> None:
        if self.write is not write:
            self.write = write
            for changed in self.rooms.values():
                changed()

    def text(self, item: Item) -> bytes:
        return item if isinstance(item, bytes) else self.dialect.text(item)


class FramedSeat(Seat):
    """A connection that takes ready-made frames."""

    __slots__ = ("_sink",)

    def __init__(self, dialect: Dialect, sink: Sink, too_slow: Callable[[], None]) -> None:
        super().__init__(dialect, too_slow)
        self._sink = sink

    def pause(self) -> None:
        """Its buffer is over the mark: what comes now waits."""
        self._divert(None)

    def flush(self) -> None:
        """Also called when its buffer has drained: what waits goes out, as far as the mark allows."""
        while not self._sink.paused:
            frames: list[bytes] = []
            size = 0
            while size < _FLUSH_BYTES and (item := self.next()) is not None:
                # answers leave as they are: deflating them would not be shared by anybody
                frames.append(frame(item) if isinstance(item, bytes) else self.dialect.frame(self.dialect.text(item)))
                size += len(frames[-1])
            if not frames:
                self._divert(None if self._paced_by else self._sink.write)
                return
            self.spoke = True
            self._sink.write(b"".join(frames))


class QueuedSeat(Seat):
    """A connection whose own task sends message by message. wake: called when something waits."""

    __slots__ = ("_wake",)

    def __init__(self, dialect: Dialect, wake: Callable[[], None], too_slow: Callable[[], None]) -> None:
        super().__init__(dialect, too_slow)
        self._wake = wake

    def put(self, update: Update) -> None:
        """The first KEEP that wait are kept whole, for its task runs only later; a slow reader's conflate."""
        if self._paced_by or self._outbox or (self._backlog is not None and len(self._backlog) >= KEEP):
            super().put(update)
        else:
            self._append([Waiting(update, stale=update.stale)])
            self.flush()

    def flush(self) -> None:
        if self._backlog or (self._outbox and not self._paced_by):
            self.spoke = True
            self._wake()
