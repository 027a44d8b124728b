"""Where a credential comes from, and who gets a new one when it is worth nothing any more."""

import asyncio
from collections.abc import Awaitable, Callable

TokenProvider = Callable[[str | None], Awaitable[str]]
"""Asked with None for the first token, then with one that is expiring or was refused for another one.

Calls never overlap. An OSError or Unreachable means: ask again later; any other exception ends the stream with it.
"""


class Ticket(str):
    """A credential of `POST /api/v1/ws-tickets`: opens one connection, so a provider is asked for each."""

    __slots__ = ()


class Tokens:
    """The credential of one client, shared by its streams: however many need a new one, the provider is asked once."""

    def __init__(self, source: str | TokenProvider | None) -> None:
        self._provider = source if callable(source) else None
        self._token = None if callable(source) else source
        self._lock = asyncio.Lock()

    async def current(self) -> str | None:
        """The credential to connect with; None = none. Raises what the provider raises."""
        async with self._lock:
            if self._token is None and self._provider is not None:
                self._token = await self._provider(None)
            token = self._token
            if isinstance(token, Ticket) and self._provider is not None:
                self._token = None
            return token

    async def instead_of(self, old: str | None) -> str | None:
        """Another credential than `old`, which is expiring or was refused; None where there is no other."""
        async with self._lock:
            if self._token is None or self._token == old:
                if self._provider is None:
                    return None
                self._token = await self._provider(old)
            return None if self._token == old else self._token
