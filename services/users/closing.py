"""Leaving: an account and everything of it is deleted."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.shared.database import Database
from services.shared.events import rfc3339
from services.users.bell import Bell
from services.users.mail_codes import MailCodes
from services.users.profiles import Profiles, unknown, wrong_password
from services.users.sessions import Sessions
from services.users.store import closing as store
from services.users.store.accounts import lock_account

WAIT_S: Final = 1.0
_LOOK_EVERY_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Closing:
    """news: rung for the owners of rules; outbox: rung for the gateways."""

    database: Database
    profiles: Profiles
    sessions: Sessions
    mail: MailCodes
    now: Callable[[], datetime]
    news: Bell
    outbox: Bell

    async def close(self, user_id: str, current_password: str, client: str) -> None:
        """From now on the account's rules fire no more and nothing opens it; within moments nothing of it is left.

        Raises InvalidInput (no current password), Denied (`wrong_password`), TooMany, NotFound, Unavailable.
        """
        account = await self.profiles.get(user_id)
        await self.profiles.prove(account, current_password, client)
        now = self.now()
        async with self.database.transaction() as session:
            held = await lock_account(session, user_id)
            if held is None:
                raise unknown()
            if held.password_hash != account.password_hash:
                raise wrong_password()
            await self.sessions.end_all(session, user_id, [], now)
            await store.close(session, user_id, rfc3339(now))
        self.news.ring()
        self.outbox.ring()
        self.mail.tell(account.email, "closed")
        await self._finish(user_id)

    async def _finish(self, user_id: str) -> None:
        """Waits a moment for the rules to be let go; otherwise housekeeping does the rest."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WAIT_S
        while loop.time() < deadline:
            async with self.database.transaction() as session:
                await store.finish(session)
                if not await store.is_there(session, user_id):
                    return
            await asyncio.sleep(_LOOK_EVERY_S)
