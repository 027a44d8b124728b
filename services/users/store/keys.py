"""Idempotency keys, stored in the transaction that creates what they stand for."""

from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared.database import upsert
from services.users.tables import IdempotencyRow, RegistrationRow, table_of

_keys: Final = table_of(IdempotencyRow)
_registrations: Final = table_of(RegistrationRow)


async def made_before(session: AsyncSession, user_id: str, key: str) -> tuple[str, bytes] | None:
    """What this user has made with this key: (id, hash of the body)."""
    row = await session.get(IdempotencyRow, (user_id, key))
    return None if row is None else (row.made_id, row.body_hash)


async def remember(
    session: AsyncSession, user_id: str, key: str, made_id: str, body_hash: bytes, created_at: str
) -> bool:
    """Claims a key. False where it is taken, by a transaction that has been committed."""
    statement = upsert(session, _keys).values(
        user_id=user_id, key=key, made_id=made_id, body_hash=body_hash, created_at=created_at
    )
    claimed = await session.execute(statement.on_conflict_do_nothing().returning(_keys.c.key))
    return claimed.first() is not None


async def registered_before(session: AsyncSession, scope: bytes) -> tuple[str, bytes] | None:
    """The account that was made within this scope (a key of somebody without an account): (id, hash of the body)."""
    row = (await session.execute(select(_registrations).where(_registrations.c.scope == scope))).first()
    return None if row is None else (row.user_id, row.body_hash)


async def remember_registration(
    session: AsyncSession, scope: bytes, user_id: str, body_hash: bytes, created_at: str
) -> bool:
    """Claims a scope. False where it is taken, by a transaction that has been committed."""
    statement = upsert(session, _registrations).values(
        scope=scope, user_id=user_id, body_hash=body_hash, created_at=created_at
    )
    claimed = await session.execute(statement.on_conflict_do_nothing().returning(_registrations.c.scope))
    return claimed.first() is not None


async def forget(session: AsyncSession, made_before: str) -> None:
    """Deletes keys older than that."""
    for table in (_keys, _registrations):
        await session.execute(delete(table).where(table.c.created_at < made_before))
