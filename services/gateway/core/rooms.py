"""Who is in which room, and how a room speaks to all of them at once.

A member that keeps up is a bare write function in the room's list, so an update costs one call per connection. Members
that don't, and those on servers that take no ready-made frames, get each update into their outbox instead.
"""

from collections.abc import Sequence

from services.gateway.core.dialects import Dialect
from services.gateway.core.seats import Seat, Write
from services.gateway.core.wire import Update


class Room:
    """Members of one room. A change of members or of their `write` counts from the next `send` on.

    spoke: has it said anything since somebody last set this to False?
    """

    __slots__ = ("_members", "_spared", "_stale", "_writes", "spoke")

    def __init__(self) -> None:
        self._members: dict[Seat, None] = {}
        self._writes: list[tuple[Dialect, list[Write]]] = []
        self._spared: list[Seat] = []
        self._stale = False
        self.spoke = False

    def __len__(self) -> int:
        return len(self._members)

    def join(self, member: Seat) -> None:
        self._members[member] = None
        self._stale = True

    def leave(self, member: Seat) -> None:
        """Does nothing where `member` has left already."""
        self._members.pop(member, None)
        self._stale = True

    def changed(self) -> None:
        """A member's `write` is another one now."""
        self._stale = True

    def send(self, updates: Sequence[Update]) -> int:
        """Gives every member `updates`, one write each; returns how many messages were written."""
        if self._stale:
            self._sort()
        public = [update for update in updates if update.public]
        written = 0
        for dialect, writes in self._writes:
            shown = updates if dialect.extended else public
            if shown:
                joined = dialect.live(shown)
                for write in writes:
                    write(joined)
                written += len(writes) * len(shown)
        for member in self._spared:
            for update in updates if member.dialect.extended else public:
                member.put(update)
        self.spoke = True
        return written

    def _sort(self) -> None:
        writes: dict[Dialect, list[Write]] = {}
        self._spared = []
        for member in self._members:
            if member.write is None:
                self._spared.append(member)
            else:
                writes.setdefault(member.dialect, []).append(member.write)
        self._writes = list(writes.items())
        self._stale = False


class Rooms:
    """The rooms of all symbols, made when somebody comes in and gone when the last one has left."""

    def __init__(self) -> None:
        self.everything = Room()
        self._of_symbol: dict[str, Room] = {}

    def join(self, symbol: str | None, member: Seat) -> None:
        """Adds `member` to the room of `symbol`, or to the one that hears every symbol (None)."""
        room = self.everything if symbol is None else self._of_symbol.setdefault(symbol, Room())
        room.join(member)
        member.rooms[symbol] = room.changed

    def leave(self, symbol: str | None, member: Seat) -> None:
        """Does nothing where it is not there."""
        if member.rooms.pop(symbol, None) is None:
            return
        room = self.everything if symbol is None else self._of_symbol[symbol]
        room.leave(member)
        if symbol is not None and not room:
            del self._of_symbol[symbol]

    def of(self, symbol: str) -> Room | None:
        """The room of `symbol`; None where nobody is."""
        return self._of_symbol.get(symbol)

    def quiet(self, member: Seat) -> bool:
        """Has nothing been said to `member` since `hush`?"""
        rooms = (self.everything if symbol is None else self._of_symbol[symbol] for symbol in member.rooms)
        return not member.spoke and not any(room.spoke for room in rooms)

    def hush(self) -> None:
        """From here on `quiet` counts."""
        self.everything.spoke = False
        for room in self._of_symbol.values():
            room.spoke = False

    def __len__(self) -> int:
        """Members of all rooms."""
        return len(self.everything) + sum(map(len, self._of_symbol.values()))
