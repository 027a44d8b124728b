"""A room's migrations make exactly the tables that its code uses, on both databases, and only once."""

import asyncio
import importlib
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection, text

from services.shared.config import SharedSettings
from services.shared.database import open_database
from services.shared.errors import StartFailed

ROOMS = ("stock_data", "prediction", "users")


@pytest.mark.parametrize("room", ROOMS)
async def test_migrations_and_tables_say_the_same(room: str, database_url: str | None, tmp_path: Path) -> None:
    metadata = importlib.import_module(f"services.{room}.tables").Base.metadata

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [each for each in compare_metadata(context, metadata) if "alembic_version" not in str(each)]

    database = open_database(settings(tmp_path, database_url), room)
    await asyncio.gather(*(database.migrate() for _ in range(3)))  # as replicas that start together do
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    database = open_database(settings(tmp_path, None), "users")
    await database.migrate()
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StartFailed, match="newer than this Tickroom"):
        await database.migrate()
    await database.close()


def settings(folder: Path, url: str | None) -> SharedSettings:
    return SharedSettings(data_dir=folder, database_url=url and SecretStr(url))
