"""What a ticker symbol may look like, and the company names that people type instead."""

import re
from typing import Final

from services.shared.errors import FieldError, InvalidInput

_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-]{0,14}")

COMPANY_NAMES: Final = {
    "alphabet": "GOOGL",
    "amazon": "AMZN",
    "apple": "AAPL",
    "facebook": "META",
    "google": "GOOG",
    "ibm": "IBM",
    "meta": "META",
    "microsoft": "MSFT",
    "netflix": "NFLX",
    "nvidia": "NVDA",
    "tesla": "TSLA",
}
"""A company name in lower case and its symbol today."""

FORMER_SYMBOLS: Final = {"META": "FB", "GOOGL": "GOOG"}
"""Where a feed does not know the first, it may know the company by the second."""


def normalise(symbol: str) -> str:
    """`symbol` trimmed, in upper case. Raises InvalidInput (`bad_symbol`) for all but 1-15 of A-Z 0-9 . -"""
    cleaned = symbol.strip()
    if not _SYMBOL.fullmatch(cleaned):  # before it is in upper case: that makes SS of ß
        raise InvalidInput(
            "a symbol has 1 to 15 letters, digits, dots or dashes",
            code="bad_symbol",
            errors=(FieldError("symbol", "not a symbol"),),
        )
    return cleaned.upper()


def resolve(text: str, known: frozenset[str] | set[str] | dict[str, object]) -> str | None:
    """The known symbol that `text` (a symbol or a company name, any case) stands for, or None."""
    cleaned = text.strip()
    named = COMPANY_NAMES.get(cleaned.lower())
    for candidate in (cleaned.upper(), named, FORMER_SYMBOLS.get(named or "")):
        if candidate is not None and candidate in known:
            return candidate
    return None
