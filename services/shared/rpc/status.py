"""The one table between our errors and gRPC status codes, in both directions.

A failed call also carries the problem as JSON in trailing metadata, so code, field errors and retry-after survive.
"""

from typing import Final

import grpc
import msgspec

from services.shared.errors import (
    Conflict,
    Denied,
    FieldError,
    InvalidInput,
    NotFound,
    TickroomError,
    TooMany,
    Unauthenticated,
    Unavailable,
)

METADATA_KEY: Final = "tickroom-problem-bin"

STATUS_OF: Final[dict[type[TickroomError], grpc.StatusCode]] = {
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.ALREADY_EXISTS,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    Denied: grpc.StatusCode.PERMISSION_DENIED,
    TooMany: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}
_ERROR_OF: Final = {status: family for family, status in STATUS_OF.items()}


class TimedOut(Unavailable):
    """The service behind did not answer within the deadline."""

    code = "timed_out"


class _Problem(msgspec.Struct):
    code: str
    detail: str
    errors: list[tuple[str, str]] = []
    retry_after_s: float | None = None


def status_of(error: TickroomError) -> grpc.StatusCode:
    """The status code of an error's family; INTERNAL for what has none."""
    return next((STATUS_OF[family] for family in type(error).__mro__ if family in STATUS_OF), grpc.StatusCode.INTERNAL)


def to_metadata(error: TickroomError) -> tuple[tuple[str, bytes], ...]:
    problem = _Problem(error.code, error.detail, [(each.loc, each.msg) for each in error.errors], error.retry_after_s)
    return ((METADATA_KEY, msgspec.json.encode(problem)),)


def to_error(failure: grpc.aio.AioRpcError) -> TickroomError:
    """Our error for a failed call; what is not ours (a dead server, a deadline) becomes Unavailable."""
    for key, value in failure.trailing_metadata() or ():
        if key == METADATA_KEY and isinstance(value, bytes):
            problem = msgspec.json.decode(value, type=_Problem)
            family = _ERROR_OF.get(failure.code(), TickroomError)
            errors = tuple(FieldError(loc, msg) for loc, msg in problem.errors)
            return family(problem.detail, code=problem.code, errors=errors, retry_after_s=problem.retry_after_s)
    if failure.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return TimedOut("a service behind did not answer in time", retry_after_s=1.0)
    # a server that stops cancels what it has in hand; who cancels here gets a CancelledError
    if failure.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return Unavailable("a service behind can't be reached", retry_after_s=1.0)
    return TickroomError(f"a service behind failed ({failure.code().name})")
