"""API keys, of which only the hash of the secret is stored."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.tables import AccountRow, ApiKeyRow, table_of

_keys: Final = table_of(ApiKeyRow)
_accounts: Final = table_of(AccountRow)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """scopes: words. Times are RFC 3339; expires_at None = never, last_used_at None = never yet."""

    id: str
    user_id: str
    name: str
    prefix: str
    hash: bytes
    scopes: tuple[str, ...]
    created_at: str
    expires_at: str | None
    last_used_at: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A key, and its account's role and version of tokens."""

    key: ApiKey
    role: str
    version: int


async def add(session: AsyncSession, key: ApiKey) -> None:
    session.add(
        ApiKeyRow(
            id=key.id,
            user_id=key.user_id,
            name=key.name,
            prefix=key.prefix,
            hash=key.hash,
            scopes=" ".join(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
        )
    )


async def by_prefix(session: AsyncSession, prefix: str) -> Found | None:
    statement = (
        select(_keys, _accounts.c.role, _accounts.c.token_version)
        .join(_accounts, _accounts.c.id == _keys.c.user_id)
        .where(_keys.c.prefix == prefix)
    )
    row = (await session.execute(statement)).first()
    return None if row is None else Found(_seen(row), row.role, row.token_version)


async def by_id(session: AsyncSession, user_id: str, key_id: str) -> ApiKey | None:
    row = (await session.execute(select(_keys).where(_keys.c.id == key_id, _keys.c.user_id == user_id))).first()
    return None if row is None else _seen(row)


async def of_user(
    session: AsyncSession, user_id: str, before: tuple[str, str] | None, limit: int
) -> tuple[list[ApiKey], tuple[str, str] | None]:
    """A page, newest first, and (created_at, id) of its last one (None at the end). before: where the last ended."""
    statement = select(_keys).where(_keys.c.user_id == user_id)
    if before is not None:
        statement = statement.where(tuple_(_keys.c.created_at, _keys.c.id) < before)
    newest = statement.order_by(_keys.c.created_at.desc(), _keys.c.id.desc()).limit(limit + 1)
    rows = (await session.execute(newest)).all()
    page = [_seen(row) for row in rows[:limit]]
    return page, (page[-1].created_at, page[-1].id) if len(rows) > limit else None


async def count(session: AsyncSession, user_id: str) -> int:
    return await session.scalar(select(func.count()).select_from(_keys).where(_keys.c.user_id == user_id)) or 0


async def used(session: AsyncSession, key_id: str, now: str) -> None:
    await session.execute(update(_keys).where(_keys.c.id == key_id).values(last_used_at=now))


async def remove(session: AsyncSession, user_id: str, key_id: str) -> bool:
    """False where there is none."""
    gone = delete(_keys).where(_keys.c.id == key_id, _keys.c.user_id == user_id).returning(_keys.c.id)
    return (await session.execute(gone)).first() is not None


async def remove_all(session: AsyncSession, user_id: str) -> int:
    """Removes those of a user; how many there were."""
    gone = delete(_keys).where(_keys.c.user_id == user_id).returning(_keys.c.id)
    return len((await session.execute(gone)).all())


def _seen(row: Any) -> ApiKey:
    return ApiKey(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        prefix=row.prefix,
        hash=row.hash,
        scopes=tuple(row.scopes.split()),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )
