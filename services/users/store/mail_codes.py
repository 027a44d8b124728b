"""Codes that were sent by mail. Each is good once, for a while, and for the address that it was sent to."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.tables import MailCodeRow, table_of

_codes: Final = table_of(MailCodeRow)

Purpose = Literal["verify", "reset"]


@dataclass(frozen=True, slots=True)
class MailCode:
    """expires_at: RFC 3339."""

    hash: bytes
    user_id: str
    purpose: Purpose
    email: str
    expires_at: str


async def replace(session: AsyncSession, code: MailCode) -> None:
    """The newest code of a purpose is the only one."""
    await forget_of(session, code.user_id, code.purpose)
    session.add(
        MailCodeRow(
            hash=code.hash,
            user_id=code.user_id,
            purpose=code.purpose,
            email=code.email,
            expires_at=code.expires_at,
        )
    )


async def find(session: AsyncSession, code_hash: bytes, purpose: Purpose) -> MailCode | None:
    found = select(_codes).where(_codes.c.hash == code_hash, _codes.c.purpose == purpose)
    return _seen((await session.execute(found)).first())


async def take(session: AsyncSession, code_hash: bytes, purpose: Purpose) -> MailCode | None:
    """The code, which is gone by that: of two who show it, one gets it."""
    gone = delete(_codes).where(_codes.c.hash == code_hash, _codes.c.purpose == purpose).returning(_codes)
    return _seen((await session.execute(gone)).first())


async def forget_of(session: AsyncSession, user_id: str, purpose: Purpose | None = None) -> None:
    """Those of a user, of one purpose or of all."""
    gone = delete(_codes).where(_codes.c.user_id == user_id)
    await session.execute(gone if purpose is None else gone.where(_codes.c.purpose == purpose))


async def forget(session: AsyncSession, now: str) -> None:
    """Deletes those that are too old."""
    await session.execute(delete(_codes).where(_codes.c.expires_at <= now))


def _seen(row: Any) -> MailCode | None:
    return None if row is None else MailCode(row.hash, row.user_id, row.purpose, row.email, row.expires_at)
