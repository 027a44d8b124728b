"""Requests that never come, never end, or begin without end."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send

from services.gateway import http_protocol
from tests.unit.gateway.serving import Run, on_both_loops, serving

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n\r\n"


async def _count(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the size of the body, once `/slow` has looked away for a while; `/refuse` does not read it."""
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    size = 0
    while scope["path"] != "/refuse":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    body = b"got %d" % size
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def _connected(port: int) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def _rest(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), 10)


@on_both_loops
@pytest.mark.parametrize("begun", [b"", b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localh", POST + b"x" * 100])
def test_one_that_goes_no_further_is_shown_out(run: Run, begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "_HEAD_WITHIN_S", 0.1)
    monkeypatch.setattr(http_protocol, "_BODY_GOES_ON_WITHIN_S", 0.1)

    async def go() -> None:
        async with serving(_count) as port, _connected(port) as (reader, writer):
            writer.write(begun)
            assert await _rest(reader) == b""

    run(go())


@on_both_loops
def test_the_second_request_of_a_connection_may_take_no_longer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "_HEAD_WITHIN_S", 0.2)

    async def go() -> None:
        async with serving(_count) as port, _connected(port) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await asyncio.wait_for(reader.readuntil(b"got 0"), 10)).startswith(b"HTTP/1.1 200 OK")
            writer.write(b"\r\n")
            assert await _rest(reader) == b""

    run(go())


async def test_a_body_that_waits_for_the_application_is_not_the_senders_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "_BODY_GOES_ON_WITHIN_S", 0.05)
    async with serving(_count) as port, _connected(port) as (reader, writer):
        writer.write(POST.replace(b"/", b"/slow", 1) + b"x" * 300_000)
        assert (await asyncio.wait_for(reader.readuntil(b"got 300000"), 10)).startswith(b"HTTP/1.1 200 OK")


@on_both_loops
def test_a_server_that_stood_still_reads_first_what_came_meanwhile(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "_HEAD_WITHIN_S", 0.1)

    async def go() -> None:
        async with serving(_count) as port, _connected(port) as (reader, writer):
            await asyncio.sleep(0.05)
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(1.5)  # noqa: ASYNC251 (it reads nothing meanwhile)
            assert (await asyncio.wait_for(reader.readuntil(b"got 0"), 10)).startswith(b"HTTP/1.1 200 OK")

    run(go())


async def test_a_head_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "_LINGER_S", 0.1)
    async with serving(_count) as port, _connected(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        for number in range(800):
            writer.write(b"X-%d: " % number + b"x" * 100 + b"\r\n")
        _is_problem(await _rest(reader), 431, "head_too_large")


async def test_an_address_that_is_too_long_to_be_parsed_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "_LINGER_S", 0.1)
    async with serving(_count) as port, _connected(port) as (reader, writer):
        writer.write(b"GET /?" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _is_problem(await _rest(reader), 431, "head_too_large")


@pytest.mark.parametrize(
    "nonsense",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"nonsense " * 10_000,
    ],
)
async def test_what_is_not_http_is_answered_as_any_other_mistake(
    nonsense: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "_LINGER_S", 0.1)
    async with serving(_count) as port, _connected(port) as (reader, writer):
        writer.write(nonsense)
        _is_problem(await _rest(reader), 400, "unreadable")


def _is_problem(answer: bytes, status: int, code: str) -> None:
    """One whole answer, with all that every answer carries."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert first.startswith(f"HTTP/1.1 {status} ")
    assert headers["content-type"] == "application/problem+json"
    assert headers["content-length"] == str(len(body))
    assert headers["connection"] == "close"
    assert headers["x-response-time"] == "0.000"
    assert headers["x-content-type-options"] == "nosniff"
    found = json.loads(body)
    assert (found["status"], found["code"], found["request_id"]) == (status, code, headers["x-request-id"])


async def test_a_body_that_nobody_reads_counts_for_no_head() -> None:
    async with serving(_count) as port, _connected(port) as (reader, writer):
        writer.write(POST.replace(b"/", b"/refuse", 1))
        await asyncio.wait_for(reader.readuntil(b"got 0"), 10)
        writer.write(b"x" * 300_000 + b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await _rest(reader)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.endswith(b"got 0")


async def test_a_head_that_only_websockets_finds_too_long_is_refused_and_not_left_hanging() -> None:
    async with serving(_count) as port, _connected(port) as (reader, writer):
        writer.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nX: "
            + b"x" * 9000
            + b"\r\n\r\n"
        )
        _is_problem(await _rest(reader), 431, "head_too_large")


@pytest.mark.parametrize(
    ("start", "headers", "status", "code"),
    [
        ("GET", "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", 400, "bad_handshake"),
        ("GET", "Sec-WebSocket-Version: 13\r\n", 400, "bad_handshake"),
        ("GET", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n", 400, "bad_handshake"),
        (
            "POST",
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
            405,
            "method_not_allowed",
        ),
    ],
)
async def test_what_is_no_handshake_is_answered_by_a_problem(start: str, headers: str, status: int, code: str) -> None:
    async with serving(_count) as port, _connected(port) as (reader, writer):
        writer.write(
            f"{start} /websocket/stock/AAPL HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\n{headers}\r\n".encode()
        )
        answer = await _rest(reader)
        _is_problem(answer, status, code)
        assert b'"instance":"/websocket/stock/AAPL"' in answer
