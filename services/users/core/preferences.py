"""What a person's preferences may be: three that we know, and whatever else programs of theirs keep there."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from services.users.core.delivery_hours import KEY, quiet_hours

MOST_PREFERENCES: Final = 16_384
"""Bytes of their JSON."""

_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")


def checked(text: str) -> tuple[str | None, str | None]:
    """(the JSON object in the form to keep, what is wrong with it). Keys that we don't know are kept as they are.

    | key | value, or null |
    |---|---|
    | `language` | a tag such as `de` or `pt-BR` |
    | `timezone` | a name of the IANA database |
    | `quiet_hours` | `{"from":"22:00","to":"07:00","timezone":"Europe/Berlin"}` |
    """
    found: dict[str, Any] | None = None
    if len(text.encode()) <= MOST_PREFERENCES:
        try:
            found = msgspec.json.decode(text, type=dict)
            kept = msgspec.json.encode(found).decode()
        except (msgspec.DecodeError, RecursionError):
            found = None
    if found is None:
        return None, f"must be a JSON object of at most {MOST_PREFERENCES} bytes"
    for name, wrong in _KNOWN.items():
        if found.get(name) is not None and (why := wrong(found[name])) is not None:
            return None, f"{name}: {why}"
    return kept, None


def _wrong_language(value: Any) -> str | None:
    fine = isinstance(value, str) and _LANGUAGE.fullmatch(value)
    return None if fine else "must be a language tag such as de or pt-BR"


def _wrong_timezone(value: Any) -> str | None:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        return "must be a name of the IANA database such as Europe/Berlin"
    return None


def _wrong_quiet_hours(value: Any) -> str | None:
    found = quiet_hours(value)
    return found if isinstance(found, str) else None


_KNOWN: Final[Mapping[str, Callable[[Any], str | None]]] = {
    "language": _wrong_language,
    "timezone": _wrong_timezone,
    KEY: _wrong_quiet_hours,
}
