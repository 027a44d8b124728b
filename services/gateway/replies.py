"""The one table of what the public sees of an error: HTTP status and problem, or WebSocket close code.

Problems are RFC 9457 `application/problem+json` with `type, title, status, detail, instance, code, request_id, errors`.
`type` is `about:blank`: the status says what kind it is, `code` is the stable word that programs tell apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil
from typing import ClassVar, Final
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from services.shared.errors import (
    Conflict,
    Denied,
    InvalidInput,
    NotFound,
    TickroomError,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from services.shared.rpc.status import TimedOut

PROBLEM_TYPE: Final = "application/problem+json"
_MOST_ERRORS: Final = 50
_MOST_TEXT: Final = 500
_MOST_REASON_BYTES: Final = 123  # of a WebSocket close frame
_BAD_TOKENS: Final = frozenset({"bad_token", "token_expired", "token_revoked"})


class Unreadable(TickroomError):
    """What came is no JSON, or no message of ours."""

    code = "unreadable"


class MethodNotAllowed(TickroomError):
    code = "method_not_allowed"

    def __init__(self, allowed: str) -> None:
        super().__init__(f"this path answers {allowed}")
        self.allowed = allowed


class TooLarge(TickroomError):
    code = "too_large"


class HeadTooLarge(TickroomError):
    """The request's line and headers are too long."""

    code = "head_too_large"


class NotJson(TickroomError):
    """The body is not declared to be JSON."""

    code = "not_json"


class Misdirected(TickroomError):
    """The request asks for a host that is not ours."""

    code = "foreign_host"


class UpgradeNeeded(TickroomError):
    """A room was asked for as if it were a page."""

    code = "upgrade_needed"


class ServiceFailed(TickroomError):
    """A service behind answered with a failure of its own."""

    code = "service_failed"
    retryable = True


class Wrong(msgspec.Struct, frozen=True):
    """One thing wrong with the input. loc: path of the field; msg: for a person."""

    loc: str
    msg: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Every error looks like this (RFC 9457). code: the stable word that programs tell apart."""

    example: ClassVar[str] = (
        '{"type":"about:blank","title":"Not Found","status":404,"detail":"there is no symbol like NOPE",'
        '"instance":"/predict/NOPE","code":"unknown_symbol","request_id":"6e1f1a0c5b7f4d21","errors":[]}'
    )

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: list[Wrong]


@dataclass(frozen=True, slots=True)
class Outcome:
    """status: of the HTTP answer; close: WebSocket code (44xx do not retry unchanged, 45xx and 10xx come back)."""

    status: int
    close: int


OUTCOMES: Final[Mapping[type[TickroomError], Outcome]] = {
    Unreadable: Outcome(400, 4400),
    Unauthenticated: Outcome(401, 4401),
    Denied: Outcome(403, 4403),
    NotFound: Outcome(404, 4404),
    MethodNotAllowed: Outcome(405, 4400),
    Conflict: Outcome(409, 4400),
    TooLarge: Outcome(413, 1009),
    NotJson: Outcome(415, 4400),
    Misdirected: Outcome(421, 4403),
    InvalidInput: Outcome(422, 4400),
    UpgradeNeeded: Outcome(426, 4400),
    TooMany: Outcome(429, 4429),
    HeadTooLarge: Outcome(431, 4400),
    ServiceFailed: Outcome(502, 4500),
    Unavailable: Outcome(503, 1013),
    TimedOut: Outcome(504, 1013),
    TickroomError: Outcome(500, 4500),
}

CLOSE_OF_CODE: Final[Mapping[str, int]] = {
    "auth_timeout": 4408,
    "too_many_connections": 4409,
    "too_slow": 4501,
    "position_lost": 4502,
    "draining": 4503,
}
"""Codes of errors whose close code says more than that of their family."""


def outcome(error: TickroomError) -> Outcome:
    """The row of the error's family."""
    return next(OUTCOMES[family] for family in type(error).__mro__ if family in OUTCOMES)


def close_code(error: TickroomError) -> int:
    return CLOSE_OF_CODE.get(error.code, outcome(error).close)


def close_reason(error: TickroomError) -> str:
    """What fits into a close frame: the error's code, with when to come back where that is known.

    Whoever is shown out by a gateway that stops is told that alone: the close code has said why.
    """
    if error.code == "draining" and error.retry_after_s is not None:
        return f"retry_after_ms={ceil(error.retry_after_s * 1000)}"
    wait = "" if error.retry_after_s is None else f" retry_after_ms={ceil(error.retry_after_s * 1000)}"
    return f"{error.code}{wait}".encode("ascii", "replace")[:_MOST_REASON_BYTES].decode()


def problem(error: TickroomError, *, request_id: str, instance: str) -> Response:
    """The answer for `error`. instance: the path that was asked for."""
    status = outcome(error).status
    body = Problem(
        type="about:blank",
        title=phrase(status),
        status=status,
        detail=_clean(error.detail),
        instance=quote(instance.encode("utf-8", "replace"), safe="/:@!$&'()*+,;=~-._"),
        code=error.code,
        request_id=request_id,
        errors=[Wrong(_clean(each.loc), _clean(each.msg)) for each in error.errors[:_MOST_ERRORS]],
    )
    return Response(msgspec.json.encode(body), status, _headers(error, status), PROBLEM_TYPE)


def _headers(error: TickroomError, status: int) -> dict[str, str]:
    headers: dict[str, str] = {}
    if status == 401:
        described = ', error="invalid_token"' if error.code in _BAD_TOKENS else ""
        headers["WWW-Authenticate"] = f'Bearer realm="tickroom"{described}'
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = error.allowed
    if status == 426:
        headers |= {"Upgrade": "websocket", "Connection": "Upgrade"}
    if status in (429, 502, 503, 504):
        headers["Retry-After"] = str(max(1, ceil(error.retry_after_s or 1)))
    return headers


def from_starlette(error: HTTPException) -> TickroomError:
    """Our error for what the router refuses: unknown paths, methods that a path does not have."""
    if error.status_code == 405:
        return MethodNotAllowed(", ".join(sorted((error.headers or {}).get("Allow", "").split(", "))))
    if error.status_code == 404:
        return NotFound("there is nothing here", code="unknown_path")
    return Unreadable(error.detail)


INTERNAL: Final = TickroomError("something went wrong here; the request id says where to look in the log")
"""What the public sees of an error that nobody expected."""


def phrase(status: int) -> str:
    """The standard words for `status`, as RFC 9110 has them (Python 3.11 knows older ones)."""
    return {413: "Content Too Large", 422: "Unprocessable Content"}.get(status, HTTPStatus(status).phrase)


def _clean(text: str) -> str:
    """Text that surely encodes as UTF-8 and has a bounded length: parts of it may come from the caller."""
    return text[:_MOST_TEXT].encode("utf-8", "replace").decode()
