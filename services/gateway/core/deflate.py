"""permessage-deflate without context takeover: one compressed frame that every connection can share (RFC 7692)."""

import zlib
from typing import Any, Final

from services.gateway.core.wire import frame

WINDOW_BITS: Final = 15
"""Of the window that `deflate` uses; a peer that grants less can't read its frames."""

SETTINGS: Final[dict[str, Any]] = {"level": 1, "memLevel": 8}
"""Higher levels take up to three times as long for at most one byte in a hundred (prices, alone or 64 in an array)."""

_FIRST: Final = 0xC1  # FIN, RSV1 and opcode 1
_TAIL: Final = b"\x00\x00\xff\xff"


def deflate(text: bytes) -> bytes:
    """A whole, final text frame of `text`, compressed by itself; left as it is where that makes it no smaller."""
    compressor = zlib.compressobj(wbits=-WINDOW_BITS, **SETTINGS)
    packed = (compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)
    return frame(packed, _FIRST) if len(packed) < len(text) else frame(text)
