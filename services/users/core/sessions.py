"""Logins: when a refresh token may be used, and what of a client's description is kept."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from services.shared.events import parse_time, rfc3339

GRACE: Final = timedelta(seconds=10)
"""So long the token before the newest one is still accepted: two tabs may refresh at once, an answer may get lost."""

MOST_DEVICE: Final = 200


@dataclass(frozen=True, slots=True)
class Family:
    """A login as its refresh tokens see it: hashes of the newest one and of the one before, used up at `rotated_at`.

    Times are RFC 3339; revoked_at: None while it is worth something.
    """

    newest: bytes
    before: bytes | None
    rotated_at: str | None
    expires_at: str
    revoked_at: str | None


class Verdict(Enum):
    """What a refresh token that was shown is."""

    NEWEST = "newest"
    REPEATED = "repeated"
    """The one before: its successor is the newest, and may be told again."""
    USED_UP = "used_up"
    """Somebody else holds a copy: the login must end."""
    ENDED = "ended"
    """The login is worth nothing any more, whatever is shown."""


def judge(family: Family, shown: bytes, now: datetime) -> Verdict:
    """shown: hash of the token that a client shows for this login."""
    if family.revoked_at is not None or family.expires_at <= rfc3339(now):
        return Verdict.ENDED
    if shown == family.newest:
        return Verdict.NEWEST
    if shown == family.before and family.rotated_at is not None and now < parse_time(family.rotated_at) + GRACE:
        return Verdict.REPEATED
    return Verdict.USED_UP


def device(description: str) -> str:
    """The start of what a client says it is, on one line and without what can't be shown."""
    start = description[: 4 * MOST_DEVICE]
    shown = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in start)
    return " ".join(shown.split())[:MOST_DEVICE]
