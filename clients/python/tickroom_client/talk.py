"""What a conversation with one room is to the line that carries it."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from tickroom_client.messages import Frame

T_co = TypeVar("T_co", covariant=True)


class Again(Exception):
    """This connection can't go on: connect again, after a pause."""


class Talk(Protocol[T_co]):
    """Decides what to say and what to make of what is heard. It knows no socket and no clock."""

    @property
    def path(self) -> str:
        """Of the room, with its query."""
        ...

    @property
    def due(self) -> bool:
        """May there be something to say?"""
        ...

    def begin(self) -> None:
        """A new connection is open; nothing that was said on others counts on it."""
        ...

    def say(self) -> Frame | None:
        """What to say now; None where there is nothing."""
        ...

    def hear(self, frame: Frame) -> Sequence[T_co]:
        """What `frame` means to the user. Raises Again, Garbled."""
        ...
