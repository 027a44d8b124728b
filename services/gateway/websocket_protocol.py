"""uvicorn's WebSocket protocol, with a door for frames that are ready-made.

An application on this server finds `scope["extensions"]["tickroom.frames"]["writer"]`: a FrameWriter whose `write` is
the transport's own. Control frames (pong, ping, close) go through the same transport and a write is whole frames,
so they never land inside one another. Where permessage-deflate was agreed on, it is without context takeover, so a
frame that was compressed once (core/deflate.py) can be written to every connection whose writer says `deflated`. Also
mended here, because rooms full of strangers need it:

- a closing connection leaves its room before the close frame is written, and a peer that never reads is cut off;
- after a breach of protocol what the peer still sends is read and thrown away for a moment: closing with unread input
  would make the kernel send a reset, and the peer would never see the close code.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from prometheus_client import Counter
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import CloseCode, Frame
from websockets.protocol import State

from services.gateway.core.deflate import SETTINGS, WINDOW_BITS
from services.gateway.websocket_inbound import InboundProtocol

_CLOSES: Final = Counter("gateway_closes", "Sockets closed, by who began and with which code", ["by", "code"])
_KNOWN_CODES: Final = frozenset(
    (*range(1000, 1004), *range(1005, 1015), 4400, 4401, 4403, 4404, 4408, 4409, 4429, *range(4500, 4504))
)

EXTENSION: Final = "tickroom.frames"

WRITE_HIGH_BYTES: Final = 64 << 10
WRITE_LOW_BYTES: Final = 16 << 10
_LINGER_S: Final = 1.0
_CUT_OFF_S: Final = 5.0

_COMPRESSION: Final = ServerPerMessageDeflateFactory(
    server_no_context_takeover=True, client_no_context_takeover=True, compress_settings=SETTINGS
)


def _nowhere(_data: bytes) -> None:
    """Where frames for a closed connection go."""


def _nothing() -> None:
    """What happens before anybody watches."""


class FrameWriter:
    """One accepted connection. write: takes whole frames, never waits; paused: the buffer is over WRITE_HIGH_BYTES.

    deflated: may frames be compressed (core/deflate.py)?
    """

    __slots__ = ("_on_close", "_on_pause", "_on_resume", "_protocol", "closed", "deflated", "paused", "write")

    def __init__(self, protocol: "FrameProtocol") -> None:
        self._protocol: FrameProtocol | None = protocol
        self.write: Callable[[bytes], Any] = _nowhere
        self.paused = False
        self.closed = False
        self.deflated = False
        self._on_pause = self._on_resume = self._on_close = _nothing

    def watch(self, *, pause: Callable[[], None], resume: Callable[[], None], close: Callable[[], None]) -> None:
        """pause: the buffer went over the mark; resume: it drained; close: nothing more may be written."""
        self._on_pause, self._on_resume, self._on_close = pause, resume, close
        if self.closed:
            close()

    @property
    def buffered_bytes(self) -> int:
        """What the transport still holds; the kernel's own buffer is not counted."""
        return 0 if self._protocol is None else self._protocol.transport.get_write_buffer_size()

    @property
    def behind_s(self) -> float:
        """How old what the peer reads now may be: seconds of the last pong, or since when one is awaited."""
        return 0.0 if self._protocol is None else self._protocol.behind_s

    def close(self, code: int, reason: str = "") -> None:
        """Sends a close frame behind what is buffered, without waiting for a reader that is slow."""
        if self._protocol is not None:
            self._protocol.close(code, reason)

    def _open(self, write: Callable[[bytes], Any], *, deflated: bool) -> None:
        self.write = write
        self.deflated = deflated

    def _pause(self) -> None:
        self.paused = True
        self._on_pause()

    def _resume(self) -> None:
        self.paused = False
        self._on_resume()

    def _end(self) -> None:
        self.closed = True
        self.write = _nowhere
        on_close = self._on_close
        self._protocol = None
        self._on_pause = self._on_resume = self._on_close = _nothing
        on_close()


class FrameProtocol(InboundProtocol):
    """One WebSocket connection of the gateway."""

    __slots__ = ("_accepted", "_cut_off", "_writer")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._writer = FrameWriter(self)
        self._cut_off: asyncio.TimerHandle | None = None
        self._accepted = False
        if self.config.ws_per_message_deflate:
            self.conn.available_extensions = [_COMPRESSION]

    def close(self, code: int, reason: str = "") -> None:
        """Starts the closing handshake now; the peer has `_CUT_OFF_S` to finish it. Does nothing once closing."""
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        self._leave()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if self.conn.state is State.OPEN:
            self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.close_timer = self.loop.call_later(_CUT_OFF_S, self.transport.close)
        self._read_on()

    # What uvicorn calls

    async def run_asgi(self) -> None:
        self.scope["extensions"][EXTENSION] = {"writer": self._writer}
        await super().run_asgi()
        if not self.disconnected:
            self._leave()

    async def send(self, message: ASGISendEvent) -> None:
        if message["type"] == "websocket.close" and self.handshake_complete and not self.disconnected:
            self.close(message.get("code", 1000), message.get("reason") or "")
            return
        if message["type"] == "websocket.send" and self.close_sent:
            raise ClientDisconnected  # closed by this protocol, which the application can't know yet
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            self.handshake_complete = True  # refused in due form; uvicorn would log an error
        if message["type"] == "websocket.accept" and not self.transport.is_closing():
            self.transport.set_write_buffer_limits(WRITE_HIGH_BYTES, WRITE_LOW_BYTES)
            self._accepted = True
            self._writer._open(self.transport.write, deflated=any(map(_reads_our_window, self.conn.extensions)))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writer._pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._writer._resume()

    def handle_parser_exception(self) -> None:
        if self.close_sent:
            return  # closing already: what still comes is thrown away
        self._leave()
        sent = self.conn.close_sent
        if sent is None:  # broken before it was accepted: no close frame can be understood
            self.transport.abort()
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": sent.code, "reason": sent.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.close_timer = self.loop.call_later(_LINGER_S, self.transport.close)
        self._read_on()

    def handle_close(self, event: Frame) -> None:
        self._leave()
        super().handle_close(event)

    def give_up(self) -> None:
        self._leave()
        super().give_up()

    def eof_received(self) -> None:
        self._leave()  # the transport closes once the buffer is empty, which a peer that does not read can put off
        super().eof_received()

    def shutdown(self) -> None:
        self._leave()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._writer._end()
        super().connection_lost(exc)
        if self._cut_off is not None:
            self._cut_off.cancel()
        if self._accepted:
            self._count()

    def _leave(self) -> None:
        """No frame follows a close frame. A transport waits for its buffer before it closes: not for ever, with us."""
        if not self._writer.closed:
            self._writer._end()
        if self._cut_off is None:
            self._cut_off = self.loop.call_later(_CUT_OFF_S, self.transport.abort)

    def _read_on(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self._read_portions()

    def _count(self) -> None:
        came, sent = self.conn.close_rcvd, self.conn.close_sent
        if sent is not None and not self.conn.close_rcvd_then_sent:
            by, code = "gateway", sent.code
        else:
            by, code = "client", CloseCode.ABNORMAL_CLOSURE if came is None else came.code
        _CLOSES.labels(by, str(int(code)) if code in _KNOWN_CODES else "other").inc()


def _reads_our_window(extension: Extension) -> bool:
    return isinstance(extension, PerMessageDeflate) and extension.local_max_window_bits >= WINDOW_BITS
