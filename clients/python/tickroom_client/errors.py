"""What can go wrong for good. Whatever passes by itself (a lost connection, a restart) is no error here."""


class TickroomError(Exception):
    """Base of all errors of this library."""


class Refused(TickroomError):
    """The server did not let us in, and would not if asked again.

    status: of HTTP; code: the problem's stable word (`token_missing`, `too_many_connections` ...), empty where the
    answer was none of Tickroom's; request_id: what its log knows this by; retry_after_s: where it named a time.
    """

    def __init__(
        self, status: int, code: str = "", detail: str = "", request_id: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"refused with HTTP {status} {code}: {detail}" if code else f"refused with HTTP {status}")
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class Closed(TickroomError):
    """The server closed the connection for good. code: of the close frame (4403 forbidden ...); reason: its word."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"closed with {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class Garbled(TickroomError):
    """The server says what is not of its profile, or does not speak `tickroom.v1`."""


class Unreachable(TickroomError):
    """As many attempts to connect as were allowed have failed; the last failure is the cause.

    A token provider raises it (or any OSError) to say: not now, ask me again.
    """
