"""When the market is open, for rules: the close itself belongs to the session, its price is the day's last."""

from datetime import date, datetime, timedelta
from typing import Final

from services.shared import calendars
from services.shared.events import parse_time, rfc3339
from services.users.core.instants import later

_MOMENT: Final = timedelta(microseconds=1)
_MOST_DAYS: Final = 15  # a silence that was not found within so many days is longer than any session


class Hours:
    """Is a price within a session? Remembers the stretch it was asked about last: prices come in order."""

    __slots__ = ("_begin", "_end", "_open")

    def __init__(self) -> None:
        self._begin = self._end = ""
        self._open = False

    def counts(self, time: str) -> bool:
        """Is `time` (RFC 3339) within a session of the exchange, open and close included?"""
        if not self._begin <= time <= self._end:
            self._find(time)
        return self._open

    def _find(self, time: str) -> None:
        """The stretch around `time` in which the answer is the same, within its day in New York."""
        day = parse_time(time).astimezone(calendars.NEW_YORK).date()
        begin, end = rfc3339(calendars.midnight(day)), rfc3339(calendars.midnight(day + timedelta(days=1)) - _MOMENT)
        self._open = False
        if calendars.is_session(day):
            opens, closes = calendars.open_time(day), calendars.close_time(day)
            if time < rfc3339(opens):
                end = rfc3339(opens - _MOMENT)
            elif time > rfc3339(closes):
                begin = rfc3339(closes + _MOMENT)
            else:
                begin, end, self._open = rfc3339(opens), rfc3339(closes), True
        self._begin, self._end = begin, end


def end_of_bar(time: str, timeframe: str) -> str:
    """Where the bar (`1d`, `1m`) that `time` lies in ends, and the next one begins; days are New York's."""
    if timeframe == "1m":
        return later(f"{time[:16]}:00.000000Z", 60)
    day = parse_time(time).astimezone(calendars.NEW_YORK).date()
    return rfc3339(calendars.midnight(day + timedelta(days=1)))


def longest_silence(last: str, clock: str) -> float:
    """How long the market was open without a trade, at most in one session, between the trade at `last` and `clock`.

    In seconds, up to just before `clock`: a trade at the very instant at which a silence is long enough is in time.
    """
    begin, now = parse_time(last), parse_time(clock)
    longest = 0.0
    for opens, closes in _sessions(begin):
        if opens >= now:
            break
        longest = max(longest, (min(now, closes) - max(begin, opens)).total_seconds())
    return longest - _MOMENT.total_seconds()


def silent_at(last: str, after_s: int) -> str | None:
    """When the market will have been open for `after_s` seconds on end without a trade since `last`; None: never."""
    begin, span = parse_time(last), timedelta(seconds=after_s)
    for opens, closes in _sessions(begin):
        due = max(begin, opens) + span
        if due < closes:
            return rfc3339(due)
    return None


def _sessions(begin: datetime) -> list[tuple[datetime, datetime]]:
    """(open, close) of the sessions that are not over at `begin`, two weeks of them."""
    first = begin.astimezone(calendars.NEW_YORK).date()
    days: list[date] = [first + timedelta(days=number) for number in range(_MOST_DAYS)]
    found = [(calendars.open_time(day), calendars.close_time(day)) for day in days if calendars.is_session(day)]
    return [each for each in found if each[1] > begin]
