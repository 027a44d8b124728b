"""What every answer carries, and the last word on errors nobody expected."""

import logging
import re
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message
from starlette.websockets import WebSocket

from tests.unit.gateway.http_fakes import Front, problem_of


async def _fails(_request: Request) -> Response:
    raise RuntimeError("secret detail")


async def _fails_late(_request: Request) -> Response:
    class Late(Response):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise RuntimeError("after the start")

    return Late()


def _checked(answer: httpx.Response) -> httpx.Response:
    assert re.fullmatch(r"\d+\.\d{3}", answer.headers["x-response-time"])
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", answer.headers["x-request-id"])
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src")
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "camera=()" in answer.headers["permissions-policy"]
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "strict-transport-security" not in answer.headers
    assert "server" not in answer.headers
    return answer


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("HEAD", "/health", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/tickers/", 404),
        ("PUT", "/health", 405),
        ("BREW", "/health", 405),
        ("OPTIONS", "/health", 204),
        ("POST", "/api/users/login", 415),
        ("DELETE", "/api/v1/alerts/a1", 401),
        ("GET", "/fails", 500),
    ],
)
async def test_every_answer_carries_time_and_id(method: str, path: str, status: int) -> None:
    async with Front([Route("/fails", _fails)]).client() as client:
        answer = _checked(await client.request(method, path))
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("peer", "proto", "base", "promised"),
    [
        ("10.0.0.1", "https", "http://app.example.org", True),
        ("10.0.0.1", "http, https", "http://app.example.org", True),  # the proxy next to us is the last to speak
        ("10.0.0.1", "https, http", "http://app.example.org", False),
        ("10.0.0.1", None, "http://app.example.org", False),
        ("203.0.113.9", "https", "http://app.example.org", False),  # anybody can say so
        ("203.0.113.9", None, "https://app.example.org", True),
    ],
)
async def test_only_who_came_by_https_is_told_to_stay_there(
    peer: str, proto: str | None, base: str, promised: bool
) -> None:
    front = Front(auth_mode="strict", trusted_proxies="10.0.0.1", allowed_hosts="app.example.org")
    headers = {} if proto is None else {"X-Forwarded-Proto": proto}
    async with front.client(peer=peer, base=base) as client:
        for path in ("/health", "/nowhere"):
            answer = await client.get(path, headers=headers)
            assert ("strict-transport-security" in answer.headers) is promised


async def test_the_callers_request_id_is_kept_where_it_is_a_good_one() -> None:
    async with Front().client() as client:
        kept = await client.get("/health", headers={"X-Request-ID": "A.b-c_9"})
        assert kept.headers["x-request-id"] == "A.b-c_9"
        for bad in ("", "a b", "x" * 65, "a;b", "<script>"):
            other = await client.get("/health", headers={"X-Request-ID": bad})
            assert re.fullmatch(r"[0-9a-f]{16}", other.headers["x-request-id"])


async def test_two_requests_have_two_ids() -> None:
    async with Front().client() as client:
        ids = {(await client.get("/health")).headers["x-request-id"] for _ in range(10)}
    assert len(ids) == 10


async def test_405_names_every_method_of_the_path() -> None:
    async with Front().client() as client:
        answer = await client.put("/api/v1/alerts")
    problem_of(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


async def test_an_unexpected_error_is_a_500_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async with Front([Route("/fails", _fails)]).client() as client:
        with caplog.at_level(logging.INFO):
            answer = await client.get("/fails")
    problem_of(answer, 500, "internal")
    assert "secret" not in answer.text
    (line,) = _ours(caplog)
    assert line.getMessage() == "GET /fails failed"


async def test_an_error_behind_the_first_byte_is_one_line_and_no_second_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    front = Front([Route("/fails", _fails_late)])
    with caplog.at_level(logging.INFO):
        (start,) = await _ask(front, {**_SCOPE, "type": "http", "scheme": "http", "method": "GET", "path": "/fails"})
    assert start["status"] == 200
    assert len(_ours(caplog)) == 1


def _ours(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [each for each in caplog.records if each.name.startswith("tickroom")]


async def test_bad_input_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with Front().client() as client:
        with caplog.at_level(logging.INFO):
            await client.post("/api/users/login", content=b"{", headers={"Content-Type": "application/json"})
            await client.get("/nowhere")
    assert _ours(caplog) == []


async def test_the_instance_of_a_problem_is_a_clean_path() -> None:
    async with Front().client() as client:
        body = problem_of(await client.get('/a%20b"<%0d%0a\u00e9'), 404, "unknown_path")
    assert body["instance"] == "/a%20b%22%3C%0D%0A%C3%A9"


async def test_metrics_know_routes_not_paths() -> None:
    async with Front().client() as client:
        await client.get("/predict/AAPL")
        await client.get("/made/up/by/a/caller")
        text = (await client.get("/metrics")).text
    assert 'gateway_http_requests_total{method="GET",route="/predict/{ticker}",status="200"}' in text
    assert "by/a/caller" not in text


_SCOPE: dict[str, Any] = {
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"localhost:8000")],
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 8000),
}


async def _ask(front: Front, scope: dict[str, Any]) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await front.app(scope, receive, send)
    return sent


async def _handshake(front: Front, path: str, headers: dict[str, str], *, denial: bool = True) -> list[Message]:
    named = {"host": "localhost:8000"} | headers
    scope = _SCOPE | {
        "type": "websocket",
        "scheme": "ws",
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}} if denial else {},
    }
    return await _ask(front, scope)


async def _greets(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


def _names(message: Message) -> dict[str, str]:
    return {name.decode().lower(): value.decode() for name, value in message["headers"]}


async def test_a_handshake_is_answered_with_the_request_id() -> None:
    accept, close = await _handshake(Front([WebSocketRoute("/socket", _greets)]), "/socket", {"x-request-id": "abc"})
    assert (accept["type"], close["type"]) == ("websocket.accept", "websocket.close")
    assert _names(accept)["x-request-id"] == "abc"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "evil.example"}, 421),
        ({"x-forwarded-for": "1.2.3.4"}, 403),
    ],
)
async def test_a_foreign_handshake_is_refused_before_it_is_accepted(headers: dict[str, str], status: int) -> None:
    front = Front([WebSocketRoute("/socket", _greets)])
    start, _ = await _handshake(front, "/socket", headers)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", status)
    (closed,) = await _handshake(front, "/socket", headers, denial=False)
    assert (closed["type"], closed["code"]) == ("websocket.close", 4403)


async def test_a_page_of_ours_may_open_a_socket() -> None:
    front = Front([WebSocketRoute("/socket", _greets)])
    accept, _ = await _handshake(front, "/socket", {"origin": "http://localhost:8000"})
    assert accept["type"] == "websocket.accept"
