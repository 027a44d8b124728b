"""Notifications on their way over channels: added with the notification, claimed by whoever delivers.

A channel is worked on by one process at a time, for as long as its lease lasts; a lease that was lost shows when what
came of a message is stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import String, bindparam, delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared import bulk
from services.shared.events import AlertTriggered, Notification, parse_time, rfc3339
from services.users.core import delivery_channels
from services.users.core.delivery import MOST_IN_DIGEST, Health, Window
from services.users.store import MOST_PARAMETERS
from services.users.tables import AccountRow, AttemptRow, ChannelRow, DeliveryRow, NotificationRow, table_of

_accounts: Final = table_of(AccountRow)
_channels: Final = table_of(ChannelRow)
_deliveries: Final = table_of(DeliveryRow)
_attempts: Final = table_of(AttemptRow)
_notifications: Final = table_of(NotificationRow)
_WAITING: Final = text("deliveries.status = 'waiting'")  # word for word as in the partial index
_NOW: Final = bindparam("now", type_=String)
_DUE: Final = select(_channels.c.id).where(
    _channels.c.enabled,
    _channels.c.free_at <= _NOW,
    _channels.c.id.in_(select(_deliveries.c.channel_id).where(_WAITING, _deliveries.c.due_at <= _NOW)),
)
"""Channels that nobody works on and that have something due at `now`."""
_ANY_DUE: Final = _DUE.limit(1)
MOST_WAITING: Final = 2 * MOST_IN_DIGEST
"""So many deliveries are looked at together: more than the largest message has."""


async def add_deliveries(
    session: AsyncSession,
    told: Sequence[Notification],
    created_at: str,
    channels: Mapping[str, Sequence[str]],
) -> bool:
    """Puts firings on their way over the channels that their rules name, in the transaction that stores them.

    Returns whether there are any. channels: by rule. Rules that name none but the socket cost nothing, users without
    channels one look at an index; what stands there already stays as it is.
    """
    alerts = (each for each in told if isinstance(each, AlertTriggered))
    firings = [each for each in alerts if set(channels.get(each.alert_id, ())) - {delivery_channels.WEBSOCKET}]
    by_user = await _enabled(session, sorted({each.user_id for each in firings}))
    if not by_user:
        return False
    values = [
        {
            "channel_id": channel_id,
            "notification_id": each.id,
            "created_at": created_at,
            "due_at": created_at,
            "status": "waiting",
            "attempts": 0,
        }
        for each in firings
        for name, channel_id in by_user.get(each.user_id, ())
        if name in channels.get(each.alert_id, ())
    ]
    await bulk.insert_new(session, _deliveries, values)
    return bool(values)


async def _enabled(session: AsyncSession, user_ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """(name, id) of the channels of these users that are enabled."""
    found: dict[str, list[tuple[str, str]]] = {}
    for first in range(0, len(user_ids), MOST_PARAMETERS):
        some = user_ids[first : first + MOST_PARAMETERS]
        rows = await session.execute(
            select(_channels.c.user_id, _channels.c.kind, _channels.c.id).where(
                _channels.c.user_id.in_(some), _channels.c.enabled
            )
        )
        for user_id, kind, channel_id in rows:
            found.setdefault(user_id, []).append((delivery_channels.name(kind, channel_id), channel_id))
    return found


@dataclass(frozen=True, slots=True)
class Claimed:
    """A channel that is ours until the lease ends, and its owner's address (empty: not verified) and preferences."""

    id: str
    user_id: str
    kind: str
    sealed: bytes = field(repr=False)
    lease: str
    health: Health
    window: Window
    gathering: bool
    email: str
    preferences: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notification that is due. message_id: of the message it was tried in before, the first time at `tried_at`."""

    number: int
    notification_id: str
    created_at: str
    event: bytes
    attempts: int
    message_id: str | None
    tried_at: str | None


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt, as it is stored. numbers: of the deliveries in it; error: a word, empty = delivered."""

    message_id: str
    notification_id: str | None
    numbers: Sequence[int]
    attempt: int
    first_at: str
    time: str
    status: str
    code: int | None
    error: str
    due_at: str


async def is_any_due(session: AsyncSession, now: str) -> bool:
    """Is there something to claim? Cheaper than to try."""
    return await session.scalar(_ANY_DUE, {"now": now}) is not None


async def release_all(session: AsyncSession, now: str) -> None:
    """Ends every lease: only where nobody else can be at work."""
    await session.execute(update(_channels).where(_channels.c.lease.is_not(None)).values(lease=None, free_at=now))


async def claim(session: AsyncSession, lease: str, now: str, until: str, limit: int) -> list[Claimed]:
    """Channels with something due that nobody works on: ours until `until`."""
    free = _DUE.order_by(_channels.c.free_at).limit(limit).with_for_update(skip_locked=True, key_share=True)
    ids = list(await session.scalars(free, {"now": now}))
    if not ids:
        return []
    await session.execute(update(_channels).where(_channels.c.id.in_(ids)).values(lease=lease, free_at=until))
    rows = await session.execute(
        select(_channels, _accounts.c.email, _accounts.c.email_verified_at, _accounts.c.preferences)
        .join(_accounts, _accounts.c.id == _channels.c.user_id)
        .where(_channels.c.id.in_(ids))
    )
    return [_claimed(row) for row in rows]


async def waiting(session: AsyncSession, channel_id: str, now: str) -> list[Waiting]:
    """What is due, oldest first: at most as much as a digest holds, and messages that were tried before whole."""
    rows = await session.execute(
        select(
            _deliveries.c.number,
            _deliveries.c.notification_id,
            _deliveries.c.created_at,
            _notifications.c.event,
            _deliveries.c.attempts,
            _deliveries.c.message_id,
            _deliveries.c.tried_at,
        )
        .join(_notifications, _notifications.c.id == _deliveries.c.notification_id)
        .where(_WAITING, _deliveries.c.channel_id == channel_id, _deliveries.c.due_at <= now)
        .order_by(_deliveries.c.message_id.is_(None), _deliveries.c.message_id, _deliveries.c.number)
        .limit(MOST_WAITING)
    )
    return [Waiting(*row) for row in rows]


async def form(session: AsyncSession, numbers: Sequence[int], message_id: str) -> None:
    """From now on these go in one message, whoever sends it."""
    await session.execute(update(_deliveries).where(_deliveries.c.number.in_(numbers)).values(message_id=message_id))


async def record(session: AsyncSession, channel_id: str, tried: Tried) -> None:
    """What came of an attempt: in the deliveries and in the log."""
    values: dict[str, Any] = {
        "status": "waiting" if tried.status == "retrying" else tried.status,
        "attempts": tried.attempt,
        "message_id": tried.message_id,
        "tried_at": tried.first_at,
        "due_at": tried.due_at,
    }
    await session.execute(update(_deliveries).where(_deliveries.c.number.in_(tried.numbers)).values(**values))
    await log(session, channel_id, tried)


async def log(session: AsyncSession, channel_id: str, tried: Tried) -> None:
    session.add(
        AttemptRow(
            channel_id=channel_id,
            message_id=tried.message_id,
            notification_id=tried.notification_id,
            count=max(len(tried.numbers), 1),
            time=tried.time,
            attempt=tried.attempt,
            status=tried.status,
            code=tried.code,
            error=tried.error or None,
        )
    )


async def hold(
    session: AsyncSession,
    channel: Claimed,
    *,
    health: Health,
    window: Window,
    free_at: str,
    gathering: bool,
    delivered_at: str | None = None,
    keep: bool = True,
) -> bool:
    """Stores how the channel fares. free_at: when it is looked at again; keep: the lease is still ours till then.

    False where the lease was lost (or the channel deleted or disabled) meanwhile: roll back.
    """
    values: dict[str, Any] = {
        "failures": health.failures,
        "failing_since": None if health.since is None else rfc3339(health.since),
        "window_at": None if window.began is None else rfc3339(window.began),
        "window_sent": window.sent,
        "free_at": free_at,
        "gathering": gathering,
        "lease": channel.lease if keep else None,
    }
    if delivered_at is not None:
        values["delivered_at"] = delivered_at
    held = (
        update(_channels)
        .where(_channels.c.id == channel.id, _channels.c.lease == channel.lease, _channels.c.enabled)
        .values(**values)
        .returning(_channels.c.id)
    )
    return (await session.execute(held)).first() is not None


async def forget(session: AsyncSession, before: str) -> None:
    """Deletes the log, and what was delivered or is dead, older than that; and what was meant for deleted channels."""
    there = select(_channels.c.id)
    await session.execute(delete(_attempts).where(_attempts.c.time < before))
    await session.execute(
        delete(_deliveries).where(_deliveries.c.created_at < before, _deliveries.c.status != "waiting")
    )
    for table in (_deliveries, _attempts):
        await session.execute(delete(table).where(table.c.channel_id.not_in(there)))


def verified(email: str, verified_at: str | None) -> str:
    """An address that alerts may go to; empty where nobody has shown that it is theirs."""
    return "" if verified_at is None else email


def _claimed(row: Any) -> Claimed:
    return Claimed(
        id=row.id,
        user_id=row.user_id,
        kind=row.kind,
        sealed=row.sealed,
        lease=row.lease,
        health=Health(row.failures, _time(row.failing_since)),
        window=Window(_time(row.window_at), row.window_sent),
        gathering=row.gathering,
        email=verified(row.email, row.email_verified_at),
        preferences=row.preferences,
    )


def _time(stored: str | None) -> datetime | None:
    return None if stored is None else parse_time(stored)
