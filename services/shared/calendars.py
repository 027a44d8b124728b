"""Sessions of the New York Stock Exchange, by its own rules since 1999: holidays, half days, one-off closures.

A session is 09:30-16:00 New York time, until 13:00 on half days. Rules: NYSE Rule 7.2 and the exchange's yearly lists.
Delayed openings and halts are not modelled. Pure and small on purpose: big calendar libraries take a second to import.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

NEW_YORK: Final = ZoneInfo("America/New_York")
OPEN: Final = time(9, 30)
CLOSE: Final = time(16, 0)
EARLY_CLOSE: Final = time(13, 0)

_ONE_DAY: Final = timedelta(days=1)
_SATURDAY: Final = 5
_SUNDAY: Final = 6

_CLOSED_ONCE: Final = frozenset(
    {
        *(date(2001, 9, day) for day in (11, 12, 13, 14)),  # attacks on New York
        date(2004, 6, 11),  # mourning for President Reagan
        date(2007, 1, 2),  # President Ford
        date(2012, 10, 29),  # hurricane Sandy
        date(2012, 10, 30),
        date(2018, 12, 5),  # President G. H. W. Bush
        date(2025, 1, 9),  # President Carter
    }
)
_EARLY_ONCE: Final = frozenset({date(1999, 12, 31), date(2003, 12, 26)})


def is_session(day: date) -> bool:
    """Does the exchange trade on `day` (a date in New York)?"""
    return day.weekday() < _SATURDAY and day not in _holidays(day.year) and day not in _CLOSED_ONCE


def is_half_day(day: date) -> bool:
    """Does the session of `day` end at 13:00?"""
    return is_session(day) and (day in _EARLY_ONCE or _closes_early(day))


def next_session(day: date) -> date:
    """The first session after `day`."""
    return sessions_after(day, 1)


def sessions_after(day: date, n: int) -> date:
    """The `n`-th session after `day`, which need not be a session itself. Raises ValueError for n < 1."""
    if n < 1:
        raise ValueError("n counts sessions from 1")
    while n:
        day += _ONE_DAY
        n -= is_session(day)
    return day


def open_time(day: date) -> datetime:
    """09:30 New York time of `day` in UTC. Also for dates without a session: other exchanges trade then."""
    return _instant(day, OPEN)


def close_time(day: date) -> datetime:
    """16:00 New York time of `day` in UTC, 13:00 on half days. Also for dates without a session."""
    return _instant(day, EARLY_CLOSE if is_half_day(day) else CLOSE)


def midnight(day: date) -> datetime:
    """00:00 New York time of `day` in UTC: where what is effective from that date on begins."""
    return _instant(day, time(0, 0))


def is_open(instant: datetime) -> bool:
    """Is a session under way at `instant` (aware)? The open belongs to it, the close does not."""
    day = instant.astimezone(NEW_YORK).date()
    return is_session(day) and open_time(day) <= instant < close_time(day)


def _instant(day: date, at: time) -> datetime:
    return datetime.combine(day, at, NEW_YORK).astimezone(UTC)


def _closes_early(day: date) -> bool:
    """The yearly half days: Thanksgiving Friday, Christmas Eve, and a day beside Independence Day."""
    if day.month == 11:
        return day == _nth_weekday(day.year, 11, 3, 4) + _ONE_DAY
    if day.month == 12:
        return day.day == 24
    if day.month != 7:
        return False
    # until 2012 a Thursday's holiday made the Friday after it short, since then the Wednesday before it
    friday_after = day.year < 2013 and date(day.year, 7, 4).weekday() == 3
    return day.day == (5 if friday_after else 3)


@lru_cache(maxsize=256)
def _holidays(year: int) -> frozenset[date]:
    new_year = date(year, 1, 1)
    found = {
        # a Saturday's New Year is not kept: the last trading day of a year closes its books
        new_year + _ONE_DAY if new_year.weekday() == _SUNDAY else new_year,
        _nth_weekday(year, 1, 0, 3),  # Martin Luther King
        _nth_weekday(year, 2, 0, 3),  # Washington's birthday
        _easter(year) - 2 * _ONE_DAY,  # Good Friday
        _nth_weekday(year, 6, 0, 1) - 7 * _ONE_DAY,  # Memorial Day: the last Monday of May
        _kept(date(year, 7, 4)),
        _nth_weekday(year, 9, 0, 1),  # Labor Day
        _nth_weekday(year, 11, 3, 4),  # Thanksgiving
        _kept(date(year, 12, 25)),
    }
    if year >= 2022:
        found.add(_kept(date(year, 6, 19)))
    return frozenset(found)


def _kept(day: date) -> date:
    """A holiday on a Saturday is kept on the Friday before, on a Sunday on the Monday after."""
    return day + {_SATURDAY: -_ONE_DAY, _SUNDAY: _ONE_DAY}.get(day.weekday(), timedelta())


def _nth_weekday(year: int, month: int, weekday: int, n: int) -> date:
    """The n-th Monday (0) ... Sunday (6) of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))


def _easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar, by the Meeus/Jones/Butcher algorithm."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    r = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * r) // 451
    month, day = divmod(h + r - 7 * m + 114, 31)
    return date(year, month, day + 1)
