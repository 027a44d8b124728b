"""How a connection wants to be spoken to: plain or extended profile, each plain or deflated.

Whatever is live is encoded once per dialect and shared by all connections that speak it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from services.gateway.core.deflate import deflate
from services.gateway.core.outbox import ExtendedOutbox, Outbox, PlainOutbox, Waiting
from services.gateway.core.wire import Update, frame

_MOST_ARRAY_BYTES: Final = 32 << 10  # of one JSON array: libraries refuse messages above a megabyte, some far below


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """frame: from a text to whole bytes on the wire."""

    extended: bool
    frame: Callable[[bytes], bytes]
    outbox: Callable[[], Outbox]

    def live(self, updates: Sequence[Update]) -> bytes:
        """Frames of updates as they came. Extended: several are one JSON array."""
        if not self.extended:
            if len(updates) == 1:
                return updates[0].frame(self.frame)
            return b"".join([update.frame(self.frame) for update in updates])
        if len(updates) == 1:
            return self.frame(updates[0].extended)
        return b"".join([self.frame(text) for text in _arrays([update.extended for update in updates])])

    def text(self, waiting: Waiting) -> bytes:
        """The message of one that waited."""
        if not self.extended:
            return waiting.update.text
        if waiting.snapshot or waiting.conflated or waiting.stale:
            return waiting.update.retold(
                conflated=0 if waiting.snapshot else waiting.conflated, snapshot=waiting.snapshot, stale=waiting.stale
            )
        return waiting.update.extended


def _arrays(texts: Sequence[bytes]) -> list[bytes]:
    arrays: list[bytes] = []
    part: list[bytes] = []
    size = 0
    for text in texts:
        if part and size + len(text) > _MOST_ARRAY_BYTES:
            arrays.append(b"[%b]" % b",".join(part))
            part, size = [], 0
        part.append(text)
        size += len(text) + 1
    arrays.append(b"[%b]" % b",".join(part))
    return arrays


PLAIN: Final = Dialect(False, frame, PlainOutbox)
PLAIN_DEFLATED: Final = Dialect(False, deflate, PlainOutbox)
EXTENDED: Final = Dialect(True, frame, ExtendedOutbox)
EXTENDED_DEFLATED: Final = Dialect(True, deflate, ExtendedOutbox)


def dialect(*, extended: bool, deflated: bool) -> Dialect:
    if extended:
        return EXTENDED_DEFLATED if deflated else EXTENDED
    return PLAIN_DEFLATED if deflated else PLAIN
