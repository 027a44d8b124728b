"""Accounts whose people have gone: everything of theirs goes."""

from typing import Final

from sqlalchemy import delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.tables import AccountRow, AlertRow, Base, NotificationRow, table_of

_accounts: Final = table_of(AccountRow)
_alerts: Final = table_of(AlertRow)
_notifications: Final = table_of(NotificationRow)
_channels: Final = Base.metadata.tables["channels"]
_OTHERWISE: Final = {_accounts, _alerts, _notifications}


async def close(session: AsyncSession, user_id: str, now: str) -> None:
    """Nothing of the user is left but the account's bare row, and the rules until their owner has let them go.

    What the gateways are told of the end of logins stays for a day.
    """
    await _clear(session, user_id)
    await session.execute(
        update(_alerts).where(_alerts.c.user_id == user_id, ~_alerts.c.deleted).values(deleted=True, taken=False)
    )
    nobody = {"email": f"closed {user_id}", "name": "", "password_hash": "", "preferences": "{}"}
    gone = update(_accounts).where(_accounts.c.id == user_id)
    await session.execute(gone.values(**nobody, email_verified_at=None, closed_at=now))


async def finish(session: AsyncSession) -> None:
    """Deletes closed accounts whose rules have been let go."""
    waiting = exists().where(_alerts.c.user_id == _accounts.c.id)
    done = select(_accounts.c.id).where(_accounts.c.closed_at.is_not(None), ~waiting)
    for user_id in list(await session.scalars(done)):
        await _clear(session, user_id)  # what fired while the account was closed
        await session.execute(delete(_accounts).where(_accounts.c.id == user_id))


async def is_there(session: AsyncSession, user_id: str) -> bool:
    """Is there still a row?"""
    return await session.scalar(select(_accounts.c.id).where(_accounts.c.id == user_id)) is not None


async def _clear(session: AsyncSession, user_id: str) -> None:
    """Deletes every row that names the user, or a channel of theirs."""
    mine = select(_channels.c.id).where(_channels.c.user_id == user_id)
    for table in reversed(Base.metadata.sorted_tables):
        if "channel_id" in table.c and "user_id" not in table.c:
            await session.execute(delete(table).where(table.c.channel_id.in_(mine)))
    for table in reversed(Base.metadata.sorted_tables):
        if "user_id" in table.c and table not in _OTHERWISE:
            await session.execute(delete(table).where(table.c.user_id == user_id))
    shown = _notifications.c.shown
    await session.execute(delete(_notifications).where(_notifications.c.user_id == user_id, shown))
