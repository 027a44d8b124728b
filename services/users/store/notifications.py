"""Firings and notifications: stored first, published after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, bindparam, delete, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared import bulk
from services.shared.events import AlertTriggered, Notification, SessionRevoked, encode
from services.users.core.asked import AskedCondition
from services.users.core.condition import Condition
from services.users.core.journal import Firing
from services.users.store.deliveries import add_deliveries
from services.users.tables import FiringRow, NotificationRow, table_of

_rows: Final = table_of(NotificationRow)
_firings: Final = table_of(FiringRow)
_HIDDEN: Final[ColumnElement[bool]] = literal_column("NOT shown")  # word for word as in the partial index
_NUMBERED: Final = "tickroom notifications are numbered"
_OLDEST: Final = (
    select(_rows.c.number, _rows.c.user_id, _rows.c.event)
    .where(_rows.c.published_at.is_(None), _rows.c.number > bindparam("after"))
    .order_by(_rows.c.number)
    .limit(bindparam("most"))
)
_MARKING: Final = {
    columns: update(_rows)
    .where(bulk.is_one_of(_rows.c.number, "numbers", columns=columns))
    .values(published_at=bindparam("at"))
    for columns in (False, True)
}
_SOCKET_ONLY: Final[Mapping[str, Sequence[str]]] = {}
PUBLISHED: Final = "tickroom notifications are published"
"""What only one process does at a time, so that order holds per user."""


class _Kept(msgspec.Struct, frozen=True):
    """`Definition` on its way in: the same JSON."""

    conditions: tuple[Condition, ...]
    trigger: str
    hysteresis_pct: float


@dataclass(frozen=True, slots=True)
class StoredNotification:
    id: str
    event: bytes
    read: bool


class Definition(msgspec.Struct, frozen=True):
    """What a rule waited for when it fired: kept, for the rule may be changed, rescaled or deleted."""

    conditions: tuple[AskedCondition, ...]
    trigger: str
    hysteresis_pct: float


@dataclass(frozen=True, slots=True)
class Cause:
    """The record that a rule fired at. definition: None for firings older than the keeping of it."""

    alert_id: str
    rule_version: int
    symbol: str
    epoch: str
    seq: int
    time: str
    condition: str
    threshold: float | None
    price: float
    previous_price: float | None
    definition: Definition | None


@dataclass(frozen=True, slots=True)
class Unpublished:
    """A row of the outbox."""

    number: int
    user_id: str
    event: bytes


_encode = msgspec.json.Encoder().encode
_decode_definition = msgspec.json.Decoder(Definition).decode


async def add_firings(session: AsyncSession, firings: Sequence[tuple[Firing, AlertTriggered]]) -> set[str]:
    """Once each; returns the ids of those that were not there. What stands there already stays as it is.

    So does what another version of the rule has made of the same record: a rule that was changed between a crash and
    the next start meets records again at which it has fired before, and nobody is told of one record twice.
    """
    values = [
        {
            "id": told.id,
            "alert_id": firing.rule.id,
            "rule_version": firing.rule.version,
            "user_id": firing.rule.user_id,
            "symbol": firing.rule.symbol,
            "epoch": firing.epoch,
            "seq": firing.seq,
            "source": None if firing.silent else firing.rule.source,
            "time": firing.time,
            "condition": firing.condition.type,
            "threshold": firing.threshold,
            "price": firing.price,
            "previous_price": firing.before,
            "rule": _encode(_Kept(firing.rule.conditions, firing.rule.trigger, firing.rule.hysteresis_pct)),
        }
        for firing, told in firings
    ]
    return await bulk.insert_told(session, _firings, values)


async def add_notifications(
    session: AsyncSession,
    told: Sequence[Notification],
    created_at: str,
    channels: Mapping[str, Sequence[str]] = _SOCKET_ONLY,
) -> bool:
    """Into the outbox, and on their way beyond the socket, in this order; ids that stand there already are left out.

    Returns whether there is something to be delivered beyond the socket. channels: of the rules that fired, by id.

    Rows are numbered in the order in which they become visible, so "up to this one" means the same to everybody:
    transactions that add some wait for one another.
    """
    if not told:
        return False
    values = [
        {
            "id": each.id,
            "user_id": each.user_id,
            "event": encode(each),
            "created_at": created_at,
            "shown": not isinstance(each, SessionRevoked),
            "happened_at": each.timestamp,
        }
        for each in told
    ]
    await bulk.insert_new(session, _rows, values, in_turn=_NUMBERED)
    return await add_deliveries(session, told, created_at, channels)


async def notifications_of(
    session: AsyncSession,
    user_id: str,
    *,
    unread_only: bool,
    after: int,
    limit: int,
    since: str = "",
    alert_id: str = "",
) -> tuple[list[StoredNotification], int | None]:
    """A page, oldest first, and the number behind which the next one begins (None at the end).

    since: only those with such a `timestamp` or a later one; alert_id: only those of this rule; empty = all.
    """
    statement = select(_rows.c.number, _rows.c.id, _rows.c.event, _rows.c.read_at).where(
        _rows.c.user_id == user_id, _rows.c.number > after, _rows.c.shown
    )
    if unread_only:
        statement = statement.where(_rows.c.read_at.is_(None))
    if since:
        statement = statement.where(_rows.c.happened_at >= since)
    if alert_id:
        mine = (_firings.c.alert_id == alert_id) & (_firings.c.user_id == user_id)
        statement = statement.where(_rows.c.id.in_(select(_firings.c.id).where(mine)))
    rows = (await session.execute(statement.order_by(_rows.c.number).limit(limit + 1))).all()
    page = [StoredNotification(row.id, row.event, row.read_at is not None) for row in rows[:limit]]
    return page, rows[limit - 1].number if len(rows) > limit else None


async def notification_of(
    session: AsyncSession, user_id: str, notification_id: str
) -> tuple[StoredNotification, Cause | None] | None:
    """One notification, and what caused it where that was a record."""
    row = (
        await session.execute(
            select(_rows.c.id, _rows.c.event, _rows.c.read_at).where(
                _rows.c.id == notification_id, _rows.c.user_id == user_id, _rows.c.shown
            )
        )
    ).first()
    if row is None:
        return None
    firing = (await session.execute(select(_firings).where(_firings.c.id == notification_id))).first()
    stored = StoredNotification(row.id, row.event, row.read_at is not None)
    return stored, None if firing is None else _cause(firing)


def _cause(row: Any) -> Cause:
    return Cause(
        alert_id=row.alert_id,
        rule_version=row.rule_version,
        symbol=row.symbol,
        epoch=row.epoch,
        seq=row.seq,
        time=row.time,
        condition=row.condition,
        threshold=row.threshold,
        price=row.price,
        previous_price=row.previous_price,
        definition=None if row.rule is None else _decode_definition(row.rule),
    )


async def mark_read(session: AsyncSession, user_id: str, ids: Sequence[str], up_to: str, read_at: str) -> int:
    """Marks `ids`, and everything up to and including `up_to` (empty: none). Returns how many were unread."""
    named: ColumnElement[bool] = _rows.c.id.in_(ids)
    if up_to:
        last = select(_rows.c.number).where(_rows.c.id == up_to, _rows.c.user_id == user_id).scalar_subquery()
        named |= _rows.c.number <= last
    statement = (
        update(_rows)
        .where(_rows.c.user_id == user_id, _rows.c.read_at.is_(None), _rows.c.shown, named)
        .values(read_at=read_at)
        .returning(_rows.c.number)
    )
    return len((await session.execute(statement)).all())


async def revocations(session: AsyncSession, since: str, after: int, limit: int) -> tuple[list[bytes], int | None]:
    """A page of the ends of logins (events) since then, oldest first, and the number behind which the next begins."""
    statement = (
        select(_rows.c.number, _rows.c.event)
        .where(_HIDDEN, _rows.c.created_at >= since, _rows.c.number > after)
        .order_by(_rows.c.number)
        .limit(limit + 1)
    )
    rows = (await session.execute(statement)).all()
    return [row.event for row in rows[:limit]], rows[limit - 1].number if len(rows) > limit else None


async def forget_revocations(session: AsyncSession, before: str) -> None:
    """Deletes those older than that which every gateway was told of."""
    await session.execute(delete(_rows).where(_HIDDEN, _rows.c.created_at < before, _rows.c.published_at.is_not(None)))


async def unpublished(session: AsyncSession, limit: int, after: int = 0) -> list[Unpublished]:
    """The oldest rows of the outbox whose number is above `after`."""
    return [Unpublished(*row) for row in await session.execute(_OLDEST, {"most": limit, "after": after})]


async def mark_published(session: AsyncSession, numbers: Sequence[int], published_at: str) -> None:
    marking = _MARKING[bulk.takes_columns(session)]
    await session.execute(marking, {"numbers": list(numbers), "at": published_at})
