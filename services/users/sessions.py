"""Logins from their beginning to their end, and the tokens that they are worth something by."""

import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from services.shared.database import Database
from services.shared.errors import FieldError, InvalidInput, Unauthenticated
from services.shared.events import AccountUpdated, rfc3339
from services.users import metrics
from services.users.bell import Bell
from services.users.core import sessions as rules
from services.users.core import wording
from services.users.core.sessions import Verdict
from services.users.store import accounts as stored_accounts
from services.users.store import after_pair, is_id, notifications, page_size
from services.users.store import sessions as store
from services.users.store.accounts import Account
from services.users.store.sessions import Ref, Session
from services.users.tokens import Claims, Tokens, looks_like_refresh_token, new_refresh_token, refresh_hash

MOST_CHECKED: Final = 1000
_PAGE: Final = 5000
_CLOCKS_S: Final = 60  # by which the clocks of two machines may differ

_log = logging.getLogger("tickroom.users.sessions")


@dataclass(frozen=True, slots=True)
class Login:
    """An account and its fresh tokens. expires_in: seconds of the access token."""

    account: Account
    access_token: str
    expires_in: int
    refresh_token: str


@dataclass(frozen=True, slots=True)
class Sessions:
    """now: the wall clock; outbox: rung when somebody has to be told of something."""

    database: Database
    tokens: Tokens
    refresh_ttl_s: int
    now: Callable[[], datetime]
    outbox: Bell

    async def open(self, session: AsyncSession, account: Account, device: str) -> Login:
        """A new login of `account`, within the caller's transaction. device: what the client says it is."""
        now, session_id = self.now(), str(uuid.uuid4())
        refresh_token = new_refresh_token(session_id)
        opened = Session(
            id=session_id,
            user_id=account.id,
            refresh_hash=refresh_hash(refresh_token),
            created_at=rfc3339(now),
            expires_at=self._expiry(now),
            device=rules.device(device),
        )
        await store.add_session(session, opened)
        return self._login(account, session_id, refresh_token, now)

    async def refresh(self, refresh_token: str, client: str) -> Login:
        """Fresh tokens of the same login; this refresh token is used up, save for the next 10 s.

        Raises Unauthenticated (`bad_refresh_token`); one that was used up before ends its login.
        """
        session_id, now = refresh_token.partition(".")[0], self.now()
        if not is_id(session_id) or not looks_like_refresh_token(refresh_token):
            raise _refused("unknown")
        async with self.database.transaction() as session:
            held = await store.lock_family(session, session_id)
            if held is None:
                raise _refused("unknown")
            user_id, family = held
            verdict = rules.judge(family, refresh_hash(refresh_token), now)
            successors = self.tokens.successors(refresh_token)
            following: str | None = successors[0]
            if verdict is Verdict.NEWEST:
                await store.rotate(session, session_id, refresh_hash(successors[0]), rfc3339(now), self._expiry(now))
            elif verdict is Verdict.REPEATED:
                following = next((each for each in successors if refresh_hash(each) == family.newest), None)
            elif verdict is Verdict.USED_UP:
                await self._revoke(session, user_id, session_id, now)
            account = await stored_accounts.account_by_id(session, user_id)
        if verdict is Verdict.USED_UP:
            self.outbox.ring()
            _log.warning("a used-up refresh token came from %s: its login has been ended", client or "somebody")
        if account is None or following is None or verdict not in (Verdict.NEWEST, Verdict.REPEATED):
            raise _refused(verdict.value)
        metrics.REFRESHES.labels(verdict.value).inc()
        return self._login(account, session_id, following, now)

    async def logout(self, user_id: str, session_id: str, *, everywhere: bool) -> bool:
        """Ends this login (every login of the user): its tokens are worth nothing from now on.

        False where there was none.
        """
        if not is_id(user_id) or not (everywhere or is_id(session_id)):
            return False
        now = self.now()
        async with self.database.transaction() as session:
            if not everywhere:
                ended = await self._revoke(session, user_id, session_id, now)
            else:
                ended = await stored_accounts.lock_account(session, user_id) is not None
                if ended:
                    await self.end_all(session, user_id, ["logged_out_everywhere"], now)
        self.outbox.ring()
        return ended

    async def end_all(self, session: AsyncSession, user_id: str, events: Sequence[str], now: datetime) -> None:
        """Ends every login of a user, and tells of it and of the `events` that led to it.

        Within the caller's transaction, which has locked the account; ring `outbox` after it.
        """
        version = await store.revoke_all(session, user_id, rfc3339(now))
        revoked = wording.session_revoked(str(uuid.uuid4()), user_id, "", version, now)
        # in this order, so that a socket may still say why before it is closed
        await notifications.add_notifications(session, [*account_news(user_id, events, now), revoked], rfc3339(now))

    async def page(self, user_id: str, limit: int, page_token: str) -> tuple[list[Session], str]:
        """Logins that are worth something, newest first, and the token of the next page. Raises InvalidInput."""
        size, before = page_size(limit), after_pair(page_token)
        if not is_id(user_id):
            return [], ""
        async with self.database.reading() as session:
            found, last = await store.sessions_of(session, user_id, rfc3339(self.now()), before, size)
        return found, "" if last is None else " ".join(last)

    async def verify(self, token: str) -> Claims:
        """What a token says, where its login is still worth something. Raises Unauthenticated."""
        claims = self.tokens.verify(token, self.now())
        if not all(await self.check([(claims.user_id, claims.session_id, claims.version)])):
            raise Unauthenticated("the token has been revoked", code="token_revoked")
        return claims

    async def check(self, refs: Sequence[Ref]) -> list[bool]:
        """Is each of these still worth something? Raises InvalidInput for more than 1,000."""
        if len(refs) > MOST_CHECKED:
            error = FieldError("sessions", f"must be up to {MOST_CHECKED}")
            raise InvalidInput(f"{error.loc}: {error.msg}", errors=(error,))
        asked = [ref for ref in refs if is_id(ref[0]) and is_id(ref[1])]
        if not asked:
            return [False] * len(refs)
        async with self.database.reading() as session:
            found = await store.valid(session, asked)
        return [ref in found for ref in refs]

    async def revocations(self, after: int) -> tuple[list[bytes], int | None]:
        """A page of the ends of logins that an access token may have outlived, and where the next one begins."""
        since = rfc3339(self.now() - timedelta(seconds=self.tokens.ttl_s + _CLOCKS_S))
        async with self.database.reading() as session:
            return await notifications.revocations(session, since, after, _PAGE)

    async def _revoke(self, session: AsyncSession, user_id: str, session_id: str, now: datetime) -> bool:
        if not await store.revoke(session, user_id, session_id, rfc3339(now)):
            return False
        told = wording.session_revoked(str(uuid.uuid4()), user_id, session_id, 0, now)
        await notifications.add_notifications(session, [told], rfc3339(now))
        return True

    def _login(self, account: Account, session_id: str, refresh_token: str, now: datetime) -> Login:
        access_token = self.tokens.sign(account.id, session_id, account.token_version, account.role, now)
        return Login(account, access_token, self.tokens.ttl_s, refresh_token)

    def _expiry(self, now: datetime) -> str:
        return rfc3339(now + timedelta(seconds=self.refresh_ttl_s))


def account_news(user_id: str, events: Iterable[str], now: datetime) -> list[AccountUpdated]:
    """What a user is told of changes to the account."""
    return [wording.account_updated(str(uuid.uuid4()), user_id, event, now) for event in events]


def _refused(outcome: str) -> Unauthenticated:
    metrics.REFRESHES.labels(outcome).inc()
    return Unauthenticated("the refresh token is not one of ours, or no longer", code="bad_refresh_token")
