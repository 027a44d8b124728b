"""API keys: what they look like, and what may be asked of one. `tk_<prefix>_<secret>`: the prefix finds it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.shared.errors import FieldError, InvalidInput
from services.shared.events import parse_time, rfc3339
from services.shared.scopes import Scope
from services.users.core.accounts import same_name, wrong_name

MOST_KEYS: Final = 50
"""That a user may have."""

_KEY: Final = re.compile(r"tk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class KeyDraft:
    """A key that somebody wants. expires_at: RFC 3339, None = never."""

    name: str
    scopes: tuple[Scope, ...]
    expires_at: str | None


def written(prefix: str, secret: str) -> str:
    """The key as its owner gets it. prefix: 12 hexadecimal digits; secret: 43 characters, 256 bits."""
    return f"tk_{prefix}_{secret}"


def read(key: str) -> tuple[str, str] | None:
    """(prefix, secret); None for what can't be a key."""
    found = _KEY.fullmatch(key)
    return None if found is None else (found[1], found[2])


def checked(name: str, scopes: Sequence[str], expires_at: str | None, *, now: datetime, operator: bool) -> KeyDraft:
    """In the form to keep; without scopes it reads. Raises InvalidInput that names every field that is wrong."""
    name = same_name(name)
    known = tuple(scope for scope in Scope if scope in scopes) or (() if scopes else (Scope.READ,))
    expiry, wrong_expiry = (None, None) if expires_at is None else _expiry(expires_at, now)
    wrong = {
        "name": wrong_name(name),
        "scopes": _wrong_scopes(scopes, operator=operator),
        "expires_at": wrong_expiry,
    }
    errors = tuple(FieldError(loc, msg) for loc, msg in wrong.items() if msg is not None)
    if errors:
        raise InvalidInput(f"{errors[0].loc} {errors[0].msg}", code="bad_api_key", errors=errors)
    return KeyDraft(name, known, expiry)


def _wrong_scopes(scopes: Sequence[str], *, operator: bool) -> str | None:
    if not set(scopes) <= set(Scope):
        return f"must be some of {', '.join(Scope)}"
    return "operate is for operators" if Scope.OPERATE in scopes and not operator else None


def _expiry(text: str, now: datetime) -> tuple[str | None, str | None]:
    try:
        expires_at = parse_time(text)
        if expires_at.tzinfo is not None:
            stored = rfc3339(expires_at)
            return (stored, None) if expires_at > now else (None, "is over already")
    except (ValueError, OverflowError):
        pass
    return None, "must be a time such as 2030-01-01T00:00:00Z"
