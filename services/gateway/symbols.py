"""Which symbols exist: the tickers of stock_data, kept here and fetched again when somebody asks for an unknown one."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from services.gateway.backends import StockData
from services.shared.errors import NotFound
from services.shared.symbols import resolve

_REFETCH_S: Final = 1.0
_MOST_CHARACTERS: Final = 64


class Symbols:
    """The known symbols. Made-up names cost stock_data one call a second at most."""

    def __init__(self, stock_data: StockData, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stock_data = stock_data
        self._monotonic = monotonic
        self._known: frozenset[str] = frozenset()
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def resolve(self, text: str) -> str:
        """The symbol for `text` (or a company name), any case. Raises NotFound (`unknown_symbol`), Unavailable."""
        found = resolve(text, self._known) if len(text) <= _MOST_CHARACTERS else None
        if found is None and len(text) <= _MOST_CHARACTERS:
            await self._refresh()
            found = resolve(text, self._known)
        if found is None:
            raise NotFound("no such symbol is known here", code="unknown_symbol")
        return found

    async def all(self) -> frozenset[str]:
        """Every known symbol. Raises Unavailable."""
        await self._refresh()
        return self._known

    async def _refresh(self) -> None:
        asked_at = self._monotonic()
        async with self._fetching:
            if self._fetched_at >= asked_at or asked_at - self._fetched_at < _REFETCH_S:
                return
            self._known = self._known.union(each.ticker for each in await self._stock_data.tickers())
            self._fetched_at = self._monotonic()
