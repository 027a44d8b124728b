"""What stands around every request and every WebSocket handshake, as plain ASGI.

`Edge` is the outermost: id, time, headers, metrics, and the last word on errors nobody expected. `Gate` lets in or
refuses (admission.py) and speaks CORS with the pages of ALLOWED_ORIGINS.
"""

import logging
import re
import secrets
import time
from collections.abc import Mapping
from typing import Final

from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.http.admission import Admission
from services.gateway.replies import INTERNAL, close_code, close_reason, problem
from services.shared.errors import TickroomError
from services.shared.telemetry import request_id

_log = logging.getLogger("tickroom.gateway.http")

_REQUESTS = Counter("gateway_http_requests", "HTTP answers by route and status", ["method", "route", "status"])
_SECONDS = Histogram("gateway_http_request_seconds", "Time until an HTTP answer begins", ["route"])

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STARTS: Final = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
_DEFAULT_HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_PREFLIGHT: Final[Mapping[str, str]] = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, X-API-Key, X-Request-ID",
    "Access-Control-Max-Age": "600",
}
_EXPOSED: Final = "X-Request-ID, X-Response-Time, Retry-After, Location"


class Edge:
    """Gives answers `X-Request-ID` and `X-Response-Time`; turns an unexpected error into a 500 and one log line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get("x-request-id", "")
        rid = asked if _REQUEST_ID.fullmatch(asked) else secrets.token_hex(8)
        token = request_id.set(rid)
        begun = time.perf_counter()
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] in _STARTS:
                started = True
                seconds = time.perf_counter() - begun
                _finish(message, rid, seconds)
                if message["type"] == "http.response.start":
                    _count(scope, message["status"], seconds)
            elif message["type"] == "websocket.close":
                started = True
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except ClientDisconnect:
            pass  # nobody is left to answer
        except Exception:
            _log.exception("%s %s failed", scope.get("method", "WebSocket"), _route(scope))
            if not started:
                await refuse(INTERNAL, scope, receive, answer)
        finally:
            request_id.reset(token)


class Gate:
    """Refuses what Admission refuses; answers preflights and marks answers for pages of ALLOWED_ORIGINS."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            self._admission.check(scope)
        except TickroomError as error:
            await refuse(error, scope, receive, send)
            return
        origin = Headers(scope=scope).get("origin")
        if scope["type"] == "websocket" or origin is None or not self._is_guest(scope, origin):
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Allow-Origin"] = origin
                headers["Access-Control-Expose-Headers"] = _EXPOSED
                headers.add_vary_header("Origin")
            await send(message)

        if scope["method"] == "OPTIONS" and "access-control-request-method" in Headers(scope=scope):
            await Response(status_code=204, headers=_PREFLIGHT)(scope, receive, marked)
        else:
            await self._app(scope, receive, marked)

    def _is_guest(self, scope: Scope, origin: str) -> bool:
        """Another site's page, and a welcome one."""
        return not self._admission.is_own(scope, origin) and not self._admission.is_foreign(scope, origin)


async def refuse(error: TickroomError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request, or a handshake not yet accepted, with the problem of `error`."""
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": close_code(error), "reason": close_reason(error)})
        return
    answer = problem(error, request_id=request_id.get(), instance=scope["path"])
    await answer(scope, receive, send)


def _finish(message: Message, rid: str, seconds: float) -> None:
    headers = MutableHeaders(scope=message)
    headers["X-Request-ID"] = rid
    headers["X-Response-Time"] = f"{seconds:.3f}"
    if message["type"] != "websocket.accept":
        for name, value in _DEFAULT_HEADERS.items():
            headers.setdefault(name, value)


def _count(scope: Scope, status: int, seconds: float) -> None:
    method = scope["method"] if scope["method"] in _METHODS else "other"
    _REQUESTS.labels(method, _route(scope), str(status)).inc()
    _SECONDS.labels(_route(scope)).observe(seconds)


def _route(scope: Scope) -> str:
    """The template of the path, so that names of metrics and log lines hold nothing that callers made up."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
