"""Brief transactions, whose statements SQLite executes in the event loop: the same promises as of all others."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.shared import bulk, sqlite
from services.shared.config import SharedSettings
from services.shared.database import Database, open_database


@pytest.fixture
async def database(tmp_path: Path, database_url: str | None) -> AsyncIterator[Database]:
    url = None if database_url is None else SecretStr(database_url)
    opened = open_database(SharedSettings(data_dir=tmp_path, database_url=url), "users")
    await opened.migrate()
    async with opened.transaction() as session:
        await session.execute(text("CREATE TABLE numbers (number integer PRIMARY KEY)"))
    yield opened
    await opened.close()


async def _add(database: Database, *numbers: int, brief: bool = True) -> None:
    async with database.transaction(brief=brief) as session:
        for number in numbers:
            await session.execute(text("INSERT INTO numbers VALUES (:number)"), {"number": number})


async def _numbers(database: Database, *, brief: bool = True) -> list[int]:
    async with database.reading(brief=brief) as session:
        return list(await session.scalars(text("SELECT number FROM numbers ORDER BY number")))


async def test_what_it_commits_everybody_sees(database: Database) -> None:
    await _add(database, 1, 2)
    assert await _numbers(database) == await _numbers(database, brief=False) == [1, 2]
    await _add(database, 3, brief=False)
    assert await _numbers(database) == [1, 2, 3]
    async with database.transaction(brief=True) as session:
        assert await session.scalar(text("SELECT count(*) FROM numbers WHERE number > :above"), {"above": 1}) == 2
        assert bulk.takes_columns(session) is not database.sqlite


async def test_many_rows_at_once_leave_the_event_loop_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = open_database(SharedSettings(data_dir=tmp_path), "users")
    aside: list[int] = []
    original = sqlite.Inline._aside

    async def counted(inline: sqlite.Inline, step: Callable[[], Any]) -> Any:
        aside.append(1)
        return await original(inline, step)

    monkeypatch.setattr(sqlite.Inline, "_aside", counted)
    async with database.transaction(brief=True) as session:
        await session.execute(text("CREATE TABLE numbers (number integer PRIMARY KEY)"))
        aside.clear()
        for count, seen in ((100, 0), (101, 1)):
            rows = [{"number": 1000 * count + number} for number in range(count)]
            await session.execute(text("INSERT INTO numbers VALUES (:number)"), rows)
            assert len(aside) == seen
    assert len(await _numbers(database)) == 201
    await database.close()


async def test_on_an_error_nothing_of_it_stays(database: Database) -> None:
    await _add(database, 1)
    with pytest.raises(IntegrityError):
        await _add(database, 2, 1)
    assert await _numbers(database) == [1]
    await _add(database, 4)
    assert await _numbers(database) == [1, 4]


async def test_where_the_commit_fails_nothing_of_it_stays(database: Database) -> None:
    async with database.transaction() as session:
        parent = "integer REFERENCES numbers DEFERRABLE INITIALLY DEFERRED"
        await session.execute(text(f"CREATE TABLE children (parent {parent})"))
    for _ in range(2):
        with pytest.raises(IntegrityError):
            async with database.transaction(brief=True) as session:
                await session.execute(text("INSERT INTO children VALUES (7)"))
    await asyncio.wait_for(_add(database, 7), 5)
    assert await _numbers(database) == [7]


async def test_whoever_is_cancelled_leaves_all_or_nothing_and_nobody_waits(database: Database) -> None:
    for first in range(0, 200, 2):
        adding = asyncio.create_task(_add(database, first, first + 1))
        for _ in range(first % 20):
            await asyncio.sleep(0)
        adding.cancel()
        await asyncio.gather(adding, return_exceptions=True)
    found = await asyncio.wait_for(_numbers(database), 5)
    assert [number for number in found if number % 2 == 0] == [number - 1 for number in found if number % 2]
    await asyncio.wait_for(_add(database, 1000), 5)


async def test_many_at_once_take_turns(database: Database) -> None:
    await asyncio.gather(*(_add(database, number, brief=number % 2 == 0) for number in range(50)))
    assert await _numbers(database) == list(range(50))


async def test_another_process_that_writes_is_waited_for_and_the_loop_goes_on(tmp_path: Path) -> None:
    database = open_database(SharedSettings(data_dir=tmp_path), "users")
    async with database.transaction(brief=True) as session:
        await session.execute(text("CREATE TABLE numbers (number integer PRIMARY KEY)"))
    other = sqlite3.connect(tmp_path / "users.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO numbers VALUES (1)")
    leaving = threading.Timer(0.5, other.execute, ["COMMIT"])
    leaving.start()
    adding = asyncio.create_task(_add(database, 2))
    turns, begun = 0, time.monotonic()
    while not adding.done():
        await asyncio.sleep(0.01)
        turns += 1
    await adding
    assert time.monotonic() - begun > 0.3
    assert turns > 10
    leaving.join()
    other.close()
    assert await _numbers(database) == [1, 2]
    await database.close()
