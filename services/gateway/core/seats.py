"""Connections as members of a room: written to directly while they keep up, spared while they don't."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from services.gateway.core.outbox import Outbox
from services.gateway.core.rooms import Write
from services.gateway.core.wire import Update

_FLUSH_BYTES: Final = 32 << 10
KEEP: Final = 256
"""Updates kept whole for a connection on a server that takes no ready-made frames."""


class Sink(Protocol):
    """A connection that takes whole frames."""

    @property
    def write(self) -> Write: ...

    @property
    def paused(self) -> bool:
        """Is its buffer over the mark?"""
        ...


class FramedSeat:
    """A connection that takes ready-made frames. changed: called when `write` is another one now.

    The snapshot goes through the outbox too, so a live update that arrives before it has left takes its place.
    """

    __slots__ = ("_changed", "_sink", "outbox", "write")

    def __init__(self, sink: Sink, snapshot: Sequence[Update], changed: Callable[[], None]) -> None:
        self._sink = sink
        self._changed = changed
        self.write: Write | None = None
        self.outbox = Outbox()
        for update in snapshot:
            self.outbox.put(update)
        self.resume()

    def put(self, update: Update) -> None:
        self.outbox.put(update)

    def pause(self) -> None:
        """Its buffer is over the mark: what comes now waits in the outbox."""
        if self.write is not None:
            self.write = None
            self._changed()

    def resume(self) -> None:
        """Its buffer has drained: what waits goes out, as far as the mark allows."""
        while self.outbox and not self._sink.paused:
            self._sink.write(b"".join([update.frame for update in self.outbox.take(_FLUSH_BYTES)]))
        if not self.outbox and not self._sink.paused and self.write is None:
            self.write = self._sink.write
            self._changed()


class QueuedSeat:
    """A connection whose own task sends message by message. wake: called when something waits."""

    __slots__ = ("_wake", "outbox", "write")

    def __init__(self, snapshot: Sequence[Update], wake: Callable[[], None]) -> None:
        self._wake = wake
        self.write: Write | None = None
        self.outbox = Outbox(KEEP)
        for update in snapshot:
            self.outbox.put(update)
        if self.outbox:
            wake()

    def put(self, update: Update) -> None:
        self.outbox.put(update)
        self._wake()


Seat = FramedSeat | QueuedSeat
