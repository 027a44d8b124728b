"""uvicorn inside our own event loop: we bind, we take the signals, we say when it stops."""

import asyncio
import contextlib
import errno
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from starlette.types import ASGIApp
from uvicorn import Config, Server

from services.gateway.http_protocol import HttpProtocol
from services.gateway.websocket_protocol import FrameProtocol
from services.shared.errors import StartFailed

SEND_BUFFER_BYTES: Final = 128 << 10
"""Of every accepted socket (the kernel doubles it). Without a bound it grows to megabytes, and a reader that fell
behind would be shown prices from long ago."""

_BACKLOG: Final = 4096
_PING_EVERY_S: Final = 20.0
_PONG_WITHIN_S: Final = 20.0
_TICK_S: Final = 1.0
_GRACE_S: Final = 1
_CUT_OFF_S: Final = 0.5


class HttpServer:
    """Serves `app` on HOST:PORT until told to stop."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        max_message_bytes: int = 65536,
        compression: bool = False,
        listening: socket.socket | None = None,
    ) -> None:
        """port: 0 picks a free one. max_message_bytes: of one WebSocket message; 0 = no limit.

        compression: permessage-deflate for those who ask for it. listening: a bound socket, else one is made.
        """
        self._listening = listening
        self.host = host
        self.port = port
        self.started = asyncio.Event()
        self._config = Config(
            cast(Any, app),
            interface="asgi3",  # not guessed: an app may be a plain function that returns an awaitable
            http=HttpProtocol,
            ws=FrameProtocol,
            ws_max_size=max_message_bytes or sys.maxsize,
            ws_per_message_deflate=compression,
            ws_ping_interval=_PING_EVERY_S,
            ws_ping_timeout=_PONG_WITHIN_S,
            lifespan="off",  # the composition root opens and closes what the app needs
            log_config=None,
            access_log=False,
            proxy_headers=False,  # whom to believe is decided by TRUSTED_PROXIES alone
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )

    @property
    def url(self) -> str:
        """`http://HOST:PORT` with the port that was picked; known once the socket is bound."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def run(self, stop: asyncio.Event) -> None:
        """Serves until `stop`, then closes what is open within a second. Raises StartFailed where it can't listen."""
        # uvicorn writes addresses and query strings of every connection at INFO
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        with self._listening or bind(self.host, self.port) as listening:
            self.port = listening.getsockname()[1]
            with _saying_why(self.host, self.port):
                listening.listen(_BACKLOG)
            await _Embedded(self._config, stop, self._announce).serve(sockets=[listening])

    def _announce(self) -> None:
        print(f"listening on {self.url}", flush=True)  # noqa: T201 (what people and scripts wait for)
        self.started.set()


class _Embedded(Server):
    """uvicorn's server, told by events instead of signals."""

    def __init__(self, config: Config, stop: asyncio.Event, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop
        self._on_started = started

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals are the process's, not uvicorn's.
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # keeps the Date header
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._stop.wait()
            self.should_exit = self._stop.is_set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cutting_off = asyncio.get_running_loop().call_later(_CUT_OFF_S, self._cut_off)
        try:
            await super().shutdown(sockets)
        finally:
            cutting_off.cancel()

    def _cut_off(self) -> None:
        """Connections whose peer does not read would hold the stop up."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket that does not listen yet. shared: others may be bound to the same port. Raises StartFailed."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise StartFailed(f"HOST: {host} is no address of this machine ({error.strerror})") from None
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        with _saying_why(host, port):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # accepted sockets inherit it
            bound.bind(address)
    except StartFailed:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


@contextlib.contextmanager
def _saying_why(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartFailed(_why(error, host, port)) from None


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"PORT: {port} is taken on {host}; stop what listens there, or set PORT (0 picks a free one)"
    if error.errno == errno.EACCES:
        return f"PORT: {port} needs rights that this process does not have; set PORT to 1024 or more"
    return f"HOST: can't listen on {host}:{port} ({error.strerror})"
