"""Who is in which room, and how a room speaks to all of them at once.

A member that keeps up is a bare write function in the room's list, so an update costs one call per connection. Members
that don't, and those on servers that take no ready-made frames, get each update into their outbox instead.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from services.gateway.core.wire import Update

Write = Callable[[bytes], None]
"""Takes whole frames, never blocks, never raises for a peer that is gone."""


class Member(Protocol):
    """One connection in one room."""

    @property
    def write(self) -> Write | None:
        """Where frames go directly; None while this member must be spared."""
        ...

    def put(self, update: Update) -> None:
        """Leaves `update` for a spared member."""
        ...


class Room:
    """Members of one room. A change of members or of their `write` counts from the next `send` on."""

    __slots__ = ("_members", "_spared", "_stale", "_writes")

    def __init__(self) -> None:
        self._members: dict[Member, None] = {}
        self._writes: list[Write] = []
        self._spared: list[Member] = []
        self._stale = False

    def __len__(self) -> int:
        return len(self._members)

    def join(self, member: Member) -> None:
        self._members[member] = None
        self._stale = True

    def leave(self, member: Member) -> None:
        """Does nothing where `member` has left already."""
        self._members.pop(member, None)
        self._stale = True

    def changed(self) -> None:
        """A member's `write` is another one now."""
        self._stale = True

    def send(self, updates: Sequence[Update]) -> int:
        """Gives every member `updates`, one write each; returns how many frames were written."""
        if self._stale:
            self._sort()
        writes, spared = self._writes, self._spared
        if writes:
            joined = updates[0].frame if len(updates) == 1 else b"".join([update.frame for update in updates])
            for write in writes:
                write(joined)
        for member in spared:
            for update in updates:
                member.put(update)
        return len(writes) * len(updates)

    def _sort(self) -> None:
        self._writes = [write for member in self._members if (write := member.write) is not None]
        self._spared = [member for member in self._members if member.write is None]
        self._stale = False


class Rooms:
    """The rooms of all symbols, made when somebody comes in and gone when the last one has left."""

    def __init__(self) -> None:
        self.everything = Room()
        self._of_symbol: dict[str, Room] = {}

    def join(self, symbol: str | None, member: Member) -> None:
        """Adds `member` to the room of `symbol`, or to the one that hears every symbol (None)."""
        room = self.everything if symbol is None else self._of_symbol.setdefault(symbol, Room())
        room.join(member)

    def leave(self, symbol: str | None, member: Member) -> None:
        room = self.everything if symbol is None else self._of_symbol.get(symbol)
        if room is None:
            return
        room.leave(member)
        if symbol is not None and not room:
            del self._of_symbol[symbol]

    def changed(self, symbol: str | None) -> None:
        """A member of that room has another `write` now."""
        room = self.everything if symbol is None else self._of_symbol.get(symbol)
        if room is not None:
            room.changed()

    def of(self, symbol: str) -> Room | None:
        """The room of `symbol`; None where nobody is."""
        return self._of_symbol.get(symbol)

    def __len__(self) -> int:
        """Members of all rooms."""
        return len(self.everything) + sum(map(len, self._of_symbol.values()))
