"""uvicorn's HTTP protocol, for strangers: the head of a request has a bounded size, and nobody keeps it waiting."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.gateway.http.unheard import unheard
from services.gateway.replies import HeadTooLarge, Unreadable
from services.gateway.websocket_keepalive import OVERSLEPT_S
from services.shared.errors import TickroomError

_MOST_HEAD_BYTES: Final = 64 << 10
_TOO_LONG: Final = HeadTooLarge(f"a request has at most {_MOST_HEAD_BYTES} bytes before its body")
_HEAD_WITHIN_S: Final = 10.0
_BODY_GOES_ON_WITHIN_S: Final = 20.0
_LINGER_S: Final = 1.0


class HttpProtocol(HttpToolsProtocol):
    """One connection until it is upgraded. Who asks nothing, or stops in the middle of a request, is shown out."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes: int | None = None  # as far as it has come; None while none is awaited
        self._in_message = False
        self._refused = False
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if not self._in_message:
            self._await_head()
        super().data_received(data)
        if self._head_bytes is not None and not self._refused:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES:
                self._refuse(_TOO_LONG)

    def on_message_begin(self) -> None:
        self._in_message = True
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        self._wait(_BODY_GOES_ON_WITHIN_S)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._wait(_BODY_GOES_ON_WITHIN_S)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        self._wait(None)
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._wait(None)
        super().handle_websocket_upgrade()
        # they hold one another: those of each socket would wait for the garbage collector
        self.parser = None  # type: ignore[assignment]  # as uvicorn does

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait(None)
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._head_bytes is None:
            self._head_bytes = 0
            self._wait(_HEAD_WITHIN_S)

    def _wait(self, seconds: float | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._patience = None
        if seconds is not None:
            self._patience = self.loop.call_later(seconds, self._lose_patience, self.loop.time() + seconds)

    def send_400_response(self, msg: str) -> None:
        # the parser gives up on an address of 64 KiB, too
        is_too_long = len(self.url or b"") > _MOST_HEAD_BYTES
        self._refuse(_TOO_LONG if is_too_long else Unreadable("this is not HTTP/1.1"))

    def _refuse(self, error: TickroomError) -> None:
        self._refused = True
        self.transport.write(unheard(error))
        self._wait(_LINGER_S)  # closed at once, with input unread, the kernel would send a reset instead of the answer

    def _lose_patience(self, due_s: float) -> None:
        if self.flow.read_paused or self.loop.time() - due_s > OVERSLEPT_S:  # we are the slow side
            self._wait(_BODY_GOES_ON_WITHIN_S)
        else:
            self.transport.close()
