"""What a stranger may pour into a connection: taken in portions, at a bounded pace, answered as far as it reads."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from uvicorn._types import ASGIReceiveEvent
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request

from services.gateway.core.pace import Pace
from services.gateway.http.unheard import unheard
from services.gateway.replies import HeadTooLarge, MethodNotAllowed, Unreadable
from services.gateway.websocket_keepalive import KeepAliveProtocol
from services.shared.errors import TickroomError

_PORTION_BYTES: Final = 4096
"""A read may bring a quarter of a megabyte: forty thousand tiny frames, or compressed, a quarter of a gigabyte."""

_ODD_FRAMES_PER_SECOND: Final = 500
"""Pings, pongs and continuations. Messages are paced by who understands them."""

_TOO_MANY: Final = 4429


class InboundProtocol(KeepAliveProtocol):
    """Reads no further while a message waits for the application; keeps to itself what costs others their turn."""

    __slots__ = ("_late_pong", "_pace", "_unread")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread = b""
        self._late_pong = b""
        self._pace = Pace(_ODD_FRAMES_PER_SECOND, self.loop.time())

    def break_off(self, code: int, reason: str) -> None:
        """Closes on a breach: what the peer still sends is thrown away unread."""
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    # What uvicorn calls

    def data_received(self, data: bytes) -> None:
        self._unread += data
        self._read_portions()

    async def receive(self) -> ASGIReceiveEvent:
        message = await super().receive()
        self._read_portions()
        return message

    def handle_events(self) -> None:
        now_s = self.loop.time()
        if all(self._pace.allows(now_s) for each in self.conn.events if _is_odd(each)):
            super().handle_events()
        else:
            self.break_off(_TOO_MANY, "too many control frames or fragments")

    def handle_connect(self, event: Request) -> None:
        answer = self.conn.accept(event)
        if answer.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            super().handle_connect(event)
            return
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        if answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            error: TickroomError = MethodNotAllowed("GET")
        else:
            error = Unreadable(f"this is no WebSocket handshake: {self.conn.handshake_exc}", code="bad_handshake")
        self.transport.write(unheard(error, event.path.partition("?")[0]))
        self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        if event.data or event.fin:  # empty parts would pile up below any limit
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """A peer that does not read gets one pong when it does, to its latest pings: they may be answered together."""
        pongs = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(pongs)
        elif pongs:
            self._late_pong = pongs

    def handle_close(self, event: Frame) -> None:
        self._catch_up()  # a peer that closes behind a ping finds both answers in one write
        super().handle_close(event)

    def resume_writing(self) -> None:
        self._catch_up()
        super().resume_writing()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not _is_text(self.frames):
            self.break_off(CloseCode.INVALID_DATA, "not UTF-8")
        else:
            super().send_receive_event_to_app()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unread = self._late_pong = b""
        super().connection_lost(exc)

    def _read_portions(self) -> None:
        while self._unread and not self.read_paused:
            portion, self._unread = self._unread[:_PORTION_BYTES], self._unread[_PORTION_BYTES:]
            super().data_received(portion)
            self._check_handshake()

    def _check_handshake(self) -> None:
        """The head was good HTTP, and is beyond the limits of the WebSocket library: uvicorn would leave it hanging."""
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self._unread = b""
            self.transport.write(unheard(HeadTooLarge("the head of this handshake is too long")))
            self.transport.close()

    def _catch_up(self) -> None:
        if self._late_pong:
            self.transport.write(self._late_pong)
            self._late_pong = b""


def _is_odd(event: object) -> bool:
    return isinstance(event, Frame) and event.opcode is not Opcode.TEXT and event.opcode is not Opcode.BINARY


def _is_text(frames: Sequence[bytes]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True
