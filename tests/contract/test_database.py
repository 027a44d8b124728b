"""Connections to PostgreSQL that were lost while nobody used them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.shared import database
from services.shared.config import SharedSettings
from services.shared.database import Database, is_passing, open_database

_END_THE_OTHERS = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND datname = current_database() AND usename = current_user
"""


async def ask(opened: Database, query: str = "SELECT 1") -> object:
    async with opened.reading() as session:
        return await session.scalar(text(query))


@pytest.fixture
async def lost(tmp_path: Path, postgres_url: str) -> AsyncIterator[Database]:
    """Its only connection, which is in the pool, has been ended by the server."""
    settings = SharedSettings(data_dir=tmp_path, database_url=SecretStr(postgres_url))
    opened, other = open_database(settings, "users"), open_database(settings, "users")
    assert await ask(opened) == 1
    assert await ask(other, _END_THE_OTHERS) is True
    await other.close()
    yield opened
    await opened.close()


async def test_after_a_pause_it_is_replaced(lost: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_TRUSTED_S", 0.0)
    assert await ask(lost) == 1


async def test_right_after_its_use_it_fails_once(lost: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_TRUSTED_S", 60.0)
    with pytest.raises(DBAPIError) as failure:
        await ask(lost)
    assert is_passing(failure.value)
    assert await ask(lost) == 1
