"""Codes by mail: they show that an address is somebody's, and let people in who forgot their password."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from services.shared.database import Database
from services.shared.errors import FieldError, InvalidInput, NotFound, TickroomError
from services.shared.events import rfc3339
from services.users.bell import Bell
from services.users.core import accounts as rules
from services.users.core.letters import code_letter, news_letter
from services.users.mailing import Mailer
from services.users.passwords import Passwords
from services.users.sessions import Sessions
from services.users.store import accounts, is_id, mail_codes
from services.users.store.accounts import Account
from services.users.store.mail_codes import MailCode, Purpose
from services.users.throttle import Throttle
from services.users.tokens import new_secret, stored_hash

LIVES: Final[dict[Purpose, timedelta]] = {"verify": timedelta(hours=24), "reset": timedelta(minutes=30)}

LETTERS_PER_HOUR: Final = 10
"""That one account, or one address of the network, may ask for."""

_log = logging.getLogger("tickroom.users.mail")


@dataclass(frozen=True, slots=True)
class MailCodes:
    """letters: counts those that somebody asks for. public_url: where the links lead. outbox: rung after a reset."""

    database: Database
    mailer: Mailer
    passwords: Passwords
    sessions: Sessions
    letters: Throttle
    logins: Throttle
    public_url: str
    now: Callable[[], datetime]
    outbox: Bell
    _errands: set[asyncio.Task[None]] = field(default_factory=set)

    async def state(self, user_id: str) -> tuple[Account, bool]:
        """The account, and whether mail is sent at all. Raises NotFound."""
        return await self._account(user_id), self.mailer.on

    async def send_verification(self, user_id: str) -> None:
        """Returns when the mail server has the letter.

        Raises NotFound (also `mail_off`), TooMany, InvalidInput (`mail_refused`), Unavailable (`mail_failed`).
        """
        self._demand_mail()
        account = await self._account(user_id)
        await self.letters.count(f"account {account.email}")
        await self._write(account, "verify")

    def welcome(self, account: Account) -> None:
        """Sends a new account its first code, and keeps nobody waiting for that."""
        if self.mailer.on:
            self._run(partial(self._write, account, "verify"))

    def tell(self, email: str, what: str) -> None:
        """Tells somebody of a change to the account that they may not have made; likewise."""
        if self.mailer.on:
            subject, text = news_letter(what, self.public_url)
            self._run(partial(self.mailer.send, email, subject, text))

    async def verify(self, code: str) -> None:
        """The address is its account's from now on. Raises InvalidInput (`bad_code`)."""
        now = rfc3339(self.now())
        async with self.database.transaction() as session:
            found = await mail_codes.take(session, stored_hash(code), "verify")
            account = None if found is None else await accounts.lock_account(session, found.user_id)
            good = found is not None and account is not None and found.expires_at > now and found.email == account.email
            if good and account is not None:
                await accounts.change_account(session, account.id, {"email_verified_at": now})
        if not good:
            raise _bad_code()

    async def send_reset(self, email: str, client: str) -> None:
        """Returns at once and alike, whether this is anybody's address or not. client: of the caller, for the throttle.

        Raises NotFound (`mail_off`), TooMany.
        """
        self._demand_mail()
        email = rules.same_email(email)
        await self.letters.count(f"account {email}", client and f"address {client}")
        self._run(partial(self._reset_for, email))

    async def reset(self, code: str, password: str, client: str) -> None:
        """A new password, and the end of every login; the address is verified by that, too.

        Raises InvalidInput (`bad_code`, `bad_account`), TooMany, Unavailable.
        """
        await self.logins.count(client and f"address {client}")
        async with self.database.reading() as session:
            found = await mail_codes.find(session, stored_hash(code), "reset")
            account = None if found is None else await accounts.account_by_id(session, found.user_id)
        if account is None or not self._fits(found, account):
            raise _bad_code()
        password = rules.same_password(password)
        about = (account.name, account.email, account.email.partition("@")[0])
        if (wrong := rules.wrong_password(password, about)) is not None:
            error = FieldError("password", wrong)
            raise InvalidInput(f"{error.loc} {error.msg}", code="bad_account", errors=(error,))
        await self._change(code, account, await self.passwords.hash(password))
        self.outbox.ring()
        self.tell(account.email, "password_changed")

    async def finish(self) -> None:
        """Waits for letters under way; to be called at the end."""
        for errand in list(self._errands):
            errand.cancel()
        await asyncio.gather(*self._errands, return_exceptions=True)

    async def _change(self, code: str, account: Account, password_hash: str) -> None:
        now = self.now()
        async with self.database.transaction() as session:
            taken = await mail_codes.take(session, stored_hash(code), "reset")
            held = await accounts.lock_account(session, account.id)
            if taken is None or held is None or not self._fits(taken, held):
                raise _bad_code()
            changes = {"password_hash": password_hash, "email_verified_at": held.email_verified_at or rfc3339(now)}
            await accounts.change_account(session, account.id, changes)
            await self.sessions.end_all(session, account.id, ["password_changed"], now)

    def _fits(self, code: MailCode | None, account: Account) -> bool:
        return code is not None and code.expires_at > rfc3339(self.now()) and code.email == account.email

    async def _reset_for(self, email: str) -> None:
        async with self.database.reading() as session:
            account = await accounts.account_by_email(session, email)
        if account is not None:
            await self._write(account, "reset")

    async def _write(self, account: Account, purpose: Purpose) -> None:
        code, expires_at = new_secret(), rfc3339(self.now() + LIVES[purpose])
        async with self.database.transaction() as session:
            if await accounts.lock_account(session, account.id) is None:
                return
            made = MailCode(stored_hash(code), account.id, purpose, account.email, expires_at)
            await mail_codes.replace(session, made)
        subject, text = code_letter(purpose, f"{self.public_url}/account#{purpose}={code}")
        await self.mailer.send(account.email, subject, text)

    async def _account(self, user_id: str) -> Account:
        account = None
        if is_id(user_id):
            async with self.database.reading() as session:
                account = await accounts.account_by_id(session, user_id)
        if account is None:
            raise NotFound("no such account", code="unknown_user")
        return account

    def _demand_mail(self) -> None:
        if not self.mailer.on:
            raise NotFound("no mail is sent here: SMTP_URL is not set", code="mail_off")

    def _run(self, errand: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.create_task(_quietly(errand))
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)


async def _quietly(errand: Callable[[], Awaitable[None]]) -> None:
    try:
        await errand()
    except TickroomError as error:
        _log.warning("a letter was not sent: %s", error.code)
    except Exception as error:  # nobody waits for it: at least it is said
        _log.warning("a letter was not sent: %s", type(error).__name__)


def _bad_code() -> InvalidInput:
    error = FieldError("code", "is unknown, used already or too old")
    return InvalidInput(f"{error.loc} {error.msg}", code="bad_code", errors=(error,))
