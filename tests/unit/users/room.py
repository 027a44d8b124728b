"""What tests of the whole room need: its database, somebody to own rules, rules as they are asked for."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import select

from services.shared.database import Database, open_database
from services.shared.events import AccountUpdated, AlertTriggered, decode_notification, rfc3339
from services.users.config import Settings
from services.users.core.asked import Asked, AskedCondition
from services.users.core.drafts import Draft, checked
from services.users.store import accounts, alerts
from services.users.store.accounts import Account
from services.users.tables import FiringRow, NotificationRow
from tests.unit.users.ticks import START

CREATED = rfc3339(START)


def settings_of(folder: Path, database_url: str | None, **others: object) -> Settings:
    """Settings with the database of the test, embedded Kafka, and nothing from the environment's `.env`."""
    url = database_url and SecretStr(database_url)
    return Settings.model_validate({"data_dir": folder, "database_url": url, **others})


@asynccontextmanager
async def migrated(settings: Settings) -> AsyncIterator[Database]:
    database = open_database(settings, "users")
    try:
        await database.migrate()
        yield database
    finally:
        await database.close()


async def add_user(database: Database, name: str = "ada") -> str:
    """An account; its id."""
    user_id = str(uuid.uuid4())
    async with database.transaction() as session:
        await accounts.add_account(session, Account(user_id, name, f"{name}@example.org", "no hash", 1, "{}", CREATED))
    return user_id


def draft(
    kind: str = "crossing_up", threshold: float = 150.0, *, every_time: bool = True, symbol: str = "AAPL"
) -> Draft:
    trigger = "every_time" if every_time else "once"
    return checked(Asked(symbol=symbol, conditions=(AskedCondition(kind, threshold),), trigger=trigger))


async def add_rule(database: Database, user_id: str, wish: Draft | None = None) -> str:
    """A rule that nobody has taken in yet; its id."""
    wish = wish or draft()
    alert_id = str(uuid.uuid4())
    async with database.transaction() as session:
        await alerts.add_alert(session, user_id, alert_id, wish, wish.symbol, CREATED)
    return alert_id


async def firings(database: Database) -> list[tuple[str, str, int]]:
    """(rule, epoch, seq) of everything that fired and was stored, sorted."""
    async with database.reading() as session:
        rows = await session.execute(select(FiringRow.alert_id, FiringRow.epoch, FiringRow.seq))
        return sorted((alert_id, epoch, seq) for alert_id, epoch, seq in rows)


async def outbox(database: Database) -> list[AlertTriggered | AccountUpdated]:
    """Every notification, in the order of their numbers."""
    async with database.reading() as session:
        rows = await session.scalars(select(NotificationRow.event).order_by(NotificationRow.number))
        return [decode_notification(event) for event in rows]


async def until(true: Callable[[], Awaitable[bool]], within_s: float = 15.0) -> None:
    """Waits for something that nobody announces."""
    async with asyncio.timeout(within_s):
        while not await true():  # noqa: ASYNC110 (nobody announces it)
            await asyncio.sleep(0.02)
