"""Migrated databases: cloned from a template, which is migrated once a test process."""

from __future__ import annotations

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests import databases
from tests.db.rows import settings_for
from zekt_bot.db import engine, schema
from zekt_bot.db.database import open_database
from zekt_bot.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from zekt_bot.db.database import Database


def _migrate(url: str) -> None:
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, schema.migrate(engine.parse(url))).result()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """The name of a migrated PostgreSQL database to clone."""
    with databases.fresh_database(postgres_server) as url:
        _migrate(url)
        yield urlsplit(url).path.lstrip("/")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "zekt.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def migrated_postgres(postgres_server: str, postgres_template: str) -> Iterator[str]:
    """The URL of a migrated PostgreSQL database of one's own."""
    with databases.fresh_database(postgres_server, postgres_template) as url:
        yield url


@pytest.fixture
def migrated_sqlite(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a migrated SQLite file of one's own."""
    shutil.copy(sqlite_template, tmp_path / "zekt.db")
    return f"sqlite:///{tmp_path / 'zekt.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest) -> str:
    """The test runs twice: on SQLite and on PostgreSQL, migrated and empty."""
    name = "migrated_sqlite" if request.param == "sqlite" else "migrated_postgres"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
async def clock() -> ManualClock:
    """Time that the test moves."""
    return ManualClock()


@pytest.fixture
async def database(migrated_url: str, clock: ManualClock) -> AsyncIterator[Database]:
    """A migrated database, open; once of each kind."""
    async with open_database(settings_for(migrated_url), clock) as opened:
        yield opened


@pytest.fixture
async def postgres(migrated_postgres: str, clock: ManualClock) -> AsyncIterator[Database]:
    """A migrated PostgreSQL database, open."""
    async with open_database(settings_for(migrated_postgres), clock) as opened:
        yield opened


@pytest.fixture
async def sqlite(migrated_sqlite: str, clock: ManualClock) -> AsyncIterator[Database]:
    """A migrated SQLite file, open."""
    async with open_database(settings_for(migrated_sqlite), clock) as opened:
        yield opened
