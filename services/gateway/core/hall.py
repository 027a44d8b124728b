"""The hall behind the front door: what is known, who listens, and how news reaches them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from services.gateway.core.board import Board
from services.gateway.core.inbox import Inbox
from services.gateway.core.rooms import Rooms
from services.gateway.core.seats import FramedSeat, QueuedSeat, Seat, Sink
from services.gateway.core.wire import Malformed, Notice, Update, read_notice, read_update


@dataclass(slots=True)
class Delivered:
    """updates: fresh prices and predictions; frames: of them, written directly; notices: pushed, once per socket."""

    updates: int = 0
    frames: int = 0
    notices: int = 0
    malformed: int = 0


class Hall:
    """Everything here happens at once, between two turns of the event loop.

    So a snapshot and the live updates behind it have neither a gap nor a repeat between them. No client is waited for.
    """

    def __init__(self) -> None:
        self.board = Board()
        self.rooms = Rooms()
        self._inboxes: dict[str, set[Inbox]] = {}

    # Who listens

    def seat(self, symbol: str | None, sink: Sink) -> FramedSeat:
        """A seat in the room of `symbol` (None: of all) for a connection that takes frames; the snapshot is written."""
        seat = FramedSeat(sink, self._snapshot(symbol), lambda: self.rooms.changed(symbol))
        self.rooms.join(symbol, seat)
        return seat

    def queue(self, symbol: str | None, wake: Callable[[], None]) -> QueuedSeat:
        """Likewise for a connection whose own task sends what waits in its outbox."""
        seat = QueuedSeat(self._snapshot(symbol), wake)
        self.rooms.join(symbol, seat)
        return seat

    def leave(self, symbol: str | None, seat: Seat) -> None:
        """Does nothing where it has left already."""
        self.rooms.leave(symbol, seat)

    def listen(self, user_id: str, inbox: Inbox) -> None:
        self._inboxes.setdefault(user_id, set()).add(inbox)

    def unlisten(self, user_id: str, inbox: Inbox) -> None:
        inboxes = self._inboxes.get(user_id, set())
        inboxes.discard(inbox)
        if not inboxes:
            self._inboxes.pop(user_id, None)

    @property
    def listeners(self) -> int:
        """Open notification sockets."""
        return sum(map(len, self._inboxes.values()))

    def _snapshot(self, symbol: str | None) -> Sequence[Update]:
        return self.board.everything() if symbol is None else self.board.of(symbol)

    # What arrives

    def deliver(self, values: Iterable[bytes]) -> Delivered:
        """Takes a batch of records of all three topics, in order per symbol, and writes it out, once per connection."""
        delivered = Delivered()
        fresh: list[Update] = []
        for value in values:
            try:
                if (update := read_update(value)) is not None:
                    if self.board.advance(update):
                        fresh.append(update)
                elif (notice := read_notice(value)) is not None:
                    delivered.notices += self._push(notice)
            except Malformed:
                delivered.malformed += 1
        delivered.updates = len(fresh)
        delivered.frames = self._send(fresh)
        return delivered

    def learn(self, values: Iterable[bytes]) -> int:
        """Takes in what a backend remembers: last prices, or last signals. Whoever waits for a first frame gets it.

        Returns how many are malformed, and left out.
        """
        malformed = 0
        fresh: list[Update] = []
        for value in values:
            try:
                update = read_update(value)
            except Malformed:
                malformed += 1
            else:
                if update is not None and self.board.learn(update):
                    fresh.append(update)
        self._send(fresh)
        return malformed

    def _send(self, updates: list[Update]) -> int:
        frames = self.rooms.everything.send(updates) if updates and self.rooms.everything else 0
        for symbol, of_symbol in _by_symbol(updates).items():
            room = self.rooms.of(symbol)
            if room is not None:
                frames += room.send(of_symbol)
        return frames

    def _push(self, notice: Notice) -> int:
        inboxes = self._inboxes.get(notice.user_id, ())
        for inbox in inboxes:
            inbox.push(notice)
        return len(inboxes)


def _by_symbol(updates: list[Update]) -> dict[str, list[Update]]:
    grouped: dict[str, list[Update]] = {}
    for update in updates:
        grouped.setdefault(update.symbol, []).append(update)
    return grouped
