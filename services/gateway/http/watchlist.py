"""The symbols that one watches."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import msgspec
from pydantic import Field
from starlette.routing import Route

from services.gateway.backends import Users
from services.gateway.http.bodies import ExactBody, Text
from services.gateway.http.callers import CHANGES, READS, Callers
from services.gateway.http.routing import Who, endpoint, resource
from services.gateway.tokens import Caller


class WatchlistBody(ExactBody):
    """The whole list, up to 200 symbols or names of companies."""

    example: ClassVar[str] = '{"symbols":["AAPL","IBM"]}'

    symbols: list[Annotated[Text, Field(min_length=1, max_length=64)]] = Field(max_length=200)


class WatchlistShown(msgspec.Struct, frozen=True, kw_only=True):
    """Symbols in your order, each once."""

    example: ClassVar[str] = WatchlistBody.example

    symbols: list[str]


@dataclass(frozen=True, slots=True)
class Watchlist:
    users: Users
    callers: Callers

    def routes(self) -> list[Route]:
        return [resource("/api/v1/watchlist", self.callers, GET=self.show, PUT=self.put)]

    @endpoint("Your watchlist", who=Who.OWNER, scopes=READS)
    async def show(self, caller: Caller) -> WatchlistShown:
        return WatchlistShown(symbols=list(await self.users.watchlist(caller.user_id)))

    @endpoint("Replace your watchlist", who=Who.OWNER, scopes=CHANGES)
    async def put(self, caller: Caller, wish: WatchlistBody) -> WatchlistShown:
        """Kept in your order; what stands there twice is kept where it came first."""
        return WatchlistShown(symbols=list(await self.users.put_watchlist(caller.user_id, wish.symbols)))
