"""Accounts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.shared.database import upsert
from services.users.tables import AccountRow, table_of

_accounts: Final = table_of(AccountRow)


@dataclass(frozen=True, slots=True)
class Account:
    """email: in the form of `core.accounts.same_email`; preferences: a JSON object; role: user, operator.

    Times are RFC 3339. An account that was closed is not found any more.
    """

    id: str
    name: str
    email: str
    password_hash: str
    token_version: int
    preferences: str
    created_at: str
    role: str = "user"
    email_verified_at: str | None = None


async def add_account(session: AsyncSession, account: Account) -> bool:
    """False where the address is taken; nothing is changed then."""
    statement = upsert(session, _accounts).values(
        id=account.id,
        name=account.name,
        email=account.email,
        password_hash=account.password_hash,
        token_version=account.token_version,
        preferences=account.preferences,
        created_at=account.created_at,
        role=account.role,
    )
    added = await session.execute(statement.on_conflict_do_nothing(index_elements=["email"]).returning(AccountRow.id))
    return added.first() is not None


async def account_by_email(session: AsyncSession, email: str) -> Account | None:
    return _account(await session.scalar(_open().where(AccountRow.email == email)))


async def account_by_id(session: AsyncSession, user_id: str) -> Account | None:
    return _account(await session.scalar(_open().where(AccountRow.id == user_id)))


async def lock_account(session: AsyncSession, user_id: str) -> Account | None:
    """Holds the account until the transaction ends, so that two of its user's requests count alike."""
    return _account(await session.scalar(_open().where(AccountRow.id == user_id).with_for_update()))


async def change_account(session: AsyncSession, user_id: str, changes: Mapping[str, str | None]) -> Account:
    """Sets columns. Raises sqlalchemy's IntegrityError where the new address is taken."""
    statement = update(_accounts).where(_accounts.c.id == user_id).values(**changes).returning(_accounts)
    return _seen((await session.execute(statement)).one())


def _open() -> Select[AccountRow]:
    return select(AccountRow).where(AccountRow.closed_at.is_(None))


def _account(row: AccountRow | None) -> Account | None:
    return None if row is None else _seen(row)


def _seen(row: Any) -> Account:
    return Account(
        id=row.id,
        name=row.name,
        email=row.email,
        password_hash=row.password_hash,
        token_version=row.token_version,
        preferences=row.preferences,
        created_at=row.created_at,
        role=row.role,
        email_verified_at=row.email_verified_at,
    )
