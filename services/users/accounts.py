"""Register and log in: from a form to an account, and to a login of it."""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from services.shared.database import Database
from services.shared.errors import Conflict, FieldError, TooMany, Unauthenticated
from services.shared.events import rfc3339
from services.users import metrics
from services.users.core import accounts as rules
from services.users.passwords import Passwords
from services.users.sessions import Login, Sessions
from services.users.store import accounts as store
from services.users.store import keys
from services.users.store.accounts import Account
from services.users.throttle import Throttle


@dataclass(frozen=True, slots=True)
class Claim:
    """That a registration with an idempotency key may be made once.

    scope: of the key, which means nothing to another address; body_hash: of the form without the password, which is
    compared with the account's.
    """

    scope: bytes
    body_hash: bytes


def claim(key: str, client: str, name: str, email: str) -> Claim | None:
    """None for an empty key."""
    if not key:
        return None
    return Claim(*(hashlib.sha256(msgspec.json.encode(each)).digest() for each in ((client, key), (name, email))))


@dataclass(frozen=True, slots=True)
class Accounts:
    """now: the wall clock. The throttles count attempts to log in and registrations. welcome: greets a new account."""

    database: Database
    passwords: Passwords
    sessions: Sessions
    logins: Throttle
    registrations: Throttle
    now: Callable[[], datetime]
    welcome: Callable[[Account], None] = lambda _account: None

    async def register(self, name: str, email: str, password: str, client: str, device: str, key: str) -> Login:
        """A new account, logged in. client: the caller's address; device: what it says it is; key: empty = none.

        The same key and form from the same address: the same account with fresh tokens.
        Raises InvalidInput, Conflict (`email_taken`, `idempotency_key_reused`), TooMany, Unavailable.
        """
        name, email, password = rules.new_account(name, email, password)
        await self.registrations.count(client)
        claimed = claim(key, client, name, email)
        if (made := await self._made_before(claimed, password, device)) is not None:
            return made
        async with self.database.reading() as session:
            if await store.account_by_email(session, email) is not None:
                raise taken()
        account = Account(
            id=str(uuid.uuid4()),
            name=name,
            email=email,
            password_hash=await self.passwords.hash(password),
            token_version=1,
            preferences="{}",
            created_at=rfc3339(self.now()),
        )
        if (login := await self._store(account, claimed, device)) is not None:
            metrics.REGISTRATIONS.inc()
            self.welcome(account)
            return login
        if (made := await self._made_before(claimed, password, device)) is not None:
            return made
        raise taken()

    async def login(self, email: str, password: str, client: str, device: str) -> Login:
        """Raises Unauthenticated for an unknown address and a wrong password alike, TooMany when throttled."""
        email, password = rules.same_email(email), rules.same_password(password)
        try:
            await self.logins.count(f"account {email}", client and f"address {client}")
        except TooMany:
            metrics.LOGINS.labels("throttled").inc()
            raise
        account = None
        if rules.wrong_email(email) is None:
            async with self.database.reading() as session:
                account = await store.account_by_email(session, email)
        stored = None if account is None else account.password_hash
        right, fresh = False, None
        if rules.readable(password):
            right, fresh = await self.passwords.verify(password, stored)
        login = await self._open(account, device, fresh) if account is not None and right else None
        if login is None:
            metrics.LOGINS.labels("refused").inc()
            raise Unauthenticated("wrong address or password", code="bad_credentials")
        metrics.LOGINS.labels("accepted").inc()
        return login

    async def _open(self, account: Account, device: str, fresh: str | None) -> Login | None:
        """A login of an account whose password was right; None where it has been changed since.

        fresh: its hash by the parameters of today, None where it has them.
        """
        async with self.database.transaction() as session:
            held = await store.lock_account(session, account.id)
            if held is None or held.password_hash != account.password_hash:
                return None
            if fresh is not None:
                await store.change_account(session, held.id, {"password_hash": fresh})
            return await self.sessions.open(session, held, device)

    async def _store(self, account: Account, claimed: Claim | None, device: str) -> Login | None:
        """None where the address has been taken meanwhile."""
        async with self.database.transaction() as session:
            if not await store.add_account(session, account):
                return None
            if claimed is not None and not await keys.remember_registration(
                session, claimed.scope, account.id, claimed.body_hash, account.created_at
            ):
                raise _reused()
            return await self.sessions.open(session, account, device)

    async def _made_before(self, claimed: Claim | None, password: str, device: str) -> Login | None:
        """A login of the account that the same registration has made."""
        if claimed is None:
            return None
        async with self.database.reading() as session:
            found = await keys.registered_before(session, claimed.scope)
            account = None if found is None else await store.account_by_id(session, found[0])
        if found is None or account is None:
            return None
        right, fresh = False, None
        if found[1] == claimed.body_hash:
            right, fresh = await self.passwords.verify(password, account.password_hash)
        login = await self._open(account, device, fresh) if right else None
        if login is None:
            raise _reused()
        return login


def taken() -> Conflict:
    """Of an address that another account has."""
    error = FieldError("email", "is taken")
    return Conflict("an account with this address exists", code="email_taken", errors=(error,))


def _reused() -> Conflict:
    return Conflict("this Idempotency-Key has made another account", code="idempotency_key_reused")
