"""Alert rules as their users see them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared.database import upsert
from services.users.core.conditions import KINDS, Condition
from services.users.core.drafts import AskedCondition, Draft
from services.users.core.rules import Rule, RuleState, Trigger
from services.users.tables import AlertRow, WatchedSymbolRow, table_of

_decode_conditions = msgspec.json.Decoder(list[AskedCondition]).decode
_decode_channels = msgspec.json.Decoder(list[str]).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """A rule as its user sees it. status: active, pending, paused, fired, expired; created_at: RFC 3339."""

    rule: Rule
    status: str
    channels: tuple[str, ...]
    created_at: str
    taken: bool


async def add_alert(
    session: AsyncSession, user_id: str, alert_id: str, draft: Draft, symbol: str, created_at: str
) -> None:
    """A new rule, `pending` until the owner of `symbol` has taken it in."""
    session.add(
        AlertRow(
            id=alert_id,
            user_id=user_id,
            version=1,
            status="pending",
            symbol=symbol,
            conditions=stored_conditions(draft.conditions),
            trigger=draft.trigger,
            cooldown_s=draft.cooldown_s,
            hysteresis_pct=draft.hysteresis_pct,
            expires_at=draft.expires_at,
            message=draft.message,
            channels=_encode(draft.channels),
            created_at=created_at,
            taken=False,
            deleted=False,
            state=_encode(RuleState()),
        )
    )
    await session.execute(upsert(session, table_of(WatchedSymbolRow)).values(symbol=symbol).on_conflict_do_nothing())


async def alert_of(session: AsyncSession, user_id: str, alert_id: str) -> StoredAlert | None:
    row = await session.scalar(
        select(AlertRow).where(AlertRow.id == alert_id, AlertRow.user_id == user_id, ~AlertRow.deleted)
    )
    return None if row is None else _seen(row)


async def alerts_of(
    session: AsyncSession, user_id: str, after: int, limit: int
) -> tuple[list[StoredAlert], int | None]:
    """A page, oldest first, and the number behind which the next one begins (None at the end)."""
    rows = list(
        await session.scalars(
            select(AlertRow)
            .where(AlertRow.user_id == user_id, AlertRow.number > after, ~AlertRow.deleted)
            .order_by(AlertRow.number)
            .limit(limit + 1)
        )
    )
    return [_seen(row) for row in rows[:limit]], rows[limit - 1].number if len(rows) > limit else None


async def count_alerts(session: AsyncSession, user_id: str) -> int:
    counted = select(func.count()).select_from(AlertRow).where(AlertRow.user_id == user_id, ~AlertRow.deleted)
    return await session.scalar(counted) or 0


async def delete_alert(session: AsyncSession, user_id: str, alert_id: str) -> bool:
    """From the commit on no firing of it is stored. False where there is none."""
    statement = (
        update(AlertRow)
        .where(AlertRow.id == alert_id, AlertRow.user_id == user_id, ~AlertRow.deleted)
        .values(deleted=True, taken=False)
        .returning(AlertRow.id)
    )
    return (await session.execute(statement)).first() is not None


def _seen(row: AlertRow) -> StoredAlert:
    channels = tuple(_decode_channels(row.channels))
    return StoredAlert(rule_of(row), row.status, channels, row.created_at, row.taken)


def rule_of(row: Any) -> Rule:
    """The rule in a row that has its columns."""
    return Rule(
        id=row.id,
        version=row.version,
        user_id=row.user_id,
        symbol=row.symbol,
        conditions=_conditions(row.conditions),
        trigger=cast(Trigger, row.trigger),
        cooldown_s=row.cooldown_s,
        hysteresis_pct=row.hysteresis_pct,
        expires_at=row.expires_at,
        message=row.message,
    )


def _conditions(stored: bytes) -> tuple[Condition, ...]:
    return tuple(KINDS[each.type](each.threshold or 0.0) for each in _decode_conditions(stored))


def stored_conditions(conditions: Iterable[Condition]) -> bytes:
    """Conditions as their column holds them."""
    return _encode([AskedCondition(each.type, each.threshold) for each in conditions])
