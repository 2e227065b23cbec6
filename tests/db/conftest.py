"""Open databases, migrated and empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.db.rows import settings_for
from zekt_bot.db.database import open_database
from zekt_bot.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zekt_bot.db.database import Database


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
