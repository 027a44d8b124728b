"""What a person changes about their account."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import IntegrityError

from services.shared.database import Database
from services.shared.errors import Denied, FieldError, InvalidInput, NotFound
from services.shared.events import rfc3339
from services.users.accounts import taken
from services.users.bell import Bell
from services.users.core import accounts as rules
from services.users.core.profiles import Change, checked
from services.users.passwords import Passwords
from services.users.sessions import Sessions, account_news
from services.users.store import accounts as store
from services.users.store import is_id, mail_codes, notifications
from services.users.store.accounts import Account
from services.users.throttle import Throttle


@dataclass(frozen=True, slots=True)
class Profiles:
    """logins: counts guesses of passwords, here as at the door; outbox: rung when somebody has to be told.

    letter: tells an address by mail of what happened to its account, and keeps nobody waiting.
    """

    database: Database
    passwords: Passwords
    sessions: Sessions
    logins: Throttle
    now: Callable[[], datetime]
    outbox: Bell
    letter: Callable[[str, str], None] = lambda _email, _what: None

    async def get(self, user_id: str) -> Account:
        """Raises NotFound."""
        account = None
        if is_id(user_id):
            async with self.database.reading() as session:
                account = await store.account_by_id(session, user_id)
        if account is None:
            raise unknown()
        return account

    async def update(self, user_id: str, asked: Change, current_password: str, client: str) -> Account:
        """The account as it is then. A new password ends every login; whatever changed is told to the user.

        client: the caller's address, for the throttle. Raises InvalidInput, Denied (`wrong_password`), TooMany,
        Conflict (`email_taken`), NotFound, Unavailable.
        """
        before = await self.get(user_id)
        change = checked(asked, name=before.name, email=before.email, preferences=before.preferences)
        if change.needs_password:
            await self.prove(before, current_password, client)
        password_hash = None if change.password is None else await self.passwords.hash(change.password)
        try:
            return await self._store(before, change, password_hash)
        except IntegrityError:
            raise taken() from None

    async def prove(self, account: Account, current_password: str, client: str) -> None:
        """Raises InvalidInput (none), Denied (`wrong_password`), TooMany (guesses), Unavailable."""
        if not current_password:
            error = FieldError("current_password", "is needed for this")
            raise InvalidInput(f"{error.loc} {error.msg}", errors=(error,))
        await self.logins.count(f"account {account.email}", client and f"address {client}")
        password = rules.same_password(current_password)
        right = rules.readable(password) and (await self.passwords.verify(password, account.password_hash))[0]
        if not right:
            raise wrong_password()

    async def _store(self, before: Account, change: Change, password_hash: str | None) -> Account:
        columns: dict[str, str | None] = dict(change.columns)
        columns |= {} if password_hash is None else {"password_hash": password_hash}
        columns |= {} if change.email is None else {"email_verified_at": None}
        now = self.now()
        async with self.database.transaction() as session:
            held = await store.lock_account(session, before.id)
            if held is None:
                raise unknown()
            if change.needs_password and held.password_hash != before.password_hash:
                raise wrong_password()  # it was the right one until somebody else changed it
            after = await store.change_account(session, before.id, columns) if columns else held
            if change.needs_password:
                await mail_codes.forget_of(session, before.id)
            if password_hash is None:
                told = account_news(before.id, change.events, now)
                await notifications.add_notifications(session, told, rfc3339(now))
            else:
                await self.sessions.end_all(session, before.id, [*change.events, "password_changed"], now)
        self.outbox.ring()
        if change.email is not None:
            self.letter(before.email, "email_changed")
        if password_hash is not None:
            self.letter(before.email, "password_changed")
        return after


def unknown() -> NotFound:
    """Of an account."""
    return NotFound("no such account", code="unknown_user")


def wrong_password() -> Denied:
    """Of a current password."""
    return Denied("the current password is not right", code="wrong_password")
