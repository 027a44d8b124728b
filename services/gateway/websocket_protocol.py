"""uvicorn's WebSocket protocol, with a door for frames that are ready-made.

An application on this server finds `scope["extensions"]["tickroom.frames"]["writer"]`: a FrameWriter whose `write` is
the transport's own. Control frames (pong, ping, close) go through the same transport and a write is whole frames,
so they never land inside one another. Also mended here, because rooms full of strangers need it:

- a closing connection leaves its room before the close frame is written, and a peer that never reads is cut off;
- after a breach of protocol what the peer still sends is read and thrown away for a moment: closing with unread input
  would make the kernel send a reset, and the peer would never see the close code.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.protocol import State

EXTENSION: Final = "tickroom.frames"

WRITE_HIGH_BYTES: Final = 64 << 10
WRITE_LOW_BYTES: Final = 16 << 10
_LINGER_S: Final = 1.0
_CUT_OFF_S: Final = 5.0


def _nowhere(_data: bytes) -> None:
    """Where frames for a closed connection go."""


def _nothing() -> None:
    """What happens before anybody watches."""


class FrameWriter:
    """One accepted connection. write: takes whole frames, never waits; paused: the buffer is over WRITE_HIGH_BYTES."""

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

    def close(self, code: int, reason: str = "") -> None:
        """Sends a close frame behind what is buffered, without waiting for a reader that is slow."""
        if self._protocol is not None:
            self._protocol.close(code, reason)

    def _open(self, write: Callable[[bytes], Any]) -> None:
        self.write = write

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


class FrameProtocol(WebSocketsSansIOProtocol):
    """One WebSocket connection of the gateway."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._writer = FrameWriter(self)
        self._cut_off: asyncio.TimerHandle | None = None

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
        self._read_on()
        self.close_timer = self.loop.call_later(_CUT_OFF_S, self.transport.close)

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
            self._writer._open(self.transport.write)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writer._pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._writer._resume()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not _is_text(self.frames):
            self.conn.fail(CloseCode.INVALID_DATA, "not UTF-8")
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

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
        self._read_on()
        self.close_timer = self.loop.call_later(_LINGER_S, self.transport.close)

    def handle_close(self, event: Frame) -> None:
        self._leave()
        super().handle_close(event)

    def keepalive_timeout(self) -> None:
        self._leave()
        super().keepalive_timeout()

    def shutdown(self) -> None:
        self._leave()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._writer._end()
        super().connection_lost(exc)
        if self._cut_off is not None:
            self._cut_off.cancel()

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


def _is_text(frames: list[bytes]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True
