"""Channels on behalf of their owners: made, listed, enabled, tested, deleted, and their log."""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared.database import Database
from services.shared.errors import QUOTA_AGAIN_S, Conflict, FieldError, InvalidInput, NotFound, TooMany
from services.shared.events import rfc3339, seconds
from services.users.core import delivery_channels
from services.users.core.delivery import Outcome
from services.users.core.delivery_channels import AnySettings, Email, Push, Webhook, Wish
from services.users.core.delivery_messages import trial
from services.users.delivery.sealing import Sealer
from services.users.delivery.senders import Senders
from services.users.store import after_number, channels, deliveries, is_id, keys, page_size
from services.users.store.accounts import Account, account_by_id, lock_account
from services.users.store.channels import Attempt, Channel
from services.users.store.deliveries import Tried, verified
from services.users.throttle import Throttle
from services.users.tokens import new_secret


@dataclass(frozen=True, slots=True)
class Seen:
    """A channel as its owner sees it. leads_to: no secret; secret: of a webhook, only when it is made."""

    channel: Channel
    leads_to: str
    secret: str = ""

    def __repr__(self) -> str:
        return f"Seen({self.channel.name})"


@dataclass(frozen=True, slots=True)
class Channels:
    """limit: channels per user, 0 = none. tests: counts presses of the test button. loopback: as for `Poster`."""

    database: Database
    sealer: Sealer
    senders: Senders
    tests: Throttle
    limit: int
    loopback: bool
    now: Callable[[], datetime]

    async def create(self, user_id: str, wish: Wish, key: str) -> Seen:
        """The channel. One that the user has already (the same browser; e-mail) is given again.

        key: idempotency key, empty = none. Raises InvalidInput, NotFound (unknown user), Conflict
        (`idempotency_key_reused`), TooMany (over the limit).
        """
        settings = delivery_channels.checked(
            wish,
            loopback=self.loopback,
            missing=self.senders.missing,
            new_secret=new_secret,
            vapid=self.senders.vapid.public_key,
        )
        body_hash = hashlib.sha256(b"channel " + msgspec.json.encode(wish)).digest()
        channel_id = str(uuid.uuid4())
        async with self.database.transaction() as session:
            account = await lock_account(session, user_id) if is_id(user_id) else None
            if account is None:
                raise NotFound("no such account", code="unknown_user")
            if key and (made := await self._made_before(session, user_id, key, body_hash)) is not None:
                return made
            if isinstance(settings, Email) and account.email_verified_at is None:
                error = FieldError("kind", "your e-mail address is not verified yet")
                raise InvalidInput(f"{error.loc}: {error.msg}", code="email_unverified", errors=(error,))
            channel = await self._add(session, account, channel_id, settings)
            if key:
                await keys.remember(session, user_id, key, channel.id, body_hash, rfc3339(self.now()))
        return self._seen(channel, with_secret=channel.id == channel_id)

    async def get(self, user_id: str, channel_id: str) -> Seen:
        """Raises NotFound, for somebody else's channel too."""
        async with self.database.reading() as session:
            return self._seen(await _mine(session, user_id, channel_id))

    async def page(self, user_id: str, limit: int, page_token: str) -> tuple[list[Seen], str]:
        """Oldest first, and the token of the next page (empty at the end). Raises InvalidInput."""
        size, after = page_size(limit), after_number(page_token)
        async with self.database.reading() as session:
            found, last = await channels.channels_of(session, user_id, after, size)
        return [self._seen(each) for each in found], "" if last is None else str(last)

    async def change(self, user_id: str, channel_id: str, *, enabled: bool) -> Seen:
        """Disabled, what waits for it is dead; enabled, it begins anew. Raises NotFound."""
        async with self.database.transaction() as session:
            channel = await _mine(session, user_id, channel_id)
            if channel.enabled != enabled:
                reason = None if enabled else "by_owner"
                await channels.set_enabled(session, channel_id, enabled=enabled, reason=reason, now=rfc3339(self.now()))
            return self._seen(await _mine(session, user_id, channel_id))

    async def delete(self, user_id: str, channel_id: str) -> None:
        """With what waits for it and its log. Raises NotFound."""
        deleted = False
        if is_id(channel_id):
            async with self.database.transaction() as session:
                deleted = await channels.delete_channel(session, user_id, channel_id)
        if not deleted:
            raise _unknown()

    async def test(self, user_id: str, channel_id: str) -> Outcome:
        """Sends a test now, whatever the hour, and tells how that ended; it stands in the log too.

        One that comes through enables a channel that had been given up. Raises NotFound, TooMany, Unavailable.
        """
        async with self.database.reading() as session:
            channel = await _mine(session, user_id, channel_id)
            account = await account_by_id(session, user_id)
        await self.tests.count(f"account {user_id}")
        settings = self.sealer.open(channel_id, channel.sealed)
        if settings is None or account is None:
            return Outcome("secret_lost")
        began, message_id = self.now(), str(uuid.uuid4())
        sent = trial(message_id, channel_id, seconds(rfc3339(began)))
        outcome = await self.senders.send(settings, sent, verified(account.email, account.email_verified_at), began)
        await self._log_test(channel, message_id, outcome)
        return outcome

    async def attempts(self, user_id: str, channel_id: str, limit: int, page_token: str) -> tuple[list[Attempt], str]:
        """The log, newest first, and the token of the next page. Raises NotFound, InvalidInput."""
        size, before = page_size(limit), after_number(page_token)
        async with self.database.reading() as session:
            await _mine(session, user_id, channel_id)
            found, last = await channels.attempts_of(session, channel_id, before, size)
        return found, "" if last is None else str(last)

    async def _add(self, session: AsyncSession, account: Account, channel_id: str, settings: AnySettings) -> Channel:
        mark = _mark(channel_id, settings)
        known = await channels.channel_with_mark(session, account.id, mark)
        if known is not None:  # the same browser or address: with its newest keys, and a fresh start
            await channels.reseal(session, known.id, self.sealer.seal(known.id, settings))
            await channels.set_enabled(session, known.id, enabled=True, reason=None, now=rfc3339(self.now()))
            return await _mine(session, account.id, known.id)
        if self.limit and await channels.count_channels(session, account.id) >= self.limit:
            what = f"you have {self.limit} channels, which is the limit"
            raise TooMany(what, code="too_many_channels", retry_after_s=QUOTA_AGAIN_S)
        kind, sealed = type(settings).__struct_config__.tag, self.sealer.seal(channel_id, settings)
        await channels.add_channel(session, channel_id, account.id, str(kind), mark, sealed, rfc3339(self.now()))
        return await _mine(session, account.id, channel_id)

    async def _made_before(self, session: AsyncSession, user_id: str, key: str, body_hash: bytes) -> Seen | None:
        """What the same request made: with its secret, since its answer may not have arrived."""
        made = await keys.made_before(session, user_id, key)
        if made is None:
            return None
        channel_id, hash_then = made
        if hash_then != body_hash:
            raise Conflict("this Idempotency-Key was used for something else", code="idempotency_key_reused")
        return self._seen(await _mine(session, user_id, channel_id), with_secret=True)

    async def _log_test(self, channel: Channel, message_id: str, outcome: Outcome) -> None:
        time = rfc3339(self.now())
        tried = Tried(
            message_id=message_id,
            notification_id=None,
            numbers=(),
            attempt=1,
            first_at=time,
            time=time,
            status="delivered" if outcome.delivered else "dead",
            code=outcome.code,
            error=outcome.error,
            due_at=time,
        )
        async with self.database.transaction() as session:
            if await channels.channel_of(session, channel.user_id, channel.id) is None:
                return
            await deliveries.log(session, channel.id, tried)
            if outcome.delivered and not channel.enabled and channel.reason != "by_owner":
                await channels.set_enabled(session, channel.id, enabled=True, reason=None, now=time)

    def _seen(self, channel: Channel, *, with_secret: bool = False) -> Seen:
        settings = self.sealer.open(channel.id, channel.sealed)
        if settings is None:
            return Seen(channel, "")
        secret = settings.secret if with_secret and isinstance(settings, Webhook) else ""
        return Seen(channel, delivery_channels.shown(settings), secret)


def _mark(channel_id: str, settings: AnySettings) -> bytes:
    """What a user has only once: a browser, or e-mail. Of anything else there may be several alike."""
    match settings:
        case Push(endpoint=endpoint):
            return hashlib.sha256(b"push " + endpoint.encode()).digest()
        case Email():
            return b"email"
        case _:
            return channel_id.encode()


async def _mine(session: AsyncSession, user_id: str, channel_id: str) -> Channel:
    """Raises NotFound."""
    found = await channels.channel_of(session, user_id, channel_id) if is_id(channel_id) else None
    if found is None:
        raise _unknown()
    return found


def _unknown() -> NotFound:
    return NotFound("no such channel", code="unknown_channel")
