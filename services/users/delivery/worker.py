"""Delivers what waits: claims channels, sends their messages one after the other, and stores what came of each.

A message that was sent just before a crash is sent again, under the same id. Nothing is sent while its owner has quiet
hours; what has gathered by then, or while a channel was broken or its window full, goes as a digest.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from random import random
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared.database import Database
from services.shared.events import parse_time, rfc3339, seconds
from services.users import metrics
from services.users.bell import Bell
from services.users.core import delivery, wording
from services.users.core.delivery import Health, Outcome, Window
from services.users.core.delivery_channels import AnySettings
from services.users.core.delivery_hours import of_preferences
from services.users.core.delivery_messages import Message, digest_id, message
from services.users.delivery.sealing import Sealer
from services.users.delivery.senders import Sends
from services.users.store import channels, deliveries, notifications
from services.users.store.deliveries import Claimed, Tried, Waiting

LEASE: Final = timedelta(seconds=60)
"""Longer than any attempt takes, and renewed after each."""

KEPT: Final = timedelta(days=30)
"""So long the log is kept, and what was delivered or is dead."""

MOST_AT_ONCE: Final = 16
"""Channels that one process works on at the same time."""

_MOST_IN_TURN: Final = 10
_LOOK_AGAIN: Final = timedelta(minutes=15)  # while quiet hours last: they may be changed meanwhile
_TIDY_EVERY_S: Final = 600.0
_PAUSE_S: Final = 1.0
_LAST_S: Final = 0.5

_log = logging.getLogger("tickroom.users.delivery")


class _LostLease(Exception):
    """Somebody else works on the channel now, or it is gone."""


@dataclass(slots=True)
class _Turn:
    """How a channel fares while we work on it."""

    claimed: Claimed
    health: Health
    window: Window


class Deliverer:
    """every_s: how often to look without being rung. outbox: rung when a channel was disabled, which its owner is told.

    pick: gives a number from 0 to 1, for jitter.
    """

    def __init__(
        self,
        database: Database,
        sends: Sends,
        sealer: Sealer,
        now: Callable[[], datetime],
        bell: Bell,
        outbox: Bell,
        every_s: float,
        pick: Callable[[], float] = random,
    ) -> None:
        self._database = database
        self._sends = sends
        self._sealer = sealer
        self._now = now
        self._bell = bell
        self._outbox = outbox
        self._every_s = every_s
        self._pick = pick
        self._lease = str(uuid.uuid4())
        self._turns: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Delivers until it is cancelled, when messages in hand get a moment to end. All waits for the database."""
        failing, tidied_at = False, float("-inf")
        clock = asyncio.get_running_loop().time
        try:
            await self._begin()
            while True:
                try:
                    await self.look()
                    if clock() - tidied_at >= _TIDY_EVERY_S:
                        await self._tidy()
                        tidied_at = clock()
                    failing = False
                except (SQLAlchemyError, OSError, TimeoutError) as error:
                    if not failing:
                        _log.warning("nothing can be delivered just now: %s", type(error).__name__)
                    failing = True
                    await asyncio.sleep(_PAUSE_S)
                await self._bell.wait(self._every_s)
        finally:
            await self._end()

    async def look(self) -> int:
        """Begins to work on channels with something due; returns on how many."""
        free = MOST_AT_ONCE - len(self._turns)
        now = self._now()
        if free <= 0:
            return 0
        async with self._database.reading(brief=True) as session:
            if not await deliveries.is_any_due(session, rfc3339(now)):
                return 0
        async with self._database.transaction() as session:
            claimed = await deliveries.claim(session, self._lease, rfc3339(now), rfc3339(now + LEASE), free)
        for each in claimed:
            turn = asyncio.create_task(self._work_on(each), name=f"deliveries {each.kind}")
            self._turns.add(turn)
            turn.add_done_callback(self._ended)
        return len(claimed)

    async def settle(self) -> None:
        """Returns when nothing is in hand."""
        while self._turns:
            await asyncio.wait(self._turns)

    def _ended(self, turn: asyncio.Task[None]) -> None:
        self._turns.discard(turn)
        self._bell.ring()  # there may be more for this channel, or others had no place

    async def _begin(self) -> None:
        if self._database.sqlite:  # there is no other process, and the one before may have been killed at work
            async with self._database.transaction() as session:
                await deliveries.release_all(session, rfc3339(self._now()))

    async def _end(self) -> None:
        if self._turns:
            await asyncio.wait(self._turns, timeout=_LAST_S)
        for turn in self._turns:
            turn.cancel()
        await asyncio.gather(*self._turns, return_exceptions=True)

    async def _tidy(self) -> None:
        async with self._database.transaction() as session:
            await deliveries.forget(session, rfc3339(self._now() - KEPT))

    # -- one channel ---------------------------------------------------------------------------------------------------

    async def _work_on(self, claimed: Claimed) -> None:
        turn = _Turn(claimed, claimed.health, claimed.window)
        try:
            settings = self._sealer.open(claimed.id, claimed.sealed)
            if settings is None:
                await self._disable(turn, "secret_lost")
                return
            if self._sealer.is_old(claimed.id, claimed.sealed):
                async with self._database.transaction() as session:
                    await channels.reseal(session, claimed.id, self._sealer.seal(claimed.id, settings))
            await self._take_turn(turn, settings)
        except _LostLease:
            pass
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("a delivery is tried again later: %s", type(error).__name__)

    async def _take_turn(self, turn: _Turn, settings: AnySettings) -> None:
        now, claimed = self._now(), turn.claimed
        quiet = of_preferences(claimed.preferences)
        quiet_until = None if quiet is None else quiet.until(now)
        if quiet_until is not None:
            await self._release(turn, free_at=min(quiet_until, now + _LOOK_AGAIN), gathering=True)
            return
        async with self._database.reading() as session:
            waiting = await deliveries.waiting(session, claimed.id, rfc3339(now))
        tried = _tried_before(waiting)
        fresh = {each.number: each for each in waiting if each.message_id is None}
        plan = delivery.plan(list(fresh), turn.window, now, gathered=claimed.gathering or turn.health.broken)
        made = [[fresh[number] for number in numbers] for numbers in plan.messages]
        turn.window = plan.window
        batches = (tried or made)[:1] if turn.health.broken else [*tried[:_MOST_IN_TURN], *made]
        for batch in batches:
            due = await self._deliver(turn, settings, batch)
            if due is None:
                return
            if turn.health.broken:
                await self._release(turn, free_at=due, gathering=True)
                return
        rest = len(batches) < len(tried) + len(made)
        free_at = self._now() if rest or plan.wait_until is None else plan.wait_until
        await self._release(turn, free_at=free_at, gathering=rest)

    async def _deliver(self, turn: _Turn, settings: AnySettings, batch: Sequence[Waiting]) -> datetime | None:
        """Sends one message; returns when it is due again (now, where it went through or is dead).

        None where that was the end of the channel.
        """
        sent = await self._formed(turn.claimed, batch)
        outcome = await self._send(settings, sent, turn.claimed)
        now, attempt = self._now(), batch[0].attempts + 1
        first_at = now if batch[0].tried_at is None else parse_time(batch[0].tried_at)
        status, due = delivery.next_attempt(outcome, attempt, first_at, now, self._pick())
        turn.health = turn.health.after(outcome, now)
        over = outcome.gone or turn.health.hopeless(now)
        tried = Tried(
            message_id=sent.id,
            notification_id=batch[0].notification_id if len(batch) == 1 else None,
            numbers=[each.number for each in batch],
            attempt=attempt,
            first_at=rfc3339(first_at),
            time=rfc3339(now),
            status="dead" if over else status,
            code=outcome.code,
            error=outcome.error,
            due_at=rfc3339(due),
        )
        metrics.DELIVERIES.labels(turn.claimed.kind, tried.status).inc()
        if over:
            await self._disable(turn, outcome.error, tried)
            return None
        async with self._database.transaction() as session:
            await self._hold(session, turn, now + LEASE, delivered=outcome.delivered)
            await deliveries.record(session, turn.claimed.id, tried)
        return due

    async def _send(self, settings: AnySettings, sent: Message, claimed: Claimed) -> Outcome:
        try:
            return await self._sends.send(settings, sent, claimed.email, self._now())
        except Exception as error:  # a mistake of ours, or of a library: it must not be tried for ever
            # neither text nor traceback: they may name the address, which is a secret
            _log.error("a message to a channel of kind %s failed: %s", claimed.kind, type(error).__name__)
            return Outcome("failed")

    async def _formed(self, claimed: Claimed, batch: Sequence[Waiting]) -> Message:
        """The message that these go in. Which ones a digest holds is stored before it is sent the first time."""
        message_id = batch[0].message_id
        if message_id is None:
            message_id = batch[0].notification_id
            if len(batch) > 1:
                message_id = digest_id(claimed.id, message_id)
                async with self._database.transaction() as session:
                    await deliveries.form(session, [each.number for each in batch], message_id)
        events = [each.event for each in sorted(batch, key=lambda each: each.number)]
        return message(message_id, events, seconds(max(each.created_at for each in batch)))

    async def _hold(
        self,
        session: AsyncSession,
        turn: _Turn,
        free_at: datetime,
        *,
        gathering: bool | None = None,
        delivered: bool = False,
        keep: bool = True,
    ) -> None:
        """Stores how the channel fares; keep: the lease stays ours until `free_at`. Raises _LostLease."""
        held = await deliveries.hold(
            session,
            turn.claimed,
            health=turn.health,
            window=turn.window,
            free_at=rfc3339(free_at),
            gathering=turn.claimed.gathering if gathering is None else gathering,
            delivered_at=rfc3339(self._now()) if delivered else None,
            keep=keep,
        )
        if not held:
            raise _LostLease

    async def _release(self, turn: _Turn, *, free_at: datetime, gathering: bool) -> None:
        async with self._database.transaction() as session:
            await self._hold(session, turn, free_at, gathering=gathering, keep=False)

    async def _disable(self, turn: _Turn, reason: str, tried: Tried | None = None) -> None:
        """Nothing more goes over the channel until its owner, who is told, enables it."""
        now, claimed = self._now(), turn.claimed
        told = wording.account_updated(str(uuid.uuid4()), claimed.user_id, "channel_disabled", now)
        async with self._database.transaction() as session:
            await self._hold(session, turn, now, keep=False)
            if tried is not None:
                await deliveries.record(session, claimed.id, tried)
            await channels.set_enabled(session, claimed.id, enabled=False, reason=reason, now=rfc3339(now))
            await notifications.add_notifications(session, [told], rfc3339(now))
        _log.info("a channel of kind %s was disabled: %s", claimed.kind, reason)
        self._outbox.ring()


def _tried_before(waiting: Sequence[Waiting]) -> list[list[Waiting]]:
    """The messages among these that were tried before, whole; one that the page has cut is left for later."""
    found = [
        list(batch) for message_id, batch in groupby(waiting, lambda each: each.message_id) if message_id is not None
    ]
    cut = len(waiting) == deliveries.MOST_WAITING and waiting[-1].message_id is not None
    return found[:-1] if cut else found
