"""The few families of errors. Cores and stores raise them; edges translate them in one table each.

`services/shared/rpc/status.py` maps them to gRPC status codes, `services/gateway/replies.py` to HTTP problems and
WebSocket close codes.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with the input. loc: path of the field (`conditions.0.threshold`); msg: for a person."""

    loc: str
    msg: str


class TickroomError(Exception):
    """code: a stable word for programs; detail: a sentence for people, without secrets.

    retryable: may the same call succeed later?
    """

    code = "internal"
    retryable = False

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: tuple[FieldError, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.errors = errors
        self.retry_after_s = retry_after_s


class InvalidInput(TickroomError):
    """The caller's input is readable but wrong (HTTP 422). `errors` names the fields."""

    code = "invalid"


class NotFound(TickroomError):
    code = "not_found"


class Conflict(TickroomError):
    """The state does not allow it: a taken address, an idempotency key used for something else."""

    code = "conflict"


class Unauthenticated(TickroomError):
    """No credential, or one that is not (or no longer) worth anything."""

    code = "unauthenticated"


class Denied(TickroomError):
    """Known, but not allowed."""

    code = "forbidden"


QUOTA_AGAIN_S: Final = 3600.0
"""After that a client that can only wait may ask again, where a quota is full: waiting by itself frees nothing."""


class TooMany(TickroomError):
    """Over a limit; `retry_after_s` says when to come back."""

    code = "too_many"
    retryable = True


class Unavailable(TickroomError):
    """A part behind does not answer, or not yet."""

    code = "unavailable"
    retryable = True


class Fenced(TickroomError):
    """Another process owns this partition now: roll back, drop the state, load again (positions.py)."""

    code = "fenced"
    retryable = True


class StartFailed(TickroomError):
    """The process can't start; `detail` is the one line that a person needs to mend it."""

    code = "start_failed"
