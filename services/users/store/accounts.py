"""Accounts and sessions."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared.database import upsert
from services.users.tables import AccountRow, SessionRow, table_of


@dataclass(frozen=True, slots=True)
class Account:
    """email: in the form of `core.accounts.same_email`; preferences: a JSON object; created_at: RFC 3339."""

    id: str
    name: str
    email: str
    password_hash: str
    token_version: int
    preferences: str
    created_at: str


@dataclass(frozen=True, slots=True)
class Session:
    """One login; `refresh_hash` is of its newest refresh token. Times are RFC 3339."""

    id: str
    user_id: str
    refresh_hash: bytes
    created_at: str
    expires_at: str


async def add_account(session: AsyncSession, account: Account) -> bool:
    """False where the address is taken; nothing is changed then."""
    statement = upsert(session, table_of(AccountRow)).values(
        id=account.id,
        name=account.name,
        email=account.email,
        password_hash=account.password_hash,
        token_version=account.token_version,
        preferences=account.preferences,
        created_at=account.created_at,
    )
    added = await session.execute(statement.on_conflict_do_nothing(index_elements=["email"]).returning(AccountRow.id))
    return added.first() is not None


async def account_by_email(session: AsyncSession, email: str) -> Account | None:
    return _account(await session.scalar(select(AccountRow).where(AccountRow.email == email)))


async def account_by_id(session: AsyncSession, user_id: str) -> Account | None:
    return _account(await session.get(AccountRow, user_id))


async def lock_account(session: AsyncSession, user_id: str) -> bool:
    """Holds the account until the transaction ends, so that two of its user's requests count alike. False: unknown."""
    found = await session.scalar(select(AccountRow.id).where(AccountRow.id == user_id).with_for_update())
    return found is not None


async def add_session(session: AsyncSession, login: Session) -> None:
    session.add(
        SessionRow(
            id=login.id,
            user_id=login.user_id,
            refresh_hash=login.refresh_hash,
            created_at=login.created_at,
            last_used_at=login.created_at,
            expires_at=login.expires_at,
            revoked_at=None,
        )
    )


async def is_current(session: AsyncSession, user_id: str, session_id: str, token_version: int) -> bool:
    """Has neither the account's token version moved on nor the session been revoked?"""
    found = await session.scalar(
        select(AccountRow.id)
        .join(SessionRow, SessionRow.user_id == AccountRow.id)
        .where(
            AccountRow.id == user_id,
            AccountRow.token_version == token_version,
            SessionRow.id == session_id,
            SessionRow.revoked_at.is_(None),
        )
    )
    return found is not None


def _account(row: AccountRow | None) -> Account | None:
    if row is None:
        return None
    return Account(
        id=row.id,
        name=row.name,
        email=row.email,
        password_hash=row.password_hash,
        token_version=row.token_version,
        preferences=row.preferences,
        created_at=row.created_at,
    )
