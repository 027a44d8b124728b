"""Instants as whole microseconds since 1970 in UTC: what the cores count in, and how they are read and written."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

from services.shared import calendars

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE: Final = _EPOCH.replace(tzinfo=None)
_DAY: Final = 86_400 * SECOND

EARLIEST: Final = -2_208_988_800 * SECOND  # 1900-01-01
LATEST: Final = 7_258_118_400 * SECOND  # 2200-01-01, excluded

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_UNIX_UNITS: Final = {10: SECOND, 13: 1_000, 16: 1}
_UNIX_NANOSECOND_DIGITS: Final = 19


def of(when: datetime) -> int:
    """The instant of an aware datetime."""
    since = when - _EPOCH
    return since.days * _DAY + since.seconds * SECOND + since.microseconds


def to_datetime(instant: int) -> datetime:
    return _EPOCH + timedelta(microseconds=instant)


def text(instant: int) -> str:
    """RFC 3339 with six decimals, as `events.rfc3339`, made for millions: only the decimals are new each time."""
    second, decimals = divmod(instant, SECOND)
    return f"{_second(second)}.{decimals:06d}Z"


@lru_cache(maxsize=4096)
def _second(second: int) -> str:
    return (_EPOCH_NAIVE + timedelta(seconds=second)).isoformat()  # several times faster than strftime


def parse(written: str) -> int:
    """The instant of an ISO 8601 date and time (UTC where no offset is given) or of a UNIX time in s, ms, us or ns.

    What is finer than a microsecond is cut off. Raises ValueError, also outside the years 1900-2199.
    """
    if written.isascii() and written.isdigit():
        instant = _unix(written)
    elif len(written) < 16 or written[4] != "-":  # YYYY-MM-DDTHH:MM
        raise ValueError(f"{written!r} is no date and time")
    else:
        when = datetime.fromisoformat(written)
        instant = of(when if when.tzinfo is not None else when.replace(tzinfo=UTC))
    if not EARLIEST <= instant < LATEST:
        raise ValueError(f"{written!r} is outside the years 1900-2199")
    return instant


def _unix(digits: str) -> int:
    if len(digits) == _UNIX_NANOSECOND_DIGITS:
        return int(digits) // 1_000
    if (unit := _UNIX_UNITS.get(len(digits))) is None:
        raise ValueError(f"{digits!r} is no UNIX time in s, ms, us or ns")
    return int(digits) * unit


def parse_date(written: str) -> date:
    """The date of `YYYY-MM-DD`, years 1900-2199. Raises ValueError."""
    if not _DATE.fullmatch(written) or not "1900" <= written < "2200":
        raise ValueError(f"{written!r} is no date YYYY-MM-DD of the years 1900-2199")
    return date.fromisoformat(written)


def midnight(day: date) -> int:
    """00:00 in New York."""
    return of(calendars.midnight(day))


def open_of(day: date) -> int:
    return of(calendars.open_time(day))


def close_of(day: date) -> int:
    return of(calendars.close_time(day))


def new_york_date(instant: int) -> date:
    return to_datetime(instant).astimezone(calendars.NEW_YORK).date()
