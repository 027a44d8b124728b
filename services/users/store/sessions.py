"""Logins and the tickets made from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, Table, delete, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.core.sessions import Family
from services.users.tables import AccountRow, ApiKeyRow, SessionRow, TicketRow, table_of

_sessions: Final = table_of(SessionRow)
_accounts: Final = table_of(AccountRow)
_keys: Final = table_of(ApiKeyRow)
_tickets: Final = table_of(TicketRow)

Ref = tuple[str, str, int]
"""(user, login, version of the account's tokens)"""


@dataclass(frozen=True, slots=True)
class Session:
    """One login; `refresh_hash` is of its newest refresh token. Times are RFC 3339."""

    id: str
    user_id: str
    refresh_hash: bytes
    created_at: str
    expires_at: str
    device: str = ""
    last_used_at: str = ""


@dataclass(frozen=True, slots=True)
class Ticket:
    """`Ref` and end (UNIX seconds) of the token that it was made with. expires_at: of itself, RFC 3339."""

    hash: bytes
    ref: Ref
    token_expires_at: int
    expires_at: str


async def add_session(session: AsyncSession, login: Session) -> None:
    session.add(
        SessionRow(
            id=login.id,
            user_id=login.user_id,
            refresh_hash=login.refresh_hash,
            created_at=login.created_at,
            last_used_at=login.created_at,
            expires_at=login.expires_at,
            device=login.device,
        )
    )


async def lock_family(session: AsyncSession, session_id: str) -> tuple[str, Family] | None:
    """(user, refresh tokens) of a login, held until the transaction ends: of two refreshes one comes second."""
    row = await session.scalar(select(SessionRow).where(SessionRow.id == session_id).with_for_update())
    if row is None:
        return None
    return row.user_id, Family(row.refresh_hash, row.previous_hash, row.rotated_at, row.expires_at, row.revoked_at)


async def rotate(session: AsyncSession, session_id: str, newest: bytes, now: str, expires_at: str) -> None:
    """The newest refresh token becomes the one before, used up now."""
    await session.execute(
        update(_sessions)
        .where(_sessions.c.id == session_id)
        .values(
            refresh_hash=newest,
            previous_hash=_sessions.c.refresh_hash,
            rotated_at=now,
            last_used_at=now,
            expires_at=expires_at,
        )
    )


async def revoke(session: AsyncSession, user_id: str, session_id: str, now: str) -> bool:
    """Ends one login. False where there is none that is worth something."""
    statement = (
        update(_sessions)
        .where(_sessions.c.id == session_id, _sessions.c.user_id == user_id, _sessions.c.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(_sessions.c.id)
    )
    return (await session.execute(statement)).first() is not None


async def revoke_all(session: AsyncSession, user_id: str, now: str) -> int:
    """Ends every login of a user; returns the new version of the account's tokens. The account must be locked."""
    await session.execute(
        update(_sessions).where(_sessions.c.user_id == user_id, _sessions.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    statement = (
        update(_accounts)
        .where(_accounts.c.id == user_id)
        .values(token_version=_accounts.c.token_version + 1)
        .returning(_accounts.c.token_version)
    )
    return int((await session.execute(statement)).scalar_one())


async def sessions_of(
    session: AsyncSession, user_id: str, now: str, before: tuple[str, str] | None, limit: int
) -> tuple[list[Session], tuple[str, str] | None]:
    """A page of logins that are worth something, newest first, and (created_at, id) of its last one (None at the end).

    before: where the page before ended.
    """
    statement = select(SessionRow).where(
        SessionRow.user_id == user_id, SessionRow.revoked_at.is_(None), SessionRow.expires_at > now
    )
    if before is not None:
        statement = statement.where(tuple_(SessionRow.created_at, SessionRow.id) < before)
    newest = statement.order_by(SessionRow.created_at.desc(), SessionRow.id.desc()).limit(limit + 1)
    rows = list(await session.scalars(newest))
    page = [
        Session(row.id, row.user_id, row.refresh_hash, row.created_at, row.expires_at, row.device, row.last_used_at)
        for row in rows[:limit]
    ]
    return page, (page[-1].created_at, page[-1].id) if len(rows) > limit else None


async def valid(session: AsyncSession, refs: Sequence[Ref]) -> dict[Ref, str]:
    """Those (logins, or API keys) that are still worth something, with the role of their user."""
    ids = {session_id for _, session_id, _ in refs}
    logins = _holders(_sessions).where(_sessions.c.id.in_(ids), _sessions.c.revoked_at.is_(None))
    rows = await session.execute(logins.union_all(_holders(_keys).where(_keys.c.id.in_(ids))))
    found: dict[Ref, str] = {(row.user_id, row.id, row.token_version): row.role for row in rows}
    return {ref: found[ref] for ref in refs if ref in found}


def _holders(table: Table) -> Select[Any]:
    return select(table.c.user_id, table.c.id, _accounts.c.token_version, _accounts.c.role).join(
        _accounts, _accounts.c.id == table.c.user_id
    )


async def add_ticket(session: AsyncSession, ticket: Ticket) -> None:
    user_id, session_id, version = ticket.ref
    session.add(
        TicketRow(
            hash=ticket.hash,
            user_id=user_id,
            session_id=session_id,
            version=version,
            token_expires_at=ticket.token_expires_at,
            expires_at=ticket.expires_at,
        )
    )


async def take_ticket(session: AsyncSession, ticket_hash: bytes) -> Ticket | None:
    """The ticket, which is gone by that: of two who ask, one gets it."""
    row = (await session.execute(delete(_tickets).where(_tickets.c.hash == ticket_hash).returning(_tickets))).first()
    if row is None:
        return None
    return Ticket(row.hash, (row.user_id, row.session_id, row.version), row.token_expires_at, row.expires_at)


async def forget(session: AsyncSession, *, now: str, ended_before: str) -> None:
    """Deletes tickets that are too old by now, and logins that ended (or were ended) before `ended_before`."""
    await session.execute(delete(_tickets).where(_tickets.c.expires_at <= now))
    await session.execute(
        delete(_sessions).where((_sessions.c.expires_at < ended_before) | (_sessions.c.revoked_at < ended_before))
    )
