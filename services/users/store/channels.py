"""Channels beyond the socket, as their owners keep them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared.database import upsert
from services.users.core import delivery_channels
from services.users.core.delivery_channels import WEBSOCKET
from services.users.tables import AttemptRow, ChannelRow, DeliveryRow, table_of

_channels: Final = table_of(ChannelRow)
_deliveries: Final = table_of(DeliveryRow)
_attempts: Final = table_of(AttemptRow)


@dataclass(frozen=True, slots=True)
class Channel:
    """A row of the table; times are RFC 3339."""

    number: int
    id: str
    user_id: str
    kind: str
    sealed: bytes = field(repr=False)
    created_at: str
    enabled: bool
    reason: str | None
    failures: int
    failing_since: str | None
    delivered_at: str | None

    @property
    def name(self) -> str:
        """How rules call it."""
        return delivery_channels.name(self.kind, self.id)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of a channel's log. notification_id: None for a digest of `count`; code: HTTP status, if any."""

    message_id: str
    notification_id: str | None
    count: int
    time: str
    attempt: int
    status: str
    code: int | None
    error: str | None


_SHOWN: Final = tuple(_channels.c[name] for name in Channel.__dataclass_fields__)
_LOGGED: Final = tuple(_attempts.c[name] for name in Attempt.__dataclass_fields__)


async def add_channel(
    session: AsyncSession, channel_id: str, user_id: str, kind: str, mark: bytes, sealed: bytes, created_at: str
) -> bool:
    """A new channel. False where the user has one with this mark."""
    statement = upsert(session, _channels).values(
        id=channel_id,
        user_id=user_id,
        kind=kind,
        mark=mark,
        sealed=sealed,
        created_at=created_at,
        enabled=True,
        failures=0,
        free_at=created_at,
        gathering=False,
        window_sent=0,
    )
    added = await session.execute(statement.on_conflict_do_nothing().returning(_channels.c.id))
    return added.first() is not None


async def channel_of(session: AsyncSession, user_id: str, channel_id: str) -> Channel | None:
    return await _one(session, _channels.c.id == channel_id, _channels.c.user_id == user_id)


async def channel_with_mark(session: AsyncSession, user_id: str, mark: bytes) -> Channel | None:
    return await _one(session, _channels.c.mark == mark, _channels.c.user_id == user_id)


async def channels_of(session: AsyncSession, user_id: str, after: int, limit: int) -> tuple[list[Channel], int | None]:
    """A page, oldest first, and the number behind which the next one begins (None at the end)."""
    statement = (
        select(*_SHOWN)
        .where(_channels.c.user_id == user_id, _channels.c.number > after)
        .order_by(_channels.c.number)
        .limit(limit + 1)
    )
    rows = [_seen(row) for row in await session.execute(statement)]
    return rows[:limit], rows[limit - 1].number if len(rows) > limit else None


async def count_channels(session: AsyncSession, user_id: str) -> int:
    return await session.scalar(select(func.count()).where(_channels.c.user_id == user_id)) or 0


async def known_channels(session: AsyncSession, user_id: str) -> list[str]:
    """Every name that a rule of this user may have in `channels`, the socket first."""
    mine = select(_channels.c.kind, _channels.c.id).where(_channels.c.user_id == user_id).order_by(_channels.c.number)
    names = [delivery_channels.name(kind, channel_id) for kind, channel_id in await session.execute(mine)]
    return list(dict.fromkeys([WEBSOCKET, *names]))


async def set_enabled(session: AsyncSession, channel_id: str, *, enabled: bool, reason: str | None, now: str) -> None:
    """Enabled, it begins anew; not enabled, what waits for it is dead."""
    values: Mapping[str, Any] = {"enabled": enabled, "reason": reason}
    if enabled:
        values = {**values, "failures": 0, "failing_since": None, "free_at": now, "lease": None}
    await session.execute(update(_channels).where(_channels.c.id == channel_id).values(**values))
    if not enabled:
        waiting = (_deliveries.c.channel_id == channel_id) & (_deliveries.c.status == "waiting")
        await session.execute(update(_deliveries).where(waiting).values(status="dead"))


async def reseal(session: AsyncSession, channel_id: str, sealed: bytes) -> None:
    await session.execute(update(_channels).where(_channels.c.id == channel_id).values(sealed=sealed))


async def delete_channel(session: AsyncSession, user_id: str, channel_id: str) -> bool:
    """With everything that waits for it and its log. False where there is none."""
    gone = delete(_channels).where(_channels.c.id == channel_id, _channels.c.user_id == user_id)
    if (await session.execute(gone.returning(_channels.c.id))).first() is None:
        return False
    for table in (_deliveries, _attempts):
        await session.execute(delete(table).where(table.c.channel_id == channel_id))
    return True


async def attempts_of(
    session: AsyncSession, channel_id: str, before: int, limit: int
) -> tuple[list[Attempt], int | None]:
    """A page of the log, newest first, and the number before which the next one begins. before: 0 = from the newest."""
    statement = select(_attempts.c.number, *_LOGGED).where(_attempts.c.channel_id == channel_id)
    if before:
        statement = statement.where(_attempts.c.number < before)
    rows = (await session.execute(statement.order_by(_attempts.c.number.desc()).limit(limit + 1))).all()
    page = [Attempt(*row[1:]) for row in rows[:limit]]
    return page, rows[limit - 1].number if len(rows) > limit else None


async def _one(session: AsyncSession, *wanted: Any) -> Channel | None:
    row = (await session.execute(select(*_SHOWN).where(*wanted))).first()
    return None if row is None else _seen(row)


def _seen(row: Any) -> Channel:
    return Channel(*row)
