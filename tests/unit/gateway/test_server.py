"""uvicorn in our own loop: where it listens, what it says, how it stops."""

import asyncio
import os
import signal
import socket
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

from services.gateway.core.wire import frame
from services.gateway.server import SEND_BUFFER_BYTES, HttpServer
from services.gateway.websocket_protocol import EXTENSION, FrameWriter
from services.shared.errors import StartFailed
from tests.unit.gateway.serving import Run, on_both_loops, raw_client, serving, until


async def _hello(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def _get(port: int, host: str = "127.0.0.1", headers: str = "") -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_it_says_where_it_listens_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(_hello) as port:
        assert port > 0
        answer = await _get(port)
        assert capsys.readouterr().out == f"listening on http://127.0.0.1:{port}\n"
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"hello" in answer
    assert b"server:" not in answer.lower()
    assert capsys.readouterr().out == ""


async def test_an_ipv6_host_stands_in_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    stop = asyncio.Event()
    server = HttpServer(_hello, host="::1", port=0)
    running = asyncio.create_task(server.run(stop))
    await asyncio.wait_for(server.started.wait(), 10)
    assert b"hello" in await _get(server.port, "::1")
    stop.set()
    await asyncio.wait_for(running, 10)
    assert capsys.readouterr().out == f"listening on http://[::1]:{server.port}\n"


async def test_a_taken_port_a_foreign_address_and_a_name_that_is_none_are_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartFailed, match=rf"^PORT: {port} is taken on 127\.0\.0\.1"):
            await HttpServer(_hello, host="127.0.0.1", port=port).run(asyncio.Event())
    with pytest.raises(StartFailed, match=r"^HOST: can't listen on 192\.0\.2\.1:0 "):
        await HttpServer(_hello, host="192.0.2.1", port=0).run(asyncio.Event())
    with pytest.raises(StartFailed, match=r"^HOST: no such place\.invalid is no address of this machine"):
        await HttpServer(_hello, host="no such place.invalid", port=0).run(asyncio.Event())


async def test_what_a_proxy_says_of_its_caller_is_not_believed_here() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["client"][0], scope["scheme"]))
        await _hello(scope, receive, send)

    async with serving(app) as port:
        await _get(port, headers="X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n")
    assert seen == [("127.0.0.1", "http")]


@on_both_loops
def test_accepted_sockets_have_a_bounded_send_buffer(run: Run) -> None:
    found: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        writer: FrameWriter = scope["extensions"][EXTENSION]["writer"]
        assert writer._protocol is not None
        accepted = writer._protocol.transport.get_extra_info("socket")
        found.append(accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF))

    async def go() -> None:
        async with serving(app) as port, raw_client(port) as client:
            await client.to_the_end()
        assert found == [2 * SEND_BUFFER_BYTES]

    run(go())


@on_both_loops
def test_a_stop_closes_sockets_with_a_code_and_takes_no_longer_for_one_that_does_not_read(run: Run) -> None:
    writers: list[FrameWriter] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        writers.append(scope["extensions"][EXTENSION]["writer"])
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async def go() -> None:
        stop = asyncio.Event()
        server = HttpServer(app, host="127.0.0.1", port=0)
        running = asyncio.create_task(server.run(stop))
        await asyncio.wait_for(server.started.wait(), 10)
        async with raw_client(server.port), connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as reading:
            await until(lambda: len(writers) == 2)
            stuck = writers[0]._protocol
            assert stuck is not None
            while not writers[0].paused:
                writers[0].write(frame(b"x" * 10_000))
            stop.set()
            with pytest.raises(ConnectionClosed) as closed:
                await reading.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
            await asyncio.wait_for(running, 3)
            assert all(writer.closed for writer in writers)
            assert stuck.disconnected

    run(go())


async def test_signals_are_left_to_the_process() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    try:
        async with serving(_hello) as port:
            os.kill(os.getpid(), signal.SIGTERM)
            assert b"hello" in await _get(port)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


async def test_a_limit_of_zero_bytes_is_none() -> None:
    async with serving(_hello, max_message_bytes=0) as port, raw_client(port) as client:
        await client.say(Opcode.TEXT, b"x" * 300_000)
        await client.say(Opcode.CLOSE, b"\x03\xe8")
        (closing,) = await client.to_the_end()
        assert bytes(closing.data) == b"\x03\xe8"
