"""The symbols that a person watches, in their order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from services.shared.database import Database, upsert
from services.shared.errors import FieldError, InvalidInput, NotFound
from services.users.store import is_id
from services.users.store.accounts import lock_account
from services.users.tables import WatchlistRow, table_of

MOST_SYMBOLS: Final = 200
_MOST_CHARACTERS: Final = 64

_watchlists: Final = table_of(WatchlistRow)
_decode = msgspec.json.Decoder(list[str]).decode


class Knows(Protocol):
    async def symbol(self, text: str) -> str:
        """The symbol that `text` (or a company's name) stands for. Raises NotFound, Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Watchlists:
    database: Database
    market: Knows

    async def get(self, user_id: str) -> list[str]:
        """Empty where nothing was put there."""
        if not is_id(user_id):
            return []
        async with self.database.reading() as session:
            row = await session.get(WatchlistRow, user_id)
        return [] if row is None else _decode(row.symbols)

    async def put(self, user_id: str, symbols: Sequence[str]) -> list[str]:
        """Replaces the whole list; returns it: symbols for names of companies, each once, where it came first.

        Raises InvalidInput (more than 200, or one that is not known: its place is named), NotFound (no such account),
        Unavailable.
        """
        if len(symbols) > MOST_SYMBOLS:
            raise _wrong(FieldError("symbols", f"must be up to {MOST_SYMBOLS}"))
        known = list(dict.fromkeys([await self._symbol(place, each) for place, each in enumerate(symbols)]))
        async with self.database.transaction() as session:
            if not is_id(user_id) or await lock_account(session, user_id) is None:
                raise NotFound("no such account", code="unknown_user")
            stored = msgspec.json.encode(known).decode()
            statement = upsert(session, _watchlists).values(user_id=user_id, symbols=stored)
            await session.execute(statement.on_conflict_do_update(index_elements=["user_id"], set_={"symbols": stored}))
        return known

    async def _symbol(self, place: int, text: str) -> str:
        try:
            if len(text) <= _MOST_CHARACTERS:
                return await self.market.symbol(text)
        except NotFound:
            pass
        raise _wrong(FieldError(f"symbols.{place}", "is not known here"))


def _wrong(error: FieldError) -> InvalidInput:
    return InvalidInput(f"{error.loc} {error.msg}", code="bad_watchlist", errors=(error,))
