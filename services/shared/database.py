"""One way to PostgreSQL (asyncpg) and SQLite (WAL): engines, transactions, migrations.

Each room has its own database: a schema of its name on PostgreSQL (by `search_path`), a file in DATA_DIR on SQLite.
"""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Table, event, make_url, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from services.shared import sqlite
from services.shared.config import SharedSettings
from services.shared.errors import StartFailed

_log = logging.getLogger("tickroom.database")
_TRUSTED_S = 1.0
_TAKE = text("SELECT pg_try_advisory_lock(hashtext(:lock))")
_LET_GO = text("SELECT pg_advisory_unlock(hashtext(:lock))")
_SERVICES = Path(__file__).resolve().parents[1]


class Database:
    """A room's database. Close it when done."""

    def __init__(
        self, engine: AsyncEngine, room: str, start_timeout_s: float = 60.0, inline: sqlite.Inline | None = None
    ) -> None:
        self.engine = engine
        self.room = room
        self.sqlite = engine.dialect.name == "sqlite"
        self._start_timeout_s = start_timeout_s
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        reading = engine.execution_options(tickroom_read=True)
        self._streams = async_sessionmaker(reading, expire_on_commit=False)
        # at READ COMMITTED each statement sees for itself anyway: to begin and to end would be two more turns
        self._alone = reading if self.sqlite else reading.execution_options(isolation_level="AUTOCOMMIT")
        self._readers = async_sessionmaker(self._alone, expire_on_commit=False)
        self._writing = asyncio.Lock()
        self._inline = inline

    @asynccontextmanager
    async def transaction(self, *, brief: bool = False) -> AsyncIterator[AsyncSession]:
        """A session whose work is committed at the end, or rolled back whole on an error. SQLite: one at a time.

        brief: nothing but Core statements that find their rows by an index; SQLite executes them in the event loop.
        """
        if self.sqlite:
            begin = self._inline.transaction if brief and self._inline else self._sessions.begin
            async with self._writing, begin() as session:
                yield session
        elif brief:
            async with self.engine.begin() as connection:
                yield cast(AsyncSession, _Statements(connection))
        else:
            async with self._sessions.begin() as session:
                yield session

    @asynccontextmanager
    async def reading(self, *, streams: bool = False, brief: bool = False) -> AsyncIterator[AsyncSession]:
        """A session for reading: it never waits for a writer. streams: for `session.stream` too; brief: as above."""
        if brief and self._inline is not None:
            async with self._inline.reading() as session:
                yield session
        elif brief:
            async with self._alone.connect() as connection:
                yield cast(AsyncSession, _Statements(connection))
        else:
            async with self._streams() if streams else self._readers() as session:
                yield session

    @asynccontextmanager
    async def holding(self, lock: str) -> AsyncIterator[AsyncSession | None]:
        """A session that commits each statement by itself, while no other process holds `lock`; None where one does.

        PostgreSQL only, and not through a pooler that hands connections on between statements. A process that dies
        lets go of its locks.
        """
        async with self.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            async with AsyncSession(connection) as session:
                if not await session.scalar(_TAKE, {"lock": lock}):
                    yield None
                    return
                try:
                    yield session
                    await session.execute(_LET_GO, {"lock": lock})
                except BaseException:
                    await connection.invalidate()  # and with it the lock
                    raise

    async def migrate(self) -> None:
        """Brings the tables to the newest version, waiting for the server first. Raises StartFailed."""
        await self._wait()
        async with _one_migration():
            await self._upgrade()

    async def _upgrade(self) -> None:
        head = max(path.name.split("_")[0] for path in versions(self.room).glob("[0-9]*.py"))
        async with self.engine.begin() as connection:
            if not self.sqlite:
                # several replicas may start at once
                await connection.execute(
                    text("SELECT pg_advisory_xact_lock(hashtext(:room))"), {"room": f"tickroom {self.room}"}
                )
                await connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{self.room}"'))
            current = await connection.run_sync(_current_version)
            if current is not None and current > head:
                raise StartFailed(
                    f"the database of {self.room} is at version {current}, newer than this Tickroom ({head})"
                )
            if current != head:
                await connection.run_sync(_run_alembic, self.room)

    async def close(self) -> None:
        if self._inline is not None:
            await self._inline.close()
        await self.engine.dispose()

    async def _wait(self) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        said = False
        while True:
            try:
                async with self.engine.connect() as connection:
                    await connection.execute(text("SELECT 1"))
                return
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                where = self.engine.url.render_as_string(hide_password=True)
                reason = str(getattr(error, "orig", None) or error).splitlines()[0]
                if self.sqlite or time.monotonic() >= deadline:
                    name = "DATA_DIR" if self.sqlite else "DATABASE_URL"
                    raise StartFailed(f"{name}: {where} can't be used: {reason}") from None
                if not said:
                    _log.info("waiting for the database at %s (%g s at most)", where, self._start_timeout_s)
                    said = True
                await asyncio.sleep(0.5)


class _Statements:
    """What stores use of an AsyncSession, for Core statements."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.execute = connection.execute
        self.scalars = connection.scalars
        self.scalar = connection.scalar

    def get_bind(self) -> AsyncConnection:
        return self._connection


def open_database(settings: SharedSettings, room: str) -> Database:
    """The room's database by DATABASE_URL, else a SQLite file in DATA_DIR. Connects at first use."""
    if settings.database_url is not None:
        url = make_url(
            re.sub(
                r"^postgres(ql)?(\+asyncpg)?://",
                "postgresql+asyncpg://",
                settings.database_url.get_secret_value(),
            )
        )
        options: dict[str, Any] = {
            "server_settings": {
                "search_path": room,
                "application_name": f"tickroom {room}",
                # a machine that vanished says no goodbye: after 25 s the server lets go of its locks
                "tcp_keepalives_idle": "10",
                "tcp_keepalives_interval": "5",
                "tcp_keepalives_count": "3",
            },
            "timeout": 10,
            "command_timeout": 30,
        }
        engine = create_async_engine(url, pool_size=8, max_overflow=8, hide_parameters=True, connect_args=options)
        _ask_after_a_pause(engine)
        inline = None
    else:
        try:
            settings.data_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartFailed(f"DATA_DIR: {settings.data_dir} can't be used: {error.strerror}") from None
        file = settings.data_dir / f"{room}.sqlite"
        engine = create_async_engine(f"sqlite+aiosqlite:///{file}", hide_parameters=True)
        sqlite.tune(engine.sync_engine)
        inline = sqlite.Inline(file)
    return Database(engine, room, settings.start_timeout_s, inline)


def upsert(session: AsyncSession, table: Table | Any) -> Any:
    """INSERT that knows `on_conflict_do_nothing` and `on_conflict_do_update`, in the session's dialect."""
    dialect = sqlite_dialect if session.get_bind().dialect.name == "sqlite" else postgresql
    return dialect.insert(table)


def is_passing(error: BaseException) -> bool:
    """May the same work succeed later? True where the server was away or a transaction lost against another."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or ""
        # classes 08 connection, 40 rollback, 53 resources, 57 operator intervention, 55 not available
        return (
            error.connection_invalidated
            or state[:2] in {"08", "40", "53", "55", "57"}
            or "locked" in str(error.orig)
            or isinstance(error.orig, OSError)
        )
    return isinstance(error, OSError | TimeoutError)


_migrating: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


def _one_migration() -> asyncio.Lock:
    """Alembic keeps the migration in hand in a global of the process: rooms that share one must take turns."""
    return _migrating.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def versions(room: str) -> Path:
    """The folder of a room's migrations."""
    return _SERVICES / room / "migrations" / "versions"


def _ask_after_a_pause(engine: AsyncEngine) -> None:
    """What SQLAlchemy's `pool_pre_ping` does, but not for connections that have just been used: it takes three turns.

    A server that went away meanwhile is noticed by the work itself, which is tried again like after any outage.
    """
    dialect = engine.sync_engine.dialect

    @event.listens_for(engine.sync_engine, "checkin")
    def checked_in(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def checked_out(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        if time.monotonic() - record.info.get("used_at", time.monotonic()) > _TRUSTED_S:
            try:
                dialect.do_ping(connection)
            except Exception as error:
                raise InvalidatePoolError from error


def _current_version(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version", schema=None):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return None if found is None else str(found)


def _run_alembic(connection: Connection, room: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("version_locations", str(versions(room)))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
