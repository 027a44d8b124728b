"""Opening a connection, and what an end of one means: come back, come back with another token, or never."""

import asyncio
import json
import re
import socket
import ssl as tls
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus, NegotiationError
from websockets.http11 import Response
from websockets.typing import Subprotocol

from tickroom_client.errors import Closed, Garbled, Refused, Unreachable
from tickroom_client.talk import Again
from tickroom_client.tokens import Ticket

_SUBPROTOCOL: Final = Subprotocol("tickroom.v1")
_CLOSE_S: Final = 2.0
_MOST_MESSAGE_BYTES: Final = 4 << 20
_MOST_WAITING_FRAMES: Final = 4  # each may hold dozens of messages, and what waits grows old
_PASSING_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_FINAL_CODES: Final = frozenset({1002, 1003, 1007, 1008, 1009, 1010})  # what was said was wrong; so it would be again
_OURSELVES: Final = "too_many_connections"
_RETRY_AFTER: Final = re.compile(r"retry_after_ms=(\d{1,9})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """url: `ws://host:port` or `wss://...`. Everything else: see Tickroom."""

    url: str
    open_s: float
    ssl: tls.SSLContext | None = None
    proxy: str | Literal[True] | None = True
    compression: Literal["deflate"] | None = None
    receive_buffer_bytes: int | None = None

    @asynccontextmanager
    async def enter(self, path: str, token: str | None) -> AsyncIterator[ClientConnection]:
        """An open connection to a room; closed with 1000 in the end. Raises Refused, Garbled, OSError, Again."""
        connection = await self._connect(path, token)
        try:
            yield connection
        finally:
            await asyncio.gather(connection.close(), _read_out(connection))

    async def _connect(self, path: str, token: str | None) -> ClientConnection:
        headers, query = {}, ""
        if isinstance(token, Ticket):
            query = f"{'&' if '?' in path else '?'}ticket={quote(token, safe='')}"
        elif token is not None:
            headers["Authorization"] = f"Bearer {token}"
        secure: dict[str, Any] = {} if self.ssl is None else {"ssl": self.ssl}
        try:
            connection = await connect(
                f"{self.url}{path}{query}",
                subprotocols=[_SUBPROTOCOL],
                additional_headers=headers,
                compression=self.compression,
                proxy=self.proxy,
                open_timeout=self.open_s,
                close_timeout=_CLOSE_S,
                ping_interval=None,  # the line watches over silence itself: an answer may wait behind a slow user
                max_size=_MOST_MESSAGE_BYTES,
                max_queue=_MOST_WAITING_FRAMES,
                **secure,
            )
        except InvalidStatus as refusal:
            raise refused(refusal.response) from None
        except NegotiationError as error:
            raise Garbled(f"the server does not speak {_SUBPROTOCOL}: {error}") from None
        except InvalidMessage as error:  # it hung up, or something between us did
            raise Again(str(error)) from error
        except InvalidHandshake as error:
            raise Garbled(f"this is no WebSocket server: {error}") from error
        if connection.subprotocol != _SUBPROTOCOL:
            await connection.close()
            raise Garbled(f"the server does not speak {_SUBPROTOCOL}")
        if self.receive_buffer_bytes is not None:
            self._bound(connection, self.receive_buffer_bytes)
        return connection

    @staticmethod
    def _bound(connection: ClientConnection, size: int) -> None:
        """Without it the kernel keeps megabytes for a slow reader: prices that are old when they are read."""
        plug = connection.transport.get_extra_info("socket")
        if plug is not None:
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


async def _read_out(connection: ClientConnection) -> None:
    """The server's goodbye stands behind all that nobody read."""
    with suppress(ConnectionClosed):
        while True:
            await connection.recv()


def refused(answer: Response) -> Refused:
    """What an HTTP answer instead of a handshake says."""
    try:
        problem = json.loads(answer.body or b"")
    except ValueError:
        problem = None
    said: dict[str, Any] = problem if isinstance(problem, dict) else {}
    after = answer.headers.get("Retry-After", "")
    return Refused(
        answer.status_code,
        str(said.get("code", "")),
        str(said.get("detail", "")),
        str(said.get("request_id", "")),
        float(after) if after.isascii() and after.isdigit() else None,
    )


def unauthenticated(end: Exception) -> bool:
    """Is it the token that was not good enough?"""
    if isinstance(end, Refused):
        return end.status == 401
    return isinstance(end, ConnectionClosed) and end.rcvd is not None and end.rcvd.code == 4401


def told_s(end: Exception, *, returning: bool) -> float:
    """How long the server says to wait before coming back; 0 where it says nothing. Raises what is for good.

    returning: was there a connection before? Then one too many may be our own, which the server still believes in.
    """
    match end:
        case Refused() if end.status in _PASSING_STATUSES and (returning or end.code != _OURSELVES):
            return end.retry_after_s or 0.0
        case ConnectionClosed():
            return _told_by_close(end)
        case tls.SSLCertVerificationError():
            raise Unreachable(str(end)) from end
        case Again() | OSError() | Unreachable():
            return 0.0
    raise end


def _told_by_close(end: ConnectionClosed) -> float:
    frame = end.rcvd or end.sent  # ours only where it was us who could not read on
    if frame is None:
        return 0.0
    if 4400 <= frame.code < 4500 or frame.code in _FINAL_CODES:
        raise Closed(frame.code, frame.reason) from None
    found = _RETRY_AFTER.search(frame.reason)
    return 0.0 if found is None else int(found[1]) / 1000
