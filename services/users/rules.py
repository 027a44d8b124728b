"""Alert rules on behalf of their users: made, changed, listed, read, deleted."""

import asyncio
import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, cast

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared.alert_limits import STATUSES
from services.shared.database import Database
from services.shared.errors import QUOTA_AGAIN_S, Conflict, FieldError, NotFound, TooMany, Unavailable
from services.shared.events import rfc3339
from services.users.bell import Bell, Takings
from services.users.clients import Market
from services.users.core.asked import Asked
from services.users.core.drafts import Draft, checked, known_or_refused, outcome, refused, timed
from services.users.core.explain import Beside, explain, known_before, looks_back, looks_beside
from services.users.core.moment import Timeframe
from services.users.core.rules import Rule
from services.users.history import History
from services.users.store import after_number, alerts, is_id, keys, page_size
from services.users.store.accounts import lock_account
from services.users.store.alerts import StoredAlert
from services.users.store.channels import known_channels

WAIT_S: Final = 1.0
_LOOK_FIRST_S: Final = 0.05  # where the owner of the symbol is another process and can't ring


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody wants to be different. fields: those of `Asked` that were given; paused: None = as it is."""

    fields: Mapping[str, Any]
    paused: bool | None = None

    def of(self, asked: Asked) -> Asked:
        """The rule as it would be."""
        fields = dict(self.fields)
        if fields.get("snooze_s") is not None:
            fields.setdefault("snoozed_until", None)
        return msgspec.structs.replace(asked, **fields)


@dataclass(frozen=True, slots=True)
class Rules:
    """limit: rules per user, 0 = none. news: rung for the owner of the symbol; takings: rings when it has taken in.

    bar: SIGNAL_BAR, whose volumes are compared.
    """

    database: Database
    market: Market
    limit: int
    now: Callable[[], datetime]
    news: Bell
    takings: Takings
    history: History
    bar: Timeframe

    async def create(self, user_id: str, asked: Asked, key: str) -> StoredAlert:
        """The rule, `active` when the owner of its symbol has it within a second, else `pending`.

        key: idempotency key, empty = none; the same one with the same body answers with the same rule.
        Raises InvalidInput, NotFound (unknown symbol or user), Conflict (`idempotency_key_reused`), TooMany (over the
        limit), Unavailable (symbols can't be looked up).
        """
        draft, body_hash = checked(asked), hashlib.sha256(msgspec.json.encode(asked)).digest()
        if key and (made := await self._made_before(user_id, key, body_hash)) is not None:
            return made
        symbol = await self.market.symbol(draft.symbol)
        draft = timed(asked, draft, await self._clock(asked))
        alert_id = str(uuid.uuid4())
        with self.takings.of(alert_id) as taken:
            if not await self._store(user_id, alert_id, draft, symbol, key, body_hash):
                made = await self._made_before(user_id, key, body_hash)
                if made is not None:
                    return made
            self.news.ring()
            return await self._when_taken(user_id, alert_id, taken)

    async def change(self, user_id: str, alert_id: str, change: Change) -> StoredAlert:
        """The rule as it is now. What begins anew counts from the record at which its owner takes it in; until then
        the old version is in force. Answers `active` when that is within a second, else `pending`.

        Raises InvalidInput, NotFound (unknown rule or symbol), Unavailable (stock_data is needed and away).
        """
        asked = change.of((await self.get(user_id, alert_id)).asked())
        checked(asked)
        clock = await self._clock(asked)
        if "symbol" in change.fields:
            change = replace(change, fields={**change.fields, "symbol": await self.market.symbol(asked.symbol)})
        with self.takings.of(alert_id) as taken:
            async with self.database.transaction() as session:
                found = await alerts.alert_of(session, user_id, alert_id, lock=True)
                if found is None:
                    raise _unknown()
                await self._change(session, found, change, clock)
            self.news.ring()
            return await self._when_taken(user_id, alert_id, taken)

    async def get(self, user_id: str, alert_id: str) -> StoredAlert:
        """Raises NotFound, for somebody else's rule too."""
        if is_id(alert_id):
            async with self.database.reading() as session:
                if (found := await alerts.alert_of(session, user_id, alert_id)) is not None:
                    return found
        raise _unknown()

    async def explain(self, user_id: str, alert_id: str) -> dict[str, Any]:
        """Where the rule stands: `core.explain.Explanation`, of the last checkpoint, and which record that was.

        The engine checkpoints at least every second, so this is at most about that old. Raises NotFound.
        """
        if is_id(alert_id):
            async with self.database.reading() as session:
                found = await alerts.standing_of(session, user_id, alert_id)
            if found is not None:
                rule, status = found.alert.rule, found.alert.shown
                position = {"epoch": found.epoch, "seq": found.seq} if found.epoch else None
                told = explain(rule, found.state, status, found.side, await self._beside(rule, found.side))
                known = {"alert_id": rule.id, "version": rule.version, "status": status, "position": position}
                return known | cast(dict[str, Any], msgspec.to_builtins(told))
        raise _unknown()

    async def page(
        self, user_id: str, limit: int, page_token: str, *, symbol: str = "", status: str = ""
    ) -> tuple[list[StoredAlert], str]:
        """Oldest first, and the token of the next page (empty at the end). Raises InvalidInput.

        symbol, status: only such rules; empty = all.
        """
        if status not in ("", *STATUSES):
            raise refused([FieldError("status", f"must be one of {', '.join(STATUSES)}")])
        size, after = page_size(limit), after_number(page_token)
        async with self.database.reading() as session:
            found, last = await alerts.alerts_of(session, user_id, after, size, symbol=symbol, status=status)
        return found, "" if last is None else str(last)

    async def delete(self, user_id: str, alert_id: str) -> None:
        """From now on it fires no more. Raises NotFound, for somebody else's rule too."""
        deleted = False
        if is_id(alert_id):
            async with self.database.transaction() as session:
                deleted = await alerts.delete_alert(session, user_id, alert_id)
        if not deleted:
            raise _unknown()
        self.news.ring()

    async def _store(self, user_id: str, alert_id: str, draft: Draft, symbol: str, key: str, body_hash: bytes) -> bool:
        """False where the same idempotency key was faster."""
        created_at = rfc3339(self.now())
        async with self.database.transaction() as session:
            if not is_id(user_id) or await lock_account(session, user_id) is None:
                raise NotFound("no such account", code="unknown_user")
            if key and not await keys.remember(session, user_id, key, alert_id, body_hash, created_at):
                return False
            if self.limit and await alerts.count_alerts(session, user_id) >= self.limit:
                what = f"you have {self.limit} alerts, which is the limit"
                raise TooMany(what, code="too_many_alerts", retry_after_s=QUOTA_AGAIN_S)
            known_or_refused(draft.channels, await known_channels(session, user_id))
            await alerts.add_alert(session, user_id, alert_id, draft, symbol, created_at)
        return True

    async def _change(self, session: AsyncSession, found: StoredAlert, change: Change, clock: str) -> None:
        before, asked = checked(found.asked()), change.of(found.asked())
        after = checked(asked)
        becomes = outcome(found.status, before, after, paused=change.paused)
        if becomes.anew or "expires_at" in change.fields or asked.snooze_s is not None:
            after = timed(asked, after, clock)
        if "channels" in change.fields:
            known_or_refused(after.channels, await known_channels(session, found.rule.user_id))
        await alerts.change_alert(session, found.rule.id, after, becomes)

    async def _beside(self, rule: Rule, side: bytes) -> Beside | None:
        """The bars that the engine looks back at; None where the rule needs none, or stock_data does not answer."""
        if not side or not looks_beside(rule):
            return None
        days, bars = looks_back(rule)
        until = known_before(side)
        try:
            return Beside(
                days=await self.history.past(rule.symbol, "1d", days, until) if days else (),
                bars=await self.history.past(rule.symbol, self.bar, bars, until) if bars else (),
                bar=self.bar,
                clock=await self.market.clock(),
            )
        except Unavailable:
            return None

    async def _clock(self, asked: Asked) -> str:
        """The feed's clock where the rule needs it."""
        return await self.market.clock() if asked.expires_at is not None or asked.snooze_s is not None else ""

    async def _made_before(self, user_id: str, key: str, body_hash: bytes) -> StoredAlert | None:
        async with self.database.reading() as session:
            made = await keys.made_before(session, user_id, key)
        if made is None:
            return None
        alert_id, hash_then = made
        if hash_then != body_hash:
            raise Conflict("this Idempotency-Key has made another alert", code="idempotency_key_reused")
        try:
            return await self.get(user_id, alert_id)
        except NotFound:
            raise Conflict("the alert of this Idempotency-Key was deleted", code="idempotency_key_reused") from None

    async def _when_taken(self, user_id: str, alert_id: str, taken: Bell) -> StoredAlert:
        loop = asyncio.get_running_loop()
        deadline, pause_s = loop.time() + WAIT_S, _LOOK_FIRST_S
        while True:
            await taken.wait(pause_s)
            pause_s *= 2  # many that wait at once must not keep the database from what they wait for
            found = await self.get(user_id, alert_id)
            if found.taken or loop.time() >= deadline:
                return found


def _unknown() -> NotFound:
    return NotFound("no such alert", code="unknown_alert")
