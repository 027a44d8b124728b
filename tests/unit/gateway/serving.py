"""A real server for an ASGI app, in the loop of the test, and a client that speaks raw bytes."""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from starlette.types import ASGIApp
from websockets.frames import Frame, Opcode

from services.gateway.server import HttpServer
from tests.unit.gateway.frames import frames_of

Run = Callable[[Coroutine[Any, Any, None]], None]

on_both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
"""uvloop is what the gateway runs on; asyncio's own loop is what a machine without it gets."""


@asynccontextmanager
async def serving(app: ASGIApp, *, max_message_bytes: int = 65536, compression: bool = False) -> AsyncIterator[int]:
    """The port that `app` is served on. Whatever the loop or the log has to complain of fails the test."""
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    listening = _Errors(complaints)
    logging.getLogger().addHandler(listening)
    stop = asyncio.Event()
    server = HttpServer(app, host="127.0.0.1", port=0, max_message_bytes=max_message_bytes, compression=compression)
    running = asyncio.create_task(server.run(stop))
    await asyncio.wait_for(server.started.wait(), 10)
    try:
        yield server.port
    finally:
        stop.set()
        await asyncio.wait_for(running, 10)
        logging.getLogger().removeHandler(listening)
    assert complaints == []


class _Errors(logging.Handler):
    def __init__(self, found: list[Any]) -> None:
        super().__init__(logging.ERROR)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() != "ASGI callable returned without completing handshake.":  # uvicorn's, of a refusal
            self._found.append(self.format(record))


class RawClient:
    """A WebSocket client that sends what it is told to and reads only when it is told to."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.got = b""
        self.ended = self.was_reset = False

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def say(self, opcode: Opcode, data: bytes = b"") -> None:
        await self.send(masked(opcode, data))

    async def read(self, enough: Callable[[bytes], bool]) -> bytes:
        """All that came so far, once that is `enough` or the server has hung up."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(20):
            while not self.ended and not enough(self.got):
                try:
                    data = await loop.sock_recv(self._socket, 1 << 20)
                except ConnectionResetError:
                    data, self.was_reset = b"", True
                self.ended = not data
                self.got += data
        return self.got

    async def to_the_end(self) -> list[Frame]:
        return frames_of(await self.read(lambda _got: False))

    def close(self) -> None:
        self._socket.close()

    def half_close(self) -> None:
        """Says that nothing more comes, and does not go."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Vanishes without a goodbye."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


def masked(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A client's frame."""
    return Frame(opcode, data, fin).serialize(mask=True)


@asynccontextmanager
async def raw_client(
    port: int, path: str = "/", *, receive_buffer: int = 4096, headers: str = ""
) -> AsyncIterator[RawClient]:
    """Connected, the handshake done. The small receive buffer lets the server notice soon that nobody reads."""
    loop = asyncio.get_running_loop()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.setblocking(False)
    client = RawClient(connection)
    try:
        await loop.sock_connect(connection, ("127.0.0.1", port))
        await client.send(handshake(port, path, headers))
        await client.read(lambda got: b"\r\n\r\n" in got)
        head, _, client.got = client.got.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield client
    finally:
        client.close()


def handshake(port: int, path: str = "/", headers: str = "") -> bytes:
    key = os.urandom(16).hex()[:22] + "=="
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    ).encode()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 (what is waited for knows of no event)
            await asyncio.sleep(0.005)
