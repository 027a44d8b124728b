"""Deletes what nobody asks for any more."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from services.shared.database import Database
from services.shared.events import rfc3339
from services.users.store import closing, keys, mail_codes, notifications, sessions

ENDED: Final = timedelta(days=1)
"""So long an ended login is kept: an access token, which lives a day at most, has not outlived it then."""

KEYS: Final = timedelta(days=7)
"""So long an idempotency key is known."""

_EVERY_S: Final = 600.0

_log = logging.getLogger("tickroom.users.housekeeping")


async def keep_house(database: Database, now: Callable[[], datetime], every_s: float = _EVERY_S) -> None:
    """Tidies up every so often, until it is cancelled. Every process may: what is gone is gone."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await tidy(database, now())
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            _log.warning("could not tidy up: %s", type(error).__name__)


async def tidy(database: Database, now: datetime) -> None:
    """Deletes used-up tickets, ended logins and the news of their end, old codes, keys, and closed accounts."""
    ended = rfc3339(now - ENDED)
    async with database.transaction() as session:
        await sessions.forget(session, now=rfc3339(now), ended_before=ended)
        await notifications.forget_revocations(session, ended)
        await keys.forget(session, rfc3339(now - KEYS))
        await mail_codes.forget(session, rfc3339(now))
        await closing.finish(session)
