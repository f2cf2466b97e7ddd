"""The database: migrations against tables, and what SQLite would otherwise do differently."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, inspect
from sqlalchemy.exc import IntegrityError, StatementError

from forge_api.db import query
from forge_api.db.schema import Base
from forge_api.db.session import Database, upgrade
from forge_api.db.tables import Repository
from forge_api.problem import Problem

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def schema(connection: Connection) -> dict[str, Any]:
    """Everything that the database says of its tables, in an order of its own."""
    found = inspect(connection)

    def ordered(items: list[Any]) -> list[str]:
        return sorted(repr(sorted(item.items(), key=str)) for item in items)

    def plain(index: Any) -> dict[str, Any]:
        return index | {"dialect_options": {name: str(value) for name, value in index["dialect_options"].items()}}

    return {
        table: {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(table)
            ],
            "key": found.get_pk_constraint(table),
            "foreign": ordered(found.get_foreign_keys(table)),
            "unique": ordered(found.get_unique_constraints(table)),
            "check": ordered(found.get_check_constraints(table)),
            "index": ordered([plain(index) for index in found.get_indexes(table)]),
        }
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def test_migrations_make_the_tables_that_the_code_declares() -> None:
    declared, migrated = create_engine("sqlite://"), create_engine("sqlite://")

    with declared.begin() as expected, migrated.begin() as found:
        Base.metadata.create_all(expected)
        upgrade(found)

        assert schema(found) == schema(expected)


async def test_migrating_twice_is_migrating_once(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'forge.db'}")

    await asyncio.gather(database.migrate(), database.migrate())
    await database.migrate()
    async with database.write() as session:
        session.add(repository())
    async with database.read() as session:
        found = await query.repository(session, "a/b")
    await database.close()

    assert found is not None


async def test_times_come_back_in_utc_and_need_a_zone(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    elsewhere = AT.astimezone(timezone(timedelta(hours=5)))
    async with database.write() as session:
        session.add(repository(created_at=elsewhere))

    async with database.read() as session:
        found = await query.repository(session, "a/b")
    with pytest.raises(StatementError, match="zone"):
        async with database.write() as session:
            session.add(repository(full_name="a/c", created_at=datetime(2026, 1, 1)))  # noqa: DTZ001
    await database.close()

    assert found is not None
    assert (found.created_at, found.created_at.utcoffset()) == (AT, timedelta(0))


async def test_writers_that_read_first_do_not_lose_each_others_writes(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    async with database.write() as session:
        session.add(repository(max_concurrent_runs=0))

    async def count() -> None:
        async with database.write() as session:
            row = await query.repository(session, "a/b", lock=True)
            assert row is not None
            await asyncio.sleep(0)
            row.max_concurrent_runs += 1

    await asyncio.gather(*(count() for _ in range(10)))
    async with database.read() as session:
        found = await query.repository(session, "a/b")
    await database.close()

    assert found is not None
    assert found.max_concurrent_runs == 10


async def test_exception_in_a_transaction_leaves_nothing(tmp_path: Path) -> None:
    database = await opened(tmp_path)

    async def fail_late() -> None:
        async with database.write() as session:
            session.add(repository())
            await session.flush()
            raise KeyError

    with pytest.raises(KeyError):
        await fail_late()
    async with database.read() as session:
        found = await query.repository(session, "a/b")
    await database.close()

    assert found is None


async def test_constraints_are_kept(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    async with database.write() as session:
        session.add(repository(github_repository_id=1))

    with pytest.raises(IntegrityError):
        async with database.write() as session:
            session.add(repository(full_name="a/c", github_repository_id=1))
    await database.close()


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_database_that_cannot_be_opened_leaves_no_thread_behind(tmp_path: Path) -> None:
    """A thread that outlives its event loop tells a closed one."""
    (tmp_path / "forge.db").mkdir()

    async def look() -> None:
        database = Database(f"sqlite+aiosqlite:///{tmp_path / 'forge.db'}")
        with pytest.raises(Problem):
            await database.ping()

    before = threading.active_count()
    for _ in range(20):
        asyncio.run(look())

        assert threading.active_count() <= before


async def opened(tmp_path: Path) -> Database:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'forge.db'}")
    await database.migrate()
    return database


def repository(**fields: Any) -> Repository:
    values: dict[str, Any] = {
        "full_name": "a/b",
        "clone_url": "https://h/a/b",
        "enabled": True,
        "max_concurrent_runs": 1,
        "created_by": "user:local",
        "created_at": AT,
    }
    return Repository(**values | fields)
