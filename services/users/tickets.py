"""Tickets: what a page shows instead of its token where the address of a WebSocket is all that it can say."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.shared.database import Database
from services.shared.errors import Unauthenticated
from services.shared.events import rfc3339
from services.users.store import is_id
from services.users.store import sessions as store
from services.users.store.sessions import Ref, Ticket
from services.users.tokens import new_secret, stored_hash

TTL_S: Final = 30


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose ticket it was, as the access token said that it was made with. expires_at: of that token, UNIX seconds."""

    ref: Ref
    role: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Tickets:
    database: Database
    now: Callable[[], datetime]

    async def issue(self, ref: Ref, token_expires_at: int) -> str:
        """A ticket for the next 30 s. Raises Unauthenticated (`token_revoked`) where the login has ended."""
        ticket, now = new_secret(), self.now()
        if is_id(ref[0]) and is_id(ref[1]):
            expires_at = rfc3339(now + timedelta(seconds=TTL_S))
            async with self.database.transaction() as session:
                if await store.valid(session, [ref]):
                    await store.add_ticket(session, Ticket(stored_hash(ticket), ref, token_expires_at, expires_at))
                    return ticket
        raise Unauthenticated("the token has been revoked", code="token_revoked")

    async def redeem(self, ticket: str) -> Holder:
        """Uses it up. Raises Unauthenticated (`bad_ticket`)."""
        now = self.now()
        async with self.database.transaction() as session:
            taken = await store.take_ticket(session, stored_hash(ticket))
            valid = {} if taken is None else await store.valid(session, [taken.ref])
        if taken is None or taken.expires_at <= rfc3339(now) or taken.ref not in valid:
            raise Unauthenticated("the ticket is unknown, used up or too old", code="bad_ticket")
        return Holder(taken.ref, valid[taken.ref], taken.token_expires_at)
