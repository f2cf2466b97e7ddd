"""Fixtures of the API's tests: a real PostgreSQL, and tests that run on each of the two databases."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from tests.api import harness
from tests.judge import Judged
from tests.postgres_server import PostgresServer, postgres_programs

from forge_api.db.schema import Base
from forge_api.db.session import Database


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One for all tests, each of which has a database of its own there."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="PostgreSQL's client is not installed (extra postgres)")
    server = PostgresServer(programs)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgres(postgres_server: PostgresServer, judged: Judged) -> PostgresServer:
    judged("PostgreSQL", postgres_server.version, "tests on a running server", 1)
    return postgres_server


@dataclass(slots=True)
class Databases:
    """Databases that have the tables and no rows; handed out, emptied and handed out again, since each costs 8 MB."""

    server: PostgresServer
    model: str
    free: list[str] = field(default_factory=list)

    def take(self) -> str:
        return self.free.pop() if self.free else self.server.database(self.model)

    def give_back(self, url: str) -> None:
        """Nobody may be connected to it any more."""
        tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("SET lock_timeout = '5s'"))
            connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
        engine.dispose()
        self.free.append(url)


@pytest.fixture(scope="session")
def databases(postgres_server: PostgresServer) -> Databases:
    url = postgres_server.database()

    async def migrate() -> None:
        database = Database(url)
        await database.migrate()
        await database.close()

    asyncio.run(migrate())
    model = make_url(url).database
    assert model is not None
    return Databases(postgres_server, model)


@pytest.fixture(params=["sqlite", "postgres"])
def each_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For `usefixtures`: the test's APIs keep their rows in SQLite, and then in PostgreSQL."""
    if request.param == "sqlite":
        yield
        return
    request.getfixturevalue("postgres")
    databases: Databases = request.getfixturevalue("databases")
    taken: dict[Path, str] = {}

    def database_url(tmp_path: Path) -> str:
        if tmp_path not in taken:
            taken[tmp_path] = databases.take()
        return taken[tmp_path]

    monkeypatch.setattr(harness, "database_url", database_url)
    yield
    for url in taken.values():
        databases.give_back(url)
