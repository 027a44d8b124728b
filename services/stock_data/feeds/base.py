"""What a replay is to the rest of the room."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from services.shared import symbols as naming
from services.shared.errors import StartFailed
from services.stock_data.core import sequence
from services.stock_data.core.sequence import Item

SOURCE: Final = "replay"
"""`source` of every record and bar that comes from a file."""


class ReplayFeed(Protocol):
    """A file's contents in order of time: the same file and settings give the same items each time they are read."""

    @property
    def name(self) -> str:
        """As people know it: `replay`, `csv`."""
        ...

    @property
    def identity(self) -> str:
        """Differs where the records or their numbers could differ: other file, symbols or start."""
        ...

    @property
    def started(self) -> int:
        """The instant where the replay begins; what is before it is history."""
        ...

    @property
    def sectors(self) -> dict[str, str]:
        """Every symbol of the feed, and its sector or ``."""
        ...

    @property
    def aggregate(self) -> bool:
        """Do bars have to be made of its quotes?"""
        ...

    def items(self) -> Iterator[Item]:
        """Everything in the file, history included."""
        ...


def identity(digest: str, symbols: Sequence[str], started: int) -> str:
    """A name for the sequence of records that these three (and this version of the code) lead to."""
    parts = json.dumps([sequence.VERSION, digest, sorted(symbols), started])
    return hashlib.sha256(parts.encode()).hexdigest()


def chosen(wanted: Sequence[str], present: set[str]) -> set[str]:
    """The symbols to follow: those of SYMBOLS (company names too), or all. Raises StartFailed for an unknown one."""
    found: set[str] = set()
    for name in wanted:
        symbol = naming.resolve(name, present)
        if symbol is None:
            some = ", ".join(sorted(present)[:20]) + (" ..." if len(present) > 20 else "")
            raise StartFailed(f"SYMBOLS: the feed has no {name}; it has {some}")
        found.add(symbol)
    return found or present
