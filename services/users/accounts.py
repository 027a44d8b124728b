"""Register, log in, verify: from a form to an account, and from a token back to it."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.shared.database import Database
from services.shared.errors import Conflict, FieldError, NotFound, TooMany, Unauthenticated
from services.shared.events import rfc3339
from services.users import metrics
from services.users.core import accounts as rules
from services.users.passwords import Passwords
from services.users.store import accounts as store
from services.users.store import is_id
from services.users.store.accounts import Account, Session
from services.users.throttle import Throttle
from services.users.tokens import Claims, Tokens, new_refresh_token


@dataclass(frozen=True, slots=True)
class Login:
    """An account and its fresh tokens. expires_in: seconds of the access token."""

    account: Account
    access_token: str
    expires_in: int
    refresh_token: str


@dataclass(frozen=True, slots=True)
class Accounts:
    """now: the wall clock. The throttles count attempts to log in and registrations."""

    database: Database
    passwords: Passwords
    tokens: Tokens
    logins: Throttle
    registrations: Throttle
    refresh_ttl_s: int
    now: Callable[[], datetime]

    async def register(self, name: str, email: str, password: str, client: str) -> Login:
        """A new account, logged in. client: the caller's address, for the throttle.

        Raises InvalidInput, Conflict (`email_taken`), TooMany, Unavailable.
        """
        name, email, password = rules.new_account(name, email, password)
        await self.registrations.count(client)
        async with self.database.reading() as session:
            if await store.account_by_email(session, email) is not None:
                raise _taken()
        account = Account(
            id=str(uuid.uuid4()),
            name=name,
            email=email,
            password_hash=await self.passwords.hash(password),
            token_version=1,
            preferences="{}",
            created_at=rfc3339(self.now()),
        )
        login, opened = self._open(account)
        async with self.database.transaction() as session:
            if not await store.add_account(session, account):
                raise _taken()
            await store.add_session(session, opened)
        metrics.REGISTRATIONS.inc()
        return login

    async def login(self, email: str, password: str, client: str) -> Login:
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
        readable = len(password) <= rules.MOST_PASSWORD and "\0" not in password
        right = readable and await self.passwords.verify(password, None if account is None else account.password_hash)
        if account is None or not right:
            metrics.LOGINS.labels("refused").inc()
            raise Unauthenticated("wrong address or password", code="bad_credentials")
        login, opened = self._open(account)
        async with self.database.transaction() as session:
            await store.add_session(session, opened)
        metrics.LOGINS.labels("accepted").inc()
        return login

    async def verify(self, token: str) -> Claims:
        """What a token says, where its login is still worth something. Raises Unauthenticated."""
        claims = self.tokens.verify(token, self.now())
        if is_id(claims.user_id) and is_id(claims.session_id):
            async with self.database.reading() as session:
                if await store.is_current(session, claims.user_id, claims.session_id, claims.version):
                    return claims
        raise Unauthenticated("the token has been revoked", code="token_revoked")

    async def profile(self, user_id: str) -> Account:
        """Raises NotFound."""
        account = None
        if is_id(user_id):
            async with self.database.reading() as session:
                account = await store.account_by_id(session, user_id)
        if account is None:
            raise NotFound("no such account", code="unknown_user")
        return account

    def _open(self, account: Account) -> tuple[Login, Session]:
        """A new login of `account`, and the row that it stands in."""
        now, session_id = self.now(), str(uuid.uuid4())
        refresh_token, refresh_hash = new_refresh_token(session_id)
        opened = Session(
            id=session_id,
            user_id=account.id,
            refresh_hash=refresh_hash,
            created_at=rfc3339(now),
            expires_at=rfc3339(now + timedelta(seconds=self.refresh_ttl_s)),
        )
        access_token = self.tokens.sign(account.id, session_id, account.token_version, now)
        return Login(account, access_token, self.tokens.ttl_s, refresh_token), opened


def _taken() -> Conflict:
    error = FieldError("email", "is taken")
    return Conflict("an account with this address exists", code="email_taken", errors=(error,))
