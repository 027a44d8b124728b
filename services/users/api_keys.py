"""API keys on behalf of their owners: made, listed, revoked; and known again when somebody shows one."""

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from services.shared.database import Database
from services.shared.errors import Conflict, NotFound, TooMany, Unauthenticated
from services.shared.events import Notification, parse_time, rfc3339
from services.users.bell import Bell
from services.users.core import api_keys as rules
from services.users.core import wording
from services.users.sessions import account_news
from services.users.store import after_pair, is_id, keys, notifications, page_size
from services.users.store import api_keys as store
from services.users.store.accounts import Account, account_by_id, lock_account
from services.users.store.api_keys import ApiKey
from services.users.store.sessions import Ref
from services.users.tokens import Tokens, new_secret, stored_hash

NEVER: Final = 253_402_300_799
"""The end of a key without one, in UNIX seconds: the last second of the year 9999."""

_USE_IS_NOTED: Final = timedelta(minutes=5)
_NOBODYS: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whose key it is. ref: (user, key, version of the account's tokens); expires_at: UNIX seconds."""

    ref: Ref
    role: str
    expires_at: int
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """now: the wall clock; outbox: rung when somebody has to be told of something."""

    database: Database
    tokens: Tokens
    now: Callable[[], datetime]
    outbox: Bell

    async def create(
        self, user_id: str, name: str, scopes: Sequence[str], expires_at: str | None, repeat_key: str = ""
    ) -> tuple[ApiKey, str]:
        """The key as it is kept, and as its owner gets it, this once. repeat_key: idempotency key, empty = none.

        Raises InvalidInput, NotFound (no such account), TooMany (`too_many_api_keys`), Conflict
        (`idempotency_key_reused`).
        """
        now, body_hash = self.now(), hashlib.sha256(msgspec.json.encode((name, scopes, expires_at))).digest()
        async with self.database.reading() as session:
            account = await account_by_id(session, user_id) if is_id(user_id) else None
        if account is None:
            raise NotFound("no such account", code="unknown_user")
        if repeat_key and (made := await self._made_before(account, repeat_key, body_hash)) is not None:
            return made
        draft = rules.checked(name, scopes, expires_at, now=now, operator=account.role == "operator")
        key_id = str(uuid.uuid4())
        secret = self._repeatable(key_id, repeat_key)[0] if repeat_key else new_secret()
        key = ApiKey(
            id=key_id,
            user_id=user_id,
            name=draft.name,
            prefix=secrets.token_hex(6),  # says nothing, and may be shown
            hash=stored_hash(secret),
            scopes=draft.scopes,
            created_at=rfc3339(now),
            expires_at=draft.expires_at,
        )
        if not await self._store(key, repeat_key, body_hash):
            made = await self._made_before(account, repeat_key, body_hash)
            if made is not None:
                return made
        self.outbox.ring()
        return key, rules.written(key.prefix, secret)

    async def page(self, user_id: str, limit: int, page_token: str) -> tuple[list[ApiKey], str]:
        """Newest first, and the token of the next page. Raises InvalidInput."""
        size, before = page_size(limit), after_pair(page_token)
        if not is_id(user_id):
            return [], ""
        async with self.database.reading() as session:
            found, last = await store.of_user(session, user_id, before, size)
        return found, "" if last is None else " ".join(last)

    async def revoke(self, user_id: str, key_id: str) -> None:
        """From now on it is worth nothing. Raises NotFound, for somebody else's key too."""
        removed = False
        if is_id(user_id) and is_id(key_id):
            now = self.now()
            async with self.database.transaction() as session:
                removed = await store.remove(session, user_id, key_id)
                if removed:
                    told: list[Notification] = [*account_news(user_id, ["api_key_revoked"], now)]
                    told.append(wording.session_revoked(str(uuid.uuid4()), user_id, key_id, 0, now))
                    await notifications.add_notifications(session, told, rfc3339(now))
        if not removed:
            raise NotFound("no such API key", code="unknown_api_key")
        self.outbox.ring()

    async def verify(self, key: str) -> KeyHolder:
        """Whose key it is. Raises Unauthenticated (`bad_api_key`)."""
        parts, now = rules.read(key), self.now()
        if parts is None:
            raise _refused()
        prefix, secret = parts
        async with self.database.reading() as session:
            found = await store.by_prefix(session, prefix)
        right = hmac.compare_digest(stored_hash(secret), _NOBODYS if found is None else found.key.hash)
        if found is None or not right or _is_over(found.key, now):
            raise _refused()
        stored = found.key
        if stored.last_used_at is None or parse_time(stored.last_used_at) + _USE_IS_NOTED <= now:
            async with self.database.transaction() as session:
                await store.used(session, stored.id, rfc3339(now))
        ends = NEVER if stored.expires_at is None else int(parse_time(stored.expires_at).timestamp())
        return KeyHolder((stored.user_id, stored.id, found.version), found.role, ends, stored.scopes)

    async def _store(self, key: ApiKey, repeat_key: str, body_hash: bytes) -> bool:
        """False where the same idempotency key was faster."""
        now = self.now()
        async with self.database.transaction() as session:
            if await lock_account(session, key.user_id) is None:
                raise NotFound("no such account", code="unknown_user")
            if repeat_key and not await keys.remember(
                session, key.user_id, repeat_key, key.id, body_hash, key.created_at
            ):
                return False
            if await store.count(session, key.user_id) >= rules.MOST_KEYS:
                raise TooMany(f"you have {rules.MOST_KEYS} API keys, which is the limit", code="too_many_api_keys")
            await store.add(session, key)
            told = account_news(key.user_id, ["api_key_created"], now)
            await notifications.add_notifications(session, told, rfc3339(now))
        return True

    async def _made_before(self, account: Account, repeat_key: str, body_hash: bytes) -> tuple[ApiKey, str] | None:
        """What the same request has made: its secret follows from ours and the request, though only a hash is kept."""
        async with self.database.reading() as session:
            made = await keys.made_before(session, account.id, repeat_key)
            key = None if made is None else await store.by_id(session, account.id, made[0])
        if made is None:
            return None
        if key is not None and made[1] == body_hash:
            for secret in self._repeatable(key.id, repeat_key):
                if stored_hash(secret) == key.hash:
                    return key, rules.written(key.prefix, secret)
        raise Conflict("this Idempotency-Key has made something else", code="idempotency_key_reused")

    def _repeatable(self, key_id: str, repeat_key: str) -> list[str]:
        return self.tokens.repeatable(f"API key {key_id} {repeat_key}")


def _is_over(key: ApiKey, now: datetime) -> bool:
    return key.expires_at is not None and key.expires_at <= rfc3339(now)


def _refused() -> Unauthenticated:
    return Unauthenticated("the API key is not one of ours, or no longer", code="bad_api_key")
