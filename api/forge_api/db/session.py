"""The database: sessions for reading and for writing, migrations, a ping.

SQLite as it must be set up to be one: write-ahead log (readers do not wait for the writer), foreign keys, a wait of
5 s for the lock, and `BEGIN IMMEDIATE` for writers. By default sqlite3 opens no transaction before the first write, so
two tasks would read the same row and both write it.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import aiosqlite
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from forge_api.db.ended import Ended, session_that_tells
from forge_api.problem import unavailable

_WRITES: Final = "forge_writes"
_MIGRATION_LOCK: Final = 0x666F726765_02
"""Several APIs may start at once; see also query.py."""

_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""An escape, and not an escaped backslash before the letters."""

_THREAD_END_S: Final = 5.0
_PRAGMAS: Final = ("journal_mode=WAL", "busy_timeout=5000", "foreign_keys=ON", "synchronous=NORMAL")


class Database:
    """One database. A session lives as long as its `async with`, and is one transaction."""

    def __init__(self, url: str, told: Callable[[Ended], None] = lambda _row: None) -> None:
        """`told` hears of runs and phases that a transaction ended."""
        self._engine = create_async_engine(url, json_serializer=_json)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine.sync_engine, "do_connect", _open_sqlite_with_care)
            event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_sqlite)
        self._readers = async_sessionmaker(self._engine, expire_on_commit=False)
        writing: AsyncEngine = self._engine.execution_options(**{_WRITES: True})
        self._writers = async_sessionmaker(writing, expire_on_commit=False, sync_session_class=session_that_tells(told))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A consistent view; nothing written in it stays."""
        try:
            async with self._readers() as session:
                yield session
        except (OperationalError, InterfaceError) as error:
            raise unavailable("the database") from error

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A transaction, committed at the end unless an exception leaves the block."""
        try:
            async with self._writers() as session, session.begin():
                yield session
        except (OperationalError, InterfaceError) as error:
            raise unavailable("the database") from error

    async def migrate(self) -> None:
        """Bring the schema up to date; nothing to do the second time."""
        async with self._engine.execution_options(**{_WRITES: True}).begin() as connection:
            if self._engine.dialect.name == "postgresql":  # SQLite lets in one writer anyway
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            await connection.run_sync(upgrade)

    async def ping(self) -> None:
        async with self.read() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self._engine.dispose()


def upgrade(connection: Connection) -> None:
    """Run the packaged migrations over an open connection, inside its transaction."""
    config = Config()
    config.set_main_option("script_location", "forge_api.db:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _json(value: Any) -> str:
    """A document as text. One that a repository or its build wrote may hold NUL, which PostgreSQL cannot store."""
    return _NUL.sub(r"\1\\ufffd", json.dumps(value))


def _open_sqlite_with_care(_dialect: Any, _entry: Any, _arguments: Any, options: dict[str, Any]) -> None:
    options["async_creator_fn"] = _open_sqlite


async def _open_sqlite(*arguments: Any, **options: Any) -> aiosqlite.Connection:
    """aiosqlite leaves the thread of a connection that could not be opened to end by itself. It ends with a word to the
    event loop, which may be closed by then: so it is waited for."""
    connection = aiosqlite.connect(*arguments, **options)
    connection._thread.daemon = True  # as SQLAlchemy does: it must not keep the process
    try:
        return await connection
    except BaseException:
        await asyncio.shield(asyncio.to_thread(connection._thread.join, _THREAD_END_S))
        raise


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver shall begin nothing by itself
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
