"""What stands around every request and every WebSocket handshake, as plain ASGI.

`Edge` is the outermost: id, time, headers, metrics, and the last word on errors nobody expected. `Gate` lets in or
refuses (admission.py) and speaks CORS with the pages of ALLOWED_ORIGINS.
"""

import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
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

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
UNMATCHED: Final = "unmatched"
"""The route of paths that lead nowhere."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STARTS: Final = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
DEFAULT_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
_ONLY_HTTPS: Final = (b"strict-transport-security", b"max-age=31536000")
_PREFLIGHT: Final[Mapping[str, str]] = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": (
        "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-API-Key, X-Request-ID"
    ),
    "Access-Control-Max-Age": "7200",
    "Vary": "Access-Control-Request-Method, Access-Control-Request-Headers",
}
_EXPOSED: Final = (
    "Deprecation, ETag, Location, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-RateLimit-Limit, "
    "X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-ID, X-Response-Time"
)

Answered = Callable[[str, str, int, float], None]
"""Hears of each answer: method, template of the path, status, seconds until it began."""


class Edge:
    """Gives answers `X-Request-ID`, `X-Response-Time` and what keeps browsers from harm; turns an unexpected error into
    a 500 and one log line."""

    def __init__(self, app: ASGIApp, admission: Admission, answered: Answered | None = None) -> None:
        self._app = app
        self._admission = admission
        self._answered = answered
        self._requests: dict[tuple[str, str, int], Counter] = {}
        self._seconds: dict[str, Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        rid = _request_id(scope)
        token = request_id.set(rid)
        begun = time.perf_counter()
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            kind = message["type"]
            if kind in _STARTS:
                started = True
                seconds = time.perf_counter() - begun
                self._finish(scope, message, rid, seconds)
                if kind == "http.response.start":
                    self._count(scope, message["status"], seconds)
            elif kind == "websocket.close":
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

    def _finish(self, scope: Scope, message: Message, rid: str, seconds: float) -> None:
        headers = [*message.get("headers", ())]
        headers += ((b"x-request-id", rid.encode()), (b"x-response-time", b"%.3f" % seconds))
        if message["type"] != "websocket.accept":
            there = {name for name, _ in headers}
            headers += [each for each in DEFAULT_HEADERS if each[0] not in there]
            if self._admission.is_secure(scope):
                headers.append(_ONLY_HTTPS)
        message["headers"] = headers

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = _route(scope)
        labels = (method, route, status)
        requests = self._requests.get(labels)  # finding a metric by its labels takes longer than counting
        if requests is None:
            requests = self._requests[labels] = _REQUESTS.labels(*labels)
            self._seconds[route] = _SECONDS.labels(route)
        requests.inc()
        self._seconds[route].observe(seconds)
        if self._answered is not None:
            self._answered(method, route, status, seconds)


class Gate:
    """Refuses what Admission refuses; answers preflights and marks answers for pages of ALLOWED_ORIGINS.

    `Access-Control-Allow-Credentials` is never sent: there are no cookies, tokens travel in a header that scripts set.
    """

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            self._admission.check(scope)
        except TickroomError as error:
            await refuse(error, scope, receive, send)
            return
        if kind == "websocket" or not self._admission.settings.allowed_origins:
            await self._app(scope, receive, send)
        else:
            await self._share(scope, receive, send)

    async def _share(self, scope: Scope, receive: Receive, send: Send) -> None:
        """With whom an answer is shared depends on who asked: caches are told so in every answer."""
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        guest = origin if origin is not None and self._is_guest(scope, origin) else None

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer.add_vary_header("Origin")
                if guest is not None:
                    answer["Access-Control-Allow-Origin"] = guest
                    answer["Access-Control-Expose-Headers"] = _EXPOSED
            await send(message)

        if guest is not None and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
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


def count_unheard(status: int) -> None:
    """Of an answer to what never became a request."""
    _REQUESTS.labels("other", UNMATCHED, status).inc()


def _request_id(scope: Scope) -> str:
    """The caller's where it is a good one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return secrets.token_hex(8)


def _route(scope: Scope) -> str:
    """The template of the path, so that names of metrics and log lines hold nothing that callers made up."""
    return str(getattr(scope.get("route"), "path", UNMATCHED))
