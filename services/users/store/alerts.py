"""Alert rules as their users see them."""

from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared.database import upsert
from services.shared.topics import ALERTS, ALERTS_ON_SIGNALS
from services.users.core.asked import Asked, AskedCondition
from services.users.core.conditions import decode_conditions, encode_conditions
from services.users.core.drafts import Draft, Outcome, Status
from services.users.core.rules import Rule, RuleState, Trigger
from services.users.store import decode_channels
from services.users.tables import CHECKPOINTS, AlertRow, WatchedSymbolRow, table_of

_decode_conditions = msgspec.json.Decoder(list[AskedCondition]).decode
_decode_state = msgspec.json.Decoder(RuleState).decode
_encode = msgspec.json.Encoder().encode
_alerts: Final = table_of(AlertRow)


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """A rule as its user sees it. created_at: RFC 3339. taken: the owner of its symbol knows it as it is."""

    rule: Rule
    conditions: tuple[AskedCondition, ...]
    status: Status
    channels: tuple[str, ...]
    created_at: str
    taken: bool

    @property
    def shown(self) -> Status:
        """The status that people see: what its owner has not taken in yet is `pending`."""
        return "pending" if self.status == "active" and not self.taken else self.status

    def asked(self) -> Asked:
        """What somebody would ask for to get this very rule."""
        rule = self.rule
        return Asked(
            symbol=rule.symbol,
            conditions=self.conditions,
            trigger=rule.trigger,
            cooldown_s=rule.cooldown_s,
            hysteresis_pct=rule.hysteresis_pct,
            expires_at=rule.expires_at,
            message=rule.message,
            channels=self.channels,
            market_hours_only=rule.market_hours_only,
            snoozed_until=rule.snoozed_until,
        )


async def add_alert(
    session: AsyncSession, user_id: str, alert_id: str, draft: Draft, symbol: str, created_at: str
) -> None:
    """A new rule, `pending` until the owner of `symbol` has taken it in."""
    session.add(
        AlertRow(
            id=alert_id,
            user_id=user_id,
            version=1,
            revision=1,
            status="pending",
            created_at=created_at,
            deleted=False,
            **_new_state(),
            **_columns(draft, symbol),
        )
    )
    await _watch_symbol(session, symbol)


async def change_alert(session: AsyncSession, alert_id: str, draft: Draft, outcome: Outcome) -> None:
    """The rule as it is from now on, its new version where it begins anew; its owner has to take it in."""
    changes = _columns(draft, draft.symbol)
    changes |= {"status": outcome.status, "taken": False, "revision": AlertRow.revision + 1}
    if outcome.anew:
        changes |= {"version": AlertRow.version + 1, **_new_state()}
    await session.execute(update(_alerts).where(_alerts.c.id == alert_id).values(**changes))
    await _watch_symbol(session, draft.symbol)


async def alert_of(session: AsyncSession, user_id: str, alert_id: str, *, lock: bool = False) -> StoredAlert | None:
    """lock: nobody else changes it until the transaction ends."""
    asked = select(AlertRow).where(AlertRow.id == alert_id, AlertRow.user_id == user_id, ~AlertRow.deleted)
    row = await session.scalar(asked.with_for_update() if lock else asked)
    return None if row is None else _seen(row)


@dataclass(frozen=True, slots=True)
class Standing:
    """A rule with what its owner has checkpointed: of the rule, of the symbol (side), and up to which record."""

    alert: StoredAlert
    state: RuleState
    side: bytes
    epoch: str
    seq: int


async def standing_of(session: AsyncSession, user_id: str, alert_id: str) -> Standing | None:
    row = await session.scalar(
        select(AlertRow).where(AlertRow.id == alert_id, AlertRow.user_id == user_id, ~AlertRow.deleted)
    )
    if row is None:
        return None
    reader = ALERTS_ON_SIGNALS if row.source == "signals" else ALERTS
    seen = CHECKPOINTS.symbols.c
    found = (
        await session.execute(
            select(seen.epoch, seen.seq, seen.state).where(seen.reader == reader.name, seen.symbol == row.symbol)
        )
    ).first()
    epoch, seq, side = found or ("", 0, b"")
    return Standing(_seen(row), _decode_state(row.state), side, epoch, seq)


async def alerts_of(
    session: AsyncSession, user_id: str, after: int, limit: int, *, symbol: str = "", status: str = ""
) -> tuple[list[StoredAlert], int | None]:
    """A page, oldest first, and the number behind which the next one begins (None at the end).

    symbol, status (as shown): only those; empty = all.
    """
    asked = select(AlertRow).where(AlertRow.user_id == user_id, AlertRow.number > after, ~AlertRow.deleted)
    if symbol:
        asked = asked.where(AlertRow.symbol == symbol)
    if status:
        asked = asked.where(_shown_as(status))
    rows = list(await session.scalars(asked.order_by(AlertRow.number).limit(limit + 1)))
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


def _columns(draft: Draft, symbol: str) -> dict[str, Any]:
    """What its user decides about a rule, as it is stored."""
    return {
        "symbol": symbol,
        "conditions": encode_conditions(draft.conditions),
        "source": draft.source,
        "trigger": draft.trigger,
        "cooldown_s": draft.cooldown_s,
        "hysteresis_pct": draft.hysteresis_pct,
        "expires_at": draft.expires_at,
        "message": draft.message,
        "channels": _encode(draft.channels),
        "market_hours_only": draft.market_hours_only,
        "snoozed_until": draft.snoozed_until,
    }


def _new_state() -> dict[str, Any]:
    """Of a rule that begins: armed, counting from no record yet."""
    return {"taken": False, "active_from_epoch": None, "active_from_seq": None, "state": _encode(RuleState())}


async def _watch_symbol(session: AsyncSession, symbol: str) -> None:
    await session.execute(upsert(session, table_of(WatchedSymbolRow)).values(symbol=symbol).on_conflict_do_nothing())


def _shown_as(status: str) -> ColumnElement[bool]:
    """Rules whose `StoredAlert.shown` is `status`."""
    if status == "active":
        return (AlertRow.status == "active") & AlertRow.taken
    if status == "pending":
        return (AlertRow.status == "pending") | ((AlertRow.status == "active") & ~AlertRow.taken)
    return AlertRow.status == status


def _seen(row: AlertRow) -> StoredAlert:
    return StoredAlert(
        rule=rule_of(row),
        conditions=tuple(_decode_conditions(row.conditions)),
        status=cast(Status, row.status),
        channels=tuple(decode_channels(row.channels)),
        created_at=row.created_at,
        taken=row.taken,
    )


def rule_of(row: Any) -> Rule:
    """The rule in a row that has its columns."""
    return Rule(
        id=row.id,
        version=row.version,
        user_id=row.user_id,
        symbol=row.symbol,
        conditions=decode_conditions(row.conditions),
        trigger=cast(Trigger, row.trigger),
        cooldown_s=row.cooldown_s,
        hysteresis_pct=row.hysteresis_pct,
        expires_at=row.expires_at,
        message=row.message,
        market_hours_only=row.market_hours_only,
        snoozed_until=row.snoozed_until,
    )
