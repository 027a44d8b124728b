"""SQLite: how its connections are set up, and transactions of a few small statements without a thread for each step.

aiosqlite hands every call of the driver to a thread and back, half a dozen for one statement: on a busy event loop a
transaction of ten statements took 50 ms, of which SQLite itself worked less than one. Statements on a row or two are
done in tens of microseconds; only what waits for the disk (COMMIT) or for another process that writes needs a thread,
and what writes many rows.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, CursorResult, Engine, Executable, ScalarResult, create_engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

T = TypeVar("T")
_PATIENCE_MS: Final = 10_000
_AT_ONCE: Final = 100  # rows written, a millisecond or two
_Params = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


def tune(engine: Engine) -> None:
    """Every connection writes ahead and durably, and says BEGIN by itself; `tickroom_read`: of readers."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_PATIENCE_MS}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def began(connection: Connection) -> None:
        # a deferred transaction that reads and then writes fails at once when another wrote in between
        connection.exec_driver_sql(
            "BEGIN" if connection.get_execution_options().get("tickroom_read") else "BEGIN IMMEDIATE"
        )


class _Statements:
    """What stores use of an AsyncSession, for Core statements: each is done before anybody else has a turn.

    Save for those with many rows, which go aside.
    """

    def __init__(self, connection: Connection, aside: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        self._connection = connection
        self._aside = aside

    async def execute(self, statement: Executable, params: _Params = None) -> CursorResult[Any]:
        return await self._do(lambda: self._connection.execute(statement, params), params)

    async def scalars(self, statement: Executable, params: _Params = None) -> ScalarResult[Any]:
        return await self._do(lambda: self._connection.scalars(statement, params), params)

    async def scalar(self, statement: Executable, params: Mapping[str, Any] | None = None) -> Any:
        return self._connection.scalar(statement, params)

    def get_bind(self) -> Connection:
        return self._connection

    async def _do(self, work: Callable[[], T], params: _Params) -> T:
        if isinstance(params, Sequence) and len(params) > _AT_ONCE:
            done: T = await self._aside(work)
            return done
        return work()


class Inline:
    """A file, by one connection that writes and one that reads, whose statements are executed in the event loop."""

    def __init__(self, file: Path) -> None:
        self._engine = create_engine(
            f"sqlite:///{file}", hide_parameters=True, connect_args={"check_same_thread": False}
        )
        tune(self._engine)
        self._thread = ThreadPoolExecutor(1, "sqlite")
        self._writer: Connection | None = None
        self._reader: Connection | None = None
        self._closed = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """As `Database.transaction`. One at a time: whoever calls sees to that."""
        if self._writer is None:
            self._writer = await self._aside(self._connect_writer)
        writer = self._writer
        try:
            try:
                writer.begin()
            except OperationalError:  # another process writes just now
                await self._aside(lambda: self._wait_and_begin(writer))
            yield self._session(writer)
            await self._aside(writer.commit)
        finally:
            if writer.in_transaction() or _is_open(writer):
                await self._aside(lambda: _roll_back(writer))

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """As `Database.reading`."""
        if self._reader is None:
            self._reader = await self._aside(self._connect_reader)
        try:
            yield self._session(self._reader)
        finally:
            self._reader.rollback()

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._aside(self._close)
            self._thread.shutdown()

    def _session(self, connection: Connection) -> AsyncSession:
        return cast(AsyncSession, _Statements(connection, self._aside))

    def _connect_writer(self) -> Connection:
        writer = self._engine.connect()
        _be_patient(writer, 0)
        return writer

    def _wait_and_begin(self, writer: Connection) -> None:
        _be_patient(writer, _PATIENCE_MS)
        try:
            writer.begin()
        finally:
            _be_patient(writer, 0)

    def _connect_reader(self) -> Connection:
        return self._engine.connect().execution_options(tickroom_read=True)

    def _close(self) -> None:
        for connection in (self._writer, self._reader):
            if connection is not None:
                connection.close()
        self._engine.dispose()

    async def _aside(self, step: Callable[[], T]) -> T:
        """In the thread. Who is cancelled meanwhile waits until it is done: nothing goes on behind their back."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, step)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running})
            raise


def _is_open(connection: Connection) -> bool:
    """Where a COMMIT fails, SQLAlchemy's transaction has ended, and the file's has not."""
    return bool(connection.connection.dbapi_connection.in_transaction)  # type: ignore[union-attr]


def _roll_back(connection: Connection) -> None:
    connection.rollback()
    connection.connection.rollback()


def _be_patient(connection: Connection, for_ms: int) -> None:
    """How long to wait for other processes that write."""
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={for_ms}")
    cursor.close()
