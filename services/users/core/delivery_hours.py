"""Quiet hours: the part of each day in which a person is told nothing beyond the socket, by the clock on their wall."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

KEY: Final = "quiet_hours"
"""Of the preferences: `{"from":"22:00","to":"07:00","timezone":"Europe/Berlin"}`, null or left out = none."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `begins` until `ends` (that minute no more), every day, over midnight where `ends` is the earlier one."""

    begins: time
    ends: time
    zone: ZoneInfo

    def until(self, now: datetime) -> datetime | None:
        """When the quiet hours that `now` is in end (UTC), None outside of them."""
        here = now.astimezone(self.zone)
        wall = here.time().replace(tzinfo=None)
        over_midnight = self.ends < self.begins
        inside = (wall >= self.begins or wall < self.ends) if over_midnight else self.begins <= wall < self.ends
        if not inside:
            return None
        day = here.date() + timedelta(days=1 if over_midnight and wall >= self.begins else 0)
        # a wall time that a change of clocks skips or repeats means its first moment
        end = datetime.combine(day, self.ends, self.zone).astimezone(UTC)
        return end if end > now else now.astimezone(UTC) + timedelta(minutes=1)


def quiet_hours(value: Any) -> QuietHours | str | None:
    """The quiet hours that this value of the preferences means, None for null, or what is wrong with it."""
    if value is None:
        return None
    if not isinstance(value, dict) or value.keys() != {"from", "to", "timezone"}:
        return 'must be {"from":"22:00","to":"07:00","timezone":"Europe/Berlin"} or null'
    begins, ends = _time(value["from"]), _time(value["to"])
    if begins is None or ends is None or begins == ends:
        return "from and to must be two different times such as 22:00"
    try:
        zone = ZoneInfo(value["timezone"])
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        return "timezone must be a name of the IANA database such as Europe/Berlin"
    return QuietHours(begins, ends, zone)


def of_preferences(preferences: str) -> QuietHours | None:
    """Those of a JSON object; None too where they are not what they should be: nothing is held back then."""
    try:
        found = quiet_hours(json.loads(preferences).get(KEY))
    except (ValueError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, QuietHours) else None


def _time(text: Any) -> time | None:
    if (
        not isinstance(text, str)
        or len(text) != 5
        or text[2] != ":"
        or not (text.isascii() and (text[:2] + text[3:]).isdecimal())
    ):
        return None
    try:
        return time(int(text[:2]), int(text[3:]))
    except ValueError:
        return None
