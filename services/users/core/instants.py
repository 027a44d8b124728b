"""Arithmetic on instants of tick time, which travel as RFC 3339 text."""

from datetime import UTC, datetime, timedelta
from typing import Final

from services.shared.events import parse_time, rfc3339

_LAST_TIME: Final = "9999-12-31T23:59:59.999999Z"
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def later(time: str, seconds: int) -> str:
    """`time` (RFC 3339) plus `seconds`, at most the last instant of the year 9999."""
    try:
        return rfc3339(parse_time(time) + timedelta(seconds=seconds))
    except OverflowError:
        return _LAST_TIME


def just_after(time: str) -> str:
    """The first instant after `time`."""
    return rfc3339(parse_time(time) + _MICROSECOND)


def micros(time: str) -> int:
    """Microseconds since 1970; 0 for an empty `time`."""
    return (parse_time(time) - _START) // _MICROSECOND if time else 0
