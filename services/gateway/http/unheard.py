"""Answers to what never became a request: no application sees it, and the connection ends behind the answer."""

import secrets

from services.gateway.http.middleware import DEFAULT_HEADERS, count_unheard
from services.gateway.replies import outcome, phrase, problem
from services.shared.errors import TickroomError


def unheard(error: TickroomError, path: str = "") -> bytes:
    """A whole HTTP/1.1 answer with the problem of `error`, as it goes on the wire. Counts it. path: where known."""
    status, rid = outcome(error).status, secrets.token_hex(8)
    count_unheard(status)
    answer = problem(error, request_id=rid, instance=path)
    headers = [
        *answer.raw_headers,
        (b"x-request-id", rid.encode()),
        (b"x-response-time", b"0.000"),
        *DEFAULT_HEADERS,
        (b"connection", b"close"),
    ]
    lines = [f"HTTP/1.1 {status} {phrase(status)}".encode(), *(b"%b: %b" % each for each in headers)]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])
