"""permessage-deflate without context takeover: one compressed frame that every connection can share (RFC 7692)."""

import zlib
from typing import Final

from services.gateway.core.wire import frame

_FIRST: Final = 0xC1  # FIN, RSV1 and opcode 1
_TAIL: Final = b"\x00\x00\xff\xff"


def deflate(text: bytes) -> bytes:
    """A whole, final text frame of `text`, compressed by itself."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return frame(packed.removesuffix(_TAIL), _FIRST)
