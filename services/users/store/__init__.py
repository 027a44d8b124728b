"""What stands in the database, by topic. Every function works in its caller's session and commits nothing."""

import re
from typing import Final
from uuid import UUID

import msgspec

from services.shared.errors import FieldError, InvalidInput

_TIME: Final = re.compile(r"[0-9TZ:.-]{27}")
_MOST_NUMBER: Final = 2**63 - 1
MOST_PARAMETERS: Final = 5_000
"""Values of one IN list: below what either database takes in a statement."""

decode_channels: Final = msgspec.json.Decoder(list[str]).decode
"""The names of channels in a row of a rule."""


def is_id(text: str) -> bool:
    """Could `text` be an id of ours? Anything else is not worth asking the database."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def after_number(page_token: str) -> int:
    """The row number behind which a page begins; tokens are ours, so another one is InvalidInput."""
    if not page_token:
        return 0
    if page_token.isascii() and page_token.isdigit() and len(page_token) < 20 and int(page_token) <= _MOST_NUMBER:
        return int(page_token)
    raise _bad_page_token()


def after_pair(page_token: str) -> tuple[str, str] | None:
    """The (time, id) behind which a page begins, None for the first one. Raises InvalidInput."""
    if not page_token:
        return None
    time, _, row_id = page_token.partition(" ")
    if _TIME.fullmatch(time) and is_id(row_id):
        return time, row_id
    raise _bad_page_token()


def page_size(limit: int) -> int:
    """How many rows a page has: 1-1000, 100 where 0 is asked for. Raises InvalidInput."""
    if not 0 <= limit <= 1000:
        raise InvalidInput("limit: must be 1 to 1000", errors=(FieldError("limit", "must be 1 to 1000"),))
    return limit or 100


def _bad_page_token() -> InvalidInput:
    error = FieldError("page_token", "not one of ours")
    return InvalidInput(f"{error.loc}: {error.msg}", code="bad_page_token", errors=(error,))
