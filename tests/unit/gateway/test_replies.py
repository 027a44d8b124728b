"""The table of what the public sees."""

import json

import pytest

from services.gateway.replies import (
    OUTCOMES,
    MethodNotAllowed,
    Misdirected,
    NotJson,
    ServiceFailed,
    TooLarge,
    Unreadable,
    close_code,
    close_reason,
    outcome,
    problem,
)
from services.shared import errors
from services.shared.errors import FieldError, InvalidInput, TickroomError, TooMany, Unauthenticated
from services.shared.rpc.status import TimedOut


@pytest.mark.parametrize(
    ("error", "status", "close"),
    [
        (Unreadable(""), 400, 4400),
        (Unauthenticated(""), 401, 4401),
        (Unauthenticated("", code="auth_timeout"), 401, 4408),
        (errors.Denied(""), 403, 4403),
        (errors.NotFound(""), 404, 4404),
        (MethodNotAllowed("GET"), 405, 4400),
        (errors.Conflict(""), 409, 4400),
        (TooLarge(""), 413, 1009),
        (NotJson(""), 415, 4400),
        (Misdirected(""), 421, 4403),
        (InvalidInput(""), 422, 4400),
        (TooMany(""), 429, 4429),
        (TooMany("", code="too_many_connections"), 429, 4409),
        (ServiceFailed(""), 502, 4500),
        (errors.Unavailable(""), 503, 1013),
        (errors.Unavailable("", code="draining"), 503, 4503),
        (TimedOut(""), 504, 1013),
        (errors.Fenced(""), 500, 4500),
        (TickroomError(""), 500, 4500),
    ],
)
def test_each_family_has_its_status_and_its_close_code(error: TickroomError, status: int, close: int) -> None:
    assert (outcome(error).status, close_code(error)) == (status, close)


def test_only_close_codes_that_tell_whether_to_come_back_are_used() -> None:
    for family, row in OUTCOMES.items():
        transient = family.retryable and family is not TooMany
        assert (row.close in (1013,) or row.close >= 4500) == (transient or row.status == 500)


def test_a_problem_has_every_member() -> None:
    error = InvalidInput("bad \ud800 input", code="bad", errors=(FieldError("a.0\ud800", "no"),))
    answer = problem(error, request_id="r1", instance="/x y")
    assert answer.media_type == "application/problem+json"
    assert json.loads(bytes(answer.body)) == {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "bad ? input",
        "instance": "/x%20y",
        "code": "bad",
        "request_id": "r1",
        "errors": [{"loc": "a.0?", "msg": "no"}],
    }


def test_answers_that_ask_for_patience_say_how_long() -> None:
    assert problem(TooMany("", retry_after_s=0.2), request_id="", instance="/").headers["retry-after"] == "1"
    assert problem(TimedOut("", retry_after_s=61.0), request_id="", instance="/").headers["retry-after"] == "61"
    assert "retry-after" not in problem(InvalidInput(""), request_id="", instance="/").headers


@pytest.mark.parametrize("code", ["bad_token", "token_expired", "token_revoked"])
def test_a_bad_token_is_named_in_the_challenge(code: str) -> None:
    bare = problem(Unauthenticated("", code="token_missing"), request_id="", instance="/")
    bad = problem(Unauthenticated("", code=code), request_id="", instance="/")
    assert bare.headers["www-authenticate"] == 'Bearer realm="tickroom"'
    assert bad.headers["www-authenticate"] == 'Bearer realm="tickroom", error="invalid_token"'


def test_a_close_reason_fits_into_its_frame() -> None:
    assert close_reason(errors.Unavailable("", code="draining", retry_after_s=1.5)) == "retry_after_ms=1500"
    assert len(close_reason(TickroomError("", code="\u20ac" * 200)).encode()) <= 123
