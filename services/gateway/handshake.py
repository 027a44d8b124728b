"""Who knocks: the credential of a WebSocket handshake, and what its client wants to speak.

A credential comes in exactly one way: the `Authorization` or the `X-API-Key` header (programs),
`Sec-WebSocket-Protocol: tickroom.v1, bearer.<jwt>` (pages, which can't set headers), or a single-use `?ticket=`. A
token in the address is refused: servers and proxies write addresses into logs. Extended clients without any of these
say `auth` first where a room demands one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from starlette.datastructures import QueryParams
from starlette.websockets import WebSocket

from services.gateway.backends import SessionRef
from services.gateway.config import Settings
from services.gateway.http.admission import Admission
from services.gateway.http.callers import READS, api_key, bearer, demand
from services.gateway.tokens import Caller, Verifies
from services.shared.errors import Unauthenticated
from services.shared.scopes import Scope

SUBPROTOCOL: Final = "tickroom.v1"

_BEARER: Final = "bearer."
_MOST_TICKET_CHARACTERS: Final = 256
_NAMES_OF_TOKENS: Final = frozenset(
    {"token", "access_token", "accesstoken", "id_token", "jwt", "bearer", "auth", "authorization", "api_key", "apikey"}
)
_JWT = re.compile(r"(?:bearer[ .])?eyJ[\w-]*\.[\w-]*\.[\w-]*", re.IGNORECASE)


class Redeems(Protocol):
    async def redeem_ticket(self, ticket: str) -> SessionRef:
        """Whose it is, once. Raises Unauthenticated, Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody at the door. caller: None = nobody knows them; address: what limits count.

    subprotocol: what to accept with. hold: keep everything back until `resume`. owes_token: says `auth` first.
    """

    caller: Caller | None
    address: str
    extended: bool
    subprotocol: str | None
    hold: bool
    owes_token: bool


class Handshake:
    """Greets those who knock. knock: raises Unavailable where nobody, or nobody else just now, is let in."""

    def __init__(
        self,
        settings: Settings,
        admission: Admission,
        verifier: Verifies,
        users: Redeems,
        knock: Callable[[], None] = lambda: None,
    ) -> None:
        self._anonymous = settings.anonymous_market_data
        self._admission = admission
        self._verifier = verifier
        self._users = users
        self._knock = knock

    async def greet(self, websocket: WebSocket, *, private: bool) -> Visitor:
        """Says who it is. private: is this a room of one user, who must be known?

        Raises Unauthenticated (also for a bad token where none is needed), Denied (an API key without the scope that
        this room needs) and Unavailable.
        """
        self._knock()  # first: whoever comes back later still has the ticket
        query = websocket.query_params
        offered: list[str] = websocket.scope.get("subprotocols", [])
        extended = SUBPROTOCOL in offered or query.get("profile") == "ext"
        caller = await self._caller(websocket, offered, query)
        if caller is not None:
            demand(caller, READS if private else (Scope.READ,))
        demanded = caller is None and (private or not self._anonymous)
        if demanded and not extended:
            raise Unauthenticated("this room needs a token: Authorization: Bearer ...", code="token_missing")
        return Visitor(
            caller=caller,
            address=self._admission.client(websocket.scope),
            extended=extended,
            subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None,
            hold=extended and query.get("resume") == "1",
            owes_token=demanded,
        )

    async def _caller(self, websocket: WebSocket, offered: list[str], query: QueryParams) -> Caller | None:
        refuse_tokens_in(query)
        tokens = [each[len(_BEARER) :] for each in offered if each.lower().startswith(_BEARER)]
        tickets = query.getlist("ticket")
        key = api_key(websocket.headers)
        if len(tokens) + len(tickets) + ("authorization" in websocket.headers) + (key is not None) > 1:
            raise Unauthenticated("one credential is enough, and several are suspicious", code="bad_token")
        if tickets:
            return await self.redeem(tickets[0])
        if key is not None:
            return await self._verifier.verify_key(key)
        token = tokens[0] if tokens else bearer(websocket.headers)
        return None if token is None else await self._verifier.verify(token)

    async def redeem(self, ticket: str) -> Caller:
        """Whose ticket it is, once. Raises Unauthenticated, Unavailable."""
        if not ticket or len(ticket) > _MOST_TICKET_CHARACTERS:
            raise Unauthenticated("this ticket is not one of ours, or used already", code="bad_ticket")
        return await self._users.redeem_ticket(ticket)


def refuse_tokens_in(query: QueryParams) -> None:
    """Raises Unauthenticated where there is one, or what looks like one."""
    for name, value in query.multi_items():
        if name.lower() in _NAMES_OF_TOKENS or _JWT.fullmatch(value.strip()):
            raise Unauthenticated(
                "a token in the address ends up in logs; send it as a header, subprotocol, ticket or `auth`",
                code="bad_token",
            )
